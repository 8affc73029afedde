"""Public recognisers as transformers have them, beside this project's: Whisper, and wav2vec 2.0 with a CTC head."""

from pathlib import Path

import torch

from serenanet_modules.decoding.decoder import Hypothesis
from serenanet_modules.errors import UserError
from serenanet_modules.runs.public_folder import CONFIG, PublicFolder
from serenanet_modules.runtime.backend import usable_device

CLASSES = {  # model_type -> transformers' classes of processor and model
    "whisper": ("WhisperProcessor", "WhisperForConditionalGeneration"),
    "wav2vec2": ("Wav2Vec2Processor", "Wav2Vec2ForCTC"),
}
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
    locale : str
        Language of the speech, for models of several.

    Raises
    ------
    UserError
        For a folder of another kind.
    """

    most_seconds = 29.0  # that Whisper hears at once, about

    def __init__(self, folder, device, locale):
        source = PlainFolder(str(folder))
        kind = source.json(CONFIG).get("model_type")
        if kind not in CLASSES:
            raise UserError(
                f"{folder}: model_type {kind!r} is none of {', '.join(CLASSES)}, and no result folder either"
            )
        import transformers

        self.device, self.kind, self.locale = usable_device(device), kind, locale
        processor, model = (getattr(transformers, name) for name in CLASSES[kind])
        options = {"local_files_only": True, "trust_remote_code": False}
        try:
            self.processor = processor.from_pretrained(source.path, **options)
            self.model = model.from_pretrained(source.path, use_safetensors=True, dtype=torch.float32, **options)
        except (OSError, ValueError) as error:
            raise UserError(f"{folder}: cannot be opened ({str(error).strip().partition(chr(10))[0]})") from None
        self.model = self.model.to(self.device).eval()

    @property
    def parameters(self):
        """How many there are."""
        return sum(p.numel() for p in self.model.parameters())

    @torch.inference_mode()
    def hear(self, pieces):
        """`Hypothesis` of each `Piece`; its labels are the model's tokens."""
        samples = [piece.samples for piece in pieces]
        more = {} if self.kind == "whisper" else {"padding": True}  # Whisper reads 30 s always
        given = self.processor(samples, sampling_rate=RATE, return_tensors="pt", **more).to(self.device)
        if self.kind == "whisper":
            tokens = self.model.generate(given.input_features, **self._asked)
            special = set(self.processor.tokenizer.all_special_ids)
        else:
            tokens, special = self.model(**given).logits.argmax(-1), {self.processor.tokenizer.pad_token_id}
        texts = self.processor.batch_decode(tokens, skip_special_tokens=True)
        labels = [[t for t in row if t not in special] for row in tokens.tolist()]
        return [Hypothesis(row, " ".join(text.split())) for row, text in zip(labels, texts, strict=True)]

    @property
    def _asked(self):
        many = getattr(self.model.generation_config, "is_multilingual", False)
        return {"language": self.locale.partition("-")[0], "task": "transcribe"} if many else {}


def is_plain(folder):
    """Whether a folder is transformers' and no result folder."""
    return (Path(folder) / CONFIG).is_file() and not (Path(folder) / "hyperparams.yaml").is_file()
