"""A trained network as one file for other programs.

- `network`: what is exported.
- `onnx_file`, `onnx_ops`: ONNX, and this project's operations in it.
- `torchscript`: TorchScript.
- `sherpa`: the variant that sherpa-onnx opens.
- `sidecars`: tokens and metadata beside a model.
- `check`: a file against the model that it was made from.
- `command`: all of it for one result folder.
"""
