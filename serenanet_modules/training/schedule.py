"""Learning rates as pure functions of the step, so that a resumed run needs no state for them."""

import math

LONGEST_WARMUP = 0.2  # of the whole training


class WarmupCosine:
    """A linear warm-up times a cosine that falls from ``peak`` to ``final_share × peak`` over the whole training.

    Parameters
    ----------
    peak : float
        The cosine's start; the rate itself comes close to it at the end of the warm-up.
    warmup_steps : int
        Optimizer steps of the warm-up, which never takes more than the first fifth of the training.
    final_share : float
        Rate at the end of training over ``peak``.

    Examples
    --------
    >>> rate = WarmupCosine(peak=1.0, warmup_steps=10, final_share=0.1)
    >>> [round(rate(step, progress=step / 100), 3) for step in (1, 10, 100)]
    [0.1, 0.978, 0.1]
    """

    def __init__(self, peak, warmup_steps, final_share=0.05):
        self.peak, self.warmup_steps, self.final_share = peak, warmup_steps, final_share

    def __call__(self, step, progress):
        """Rate for optimizer step ``step`` (from 1) at ``progress`` (0…1) of the whole training."""
        warm = min(1.0, max(step / max(1, self.warmup_steps), progress / LONGEST_WARMUP))
        cosine = 0.5 * (1 + math.cos(math.pi * min(1.0, progress)))
        return self.peak * warm * (self.final_share + (1 - self.final_share) * cosine)
