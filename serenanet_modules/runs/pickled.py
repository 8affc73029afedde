"""Weights that others wrote by torch.save, made by anybody: read as tensors alone, so that nothing in them is run."""

import zipfile

import torch

NUMBERS = (torch.float32, torch.float16, torch.bfloat16, torch.float64)


def load_pickled(file):
    """What torch.save wrote: tensors and plain values.

    Parameters
    ----------
    file : BinaryIO
        Open, at any place.

    Raises
    ------
    ValueError
        For anything else, in one line: code, a file that is cut short, or one whose bytes have changed.
    """
    try:
        if zipfile.is_zipfile(file):
            _check_sums(file)
        file.seek(0)
        return torch.load(file, "cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # wrong bytes make torch's reader raise almost anything
        raise ValueError(in_a_line(error)) from None


def in_a_line(error):
    """The beginning of an exception's message, or else its kind."""
    return " ".join(str(error).split())[:200] or type(error).__name__


def wrong_weight(value):
    """What is wrong with a weight of others, in words that follow its name; None where nothing is.

    Examples
    --------
    >>> wrong_weight(torch.ones(2)), wrong_weight(torch.ones(2).to_sparse()), wrong_weight(torch.tensor([torch.inf]))
    (None, 'is sparse, which no weights here are', 'holds values that are infinite or not a number')
    """
    if not isinstance(value, torch.Tensor):
        return "is no tensor"
    if value.layout != torch.strided:
        return "is sparse, which no weights here are"
    if value.device.type != "cpu":
        return "has no values"
    if value.dtype not in NUMBERS:
        return f"holds {str(value.dtype).removeprefix('torch.')}, which no weights here are"
    if value.numel() * value.element_size() > value.untyped_storage().nbytes():
        return "is larger than what the file has of it"
    return None if value.isfinite().all() else "holds values that are infinite or not a number"


def _check_sums(file):
    """Refuse changed bytes, which torch does not notice, and what unpacks to more than it is."""
    with zipfile.ZipFile(file) as archive:
        if any(member.compress_type != zipfile.ZIP_STORED for member in archive.infolist()):
            raise ValueError("it is packed, as torch.save packs nothing")
        if (changed := archive.testzip()) is not None:
            raise ValueError(f"the bytes of {changed} have changed")
