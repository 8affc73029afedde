"""What an experiment asks of a Brain beside the training loop; the Brain decides what is special about its task."""

from dataclasses import dataclass, field
from typing import Any

from serenanet_modules.data.text import Style
from serenanet_modules.training.sources import Speech


@dataclass(frozen=True)
class Outputs:
    """What a network's outputs stand for.

    Attributes
    ----------
    arguments : dict
        Of the Brain's constructor, picklable.
    sizes : dict
        Hyper-parameters that follow from them, such as ``n_units``.
    """

    arguments: dict[str, Any] = field(default_factory=dict)
    sizes: dict[str, Any] = field(default_factory=dict)


class Task:
    """The answers of a task that needs no text, has no labels and starts from nothing; Brains override what differs.

    Class methods are asked in this order: `check`, `settle`, `learn`, `outputs`, `start`, `keep`, `begin`; then there
    is a Brain.
    ``plain`` is `Hparams.plain`, ``save`` the folder of what a run keeps for itself.

    Attributes
    ----------
    reads : type
        `Speech` or `Text`, or what has their methods: where the data comes from.
    recognises : bool
        Whether the trained network is a recogniser, which ``serenanet transcribe`` opens.
    needs_text : bool
        Of what reads speech: whether training utterances without text are of no use.
    encode : callable or None
        Utterance -> list of label ids, where there are labels.
    """

    reads = Speech
    recognises = False
    needs_text = False
    encode = None

    # --- before any long work -----------------------------------------------------------------------------------------

    @classmethod
    def check(cls, plain, where):
        """Refuse settings of the file ``where`` that cannot be, before anything is read."""

    @classmethod
    def settle(cls, hparams, save):
        """Arguments of parts, by key, that follow from what others name, such as the sizes of a public encoder."""
        return {}

    @classmethod
    def locale(cls, plain):
        """Whose rules normalise text."""
        return plain["locale"]

    @classmethod
    def style(cls, plain):
        """The `Style` in which texts are written."""
        return Style.of(plain)

    @classmethod
    def needs_phonemes(cls, plain):
        """Of what reads speech: whether the manifest's phonemes are to be filled in."""
        return False

    @classmethod
    def learn(cls, plain, where, texts, save, locales=()):
        """What the outputs stand for, of the training texts, before any audio is decoded.

        Parameters
        ----------
        texts : iterable of str
            Normalised, or where the task needs phonemes those; made as they are asked for.
        locales : list of str
            Of each text, where they are known.

        Returns
        -------
        object or None
            For `outputs`. None where there is nothing to learn, or an earlier run has kept it in ``save``.

        Raises
        ------
        UserError
            Where the texts cannot give what is asked for.
        """
        return None

    @classmethod
    def outputs(cls, plain, where, save, learned):
        """The `Outputs`, of what was learned or an earlier run has kept."""
        return Outputs()

    @classmethod
    def start(cls, plain, hparams, built, outputs, resumes):
        """What a run starts from, None for nothing and where it ``resumes()``; refuses what does not fit ``built``."""
        return None

    @classmethod
    def levels(cls, model):
        """Parts of the model from the bottom up, as of `AcousticModel.levels`; [] where these are not known."""
        return []

    @classmethod
    def loaded(cls, model, save):
        """Parameters of the model whose weights are not new in this run, once it has what it begins with."""
        return []

    @classmethod
    def loaded_tensors(cls, plain, save):
        """Tensors by name, as they stand in what this run has started from, of those that were taken whole."""
        return {}

    @classmethod
    def keep(cls, outputs, save):
        """Write the outputs' meaning into the folder, where it is not there yet."""

    @classmethod
    def encoder(cls, save):
        """Of what reads text: a function of a normalised sentence that gives its labels, by what was kept."""
        raise NotImplementedError

    @classmethod
    def begin(cls, built, source, start, plain, save):
        """Give the new network what it begins with, once per result folder: every process calls this."""

    # --- of the network -----------------------------------------------------------------------------------------------

    def exact(self, model):
        """Parts of the model whose matrix products stay exact in precisions of eight bits and less."""
        return []

    # --- of the trained network ---------------------------------------------------------------------------------------

    def ready(self, root, splits, start):
        """Make what is needed beside the network, which is on its device now; `evaluate_splits` says what is given."""

    def evaluate_splits(self, root, splits, folder):
        """Measure the trained network; the main process writes files into ``folder``.

        Parameters
        ----------
        root : Path
            Folder that the rows' paths start from.
        splits : dict of str to rows
            As ``reads`` gives them: those of the training, or of other data.
        folder : Path

        Returns
        -------
        dict
            Entries of result.json.
        """
        raise NotImplementedError

    @staticmethod
    def table(result):
        """The measures in a result, for people."""
        raise NotImplementedError

    @staticmethod
    def in_words(result):
        """The measures in a sentence for people, "" where that says nothing."""
        return ""

    @classmethod
    def about(cls, plain, save):
        """Entries of result.json that say what the run started from."""
        return {}

    @staticmethod
    def elsewhere(model):
        """Names of tensors that the result folder need not hold, because it says where they are from."""
        return frozenset()

    @classmethod
    def published(cls, hparams):
        """The hyper-parameters as the result folder holds them."""
        return hparams.named("brain")

    @classmethod
    def finish(cls, folder):
        """Write what else belongs into a finished result folder."""
