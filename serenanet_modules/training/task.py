"""What an experiment asks of a Brain beside the training loop; the Brain decides what is special about its model."""


class Task:
    """The answers of a model without text, labels or masked prediction; Brains override what is different.

    Attributes
    ----------
    needs_text : bool
        Whether training utterances without text are of no use.
    encode : callable or None
        Utterance -> list of label ids, where there are labels.
    masker : Masker or None
        Makes the masked prediction of models that have one; set before training.
    """

    needs_text = False
    encode = None
    masker = None

    # --- before the network is there --------------------------------------------------------------------------------

    @classmethod
    def check(cls, plain, where):
        """Refuse settings (`Hparams.plain` of the file ``where``) that cannot be, before any long work."""

    @classmethod
    def needs_phonemes(cls, plain):
        """Whether the manifest's phonemes are to be filled in."""
        return False

    @classmethod
    def try_texts(cls, plain, where, candidates, save):
        """Refuse training candidates whose texts cannot be used; ``save`` holds what an earlier run made of them."""

    @classmethod
    def outputs(cls, plain, where, train, save):
        """What the network's outputs stand for, made of the training utterances or found in the folder ``save``.

        Returns
        -------
        tuple of dict
            Picklable arguments of the constructor, and hyper-parameters that follow from them.
        """
        return {}, {}

    # --- of the trained network -------------------------------------------------------------------------------------

    def evaluate_splits(self, root, splits):
        """Measure the trained network; the main process writes files into the result folder.

        Parameters
        ----------
        root : Path
            Folder of the manifest.
        splits : dict of str to list of Utterance

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
