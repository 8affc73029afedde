"""Bootstrap alignment of transcribed speech: which phone is heard in which 10 ms frame, from no model at all.

A flat start: an utterance's loud part is cut into equal pieces, one per phone; each phone, and silence, is a diagonal
Gaussian over cepstra; then Viterbi alignment and estimation take turns.
"""

import functools
import math

import torch
from torchaudio.functional import compute_deltas, create_dct, forced_align

from serenanet_modules.data.phonemes import WORD_BOUNDARY, g2p
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.bars import Bar

SILENCE = "sil"
CEPSTRA = 13
ROUNDS = 10
QUIET_SHARE = 0.15  # of an utterance's frames, the least loud: what silence starts from
PRIOR_FRAMES = 20.0  # a Gaussian counts so many frames of the whole data's, so that rare phones are sound
VARIANCE_FLOOR = 0.01  # of the whole data's


def spelling(between=()):
    """A function from an utterance to its phones: those of its row, of its locale's g2p, or else its characters.

    Parameters
    ----------
    between : tuple of str
        Stands between words and at both ends, such as `SILENCE`.

    Examples
    --------
    >>> from serenanet_modules.data.manifest import Utterance
    >>> spell = spelling()
    >>> spell(Utterance("u", "u.flac", 1.0, "ab c", "", "s", "mdw", "train"))
    ['a', 'b', 'c']
    >>> spelling(("sil",))(Utterance("u", "u.flac", 1.0, "", "a b | c", "s", "mdw", "train"))
    ['sil', 'a', 'b', 'sil', 'c', 'sil']
    """

    @functools.cache
    def speaker(locale):
        try:
            return functools.cache(g2p(locale))
        except UserError:  # no pronunciation rules
            return list

    def phones(utterance):
        if utterance.phonemes:
            words = [word.split() for word in utterance.phonemes.split(WORD_BOUNDARY)]
        else:
            words = map(speaker(utterance.locale), utterance.text.split())
        return [*between, *(phone for word in words if word for phone in (*word, *between))]

    return phones


def cepstra(x):
    """Normalised log-mel features x (T, F) -> 13 cepstra with first and second differences, (T, 39).

    Nearly uncorrelated, as diagonal Gaussians want them.
    """
    return with_differences(plain_cepstra(x))


def plain_cepstra(x):
    """Normalised log-mel features x (T, F) -> 13 cepstra (T, 13)."""
    return x @ create_dct(CEPSTRA, x.shape[1], norm="ortho").to(x)


def with_differences(y):
    """Cepstra y (T, 13) with their first and second differences, (T, 39)."""
    delta = compute_deltas(y.T)
    return torch.cat([y.T, delta, compute_deltas(delta)]).T


class PhoneAligner:
    """A diagonal Gaussian for silence and for each phone.

    Parameters
    ----------
    phones : list of str
        The first is silence.
    mean, variance : Tensor
        (phones, D).
    """

    def __init__(self, phones, mean, variance):
        self.phones, self.mean, self.variance = list(phones), mean, variance
        self._ids = {phone: i for i, phone in enumerate(self.phones)}

    @classmethod
    def fit(cls, utterances, rounds=ROUNDS, progress=False):
        """Flat start and ``rounds`` of Viterbi training.

        Parameters
        ----------
        utterances : list of (Tensor, list of str)
            Cepstra (T, D) and phones; those with fewer frames than phones are left out.
        rounds : int
        progress : bool

        Raises
        ------
        UserError
            Where no utterance can be aligned.
        """
        utterances = [(y, phones) for y, phones in utterances if 0 < len(phones) <= len(y)]
        if not utterances:
            raise UserError("no transcribed utterance is long enough for its phones; there is nothing to align")
        inventory = [SILENCE, *sorted({phone for _, phones in utterances for phone in phones} - {SILENCE})]
        ids = {phone: i for i, phone in enumerate(inventory)}
        coded = [(y, torch.tensor([ids[p] for p in phones])) for y, phones in utterances]
        frames = torch.cat([y for y, _ in coded])
        estimate = functools.partial(_estimate, frames, len(inventory))
        aligner = cls(inventory, *estimate(torch.cat([_flat(y, spoken[spoken > 0]) for y, spoken in coded])))
        for _ in Bar(range(rounds), desc="phones: alignment", disable=not progress):
            paths = [aligner._path(y, spoken) for y, spoken in coded]
            aligner = cls(inventory, *estimate(torch.cat(paths)))
        return aligner

    def align(self, y, phones):
        """Index into `phones` of each frame of cepstra y (T, D), or None where they do not fit.

        Phones that no training utterance had are passed over.
        """
        spoken = [self._ids[phone] for phone in phones if phone in self._ids]
        return self._path(y, torch.tensor(spoken)) if 0 < len(spoken) <= len(y) else None

    def _scores(self, y):
        """Log-likelihood of frames y (T, D) under each phone's Gaussian, (T, phones)."""
        return _log_likelihood(y, self.mean, self.variance)

    def _path(self, y, spoken):
        """Viterbi path (T,) through ``spoken`` (L,), silence allowed anywhere."""
        scores = self._scores(y)
        # in CTC's topology equal neighbours need a blank in between: every other one goes by a second name
        twice = torch.zeros_like(spoken)
        for i in range(1, len(spoken)):
            twice[i] = 1 - twice[i - 1] if spoken[i] == spoken[i - 1] else 0
        count = len(self.phones)
        emissions = torch.cat([scores, scores[:, 1:]], dim=1).unsqueeze(0)
        targets = (spoken + (count - 1) * twice).int().unsqueeze(0)
        path = forced_align(emissions, targets)[0][0].long()
        return torch.where(path >= count, path - (count - 1), path)


def _flat(y, spoken):
    """Equal pieces for the phones between the first and the last loud frame, silence around them."""
    loudness = y[:, 0]  # the first cepstrum is the mean over the bands
    quiet = loudness <= loudness.quantile(QUIET_SHARE)
    loud = (~quiet).nonzero().flatten()
    first, last = (int(loud[0]), int(loud[-1]) + 1) if len(loud) else (0, len(y))
    piece = torch.arange(last - first) * len(spoken) // (last - first)
    path = torch.zeros(len(y), dtype=torch.long)
    path[first:last] = spoken[piece]
    return path.masked_fill(quiet, 0)


def _estimate(frames, count, path):
    """Means and variances (count, D) of the frames (N, D) of each phone in ``path`` (N,)."""
    own = torch.zeros(count, len(frames[0]), dtype=torch.float64)
    number = torch.bincount(path, minlength=count).double().unsqueeze(1) + PRIOR_FRAMES
    overall, spread = frames.double().mean(0), frames.double().var(0)
    mean = (own.index_add(0, path, frames.double()) + PRIOR_FRAMES * overall) / number
    square = own.index_add(0, path, frames.double().square()) + PRIOR_FRAMES * (spread + overall.square())
    variance = (square / number - mean.square()).maximum(VARIANCE_FLOOR * spread)
    return mean.float(), variance.float()


def _log_likelihood(y, mean, variance):
    """log N(y; mean, variance) of frames y (T, D) under each Gaussian, (T, phones)."""
    precision = 1 / variance
    distance = y.square() @ precision.T - 2 * y @ (mean * precision).T + (mean.square() * precision).sum(1)
    return -0.5 * (distance + variance.log().sum(1) + y.shape[1] * math.log(2 * math.pi))
