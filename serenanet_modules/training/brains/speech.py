"""What tasks that hear speech share: statistics of the sound, a pre-training to start from, masked prediction."""

import contextlib
import hashlib

import torch

from serenanet_modules.data.batching import loader_of
from serenanet_modules.decoding.network import exact_parts
from serenanet_modules.errors import UserError
from serenanet_modules.runs.origin import open_origin
from serenanet_modules.runs.public_parts import referenced, sources
from serenanet_modules.runs.start import Start
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.files import read_json, replacing, write_json
from serenanet_modules.training.low_rank import wanted
from serenanet_modules.training.masking import Masker, check_masks
from serenanet_modules.training.public_source import begin_from_source, settled, take_referenced
from serenanet_modules.training.recall import remember
from serenanet_modules.training.targets import Targets

STATISTICS_UTTERANCES = 2000  # of train, for what an acoustic model fits to them
PRETRAINED = "pretrained.json"


class HearsSpeech:
    """For a `RecipeBrain` whose model has an acoustic model, with a `PESSL` part where masked prediction is wanted.

    Attributes
    ----------
    masker : Masker or None
        Makes the masked prediction of models that have one.
    seconds : dict
        What was done before the training, in seconds by name.
    """

    masker = None
    seconds = {}

    @classmethod
    def check(cls, plain, where):
        """Refuse a later iteration of masked prediction without the one before, and adapters on what is to learn."""
        super().check(plain, where)
        if wanted(plain.get("lora")) and plain["unfreeze_after"]:
            raise UserError(
                f"{where}: 'unfreeze_after' is {plain['unfreeze_after']}, but 'lora' freezes the encoder's own weights "
                "for good; set unfreeze_after to null, or lora.r to 0"
            )
        if plain["iteration"] > 1 and ("pessl" in plain or plain["pretrained"] is None):
            raise UserError(
                f"{where}: 'iteration' {plain['iteration']} needs 'pessl', and --pretrained RESULT_DIR of "
                f"iteration {plain['iteration'] - 1}"
            )

    @classmethod
    def settle(cls, hparams, save):
        """What the sources of public parts say of them."""
        return settled(hparams, save.parent)

    @classmethod
    def start(cls, plain, hparams, built, outputs, resumes):
        """The `Start` from what ``pretrained`` names; public parts take their weights."""
        check_masks(built)
        model = built["model"]
        if resumes():
            take_referenced(model, plain["output_folder"])
            return None
        origin = None if plain["pretrained"] is None else open_origin(plain["pretrained"])
        units = outputs.arguments.get("units")
        start = origin and Start(origin, hparams, model, plain["iteration"], units, cls.unit_parts(model))
        begin_from_source(model, plain, hparams.source, start and start.given())
        return start

    @classmethod
    def unit_parts(cls, model):
        """Modules of the model whose tensors have a row for each unit."""
        return ()

    @classmethod
    def begin(cls, built, source, start, plain, save):
        """Fit the acoustic model's statistics, and take what the run starts from, unless that only teaches."""
        _fit_statistics(built["model"].acoustic, source, start, plain, save / "statistics.pt")
        if start is not None:
            _take_weights(built["model"], start, save / PRETRAINED)

    @classmethod
    def levels(cls, model):
        """Those of the acoustic model."""
        return model.acoustic.levels()

    @classmethod
    def loaded(cls, model, save):
        """Those that were taken whole from what the run started from, and those of ``taken_over`` parts."""
        names = set(_kept(save).get("tensors", ()))
        taken = [p for name, p in model.named_parameters() if name in names]
        return [*taken, *(p for part in model.acoustic.taken_over for p in part.parameters())]

    @classmethod
    def loaded_tensors(cls, plain, save):
        """Those of what ``pretrained`` names, which is read anew."""
        names = _kept(save).get("tensors", ())
        tensors = open_origin(plain["pretrained"]).tensors if names else {}
        return {name: tensors[name] for name in names}

    def exact(self, model):
        """The front end, and what writes and reads units."""
        return exact_parts(model)

    def ready(self, root, splits, start):
        """Recall a fixed encoder's frames; make the targets of masked prediction, or find the result folder's."""
        self.seconds = remember(self.modules.model.acoustic, self.hparams, root, splits)
        if self.hparams.pessl is None:
            return
        targets = self.targets(splits["train"], root)
        self.masker = Masker(targets.clusters(start), self.modules.model.acoustic, self.hparams.seed)

    def targets(self, train, root):
        """The `Targets` of this run."""
        save, features = f"{self.hparams.output_folder}/save", self.modules.model.acoustic.features
        return Targets(vars(self.hparams), train, root, save, features, self.device)

    @staticmethod
    def elsewhere(model):
        """Those of the public parts that the folder refers to."""
        return referenced(model)

    @classmethod
    def about(cls, plain, save):
        """What this run started from, None for one that did not; and where its public parts are from."""
        about = _kept(save)
        about.pop("tensors", None)
        return {"pretrained": about or None, "public": sources(save.parent)}


def _kept(save):
    """What `_take_weights` has written, {} where the run started from nothing."""
    path = save / PRETRAINED
    return read_json(path) if path.is_file() else {}


def _fit_statistics(acoustic, source, start, plain, file):
    """What the acoustic model fits to the sound of train, such as the features' mean; once per result folder.

    It is that of what the run starts from where there is one (see `Start`), else that of a seeded sample of train.
    """
    given = start and start.statistics(acoustic)

    def fit():
        if given is not None:
            acoustic.set_statistics(given)
        elif acoustic.has_features:
            told = f"{acoustic.features!r} {STATISTICS_UTTERANCES} {plain['seed']}"
            name = f"statistics-{hashlib.sha256(told.encode()).hexdigest()[:12]}.pt"
            _fit_once(acoustic, source, plain["seed"], source.root / name)
        else:
            _fit(acoustic, source, plain["seed"])
        with replacing(file) as path:
            torch.save(acoustic.statistics, path)

    if acoustic.statistics:
        distributed.main_first(lambda: None if file.is_file() else fit())
        acoustic.set_statistics(torch.load(file, weights_only=True))


def _fit_once(acoustic, source, seed, shared):
    """`_fit`, or what a run with the same features and data has left beside the data, where it could."""
    if shared.is_file():
        acoustic.set_statistics(torch.load(shared, weights_only=True))
        return
    _fit(acoustic, source, seed)
    with contextlib.suppress(OSError), replacing(shared) as path:
        torch.save(acoustic.statistics, path)


def _fit(acoustic, source, seed):
    train, generator = source.splits["train"], torch.Generator().manual_seed(seed)
    chosen = torch.randperm(len(train), generator=generator)[:STATISTICS_UTTERANCES]
    batches = loader_of([train[i] for i in chosen], source.root)
    acoustic.fit_statistics((batch.wavs, batch.wav_lengths) for batch in batches)


def _take_weights(model, start, file):
    """Take the weights of what the run starts from, unless they only teach; say what was taken."""
    if start.transfer is not None:
        start.transfer.load_into(model)

    def tell():
        taken = start.transfer and start.transfer.table()
        print(taken or f"targets from the encoder in {start.origin.name}; the weights start anew")
        about = {**start.about(), "tensors": [] if start.transfer is None else start.transfer.whole}
        write_json(file, about)

    distributed.main_first(tell)
