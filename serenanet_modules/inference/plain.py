"""A public wav2vec 2.0, HuBERT or WavLM with a CTC head as transformers run it, beside this project's models."""

from pathlib import Path

import torch

from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.errors import UserError
from serenanet_modules.runs import whisper
from serenanet_modules.runs.public_folder import CONFIG, PublicFolder
from serenanet_modules.runtime.backend import usable_device

KINDS = {"wav2vec2": "Wav2Vec2ForCTC", "hubert": "HubertForCTC", "wavlm": "WavLMForCTC"}  # and their classes
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
        For a folder of another kind.
    """

    most_seconds = 30.0  # read at once

    def __init__(self, folder, device):
        source = PlainFolder(str(folder))
        kind = source.json(CONFIG).get("model_type")
        if kind not in KINDS:
            known = ", ".join(["whisper", *KINDS])
            raise UserError(f"{folder}: model_type {kind!r} is none of {known}, and this no result folder")
        import transformers

        self.device = usable_device(device)
        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.processor = transformers.Wav2Vec2Processor.from_pretrained(source.path, **options)
            network = getattr(transformers, KINDS[kind])
            model = network.from_pretrained(source.path, use_safetensors=True, dtype=torch.float32, **options)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: cannot be opened ({str(error).strip().partition(chr(10))[0]})") from None
        self.model = model.to(self.device).eval()

    @property
    def parameters(self):
        """How many there are."""
        return sum(p.numel() for p in self.model.parameters())

    @torch.inference_mode()
    def hear(self, pieces):
        """`Hypothesis` of each `Piece`; its labels are the model's tokens."""
        samples = [piece.samples for piece in pieces]
        given = self.processor(samples, sampling_rate=RATE, return_tensors="pt", padding=True).to(self.device)
        tokens, blank = self.model(**given).logits.argmax(-1), self.processor.tokenizer.pad_token_id
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        labels = [[token for token in row if token != blank] for row in tokens.tolist()]
        return [Hypothesis(row, " ".join(text.split())) for row, text in zip(labels, texts, strict=True)]


def is_plain(folder):
    """Whether a folder is transformers', and none that opens as a recogniser of this project's."""
    folder = Path(folder)
    return (folder / CONFIG).is_file() and not (folder / "hyperparams.yaml").is_file() and not whisper.is_one(folder)
