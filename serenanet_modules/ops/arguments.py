"""What of an operation's arguments no backend could take."""


def check_shapes(wanted, note=""):
    """Raise ValueError for the first of {name: (tensor or None, shape)} that is there and has another shape."""
    for name, (tensor, shape) in wanted.items():
        if tensor is not None and tensor.shape != shape:
            raise ValueError(f"{name} must be of shape {tuple(shape)}{note}; got {describe(tensor)}.")


def check_devices(where, device, **others):
    """Raise ValueError for a tensor on another device than the one that ``where`` names."""
    for name, tensor in others.items():
        if tensor is not None and tensor.device != device:
            raise ValueError(f"{name} must be on the device of {where}, {device}; it is on {tensor.device}.")


def describe(tensor):
    """Shape and dtype, for messages."""
    return f"{tuple(tensor.shape)} {str(tensor.dtype).removeprefix('torch.')}"
