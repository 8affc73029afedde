"""The Whisper that a training starts from: its units, and its sizes as hyper-parameters."""

from serenanet_modules.config.foreign import FILE
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.errors import UserError
from serenanet_modules.runs.whisper import WhisperSource

LANGUAGE = "spoken_language"
ROOM = "serenanet_modules.lobes"
SIZES = ("d_model", "n_heads", "n_layers", "d_ffn")
FOLLOW = {  # parts, their classes, and their arguments that follow
    "features": (f"{ROOM}.WhisperFeatures", ("n_mels", "most_seconds")),
    "frontend": (f"{ROOM}.frontends.ConvStem", ("input_size", "d_model")),
    "encoder": (f"{ROOM}.encoders.SinusoidalEncoder", SIZES),
    "attention_decoder": (
        f"{ROOM}.decoders.AttentionDecoder",
        (*SIZES, "mixer", "tied", "positions", "alignment", "prefix"),
    ),
}


def settled(hparams, folder):
    """What follows from the Whisper that a run with its units starts from: values by key, arguments of parts.

    Parameters
    ----------
    hparams : Hparams
    folder : Path
        The result folder: a run that goes on needs no Whisper any more.

    Raises
    ------
    UserError
        Where none is named, and for one that cannot be used or lacks the language.
    """
    plain = hparams.plain()
    if plain.get("units") != "whisper":
        return {}
    for key, (name, _) in FOLLOW.items():
        if hparams.part(key, name) is None:
            raise UserError(
                f"{hparams.source}: units whisper need '{key}' to be !new:{name}, as hparams/whisper.yaml has it"
            )
    kept = Hparams.load(folder / FILE) if (folder / FILE).is_file() else None
    if kept is not None and all(kept.plain().get(key) == plain[key] for key in ("pretrained", LANGUAGE)):
        parts = {key: kept.part(key, name) for key, (name, _) in FOLLOW.items()}
        return _followed({key: {name: parts[key][name] for name in names} for key, (_, names) in FOLLOW.items()})
    source = _source(plain, hparams.source)
    language = plain[LANGUAGE] or plain["locale"].lower().replace("_", "-").split("-")[0]
    try:
        prefix = source.units.prefix(language)
    except UserError as error:
        raise UserError(f"{hparams.source}: '{LANGUAGE}': {error}") from None
    return _followed(source.parts | {"attention_decoder": source.parts["attention_decoder"] | {"prefix": prefix}})


def units_of(plain, where):
    """The units of the Whisper that a run starts from, for texts as the locale's rules write them."""
    return _source(plain, where).units.of_plain_words()


def _source(plain, where):
    if plain["pretrained"] is None:
        raise UserError(f"{where}: units whisper are those of a Whisper; give its folder with --pretrained FOLDER")
    return WhisperSource(plain["pretrained"])


def _followed(parts):
    """With the two sizes that stand by themselves."""
    return {"n_mels": parts["features"]["n_mels"], "d_model": parts["encoder"]["d_model"], **parts}
