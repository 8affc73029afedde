"""Trained models at work: open a result folder, transcribe audio, stream it.

- `recognizer`: files or samples in, `transcript`s out.
- `folder`: a result folder's network, units and settings; `decoders`: what can decode with them.
- `sources`: whatever is audio, in pieces; `segment`: cut where it is quiet.
- `streaming`: text while the sound comes in; `live`: files, pipes and microphones as sound that comes in.
- `timestamps`: times and confidences of decoded text.
"""
