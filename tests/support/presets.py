"""Models and their sizes as hparams/ has them."""

from pathlib import Path

HPARAMS = Path(__file__).parents[2] / "hparams"


LANGUAGE_MODEL = "transformer_lm"  # which reads text only


def preset(name):
    """Files of a model, ``serenanet``, or of a size of it, ``serenanet/small``, each over the one before."""
    model, _, size = name.partition("/")
    return [HPARAMS / f"{model}.yaml", *([HPARAMS / f"sizes/{name}.yaml"] if size else [])]


MODELS = sorted(
    [
        *(file.stem for file in HPARAMS.glob("*.yaml") if file.stem != LANGUAGE_MODEL),
        *(f"{file.parent.name}/{file.stem}" for file in HPARAMS.glob("sizes/*/*.yaml")),
    ]
)
