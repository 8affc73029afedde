"""A public encoder's folder."""

from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained import PublicEncoder
from serenanet_modules.lobes.pretrained.families import NORMALISES, known
from serenanet_modules.runs.public_folder import CONFIG, PublicFolder

PART, CLASS = "encoder", "serenanet_modules.lobes.pretrained.PublicEncoder"  # of hyper-parameters
PREPROCESSOR, ADAPTER = "preprocessor_config.json", "adapter.{}.safetensors"


class EncoderFolder(PublicFolder):
    """As `PublicFolder`; ``language`` is of MMS: whose adapter is wanted too."""

    KEY, BESIDE = f"{PART}.source", (PREPROCESSOR,)

    def __init__(self, source, revision=None, language=None):
        more = () if language is None else (ADAPTER.format(language),)
        super().__init__(source, revision, more)
        if language is not None and not self.files[-1].is_file():
            raise UserError(f"encoder.language: {source} has no {self.files[-1].name}")

    def _known(self):
        config, told = self.json(CONFIG), self.json(PREPROCESSOR)
        _, values = known({**config, "do_normalize": told.get("do_normalize", NORMALISES)})
        if told.get("sampling_rate", 16000) != 16000:
            raise ValueError(f"the preprocessor wants {told['sampling_rate']!r} Hz, not 16000")
        return values

    def _part(self, values):
        return PublicEncoder(self.source, values)

    def told(self):
        """Arguments of the part that follow from the folder, by name."""
        names = {"source": self.source, "config": self.arguments(), "revision": self.revision}
        return {**names, "sha256": self.sha256}
