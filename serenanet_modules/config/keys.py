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
        Words that a switch may be besides.
    free : bool, optional
        Whether it may change when a run goes on in its folder; by default where it has no effect on data or weights.
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

    @property
    def values(self):
        """What it may be, in words: ``a number from 0 to 1, or null``."""
        words = f"one of {', '.join(self.choices)}" if self.choices else self.kind
        words += "" if self.least is None else f" from {self.least}"
        words += "" if self.most is None else f" to {self.most}"
        words += "" if self.above is None else f" above {self.above}"
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
        return self.kind + ("" if self.least is None else f" from {self.least}") * self.null + " or null" * self.null


def truth(word):
    """True or False for a word that means it on a command line, in any case; None for any other."""
    return TRUTHS.get(word.lower())


SECTIONS = {
    "Run": (
        Key("experiment", TEXT, RUN, "name of the result folder, and of rows in reports", free=False),
        Key("seed", WHOLE, WEIGHTS, "of all that is random", least=0, most=2**32 - 1),
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
        Key("acoustic", TEXT, DATA, "result folder of the recogniser whose units a language model has"),
        Key("text", TEXT, DATA, "text of a language model, one sentence a line", null=True, several=True),
        Key("held_out", TEXT, DATA, "text to select and measure by", null=True),
    ),
    "Data": (
        Key("preparation", MAPPING, DATA, "rules of the preparation", free=True),
        Key("preparation.min_duration", NUMBER, DATA, "seconds of a training utterance", least=0),
        Key("preparation.max_duration", NUMBER, DATA, "seconds of a training utterance", above=0),
        Key("preparation.frame_rate", NUMBER, DATA, "Hz of the encoder's output", above=0),
        Key("preparation.frames_per_character", NUMBER, DATA, "least of a training utterance", least=0),
        Key("preparation.jobs", WHOLE, RUN, "threads; null is one per core", least=1, null=True),
        Key("text_case", TEXT, DATA, "of the transcripts", choices=("lower", "keep")),
        Key("marks", TEXT, DATA, "of transcribers, as [kelele]; skip: no training", choices=("drop", "keep", "skip")),
        Key("punctuation", TEXT, DATA, "of the transcripts: . , ? ! : ; and the like", choices=("drop", "keep")),
        Key(
            "pack", SWITCH, RUN, "prepared audio lies in a few tar archives, in the place of a file a clip", free=False
        ),
        Key("pseudo_weight", NUMBER, DATA, "of utterances that a model has labelled, beside 1 of the others", least=0),
        Key("held_out_share", NUMBER, DATA, "of the sentences, where held_out is null", above=0, most=1),
        Key("max_sentences", WHOLE, DATA, "of a language model's training; null is all", least=1, null=True),
        Key("max_labels", WHOLE, DATA, "of a sentence; longer ones are left out", least=1),
    ),
    "Units": (
        Key("units", TEXT, WEIGHTS, "what the outputs stand for", choices=KINDS_OF_UNITS),
        Key("spoken_language", TEXT, WEIGHTS, "Whisper's code of what is said; null is the locale's", null=True),
        Key(
            *("language_units", TEXT, WEIGHTS, "of several languages; token: shared, after one that says the language"),
            choices=("shared", "token", "own"),
        ),
        Key(
            *("vocab_size", WHOLE, WEIGHTS, "number of bpe and unigram units; of own ones those of a language"),
            least=2,
            most=MOST_SIZE,
        ),
        Key("n_units", WHOLE, WEIGHTS, "classes, blank included; null takes what the units give", least=1, null=True),
    ),
    "Pre-training": (
        Key("pretrained", TEXT, WEIGHTS, "result folder, or a name on the hub, to start from", null=True),
        Key("n_clusters", WHOLE, WEIGHTS, "acoustic classes", least=2, most=MOST_SIZE),
        Key("cluster_frames", WHOLE, WEIGHTS, "10 ms frames that the clusters are fitted on", least=1),
        Key("targets", TEXT, WEIGHTS, "where clusters begin", choices=("acoustic", "phoneme_seeded")),
        Key("iteration", WHOLE, WEIGHTS, "one more than that of `pretrained`", least=1),
        Key(
            "cluster_layer",
            WHOLE,
            WEIGHTS,
            "encoder layer of the next ones; null: the middle",
            least=1,
            null=True,
        ),
    ),
    "Training": (
        Key("number_of_epochs", WHOLE, WEIGHTS, "at most", least=1, free=True),
        Key("max_batch_seconds", NUMBER, WEIGHTS, "of padded audio in a micro-batch", least=1),
        Key("max_batch_labels", WHOLE, WEIGHTS, "of padded sentences in a micro-batch", least=1),
        Key("num_workers", WHOLE, RUN, "processes that read audio", least=0, most=1024),
        Key("precision", TEXT, WEIGHTS, "of training; what the machine lacks is refused", choices=tuple(KINDS)),
        Key("eval_precision", TEXT, DECODING, "of validation and evaluation", choices=tuple(KINDS)),
        Key("emulate_precision", SWITCH, WEIGHTS, "round as a GPU with tf32, fp8 or mx would, on any machine"),
        Key("compile", SWITCH, RUN, "blocks of layers by torch.compile, which needs a C++ compiler"),
        Key("fsdp", SWITCH, RUN, "weights and what is known of them spread over all processes"),
        Key("grad_accumulation_factor", WHOLE, WEIGHTS, "micro-batches of a process in a step", least=1, free=True),
        Key("max_grad_norm", NUMBER, WEIGHTS, "gradients are clipped to; a large number switches it off", above=0),
        Key("nonfinite_patience", WHOLE, RUN, "skipped optimizer steps before giving up", least=0),
        Key(
            *("loggers", TEXT, RUN, "where the curves go beside TensorBoard"),
            choices=("wandb", "mlflow"),
            null=True,
            several=True,
        ),
        Key("ckpt_interval_minutes", NUMBER, RUN, "between checkpoints inside an epoch", least=0),
        Key(
            "max_hours", NUMBER, RUN, "of a command's training, preparation included; null: no end", above=0, null=True
        ),
        Key("early_stopping_patience", WHOLE, WEIGHTS, "epochs without a better dev measure", least=0, free=True),
        Key("checkpoints_to_average", WHOLE, WEIGHTS, "the best on dev", least=1, free=True),
        Key("lr", NUMBER, WEIGHTS, "peak of the learning rate", least=0),
        Key("warmup_steps", WHOLE, WEIGHTS, "optimizer steps to the peak", least=0),
        Key("final_lr_share", NUMBER, WEIGHTS, "of lr, reached on a cosine at the last epoch", least=0, most=1),
        Key("weight_decay", NUMBER, WEIGHTS, "of matrices and filters, not of norms, biases and embeddings", least=0),
        Key(
            *(
                "freeze",
                TEXT,
                WEIGHTS,
                "front_end, encoder, a number of layers (below 0: all but so many), or parts of the model",
            ),
            null=True,
            several=True,
        ),
        Key("unfreeze_after", WHOLE, WEIGHTS, "optimizer steps; 0 or null: never", least=0, null=True),
        Key("pretrained_share", NUMBER, WEIGHTS, "of weights that were loaded, in the finished ones", least=0, most=1),
        Key("loaded_rate_factor", NUMBER, WEIGHTS, "of lr, for weights that were loaded", above=0),
        Key("layer_decay", NUMBER, WEIGHTS, "of lr, from each layer to the one below", above=0, most=1),
        Key(
            *("encoder_cache", TEXT, WEIGHTS, "type of a frozen public encoder's frames on disk; null: none are kept"),
            choices=("float16", "float32"),
            null=True,
        ),
        Key("lora", MAPPING, WEIGHTS, "low-rank adapters on the encoder, whose own weights then stay"),
        Key("lora.r", WHOLE, WEIGHTS, "rank; 0 for none", least=0, most=MOST_SIZE),
        Key("lora.alpha", NUMBER, WEIGHTS, "over r the factor of what an adapter adds", above=0),
        Key("lora.dropout", NUMBER, WEIGHTS, "of what an adapter reads", least=0, most=1),
        Key("lora.targets", TEXT, WEIGHTS, "last parts of the names of the linear layers that get one", several=True),
        Key("rate_factors", MAPPING, WEIGHTS, "of lr, by part of the model; of nested parts the innermost counts"),
        Key(
            "ctc_weight",
            NUMBER,
            WEIGHTS,
            "an attention decoder's loss, or a language model's, has the rest of 1",
            least=0,
            most=1,
        ),
        Key("label_smoothing", NUMBER, WEIGHTS, "of the attention decoder's labels", least=0, most=1),
        Key("context_words", WHOLE, WEIGHTS, "in the prompts of a speech LLM's training, every other time", least=0),
        Key("pessl_weight", NUMBER, WEIGHTS, "of masked prediction beside CTC", least=0),
        Key("car_weight", NUMBER, WEIGHTS, "of KL(decoder || CAR)", least=0),
        Key("car_ctc_weight", NUMBER, WEIGHTS, "of a CTC loss of CAR's own", least=0),
        Key("gate_l2", NUMBER, WEIGHTS, "of the mean square of ATHM's gates", least=0),
        Key("car_l2", NUMBER, WEIGHTS, "of CAR's regulariser", least=0),
        Key("ratio_loss", NUMBER, WEIGHTS, "of an encoder with learned chunks", least=0),
    ),
    "Decoding": (
        Key(
            *("scoring", TEXT, DECODING, "output that selects checkpoints and is decoded"),
            choices=("decoder", "car", "average"),
            free=False,  # it has chosen the checkpoints
        ),
        Key(
            *("attention_beam_size", WHOLE, DECODING, "of the joint search, or of a speech LLM's; 0 for none"),
            least=0,
            most=MOST_BEAM,
        ),
        Key("decoding_ctc_weight", NUMBER, DECODING, "in the joint search; null tunes it", least=0, most=1, null=True),
        Key("length_normalisation", SWITCH, DECODING, "finished hypotheses compare by their score per label"),
        Key("context", TEXT, WEIGHTS, "names and words that may be said, in every prompt of a speech LLM", null=True),
        Key("neural_lm", TEXT, DECODING, "result folder of a language model of the same units", null=True),
        Key("beam_size", WHOLE, DECODING, "of the CTC prefix search; 0 for none", least=0, most=MOST_BEAM),
        Key("lm", TEXT, DECODING, "an ARPA file, or auto: estimated from the training transcripts", null=True),
        Key("lm_order", WHOLE, DECODING, "words of auto's n-grams", least=2, most=6),
        Key("lm_weight", NUMBER, DECODING, "null tunes it on dev", null=True),
        Key("word_score", NUMBER, DECODING, "a bonus for each word; null tunes it on dev", null=True),
    ),
    "Model": (
        Key("n_mels", WHOLE, WEIGHTS, "mel filters", least=1, most=MOST_SIZE),
        Key("features", PART, WEIGHTS, "from waveforms to what the front end reads", null=True),
        Key("d_model", WHOLE, WEIGHTS, "width of the encoder", least=1, most=MOST_SIZE),
        Key("dropout", NUMBER, WEIGHTS, "of all parts", least=0, most=1),
        Key("output_stride", WHOLE, WEIGHTS, "10 ms frames per encoder frame", least=1, most=MOST_SIZE),
        Key("frontend", PART, WEIGHTS, "a file of frontends/", null=True),
        Key("encoder", PART, WEIGHTS, "a file of encoders/, or of public/", null=True),
        Key("head", PART, WEIGHTS, "a file of encoders/, over a public encoder", null=True),
        Key(
            *("keep_encoder", TEXT, RUN, "what the result folder holds of a public encoder"),
            choices=("copy", "reference"),
            free=False,
        ),
        Key("llm", PART, WEIGHTS, "llm/public.yaml, of a speech LLM"),
        Key(
            *("keep_llm", TEXT, RUN, "what the result folder holds of a language model that keeps its weights"),
            choices=("copy", "reference"),
            free=False,
        ),
        Key("adapter", PART, WEIGHTS, "a file of adapters/, between the acoustic model and a language model"),
        Key(
            *("compress", TEXT, WEIGHTS, "what an adapter reads: all frames, or those merged by CTC's labels"),
            choices=("stack", "ctc"),
        ),
        Key("ctc_head", SWITCH, WEIGHTS, "whether a speech LLM has a CTC head"),
        Key("pessl", PART, WEIGHTS, "pretraining/pessl.yaml", null=True),
        Key("car", PART, WEIGHTS, "refinement/car.yaml", null=True),
        Key("attention_decoder", PART, WEIGHTS, "a file of decoders/", null=True),
        Key("acoustic_model", PART, WEIGHTS, "from waveforms to the frames that heads read"),
        Key("model", PART, WEIGHTS, "what the parts make"),
        Key("modules", PART, RUN, "names of what is trained and saved, which stands above"),
    ),
    "Optimizer and augmentation": (
        Key("opt_class", PART, WEIGHTS, "the optimizer"),
        Key("lr_schedule", PART, WEIGHTS, "the learning rate, a function of the step"),
        Key("speed_perturb", PART, WEIGHTS, "of training waveforms", null=True),
        Key("spec_augment", PART, WEIGHTS, "of training features", null=True),
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
            n_heads="of attention",
            d_state="numbers that a scan carries for each channel",
            d_conv="steps of a scan's convolution",
            headdim="channels of a head of a scan",
            kernel_size="frames of a convolution",
            filters="of a convolution",
            gate_size="width of ATHM's gate",
            stride="frames that become one",
            n_mels="mel filters",
            n_fft="samples of a frame's spectrum",
            orig_freq="Hz",
            frames_per_mask="of audio",
            input_size="width of what is read",
            d_input="width of what is read",
            d_hidden="width between",
            stack="frames that become one",
            attention_every="layers, of which one is attention",
            mask_length="frames of a span of masked prediction",
            positions="labels of an utterance, at most",
        ),
        *_counts(
            r="rank of an adapter; 0 for none",
            freq_masks="bands that SpecAugment hides",
            freq_width="mel bins of the widest",
            time_masks="spans that SpecAugment hides, at most",
            time_width="frames of the widest",
            global_tokens="first frames that all see",
            left_context="frames before a chunk",
            right_context="later frames that are seen",
        ),
        Key("expand", NUMBER, WEIGHTS, "times the width, inside a scan", above=0, most=1024),
        Key("dropout", NUMBER, WEIGHTS, "share that is left out", least=0, most=1),
        Key("target", NUMBER, WEIGHTS, "frames in a chunk, in the mean", least=1, most=MOST_SIZE),
        Key("betas", NUMBER, WEIGHTS, "of the optimizer", least=0, most=1, several=True),
        Key("speeds", WHOLE, WEIGHTS, "percent", least=10, most=1000, several=True),
        Key("channels", WHOLE, WEIGHTS, "of convolutions", least=1, most=MOST_SIZE, several=True),
        Key("alpha", NUMBER, WEIGHTS, "over r the factor of what an adapter adds", above=0),
        Key("resolutions", WHOLE, WEIGHTS, "10 ms frames", least=1, most=MOST_SIZE, several=True),
    )
}


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
