"""What a new model takes of a finished one: all of the acoustic model, heads that fit, rows of shared symbols."""

import json
import re

import pytest
import torch
from safetensors.torch import load_file

from serenanet_modules.config.hparams import Hparams
from serenanet_modules.data.units import train_units
from serenanet_modules.errors import UserError
from serenanet_modules.lobes.pretrained.families import FAMILIES, usual_values
from tests.support.encoders import TINY, USUAL, settled
from tests.support.folders import make_random_result
from tests.support.origins import RUN, make_origin, new_model, start
from tests.support.presets import preset

TEXT = ["mama anakula ng'ombe wa baba", "kitoto chadhani"]
HYBRID = [("attention_decoder.n_layers", "1"), ("attention_decoder.d_ffn", "32"), ("frontend.channels", "[4, 3]")]


def source_weights(folder):
    return {name.removeprefix("model."): tensor for name, tensor in load_file(folder / "weights.safetensors").items()}


def rows(units, others):
    """(number here, number there) of the symbols of both, by plain search."""
    return [(i, others.pieces.index(piece)) for i, piece in enumerate(units.pieces) if piece in others.pieces]


@pytest.fixture(scope="module")
def origin(tmp_path_factory):
    """A recogniser of characters, of the first of the sentences."""
    return make_origin(tmp_path_factory.mktemp("origin") / "1986", texts=TEXT[:1])


@pytest.mark.parametrize("kind, size", [("char", None), ("bpe", 24)])
def test_rows_of_shared_symbols(origin, kind, size):
    """Those of the decoder and of CAR are the source's, blank's too; other rows and no more are new."""
    units, others = train_units(kind, TEXT, size), train_units("char", TEXT[:1], None)
    hparams, model = new_model(units)
    fresh = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    begun, after, before = start(origin, hparams, model, units), model.state_dict(), source_weights(origin)
    shared = rows(units, others)
    assert shared[0] == (0, 0) and 1 < len(shared) < units.size
    new = sorted(set(range(units.size)) - {i for i, _ in shared})
    headed = {f"{part}.{kind}" for part in ("decoder", "car.out") for kind in ("weight", "bias")}
    for name in headed:
        for i, j in shared:
            assert torch.equal(after[name][i], before[name][j]), (name, i)
        assert torch.equal(after[name][new], fresh[name][new])
    for name in after.keys() - headed:
        assert torch.equal(after[name], before[name]), name
    assert begun.about()["symbols"] == {"kept": len(shared), "of": units.size}
    assert set(begun.transfer.whole) == {name for name, _ in model.named_parameters()} - headed


def test_what_is_counted(origin):
    """Loaded, by symbol and new are the model's parameters, by part; the rest of the source's was left out."""
    units = train_units("char", TEXT[1:], None)
    hparams, model = new_model(units, "serenanet/demo", ("car.d_model", "24"))  # another CAR
    counts = start(origin, hparams, model, units).about()["parts"]
    own = {"car": model.car, "decoder": model.decoder, "encoder": model.acoustic.encoder}
    for part, module in own.items():
        total = sum(p.numel() for p in module.parameters())
        assert sum(counts[part][way] for way in ("loaded", "by_symbol", "new")) == total
    before = source_weights(origin)
    theirs = sum(t.numel() for name, t in before.items() if name.startswith("car."))
    assert counts["car"] == {"loaded": 0, "by_symbol": 0, "new": counts["car"]["new"], "left_out": theirs}
    shared = len(rows(units, train_units("char", TEXT[:1], None)))
    width = before["decoder.weight"].shape[1] + 1
    assert counts["decoder"]["by_symbol"] == shared * width
    assert counts["decoder"]["left_out"] == (len(before["decoder.weight"]) - shared) * width
    assert not torch.equal(model.car.inp.weight, before["car.inp.weight"][:24])


def test_the_same_units_are_taken_whole(origin):
    units = train_units("char", TEXT[:1], None)
    hparams, model = new_model(units)
    begun, before = start(origin, hparams, model, units), source_weights(origin)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    assert not begun.transfer.by_symbol and "symbols" not in begun.about()


def test_as_many_units_are_not_the_same_units(tmp_path):
    """Rows go by symbol also where the sizes agree."""
    origin = make_origin(tmp_path / "1986", texts=["abc"])
    units = train_units("char", ["bcd"], None)
    hparams, model = new_model(units)
    start(origin, hparams, model, units)
    before, others = source_weights(origin)["decoder.weight"], train_units("char", ["abc"], None)
    assert len(before) == units.size
    for i, j in rows(units, others):
        assert torch.equal(model.decoder.weight[i], before[j])
    d = units.pieces.index("d")
    assert not any(torch.equal(model.decoder.weight[d], row) for row in before)


def test_attention_decoder(tmp_path):
    """Embeddings and outputs of shared symbols, the border's too; layers between them whole."""
    origin = make_origin(tmp_path / "1986", "conmamba_s2s", *HYBRID, texts=TEXT[:1])
    units, others = train_units("char", TEXT, None), train_units("char", TEXT[:1], None)
    hparams, model = new_model(units, "conmamba_s2s", *HYBRID)
    start(origin, hparams, model, units)
    before, after = source_weights(origin), model.state_dict()
    for name in ("embedding.weight", "output.weight", "output.bias"):
        for i, j in rows(units, others):
            assert torch.equal(after[f"attention.stack.{name}"][i], before[f"attention.stack.{name}"][j])
    layers = [name for name in after if name.startswith("attention.stack.layers.")]
    assert layers and all(torch.equal(after[name], before[name]) for name in layers)


def test_heads_that_one_of_them_lacks(tmp_path):
    """A CTC model leaves the attention decoder out; a hybrid one makes its own anew."""
    texts, sizes = TEXT[:1], HYBRID[2:]
    units = train_units("char", texts, None)
    hybrid = make_origin(tmp_path / "hybrid", "conmamba_s2s", *HYBRID, texts=texts)
    hparams, model = new_model(units, "conmamba_ctc", *sizes)
    counts = start(hybrid, hparams, model, units).about()["parts"]
    assert counts["attention"]["left_out"] > 0 and counts["decoder"]["new"] == counts["encoder"]["new"] == 0
    ctc = make_origin(tmp_path / "ctc", "conmamba_ctc", *sizes, texts=texts)
    hparams, model = new_model(units, "conmamba_s2s", *HYBRID)
    counts = start(ctc, hparams, model, units).about()["parts"]
    assert counts["attention"]["new"] > 0 and counts["attention"]["loaded"] == counts["decoder"]["new"] == 0


MISFITS = {
    "sizes": ([("encoder.d_ffn", "32")], r"acoustic.encoder.layers.0.ffn.0.weight is 64×32 in .*, but 32×32 in the "),
    "layers": ([("encoder.n_layers", "2")], r"acoustic.encoder.layers.1.norm_attention.weight is not there in .*"),
    "front end": (
        [("frontend", "!include:frontends/conv1d.yaml")],
        r"acoustic.frontend.conv.weight is not there in .*, but 32×80×4 in the model of ",
    ),
    "heads": ([("encoder.n_heads", "2")], r"demo.yaml: 'encoder.n_heads' is 2, but 4 in .*; give both the same"),
}


@pytest.mark.parametrize("change, words", MISFITS.values(), ids=MISFITS)
def test_misfits(origin, change, words):
    """One sentence names the first tensor that differs, and both shapes."""
    units = train_units("char", TEXT[:1], None)
    hparams, model = new_model(units, "serenanet/demo", *change)
    with pytest.raises(UserError, match=words) as caught:
        start(origin, hparams, model, units)
    assert "\n" not in str(caught.value)


def test_fewer_layers(origin, tmp_path):
    deep = make_origin(tmp_path / "deep", "serenanet/demo", ("encoder.n_layers", "2"), texts=TEXT[:1])
    units = train_units("char", TEXT[:1], None)
    with pytest.raises(UserError, match="layers.1.convolution.depthwise.bias is 32 in .*, but not there in"):
        start(deep, *new_model(units), units)


FAST = [("frontend.filters", "8"), ("encoder.n_heads", "4")]
ONE_LAYER = [*HYBRID, ("attention_decoder.n_heads", "4")]
SAME_SHAPES = {  # what is started from, of which preset; what is changed, and what is said of that
    "norm": ("fast_conformer", FAST, [("encoder.norm", "batch")], "'encoder.norm' is batch, but layer in "),
    "decoder": (
        *("conmamba_s2s", ONE_LAYER, [("attention_decoder.n_heads", "2")]),
        "'attention_decoder.n_heads' is 2, but 4 in ",
    ),
    "decoder made anew": (
        *("conmamba_s2s", ONE_LAYER, [("attention_decoder.n_heads", "2"), ("attention_decoder.d_ffn", "48")]),
        None,
    ),
    "window": ("fast_conformer", FAST, [("encoder.window", "8"), ("encoder.dropout", "0.3")], None),
}


@pytest.mark.parametrize("name, sizes, change, words", SAME_SHAPES.values(), ids=SAME_SHAPES)
def test_the_same_shapes_compute_something_else(tmp_path, name, sizes, change, words):
    """It is refused where weights are taken; what may be changed on purpose is not."""
    origin = make_origin(tmp_path / "1986", name, *sizes, texts=TEXT[:1])
    units = train_units("char", TEXT[:1], None)
    hparams, model = new_model(units, name, *sizes, *change)
    if words is None:
        assert start(origin, hparams, model, units).transfer.whole
    else:
        with pytest.raises(UserError, match=words):
            start(origin, hparams, model, units)


@pytest.mark.parametrize("lacks", ["here", "there"])
def test_an_argument_that_one_of_them_lacks(tmp_path, lacks):
    """It is what its class takes for it."""
    origin = make_origin(tmp_path / "1986", "fast_conformer", *FAST, texts=TEXT[:1])
    units, file = train_units("char", TEXT[:1], None), origin / "hyperparams.yaml"
    before = file.read_text(encoding="utf-8")
    if lacks == "there":
        file.write_text(re.sub("  norm: layer.*\n", "", before), encoding="utf-8")
        hparams, model = new_model(units, "fast_conformer", *FAST, ("encoder.norm", "batch"))
        words = "'encoder.norm' is batch, but layer in "
    else:
        file.write_text(before.replace("  norm: layer", "  norm: batch"), encoding="utf-8")
        hparams, model = new_model(units, "fast_conformer", *FAST)
        del hparams.tree["encoder"]["norm"]
        hparams.set("encoder", hparams.tree["encoder"])
        words = "'encoder.norm' is layer, but batch in "
    assert file.read_text(encoding="utf-8") != before
    with pytest.raises(UserError, match=words):
        start(origin, hparams, model, units)
    file.write_text(re.sub("  norm: layer.*\n", "", before), encoding="utf-8")
    assert start(origin, *new_model(units, "fast_conformer", *FAST), units).transfer.whole


def test_a_public_encoder_that_computes_something_else(tmp_path, monkeypatch):
    """Values of its configuration count, but for dropouts; what it does not name is as transformers have it."""
    sizes = [("head.n_layers", "1"), ("head.n_heads", "2"), ("head.d_ffn", "32"), ("d_model", "32")]
    units = train_units("char", TEXT[:1], None)
    monkeypatch.setitem(TINY, USUAL, {**TINY[USUAL], "hidden_dropout": 0.1})
    folder = make_random_result(tmp_path / "1986", preset("pretrained_ctc"), *sizes, texts=TEXT[:1])
    (folder / "result.json").write_text(json.dumps(RUN), encoding="utf-8")

    def begin(**config):
        hparams = Hparams.load(preset("pretrained_ctc"))
        hparams.override([("data_folder", "none"), ("dataset", "Random/sw"), ("locale", "sw"), *sizes])
        settled(hparams).set("n_units", units.size)
        hparams.fill("encoder", {"config": {**TINY[USUAL], **config}})
        return start(folder, hparams, hparams.build()["model"], units)

    assert begin(hidden_dropout=0.3).transfer.whole
    assert begin(hidden_act="gelu", do_normalize=True, num_buckets=5).transfer.whole
    for name, value, before in (("num_attention_heads", 4, 2), ("hidden_act", "relu", "gelu")):
        with pytest.raises(UserError, match=f"'encoder.config.{name}' is {value}, but {before} in "):
            begin(**{name: value})
    with pytest.raises(UserError, match="'encoder.config.do_normalize' is False, but True in "):
        begin(do_normalize=False)
    file = folder / "hyperparams.yaml"
    before = file.read_text(encoding="utf-8")
    file.write_text(before.replace("num_attention_heads: 2\n", "num_attention_heads: 2\n    layer_norm_eps: 0.001\n"))
    with pytest.raises(UserError, match="'encoder.config.layer_norm_eps' is 1e-05, but 0.001 in "):
        begin()


@pytest.mark.parametrize("kind", FAMILIES)
def test_all_that_counts_of_a_public_encoder_has_a_usual_value(kind):
    """Also in parts of a configuration."""
    assert usual_values(kind).keys() == set(FAMILIES[kind].keys)
