"""Recognisers behind HTTP: OpenAI's transcription API, a WebSocket for live audio, and a page.

- `options`: what the server allows.
- `app`: the FastAPI application, put together.
- `transcriptions`: ``/v1/audio/transcriptions`` and ``/v1/models``; `shapes`, their answers; `errors`, their refusals.
- `corrections`: ``/v1/export`` and ``/v1/corrections``, for transcripts that people have corrected.
- `fields`: the names that a request may have; `guard`: what is asked of a request before its body is read.
- `uploads`: from a body to samples.
- `service`: what routes share; `model`, one of the recognisers; `batcher`, the one thread that runs its network, on
  several requests at a time.
- `live`: ``/v1/audio/stream``.
- `metrics`: ``/metrics``; `observed`, requests' numbers and the log.
- `page`: what is seen at ``/`` and ``/docs``.
- `protocol`: how long a connection may keep the server waiting.
- `run`: sockets, signals, the end.
"""
