"""What a batch's masked prediction hides and asks for."""

import hashlib

import torch

from serenanet_modules.errors import UserError
from serenanet_modules.lobes.heads.pessl import Masking


def check_masks(built):
    """Refuse masks for an acoustic model that has no features to mask.

    Parameters
    ----------
    built : dict
        The objects of a hyper-parameter file.

    Raises
    ------
    UserError
        With the setting that asks for them.
    """
    acoustic = built["model"].acoustic
    for key, can in (("spec_augment", acoustic.can_mask), ("pessl", acoustic.has_features)):
        if built[key] is not None and not can:
            raise UserError(f"'{key}' masks features, of which {type(acoustic).__name__} has none; set it to null")


class Masker:
    """Makes the `Masking` of a batch.

    Parameters
    ----------
    clusters : Clusters
        On the model's device.
    acoustic : SpectralModel
        With its `PESSL`.
    seed : int
        Of the fixed masks.
    """

    def __init__(self, clusters, acoustic, seed):
        self.clusters, self.acoustic, self.seed = clusters, acoustic, seed

    def __call__(self, x, lengths, ids=None):
        """Masking of features that nothing has been masked in yet.

        Parameters
        ----------
        x : Tensor
            (B, T, F) normalised log-mel features.
        lengths : Tensor
            (B,) frames.
        ids : list of str, optional
            Of the utterances: each then has a mask of its own for ever, whatever the batch and the process. Otherwise
            masks come from torch's generator.
        """
        stride = self.acoustic.frontend.output_stride
        frames, total = -(-lengths // stride), -(-x.shape[1] // stride)
        mask = self.acoustic.pessl.spans(frames, total) if ids is None else self._fixed(frames, total, ids)
        return Masking(mask, self.clusters(x, lengths, stride))

    def _fixed(self, frames, total, ids):
        mask = torch.zeros(len(ids), total, dtype=torch.bool)
        for i, (name, n) in enumerate(zip(ids, frames.tolist(), strict=True)):
            digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
            generator = torch.Generator().manual_seed(int.from_bytes(digest[:7]))
            mask[i, :n] = self.acoustic.pessl.spans(torch.tensor([n]), n, generator)[0]
        return mask.to(frames.device)
