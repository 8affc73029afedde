"""What training changes in its inputs at random: SpecAugment whose masks grow with the utterance, and speed."""

import torch
from torch import nn

from serenanet_modules.lobes.blocks.lengths import valid_mask


class SpecAugment(nn.Module):
    """Mask mel bands and time spans with zeros, the mean of normalised features (Park et al. 2019 and 2020).

    Parameters
    ----------
    freq_masks, freq_width : int
        Number and largest width (bins) of frequency masks.
    time_masks, time_width : int
        Least number and largest width (frames) of time masks.
    frames_per_mask : int
        A longer utterance gets one time mask for each so many frames.
    max_share : float
        No time mask covers more than this share of its utterance, so short clips survive.

    Examples
    --------
    >>> augment = SpecAugment()
    >>> x = torch.ones(1, 200, 80)
    >>> 0 < augment(x, torch.tensor([200])).mean() < 1
    tensor(True)
    """

    def __init__(
        self,
        freq_masks=2,
        freq_width=27,
        time_masks=2,
        time_width=100,
        frames_per_mask=400,
        max_share=0.15,
    ):
        super().__init__()
        self.freq_masks, self.freq_width = freq_masks, freq_width
        self.time_masks, self.time_width = time_masks, time_width
        self.frames_per_mask, self.max_share = frames_per_mask, max_share

    def forward(self, x, lengths):
        """x (B, T, F), lengths (B,) frames -> masked copy."""
        batch, total, bins = x.shape
        bands = torch.full((batch,), bins, device=x.device)
        widest = bands.clamp(max=self.freq_width)
        keep = _spans(bands, widest, torch.full_like(bands, self.freq_masks), bins).unsqueeze(1)
        count = (lengths // self.frames_per_mask).clamp(min=self.time_masks)
        widest = (lengths * self.max_share).long().clamp(max=self.time_width)
        keep = keep & _spans(lengths, widest, count, total).unsqueeze(2)
        return x * keep


def change_speed(perturb, wavs, lengths):
    """Give a batch another speed, one for all of it.

    Parameters
    ----------
    perturb : speechbrain.augment.time_domain.SpeedPerturb
    wavs : Tensor
        (B, S), anything past
    lengths : Tensor
        (B,) int64 samples.

    Returns
    -------
    (Tensor, Tensor)
        Samples and lengths. An utterance's are those that `at_speed` gives it alone, bit by bit.
    """
    number = int(torch.randint(0, len(perturb.speeds), (1,)))
    changed = [at_speed(perturb, number, wav[:n]) for wav, n in zip(wavs.cpu(), lengths.tolist(), strict=True)]
    samples = torch.nn.utils.rnn.pad_sequence(changed, batch_first=True)
    return samples.to(wavs.device), torch.tensor([len(x) for x in changed], device=lengths.device)


def at_speed(perturb, number, samples):
    """Samples (S,) at one of the speeds of a `SpeedPerturb`, by its place among them."""
    return perturb.resamplers[number](samples.unsqueeze(0)).squeeze(0)


def _spans(lengths, widest, count, total):
    """Boolean (B, total), false inside ``count`` random spans of up to ``widest`` within each length."""
    most = int(count.max())
    if most == 0:
        return valid_mask(torch.full_like(lengths, total), total)
    shape = (len(lengths), most)
    width = (torch.rand(shape) * (widest.cpu().unsqueeze(1) + 1)).long()
    start = (torch.rand(shape) * (lengths.cpu().unsqueeze(1) - width + 1).clamp(min=1)).long()
    active = torch.arange(most) < count.cpu().unsqueeze(1)
    position = torch.arange(total)
    inside = (position >= start.unsqueeze(-1)) & (position < (start + width).unsqueeze(-1))
    return ~(inside & active.unsqueeze(-1)).any(1).to(lengths.device)
