"""The table of keys says all that hparams/ has and no more, and what cannot be is one sentence."""

import pytest
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.config.keys import ARGUMENTS, KEYS, NUMBER, RUN, WEIGHTS, WHOLE, free_to_change, page
from serenanet_modules.config.nodes import shown
from serenanet_modules.config.settings import check_parts, check_values
from serenanet_modules.errors import UserError
from tests.support.presets import HPARAMS, LANGUAGE_MODEL, MODELS, preset
from tests.support.tiny import ROOT

OURS = {  # keys of files that are no hyper-parameters
    "extends",
    *("base", "pretraining", "pretraining_arguments", "variants", "values"),  # of a suite
}
RESOLVED = {"peak", "final_share"}  # other names of keys
NESTED = ("preparation", "lora")
NUMBERS = [key for key in KEYS.values() if key.kind in (WHOLE, NUMBER)]


def keys_of(file):
    """Keys of a file that is no part; of plain mappings those inside too."""
    tree = YAML().load(file)
    if (tree.tag.value or "").startswith("!"):
        return
    for key, node in tree.items():
        yield key
        if key in NESTED and isinstance(node, CommentedMap) and not (node.tag.value or "").startswith("!"):
            yield from (f"{key}.{inner}" for inner in node)


def test_the_table_has_every_key_and_no_other():
    found = {key for file in HPARAMS.rglob("*.yaml") for key in keys_of(file)} - OURS
    assert found == KEYS.keys()


def test_the_page_is_current():
    """``serenanet config --table > docs/hparams.md``."""
    assert (ROOT / "docs/hparams.md").read_text(encoding="utf-8") == page()


@pytest.mark.parametrize("name", [*MODELS, LANGUAGE_MODEL])
def test_what_is_shipped_passes(name):
    hparams = Hparams.load(preset(name), needs="brain")
    needed = ("dataset", "locale", "data_folder", "acoustic")
    hparams.override([(key, "none") for key in needed if key in hparams])
    check_values(hparams.plain(), "x.yaml")


@pytest.mark.parametrize("text", [".nan", ".inf", "-.inf", "1e300", "-1e300"])
@pytest.mark.parametrize("key", NUMBERS, ids=lambda key: key.name)
def test_numbers_that_are_none(key, text):
    """No infinity, nothing that is not a number, and nothing out of all bounds, in one sentence that names the key."""
    value = float(text.replace(".nan", "nan").replace(".inf", "inf"))
    holder, _, inner = key.name.rpartition(".")
    plain = {holder: {inner: value}} if holder else {inner: value}
    with pytest.raises(UserError, match=f"^x.yaml: '{key.name}' must be ") as caught:
        check_values(plain, "x.yaml")
    assert "\n" not in str(caught.value) and key.meaning in str(caught.value)


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("lr", -0.1, "'lr' must be at least 0, not -0.1"),
        ("lr", True, "'lr' must be a number, not True"),
        ("max_grad_norm", 0, "'max_grad_norm' must be more than 0, not 0"),
        ("ctc_weight", 1.5, "'ctc_weight' must be between 0 and 1, not 1.5"),
        ("final_lr_share", -1, "'final_lr_share' must be between 0 and 1, not -1"),
        ("precision", "int8", "'precision' must be one of fp32, tf32, bf16, fp16, fp8, mxfp8, mxfp4, not 'int8'"),
        ("word_score", "high", "'word_score' must be a number or auto, not 'high'"),
        ("n_units", 1.5, "'n_units' must be a whole number from 1 or null, not 1.5"),
        ("max_sentences", 0, "'max_sentences' must be a whole number from 1 or null, not 0"),
        ("number_of_epochs", 10**13, "'number_of_epochs' must be at most 1000000000000, not 10000000000000"),
        ("seed", None, "'seed' must be a whole number, not None"),
        ("beam_size", None, "'beam_size' must be a whole number, not None"),
    ],
)
def test_refused(key, value, words):
    with pytest.raises(UserError) as caught:
        check_values({key: value}, "x.yaml")
    assert str(caught.value).startswith(f"x.yaml: {words} (")


@pytest.mark.parametrize("value", [[], [0.1, float("nan")], [[0.1]], ["0.9"], [2.0]])
def test_lists(value):
    """A list of values is as good as each of them, and none where it is empty."""
    with pytest.raises(UserError, match=r"^x.yaml: 'opt.betas' must be "):
        ARGUMENTS["betas"].check_argument(value, "opt.betas", "x.yaml")


@pytest.mark.parametrize("name", MODELS)
def test_every_argument_that_is_shipped(name):
    """Each number of a part stands in the table, and passes."""
    hparams = Hparams.load(preset(name), needs="brain")
    hparams.override([(key, "none") for key in ("dataset", "locale", "data_folder") if key in hparams])
    check_parts(hparams, "x.yaml")
    numbers = {
        argument.rpartition(".")[2]
        for argument, value in hparams.arguments()
        if type(value[0] if isinstance(value, list) and value else value) in (int, float)
    }
    assert numbers and numbers - ARGUMENTS.keys() - KEYS.keys() <= RESOLVED


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("encoder.n_layers", "0"),
        ("encoder.d_ffn", "-512"),
        ("encoder.n_heads", ".nan"),
        ("frontend.resolutions", "[]"),
        ("spec_augment.freq_width", "-5"),
        ("spec_augment.time_masks", "1e400"),
        ("opt_class.betas", "[.inf, 0.9]"),
        ("features.n_fft", "123456789012345678901234567"),
        ("speed_perturb.speeds", "[0]"),
        ("speed_perturb.speeds", "[]"),
        ("lr", "1e400"),
        ("seed", "-1"),
        ("d_model", "0"),
        ("lm_order", "100"),
        ("beam_size", "100000000"),
    ],
)
def test_what_no_part_can_have(key, value):
    """Refused before anything is built, by the whole name of the key."""
    hparams = Hparams.load(preset("serenanet"), needs="brain")
    with pytest.raises(UserError, match=f": '{key}' must be ") as caught:
        hparams.override([("dataset", "x"), ("locale", "sw"), ("data_folder", "x"), (key, value)])
        check_values(hparams.plain(), "x.yaml")
        check_parts(hparams, "x.yaml")
    assert "\n" not in str(caught.value)


def test_the_key_that_was_given_is_named_and_not_what_is_made_of_it():
    hparams = Hparams.load(preset("ssm"), needs="brain")
    hparams.override([("dataset", "x"), ("locale", "sw"), ("data_folder", "x"), ("labels_per_frame", "0")])
    with pytest.raises(UserError, match="^x.yaml: 'labels_per_frame' must be between 1 and 8, not 0 "):
        check_values(hparams.plain(), "x.yaml")


def test_keys_of_others_are_theirs():
    """A key that a task of somebody's own brings is not judged here."""
    check_values({"my_own_weight": float("nan")}, "x.yaml")


def test_what_may_change_when_a_run_goes_on():
    longer = {"number_of_epochs", "early_stopping_patience", "checkpoints_to_average", "grad_accumulation_factor"}
    longer |= {"validate_every"}
    place = {"output_folder", "prepared_folder", "num_workers", "ckpt_interval_minutes", "nonfinite_patience"}
    decoding = {"beam_size", "lm", "lm_order", "lm_weight", "word_score", "neural_lm", "eval_precision"}
    decoding |= {"attention_beam_size", "decoding_ctc_weight", "length_normalisation"}
    compared_otherwise = {"data_folder", "preparation"}
    inner = {"preparation.jobs"}
    place |= {"max_hours", "loggers", "fsdp", "compile"}
    place |= {"modules"}  # names of what other keys say
    assert set(free_to_change()) == longer | place | decoding | compared_otherwise | inner
    assert set(free_to_change(WEIGHTS)) == longer and set(free_to_change(RUN)) == place | inner


@pytest.mark.parametrize("name", [*MODELS, LANGUAGE_MODEL])
def test_no_model_has_more_than_four_files(name):
    """Parts aside: who wants to know what a preset is reads no more; speech LLMs share a layer with other models."""
    shared = name.startswith("speech_llm")
    assert len(Hparams.load(preset(name)).layers) <= 4 + shared


@pytest.mark.parametrize("machine", ["cpu", "one_gpu", "slurm"])
@pytest.mark.parametrize("name", MODELS)
def test_a_machine_goes_over_every_model_of_speech(name, machine):
    file = HPARAMS / f"machine/{machine}.yaml"
    bare, layered = Hparams.load(preset(name)).tree, Hparams.load([*preset(name), file]).tree
    changed = {key for key in bare if shown(bare[key]) != shown(layered[key])}
    machine = {"num_workers", "max_batch_seconds", "precision", "ckpt_interval_minutes"}
    assert changed <= set(YAML().load(file)) <= machine
