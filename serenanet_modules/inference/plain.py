"""A public wav2vec 2.0, HuBERT or WavLM with a CTC head as transformers run it, beside this project's models."""

from pathlib import Path

import torch

from serenanet_modules.config.foreign import bounded
from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained.families import known
from serenanet_modules.runs import whisper
from serenanet_modules.runs.public_folder import CONFIG, PublicFolder
from serenanet_modules.runtime.backend import usable_device

KINDS = {"wav2vec2": "Wav2Vec2ForCTC", "hubert": "HubertForCTC", "wavlm": "WavLMForCTC"}  # and their classes
UNUSED = "masked_spec_embed"  # of masks, which trainings draw
RATE = 16000


class PlainFolder(PublicFolder):
    """As `PublicFolder`."""

    KEY = "MODEL"


class PlainModel:
    """A folder of transformers that recognises speech by itself; none of its code is run.

    Parameters
    ----------
    folder : str or Path
    device : str

    Raises
    ------
    UserError
        For a folder of another kind, one that asks for code of its own, and weights that are missing or of other sizes.
    """

    most_seconds = 30.0  # read at once

    def __init__(self, folder, device):
        source = PlainFolder(str(folder))
        config = source.json(CONFIG)
        if (kind := config.get("model_type")) not in KINDS:
            known_here = ", ".join(["whisper", *KINDS])
            raise UserError(f"{folder}: is no result folder, and model_type {kind!r} is not one of {known_here}")
        self.device = usable_device(device)
        try:
            known(config)
            self.processor, model = _opened(source, KINDS[kind])
        except Exception as error:  # of transformers' own checks, and of sizes that nothing can be made of
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"{folder}: cannot be opened ({reason})") from None
        self.model = model.to(self.device).eval()
        told = self.processor.feature_extractor
        self._leaks = config.get("feat_extract_norm", "group") == "group" or not told.return_attention_mask

    @property
    def parameters(self):
        """How many there are."""
        return sum(p.numel() for p in self.model.parameters())

    @torch.inference_mode()
    def hear(self, pieces):
        """`Hypothesis` of each `Piece`, read alone where padding is heard; its labels are the model's tokens."""
        rows = [[piece] for piece in pieces] if self._leaks else [pieces]
        return [hypothesis for row in rows for hypothesis in self._heard(row)]

    def _heard(self, pieces):
        samples = [piece.samples for piece in pieces]
        given = self.processor(samples, sampling_rate=RATE, return_tensors="pt", padding=True).to(self.device)
        tokens, blank = self.model(**given).logits.argmax(-1), self.processor.tokenizer.pad_token_id
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        labels = [[token for token in row if token != blank] for row in tokens.tolist()]
        return [Hypothesis(row, " ".join(text.split())) for row, text in zip(labels, texts, strict=True)]


def _opened(source, name):
    """Processor and model of a folder that has all of its weights, in the sizes that it says."""
    import transformers

    options = {"local_files_only": True, "trust_remote_code": False}
    network = getattr(transformers, name)
    with bounded(*source.files), torch.device("meta"):
        network(network.config_class.from_pretrained(source.path, **options))
    processor = transformers.Wav2Vec2Processor.from_pretrained(source.path, **options)
    options |= {"use_safetensors": True, "dtype": torch.float32, "output_loading_info": True}
    model, told = network.from_pretrained(source.path, **options)
    missing = sorted(name for name in told["missing_keys"] if not name.endswith(UNUSED))
    if missing:
        raise ValueError(f"its weights lack {missing[0]}")
    return processor, model


def is_plain(folder):
    """Whether a folder is transformers', and none that opens as a recogniser of this project's."""
    folder = Path(folder)
    return (folder / CONFIG).is_file() and not (folder / "hyperparams.yaml").is_file() and not whisper.is_one(folder)
