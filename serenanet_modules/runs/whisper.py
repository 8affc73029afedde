"""Whisper (Radford et al. 2022, arXiv 2212.04356) as transformers write it: opened as it is, and as a start."""

import json
from pathlib import Path

import torch

from serenanet_modules.config.foreign import FILE, bounded
from serenanet_modules.data.whisper_units import TOKENIZER, WhisperUnits, read_tokenizer
from serenanet_modules.errors import UserError
from serenanet_modules.lobes import HybridModel, SpectralModel, WhisperFeatures
from serenanet_modules.lobes.decoders import AttentionDecoder
from serenanet_modules.lobes.encoders import SinusoidalEncoder
from serenanet_modules.lobes.frontends import ConvStem
from serenanet_modules.runs.public_folder import CONFIG, INDEX, MOST_JSON, WEIGHTS, PublicFolder
from serenanet_modules.runs.whisper_names import our_names

GENERATION = "generation_config.json"
FILES = (CONFIG, GENERATION, TOKENIZER, WEIGHTS, INDEX)
FRAME = 0.02  # seconds of an encoder's frame
SIZES = {  # transformers' names, and the largest that any may have
    **{"d_model": 2**14, "num_mel_bins": 2**10, "vocab_size": 2**20},
    **{"max_source_positions": 2**16, "max_target_positions": 2**14},
    **{
        f"{side}_{what}": most
        for side in ("encoder", "decoder")
        for what, most in (("layers", 200), ("ffn_dim", 2**16))
    },
    **{f"{side}_attention_heads": 2**8 for side in ("encoder", "decoder")},
}
EXPECTED = {"activation_function": "gelu", "scale_embedding": False, "tie_word_embeddings": True}


def is_one(path):
    """Whether a path is a folder whose config.json names a Whisper, and no result folder."""
    path = Path(path)
    if not path.is_dir() or (path / FILE).is_file() or not (path / CONFIG).is_file():
        return False
    try:
        with open(path / CONFIG, "rb") as file:
            return json.loads(file.read(MOST_JSON)).get("model_type") == "whisper"
    except (ValueError, RecursionError, AttributeError):
        return False


class WhisperSource(PublicFolder):
    """A Whisper, its parts under our names.

    Parameters
    ----------
    source : str or Path
        A folder, or a name on the hub.
    key : str
        The option that names it, with which errors begin.

    Attributes
    ----------
    units : WhisperUnits
    parts : dict of str to dict
        Arguments of `WhisperFeatures`, `ConvStem`, `SinusoidalEncoder` and `AttentionDecoder` by their names in
        hyper-parameter files; ``prefix`` aside, which follows from the language.

    Raises
    ------
    UserError
        For anything else; one sentence, and nothing is run.
    """

    BESIDE, NEEDED = (GENERATION,), (CONFIG, TOKENIZER)

    def __init__(self, source, key="pretrained"):
        self.KEY = key
        super().__init__(str(source))
        self._config, told = self.json(CONFIG), self.json(GENERATION)
        self._check_config()
        try:
            self.units, self.parts = self._units(told), self._parts(told.get("alignment_heads"))
            with bounded(*self.files), torch.device("meta"):
                self._check_shapes(self._built())
        except UserError:
            raise
        except (ValueError, TypeError, KeyError, OSError, RecursionError) as error:
            raise UserError(f"{key}: {source} cannot be used: {error}") from None

    def _check_config(self):
        for name, most in SIZES.items():
            value = self._config.get(name)
            if type(value) is not int or not 1 <= value <= most:
                raise UserError(f"{self.path / CONFIG}: '{name}' is {value!r}, which is no size of a Whisper")
        for name, value in EXPECTED.items():
            if self._config.get(name, value) != value:
                raise UserError(f"{self.path / CONFIG}: '{name}' is {self._config[name]!r}, and no Whisper's {value!r}")

    def _units(self, told):
        """By what the generation's configuration says, and where it says nothing, the model's."""
        told = self._config | told
        size, several = self._config["vocab_size"], told.get("is_multilingual")
        tokenizer = read_tokenizer(self.path)
        plain = WhisperUnits(tokenizer, size)
        several = "<|en|>" in plain.pieces if several is None else several
        lists = [told.get(name) or [] for name in ("suppress_tokens", "begin_suppress_tokens")]
        labels = [[plain.label(int(token)) for token in tokens if 0 <= token < size] for tokens in lists]
        return WhisperUnits(tokenizer, size, *labels, bool(several))

    def _parts(self, alignment):
        c = self._config
        sizes = {
            side: {"d_model": c["d_model"]}
            | {
                ours: c[f"{side}_{theirs}"]
                for ours, theirs in (("n_heads", "attention_heads"), ("n_layers", "layers"), ("d_ffn", "ffn_dim"))
            }
            for side in ("encoder", "decoder")
        }
        decoder = {"mixer": "plain", "tied": True, "positions": c["max_target_positions"]}
        heads = [[int(layer), int(head)] for layer, head in alignment or []]
        if bad := [
            h for h in heads if not (0 <= h[0] < c["decoder_layers"] and 0 <= h[1] < c["decoder_attention_heads"])
        ]:
            raise ValueError(f"alignment_heads has {bad[0]}, which is no head of the decoder")
        return {
            "features": {"n_mels": c["num_mel_bins"], "most_seconds": round(c["max_source_positions"] * FRAME, 3)},
            "frontend": {"input_size": c["num_mel_bins"], "d_model": c["d_model"]},
            "encoder": sizes["encoder"],
            "attention_decoder": sizes["decoder"] | decoder | {"alignment": heads or None},
        }

    def _built(self):
        """The model, whatever its weights."""
        parts = self.parts
        acoustic = SpectralModel(
            WhisperFeatures(**parts["features"]),
            ConvStem(**parts["frontend"]),
            SinusoidalEncoder(**parts["encoder"], dropout=0.0),
        )
        attention = AttentionDecoder(n_units=self.units.size, dropout=0.0, **parts["attention_decoder"])
        return HybridModel(acoustic=acoustic, n_units=None, attention=attention)

    def _check_shapes(self, model):
        end = self.units.end
        theirs = our_names({name: torch.empty(shape) for name, shape in self._shapes().items()}, end)
        for name, tensor in model.state_dict().items():
            found = theirs.get(name)
            if found is None or found.shape != tensor.shape:
                has = "is missing" if found is None else f"has the shape {tuple(found.shape)}"
                raise ValueError(f"{name} {has}, but by its configuration it is {tuple(tensor.shape)}")

    def weights(self):
        """Tensors by our names."""
        return our_names(self.tensors(), self.units.end)

    def model(self):
        """The `HybridModel` with its weights, without a CTC head."""
        model = self._built()
        model.load_state_dict({name: tensor.float() for name, tensor in self.weights().items()})
        return model
