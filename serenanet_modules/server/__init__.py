"""A recogniser behind HTTP: OpenAI's transcription API, a WebSocket for live audio, and a page.

- `options`: what the server allows.
- `app`: the FastAPI application, put together.
- `transcriptions`: ``/v1/audio/transcriptions`` and ``/v1/models``; `shapes`, their answers; `errors`, their refusals.
- `fields`: the names that a request may have; `guard`: what is asked of a request before its body is read.
- `uploads`: from a body to samples.
- `batcher`: the one thread that runs the network, on several requests at a time.
- `live`: ``/v1/audio/stream``.
- `metrics`: ``/metrics``.
- `page`: what is seen at ``/``.
- `protocol`: how long a connection may keep the server waiting.
- `run`: sockets, signals, the end.
"""
