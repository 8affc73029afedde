"""Which weights a training ends with: the mean of its best checkpoints where dev finds it as good as the best of them.

While a network still learns fast, its checkpoints lie far from each other, and their mean may be worse than each.
"""

import torch
from speechbrain.utils.checkpoints import average_checkpoints

from serenanet_modules.runtime import distributed


def choose(best, weights, measure, dev_error):
    """Load the mean of checkpoints or, where dev finds that worse, the best of them; all processes call this alike.

    Parameters
    ----------
    best : list of Checkpoint
        The best one first; a single one is taken as it is, and dev is not read.
    weights : Weights
        Of the model that takes them.
    measure : str or None
        What dev's error is called, by which the checkpoints were chosen.
    dev_error : callable
        Reads dev with the model as it is; its error.

    Returns
    -------
    dict
        ``epochs``, whose weights were taken, as their mean where they are several; ``measure``; dev's error of the
        ``best`` checkpoint, None where none was read yet; and where dev was read with the mean, that of the ``mean``
        and the epochs that are ``averaged`` in it.
    """
    found = {"epochs": _epochs(best[:1]), "measure": measure, "best": best[0].meta.get("error")}
    if len(best) > 1:
        weights.load(mean_of(best, weights.model))
        found |= {"mean": distributed.broadcast_object(dev_error()), "averaged": _epochs(best)}
        if found["mean"] <= found["best"]:  # never so where it is no number
            return found | {"epochs": found["averaged"]}
    weights.load(saved(best[0].paramfiles["model"]))
    return found


def mean_of(best, model):
    """The mean of checkpoints' parameters; buffers are the first one's, as a mean of equal ones need not be equal."""
    mean, first = average_checkpoints(best, "model", saved), saved(best[0].paramfiles["model"])
    buffers = dict(model.named_buffers())
    return {name: first[name] if name in buffers else tensor for name, tensor in mean.items()}


def saved(path, map_location="cpu"):
    """The tensors that a checkpoint's file holds, which may hold nothing else."""
    return torch.load(path, map_location, weights_only=True)


def _epochs(checkpoints):
    return sorted(c.meta["epoch"] for c in checkpoints if "epoch" in c.meta)
