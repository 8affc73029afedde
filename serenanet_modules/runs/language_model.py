"""The result folder of a language model run, opened for a recogniser's beam search."""

from pathlib import Path

from serenanet_modules.config.foreign import Document
from serenanet_modules.data.units import load_units
from serenanet_modules.errors import UserError
from serenanet_modules.runs.whole import check_files, read_weights
from serenanet_modules.runtime.files import read_json

NEEDED = ("hyperparams.yaml", "weights.safetensors", "result.json", "save/units/units.json")


class NeuralLMRun:
    """A finished run of hparams/transformer_lm.yaml.

    Parameters
    ----------
    folder : str or Path

    Raises
    ------
    UserError
        For any other folder.
    """

    def __init__(self, folder):
        self.folder = Path(folder)
        missing = [name for name in NEEDED if not (self.folder / name).is_file()]
        if missing or "perplexity" not in self._result():
            lacks = f"{missing[0]} is missing" if missing else "result.json is that of another kind of run"
            raise UserError(
                f"neural_lm: {folder} is not the result folder of a finished language model ({lacks}); make one with "
                "recipes/LibriSpeech/LM"
            )
        self._document = Document.of_run(self.folder)
        check_files(self.folder, *NEEDED, "save/units/units.model")

    def _result(self):
        path = self.folder / "result.json"
        try:
            return read_json(path)
        except ValueError as error:
            raise UserError(f"{path}: is not valid JSON ({error})") from None

    def check(self, units):
        """Refuse a recogniser with other units than those that the model was trained on."""
        if load_units(self.folder / "save" / "units").pieces != units.pieces:
            raise UserError(
                f"neural_lm: {self.folder} has other units than the recogniser; train it with "
                "--acoustic RESULT_DIR of that one"
            )

    def model(self, units):
        """The `LabelLM`, in evaluation mode.

        Raises
        ------
        UserError
            If it was trained on other units than these, or its weights cannot be read.
        """
        self.check(units)
        path = self.folder / "weights.safetensors"
        model = self._document.only(("model",)).build(path)["model"]
        try:
            tensors = read_weights(path)
            model.load_state_dict({name.removeprefix("model."): tensor for name, tensor in tensors.items()})
        except RuntimeError:
            raise UserError(
                f"{path}: does not fit the model in hyperparams.yaml beside it; copy the whole folder again"
            ) from None
        return model.eval()
