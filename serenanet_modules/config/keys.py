"""The table of hyper-parameters: what each key may be, what it means, and what a change of it changes.

Errors about values, what may change when a run goes on in its folder, what ablations train once, ``--help`` and
docs/hparams.md are made from it. A key that is not here, such as a recipe's option or one of a task of your own, is
compared when a run goes on, and its task checks its value.
"""

import math
from dataclasses import dataclass, replace

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.precision import KINDS

WHOLE, NUMBER, TEXT, SWITCH, MAPPING, PART = (
    *("a whole number", "a number", "a text", "true or false", "a mapping of keys to values", "a part"),
)
TYPES = {WHOLE: int, NUMBER: (int, float), TEXT: (str, int, float), SWITCH: bool, MAPPING: dict}
MOST_BEAM = 1000  # hypotheses: more take memory and time, and change no text
MOST_SIZE = 2**20  # of a part of a network
LARGEST = 10**12  # of a number that says no other bound: more is a slip, and what reads it overflows
TRUTHS = {  # of a command line, as YAML 1.1 and 1.2 spell them, in lower case
    **dict.fromkeys(("true", "yes", "on", "y"), True),
    **dict.fromkeys(("false", "no", "off", "n"), False),
}
TUNED = "auto"  # in place of a number: what is best on dev
KINDS_OF_UNITS = ("char", "bpe", "unigram", "phoneme", "whisper")
DATA, WEIGHTS, DECODING, RUN = "data", "weights", "decoding", "run"  # what a key has an effect on


@dataclass(frozen=True)
class Key:
    """A hyper-parameter.

    Attributes
    ----------
    name : str
        With dots where it stands inside a mapping.
    kind : str
        What its value is.
    effect : str
        ``data``: what is read; ``weights``: what is learned; ``decoding``: the texts of what is learned; ``run``:
        where, when and by what it is computed.
    meaning : str
        One line.
    least, most : float, optional
        Bounds, included.
    above : float, optional
        A bound that is not included.
    choices : tuple of str
        All values, where they are few.
    null : bool
        Whether it may have no value.
    several : bool
        Whether a list of such values does too: ``--data_folder A B``.
    also : tuple of str
        Words that a switch or a number may be besides.
    free : bool, optional
        Whether it may change when a run goes on in its folder; by default where it has no effect on data or weights.
    part : str, optional
        The part, a top-level key, without which it has no effect.
    """

    name: str
    kind: str
    effect: str
    meaning: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    null: bool = False
    several: bool = False
    also: tuple[str, ...] = ()
    free: bool | None = None
    part: str | None = None

    @property
    def values(self):
        """What it may be, in words: ``a number from 0 to 1, or null``."""
        words = f"one of {', '.join(self.choices)}" if self.choices else self.kind
        words += "" if self.least is None else f" from {self.least}"
        words += "" if self.above is None else f" above {self.above}"
        words += "" if self.most is None else f" to {self.most}"
        words += "".join(f", or {word}" for word in self.also)
        words += ", or a list of them" if self.several else ""
        return words + (", or null" if self.null else "")

    def check(self, value, where):
        """Refuse a value that cannot be.

        Raises
        ------
        UserError
        """
        if wrong := self._wrong(value):
            raise UserError(f"{where}: '{self.name}' must be {wrong}, not {value!r} ({self.meaning})")

    def _wrong(self, value):
        """What the value should be in the place of what it is, or None."""
        if (value is None and self.null) or self.kind == PART or (isinstance(value, str) and value in self.also):
            return None
        if self.several and isinstance(value, list):
            single = replace(self, several=False)
            return next(filter(None, map(single._wrong, value)), None) if value else "a list that is not empty"
        if not isinstance(value, TYPES[self.kind]) or (isinstance(value, bool) and self.kind != SWITCH):
            return self._kind
        if self.choices:
            return None if value in self.choices else self.values
        if self.kind not in (WHOLE, NUMBER):
            return None
        if isinstance(value, float) and not math.isfinite(value):  # whole numbers may be too large for a float
            return "a finite number"
        least, most = -LARGEST if self.least is None else self.least, LARGEST if self.most is None else self.most
        if self.above is not None and not value > self.above:
            return f"more than {self.above}"
        if least <= value <= most:
            return None
        if self.least is not None and self.most is not None:
            return f"between {least} and {most}"
        if self.null:
            return self._kind
        return f"at least {least}" if value < least else f"at most {most}"

    def check_argument(self, value, name, where):
        """As `check`, of a part's argument, by its whole name; null is the part's affair."""
        if value is not None:
            replace(self, name=name).check(value, where)

    @property
    def _kind(self):
        others = [*self.also, *["null"] * self.null]
        bound = f" from {self.least}" if others and self.least is not None else ""
        return self.kind + bound + "".join(f" or {word}" for word in others)


def truth(word):
    """True or False for a word that means it on a command line, in any case; None for any other."""
    return TRUTHS.get(word.lower())


SECTIONS = {
    "Run": (
        Key("experiment", TEXT, RUN, "name of the result folder, and of rows in reports", free=False),
        Key("seed", WHOLE, WEIGHTS, "seed of all random numbers", least=0, most=2**32 - 1),
        Key(
            *("reproducible", SWITCH, WEIGHTS, "the same weights, bit by bit, each time on a machine; by one thread"),
            also=("repdl",),
        ),
        Key("brain", PART, WEIGHTS, "the task: a class of serenanet_modules.training.brains"),
    ),
    "Folders": (
        Key("dataset", TEXT, DATA, "name of the corpus, from the recipe's dataset.yaml"),
        Key("locale", TEXT, DATA, "language whose text rules are used, from the recipe's dataset.yaml"),
        Key("data_folder", TEXT, DATA, "the corpus: a folder or a manifest file", null=True, several=True, free=True),
        Key("output_folder", TEXT, RUN, "the result folder"),
        Key("prepared_folder", TEXT, RUN, "decoded audio and manifests, shared by experiments"),
        Key("acoustic", TEXT, DATA, "result folder of the recogniser whose units the language model uses"),
        Key("text", TEXT, DATA, "text of a language model, one sentence a line", null=True, several=True),
        Key("held_out", TEXT, DATA, "text for validation and evaluation", null=True),
    ),
    "Data": (
        Key("preparation", MAPPING, DATA, "rules of the preparation", free=True),
        Key("preparation.min_duration", NUMBER, DATA, "shortest training utterance, in seconds", least=0),
        Key("preparation.max_duration", NUMBER, DATA, "longest training utterance, in seconds", above=0),
        Key("preparation.frame_rate", NUMBER, DATA, "frame rate of the encoder's output, in Hz", above=0),
        Key("preparation.frames_per_character", NUMBER, DATA, "least encoder frames for each character", least=0),
        Key("preparation.jobs", WHOLE, RUN, "threads; null is one per core", least=1, null=True),
        Key("text_case", TEXT, DATA, "capitals in the transcripts: made lower, or kept", choices=("lower", "keep")),
        Key(
            "marks",
            TEXT,
            DATA,
            "transcribers' marks, [kelele]; skip leaves the utterance out",
            choices=("drop", "keep", "skip"),
        ),
        Key("punctuation", TEXT, DATA, "punctuation in the transcripts: . , ? ! : ;", choices=("drop", "keep")),
        Key(
            "pack", SWITCH, RUN, "prepared audio lies in a few tar archives, in the place of a file a clip", free=False
        ),
        Key("pseudo_weight", NUMBER, DATA, "loss weight of pseudo-labelled utterances; others have 1", least=0),
        Key("held_out_share", NUMBER, DATA, "share of the sentences held out, if held_out is null", above=0, most=1),
        Key("max_sentences", WHOLE, DATA, "training sentences of a language model; null: all", least=1, null=True),
        Key("max_labels", WHOLE, DATA, "longest sentence, in labels; longer ones are left out", least=1),
    ),
    "Units": (
        Key("units", TEXT, WEIGHTS, "output units", choices=KINDS_OF_UNITS),
        Key("spoken_language", TEXT, WEIGHTS, "Whisper's code of the language; null: that of the locale", null=True),
        Key(
            *(
                "language_units",
                TEXT,
                WEIGHTS,
                "units of several languages; token: shared, with a language token first",
            ),
            choices=("shared", "token", "own"),
        ),
        Key(
            *("vocab_size", WHOLE, WEIGHTS, "number of bpe or unigram units (language_units own: of each language)"),
            least=2,
            most=MOST_SIZE,
        ),
        Key(
            "n_units", WHOLE, WEIGHTS, "output classes with blank; null: as many as there are units", least=1, null=True
        ),
    ),
    "Pre-training": (
        Key("pretrained", TEXT, WEIGHTS, "result folder, or a name on the hub, to start from", null=True),
        Key("n_clusters", WHOLE, WEIGHTS, "number of clusters to predict", least=2, most=MOST_SIZE, part="pessl"),
        Key("cluster_frames", WHOLE, WEIGHTS, "10 ms frames that the clusters are fitted on", least=1),
        Key("targets", TEXT, WEIGHTS, "how clusters are initialised", choices=("acoustic", "phoneme_seeded")),
        Key("iteration", WHOLE, WEIGHTS, "iteration of the pre-training: that of `pretrained` plus 1", least=1),
        Key(
            "cluster_layer",
            WHOLE,
            WEIGHTS,
            "encoder layer whose output is clustered; null: the middle",
            least=1,
            null=True,
        ),
    ),
    "Training": (
        Key("number_of_epochs", WHOLE, WEIGHTS, "most epochs", least=1, free=True),
        Key("max_batch_seconds", NUMBER, WEIGHTS, "seconds of audio in a micro-batch, with padding", least=1),
        Key(
            "max_batch_utterances",
            WHOLE,
            WEIGHTS,
            "most utterances in a micro-batch; null: as many as fit",
            least=1,
            null=True,
        ),
        Key("max_batch_labels", WHOLE, WEIGHTS, "labels in a micro-batch, with padding", least=1),
        Key("num_workers", WHOLE, RUN, "processes that read audio; with 0 a thread reads ahead", least=0, most=1024),
        Key("precision", TEXT, WEIGHTS, "precision of the training", choices=tuple(KINDS)),
        Key("eval_precision", TEXT, DECODING, "precision of validation and evaluation", choices=tuple(KINDS)),
        Key("emulate_precision", SWITCH, WEIGHTS, "round as a GPU with tf32, fp8 or mx would, on any machine"),
        Key("compile", SWITCH, RUN, "compile blocks of layers by torch.compile"),
        Key("fsdp", SWITCH, RUN, "shard weights, gradients and optimizer over all processes"),
        Key(
            "grad_accumulation_factor",
            WHOLE,
            WEIGHTS,
            "micro-batches of each process in an optimizer step",
            least=1,
            free=True,
        ),
        Key("max_grad_norm", NUMBER, WEIGHTS, "norm to clip gradients to; a large number: no clipping", above=0),
        Key("nonfinite_patience", WHOLE, RUN, "skipped optimizer steps before giving up", least=0),
        Key(
            *("loggers", TEXT, RUN, "services that get the curves, beside TensorBoard"),
            choices=("wandb", "mlflow"),
            null=True,
            several=True,
        ),
        Key("ckpt_interval_minutes", NUMBER, RUN, "minutes between checkpoints inside an epoch", least=0),
        Key(
            "max_hours",
            NUMBER,
            RUN,
            "hours after which training ends and is evaluated; null: never",
            above=0,
            null=True,
        ),
        Key(
            "early_stopping_patience",
            WHOLE,
            WEIGHTS,
            "validations without improvement before training ends",
            least=0,
            free=True,
        ),
        Key(
            "validate_every",
            WHOLE,
            WEIGHTS,
            "optimizer steps between validations within an epoch; null: only at its end",
            least=1,
            null=True,
            free=True,
        ),
        Key(
            "checkpoints_to_average",
            WHOLE,
            WEIGHTS,
            "how many of the checkpoints best on dev to average; the best one alone where dev finds their mean worse",
            least=1,
            free=True,
        ),
        Key("lr", NUMBER, WEIGHTS, "learning rate at its peak", least=0),
        Key("warmup_steps", WHOLE, WEIGHTS, "optimizer steps until the learning rate's peak", least=0),
        Key("final_lr_share", NUMBER, WEIGHTS, "learning rate at the end, as a share of lr (cosine)", least=0, most=1),
        Key("weight_decay", NUMBER, WEIGHTS, "weight decay of matrices and filters", least=0),
        Key(
            *(
                "freeze",
                TEXT,
                WEIGHTS,
                "what to freeze: front_end, encoder, N layers (-N: all but N), or parts by name",
            ),
            null=True,
            several=True,
        ),
        Key(
            "unfreeze_after",
            WHOLE,
            WEIGHTS,
            "optimizer steps after which frozen parts learn; 0 or null: never",
            least=0,
            null=True,
        ),
        Key("pretrained_share", NUMBER, WEIGHTS, "share of the loaded weights in the final ones", least=0, most=1),
        Key("loaded_rate_factor", NUMBER, WEIGHTS, "factor of lr for weights that were loaded", above=0),
        Key("layer_decay", NUMBER, WEIGHTS, "factor of lr from each layer to the one below", above=0, most=1),
        Key(
            *("encoder_cache", TEXT, WEIGHTS, "cache of a frozen public encoder's frames on disk; null: none"),
            choices=("float16", "float32"),
            null=True,
        ),
        Key("lora", MAPPING, WEIGHTS, "low-rank adapters on the encoder, which is frozen"),
        Key("lora.r", WHOLE, WEIGHTS, "rank; 0 for none", least=0, most=MOST_SIZE),
        Key("lora.alpha", NUMBER, WEIGHTS, "scale of the adapters: alpha / r", above=0),
        Key("lora.dropout", NUMBER, WEIGHTS, "dropout of the adapters' input", least=0, most=1),
        Key("lora.targets", TEXT, WEIGHTS, "linear layers with adapters: ends of their names", several=True),
        Key("rate_factors", MAPPING, WEIGHTS, "factors of lr by part of the model; the innermost part counts"),
        Key(
            "ctc_weight",
            NUMBER,
            WEIGHTS,
            "weight of the CTC loss; the decoder's loss has 1 - ctc_weight",
            least=0,
            most=1,
        ),
        Key("label_smoothing", NUMBER, WEIGHTS, "label smoothing of the attention decoder", least=0, most=1),
        Key("draft", SWITCH, WEIGHTS, "whether a speech LLM's prompt holds its CTC head's hypothesis"),
        Key("context_words", WHOLE, WEIGHTS, "most context words in half of a speech LLM's training prompts", least=0),
        Key("pessl_weight", NUMBER, WEIGHTS, "loss weight of masked prediction (PESSL)", least=0, part="pessl"),
        Key("car_weight", NUMBER, WEIGHTS, "loss weight of KL(decoder || CAR)", least=0, part="car"),
        Key("consistency_weight", NUMBER, WEIGHTS, "loss weight of KL between two views of each utterance", least=0),
        Key("car_ctc_weight", NUMBER, WEIGHTS, "loss weight of CAR's own CTC loss", least=0, part="car"),
        Key("gate_l2", NUMBER, WEIGHTS, "loss weight of the mean square of ATHM's gates", least=0),
        Key("car_l2", NUMBER, WEIGHTS, "loss weight of CAR's regulariser", least=0, part="car"),
        Key("ratio_loss", NUMBER, WEIGHTS, "loss weight that keeps the mean chunk at its target (H-Mamba)", least=0),
    ),
    "Decoding": (
        Key(
            *("scoring", TEXT, DECODING, "output that selects checkpoints and is decoded"),
            choices=("decoder", "car", "average"),
            free=False,  # it has chosen the checkpoints
            part="car",
        ),
        Key(
            *("attention_beam_size", WHOLE, DECODING, "beam of the joint search, or of a speech LLM; 0: no search"),
            least=0,
            most=MOST_BEAM,
        ),
        Key(
            "decoding_ctc_weight",
            NUMBER,
            DECODING,
            "weight of CTC in the joint search; auto: tuned on dev",
            least=0,
            most=1,
            also=(TUNED,),
        ),
        Key("length_normalisation", SWITCH, DECODING, "compare finished hypotheses by their score per label"),
        Key("context", TEXT, WEIGHTS, "words for every prompt of a speech LLM", null=True),
        Key("neural_lm", TEXT, DECODING, "result folder of a language model of the same units", null=True),
        Key("beam_size", WHOLE, DECODING, "beam of the CTC prefix search; 0: no search", least=0, most=MOST_BEAM),
        Key("lm", TEXT, DECODING, "n-gram model: an ARPA file, or auto: from the training transcripts", null=True),
        Key("lm_order", WHOLE, DECODING, "order of the n-gram model that auto makes", least=2, most=6),
        Key("lm_weight", NUMBER, DECODING, "weight of the language model; auto: tuned on dev", also=(TUNED,)),
        Key("word_score", NUMBER, DECODING, "bonus for each word; auto: tuned on dev", also=(TUNED,)),
    ),
    "Model": (
        Key("n_mels", WHOLE, WEIGHTS, "mel filters", least=1, most=MOST_SIZE),
        Key("features", PART, WEIGHTS, "from waveforms to what the front end reads", null=True),
        Key("d_model", WHOLE, WEIGHTS, "width of the encoder", least=1, most=MOST_SIZE),
        Key("dropout", NUMBER, WEIGHTS, "dropout probability of all parts", least=0, most=1),
        Key("output_stride", WHOLE, WEIGHTS, "10 ms frames per encoder frame", least=1, most=MOST_SIZE),
        Key("labels_per_frame", WHOLE, WEIGHTS, "labels that an encoder frame can emit", least=1, most=8),
        Key("frontend", PART, WEIGHTS, "front end: a file of frontends/", null=True),
        Key("encoder", PART, WEIGHTS, "a file of encoders/, or of public/", null=True),
        Key("head", PART, WEIGHTS, "layers over a public encoder: a file of encoders/", null=True),
        Key(
            *("keep_encoder", TEXT, RUN, "copy the public encoder's weights into the result folder, or refer to it"),
            choices=("copy", "reference"),
            free=False,
        ),
        Key("llm", PART, WEIGHTS, "llm/public.yaml, of a speech LLM"),
        Key(
            *("keep_llm", TEXT, RUN, "the same for a frozen language model"),
            choices=("copy", "reference"),
            free=False,
        ),
        Key("adapter", PART, WEIGHTS, "a file of adapters/, between the acoustic model and a language model"),
        Key(
            *("compress", TEXT, WEIGHTS, "what an adapter reads: all frames, or those merged by CTC's labels"),
            choices=("stack", "ctc"),
        ),
        Key("ctc_head", SWITCH, WEIGHTS, "whether a speech LLM has a CTC head"),
        Key("pessl", PART, WEIGHTS, "masked prediction: pretraining/pessl.yaml", null=True),
        Key("car", PART, WEIGHTS, "CTC alignment refinement: refinement/car.yaml", null=True),
        Key("attention_decoder", PART, WEIGHTS, "attention decoder: a file of decoders/", null=True),
        Key("acoustic_model", PART, WEIGHTS, "from waveforms to the frames that heads read"),
        Key("model", PART, WEIGHTS, "the whole model, made of the parts"),
        Key("modules", PART, RUN, "names of what is trained and saved"),
    ),
    "Optimizer and augmentation": (
        Key("opt_class", PART, WEIGHTS, "the optimizer"),
        Key("lr_schedule", PART, WEIGHTS, "learning rate as a function of the step"),
        Key("speed_perturb", PART, WEIGHTS, "speed perturbation of training audio", null=True),
        Key("spec_augment", PART, WEIGHTS, "SpecAugment of training features", null=True),
    ),
}
KEYS = {key.name: key for section in SECTIONS.values() for key in section}


def _sizes(**meanings):
    return (Key(name, WHOLE, WEIGHTS, meaning, least=1, most=MOST_SIZE) for name, meaning in meanings.items())


def _counts(**meanings):
    return (Key(name, WHOLE, WEIGHTS, meaning, least=0, most=MOST_SIZE) for name, meaning in meanings.items())


ARGUMENTS = {  # of parts, whichever part has one of this name; null, which some take, is the part's affair
    key.name: key
    for key in (
        *_sizes(
            n_layers="layers",
            d_model="width",
            d_ffn="width of the feed-forward layers",
            n_heads="attention heads",
            d_state="state size of a Mamba layer",
            d_conv="kernel size of Mamba's convolution",
            headdim="channels of a Mamba-2 head",
            filters="filters of a convolution",
            gate_size="width of ATHM's gate",
            stride="frames of which one is kept",
            n_mels="mel filters",
            n_fft="samples of a frame's spectrum",
            orig_freq="sampling rate in Hz",
            frames_per_mask="frames of audio for each time mask",
            input_size="width of the input",
            d_input="width of the input",
            d_hidden="width of the hidden layer",
            stack="frames that become one",
            n_queries="queries of each window",
            attention_every="every such layer has attention",
            mask_length="frames of a span of masked prediction",
            positions="most labels of an utterance",
        ),
        *_counts(
            r="rank of an adapter; 0 for none",
            freq_masks="bands that SpecAugment hides",
            freq_width="mel bins of the widest",
            time_masks="spans that SpecAugment hides, at least; more where an utterance is long",
            time_width="frames of the widest",
            global_tokens="first frames that all see",
            left_context="frames before a chunk",
            right_context="later frames that are seen",
        ),
        Key(
            *("kernel_size", WHOLE, WEIGHTS, "frames of a convolution; null, in encoders that can: none"),
            least=1,
            most=MOST_SIZE,
            null=True,
        ),
        KEYS["labels_per_frame"],
        Key(
            *("look_aheads", WHOLE, WEIGHTS, "look-ahead in frames; all: to the end"),
            least=0,
            most=MOST_SIZE,
            several=True,
            also=("all",),
        ),
        Key(
            *("window", WHOLE, WEIGHTS, "attention window in frames; of Whisper's encoder cut or padded"),
            least=1,
            most=MOST_SIZE,
            also=("padded", "cut"),
        ),
        Key("expand", NUMBER, WEIGHTS, "inner width of Mamba, times d_model", above=0, most=1024),
        Key("dropout", NUMBER, WEIGHTS, "dropout probability", least=0, most=1),
        Key("nonlinear", SWITCH, WEIGHTS, "a norm and GELU in each of ATHM's branches"),
        Key("target", NUMBER, WEIGHTS, "mean frames per chunk", least=1, most=MOST_SIZE),
        Key("betas", NUMBER, WEIGHTS, "betas of the optimizer", least=0, most=1, several=True),
        Key("speeds", WHOLE, WEIGHTS, "speeds in percent", least=10, most=1000, several=True),
        Key("channels", WHOLE, WEIGHTS, "channels of the convolutions", least=1, most=MOST_SIZE, several=True),
        Key("alpha", NUMBER, WEIGHTS, "LoRA scale: alpha / r", above=0),
        Key(
            "resolutions",
            WHOLE,
            WEIGHTS,
            "strides of the branches, in 10 ms frames",
            least=1,
            most=MOST_SIZE,
            several=True,
        ),
    )
}


def check_arguments(arguments, where):
    """Refuse arguments of parts that cannot be: those of `ARGUMENTS`, and other numbers.

    Parameters
    ----------
    arguments : iterable of (str, value)
        By their names, with dots or without.
    where : str or Path
        What errors name.

    Raises
    ------
    UserError
    """
    for name, value in arguments:
        key = ARGUMENTS.get(name.rpartition(".")[2])
        if key is None and type(value) in (int, float):
            key = Key(name, NUMBER, WEIGHTS, "an argument of a part")
        if key is not None:
            key.check_argument(value, name, where)


def free_to_change(effect=None):
    """Names of keys that may change when a run goes on in its folder, all or those with one effect."""
    return tuple(
        name
        for name, key in KEYS.items()
        if (key.effect in (DECODING, RUN) if key.free is None else key.free) and effect in (None, key.effect)
    )


HEADING = """\
# Hyper-parameters

Written by `serenanet config --table`; how files and layers stack: [training](training.md#hyper-parameters). *Effect*:
on the data that are read, the weights that are learned, the decoding of what is learned, or the run (where, when and
by what it is computed). *Goes on*: may change when a run goes on in its result folder.
"""


def page():
    """docs/hparams.md: the table as Markdown."""
    lines = [HEADING]
    free = free_to_change()
    for section, keys in SECTIONS.items():
        lines += [f"## {section}", "", "| key | value | meaning | effect | goes on |", "|---|---|---|---|---|"]
        for key in keys:
            goes_on, meaning = "yes" if key.name in free else "", key.meaning.replace("|", "\\|")
            lines.append(f"| `{key.name}` | {key.values} | {meaning} | {key.effect} | {goes_on} |")
        lines.append("")
    lines += ["## Arguments of parts", "", "Of any part that has one of this name: `--encoder.n_layers 4`.", ""]
    lines += ["| argument | value | meaning |", "|---|---|---|"]
    lines += [f"| `{key.name}` | {key.values} | {key.meaning} |" for key in ARGUMENTS.values()]
    return "\n".join([*lines, ""])
