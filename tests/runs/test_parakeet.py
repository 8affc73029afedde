"""Fast Conformers of others: NeMo's files and Parakeet's folders give what transformers gives; bad ones are refused."""

import io
import pickle
import shutil
import tarfile
import tempfile

import pytest
import torch
from ruamel.yaml import YAML
from torch import nn

from serenanet_modules.config.foreign import Document
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.data.units import train_units
from serenanet_modules.errors import UserError
from serenanet_modules.runs.origin import open_origin
from serenanet_modules.runs.parakeet import ParakeetSource, is_one
from serenanet_modules.runs.start import Start
from tests.support.presets import preset

transformers = pytest.importorskip("transformers")
D, LAYERS, HEADS, MELS, FILTERS, CLASSES = 16, 2, 2, 80, 4, 11
NEMO = (  # a piece of transformers' name, and NeMo's
    *(("subsampling.layers.", "pre_encode.conv."), ("subsampling.linear.", "pre_encode.out.")),
    *((f"self_attn.{x}_proj", f"self_attn.linear_{x}") for x in "qkv"),
    *(("self_attn.o_proj", "self_attn.linear_out"), ("self_attn.relative_k_proj", "self_attn.linear_pos")),
    *(("self_attn.bias_", "self_attn.pos_bias_"), (".conv.norm.", ".conv.batch_norm.")),
    ("ctc_head.", "decoder.decoder_layers.0."),
)
NEMO_CAUSAL = (  # pieces that transformers names in a way of their own in its streaming model
    ("subsampling.conv_in.", "pre_encode.conv.0."),
    *((f"subsampling.layers.{i}.depthwise_conv.", f"pre_encode.conv.{3 * i + 2}.") for i in (0, 1)),
    *((f"subsampling.layers.{i}.pointwise_conv.", f"pre_encode.conv.{3 * i + 3}.") for i in (0, 1)),
)
ENCODER = {
    **{"feat_in": MELS, "d_model": D, "n_layers": LAYERS, "n_heads": HEADS, "ff_expansion_factor": 4},
    **{"subsampling": "dw_striding", "subsampling_factor": 8, "subsampling_conv_channels": FILTERS},
    **{"self_attention_model": "rel_pos", "att_context_size": [-1, -1], "conv_kernel_size": 5, "untie_biases": True},
}


STREAMING = {
    **{"att_context_style": "chunked_limited", "att_context_size": [[70, ahead] for ahead in (13, 6, 1, 0)]},
    **{"causal_downsampling": True, "conv_context_size": "causal", "conv_norm_type": "layer_norm"},
}
SIZES = {
    **{"hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": HEADS, "intermediate_size": 4 * D},
    **{"num_mel_bins": MELS, "subsampling_conv_channels": FILTERS, "conv_kernel_size": 5},
}


def parakeet(**options):
    torch.manual_seed(0)
    config = transformers.ParakeetEncoderConfig(**SIZES | options)
    whole = transformers.ParakeetCTCConfig(vocab_size=CLASSES, pad_token_id=0, encoder_config=config)
    return shaken(transformers.ParakeetForCTC(whole))


def shaken(model):
    """A model whose biases are not zero, nor its norms one."""
    for tensor in model.state_dict().values():
        if tensor.is_floating_point():
            tensor.add_(0.2 * torch.rand_like(tensor))
    return model.eval()


def nemo(path, encoder=(), tensors=None, more=(), packed=""):
    """Write a file as NeMo does."""
    config = io.BytesIO()
    YAML().dump({"encoder": ENCODER | dict(encoder), "decoder": {"num_classes": CLASSES - 1}}, config)
    weights = io.BytesIO()
    torch.save(tensors, weights)
    members = [("./model_config.yaml", config.getvalue()), ("./model_weights.ckpt", weights.getvalue())]
    with tarfile.open(path, f"w{packed}") as archive:
        for name, content in members:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        for member in more:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def as_nemo(model, names=NEMO):
    found = {}
    for name, tensor in model.state_dict().items():
        for theirs, nemos in names:
            name = name.replace(theirs, nemos)
        found[name] = tensor
    return found


def built(source):
    """The preset's model with what a source says and holds."""
    hparams = Hparams.load(preset("fast_conformer"))
    for key in ("dataset", "locale", "data_folder"):
        hparams.set(key, "none")
    hparams.override([(key, str(value)) for key, value in {**source.overrides, "n_units": CLASSES}.items()])
    model = Document(hparams.text, "the test").build()["model"].eval()
    missing, unexpected = model.load_state_dict(source.tensors, strict=False)
    assert not unexpected and all(name.startswith("acoustic.features.") for name in missing)
    return model


@torch.no_grad()
def assert_equal(source, model):
    x, lengths = torch.randn(2, 203, MELS), torch.tensor([203, 90])
    mask = torch.arange(203) < lengths[:, None]
    want = model(x.masked_fill(~mask[..., None], 0), attention_mask=mask.long()).logits
    ours = built(source)
    hidden, frames, *_ = ours.acoustic.encoder(*ours.acoustic.frontend(x, lengths)[:2])
    for row, n in enumerate(frames):
        torch.testing.assert_close(ours.decoder(hidden)[row, :n], want[row, :n], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("options", [{}, {"scale_input": False}, {"attention_bias": False, "convolution_bias": False}])
def test_a_folder_gives_what_transformers_gives(options, tmp_path):
    model = parakeet(**options)
    model.save_pretrained(tmp_path)
    assert is_one(tmp_path)
    assert_equal(ParakeetSource(tmp_path), model)


@pytest.mark.parametrize("packed", ["", ":gz"])
@pytest.mark.parametrize("scaled", [True, False])
def test_a_file_of_nemo_gives_what_transformers_gives(packed, scaled, tmp_path):
    model = parakeet(scale_input=scaled)
    file = nemo(tmp_path / "model.nemo", {"xscaling": scaled}, as_nemo(model), packed=packed)
    assert is_one(file)
    assert_equal(ParakeetSource(file), model)
    assert [path.name for path in tmp_path.iterdir()] == ["model.nemo"]


@torch.no_grad()
@pytest.mark.parametrize("scaled", [True, False])
def test_a_streaming_file_of_nemo_gives_what_transformers_gives(scaled, tmp_path):
    """For each look-ahead, at 1 + 8k frames, where its lengths are ours too."""
    torch.manual_seed(0)
    config = transformers.NemotronAsrStreamingEncoderConfig(**SIZES, scale_input=scaled)
    model = nn.ModuleDict(
        {"encoder": transformers.NemotronAsrStreamingEncoder(config), "ctc_head": nn.Linear(D, CLASSES)}
    )
    tensors = as_nemo(shaken(model), NEMO_CAUSAL + NEMO)
    file = nemo(tmp_path / "model.nemo", STREAMING | {"xscaling": scaled}, tensors)
    ours, lengths = built(ParakeetSource(file)), torch.tensor([1 + 8 * 120, 1 + 8 * 30])
    mask = torch.arange(int(lengths[0])) < lengths[:, None]
    x, logits = torch.randn(2, int(lengths[0]), MELS).masked_fill(~mask[..., None], 0), {}
    for ahead in ours.acoustic.encoder.look_aheads:
        hidden = model["encoder"](x, attention_mask=mask.long(), num_lookahead_tokens=ahead).last_hidden_state
        logits[ahead] = model["ctc_head"](hidden)
        frames, counts, *_ = ours.acoustic.encoder(*ours.acoustic.frontend(x, lengths)[:2], look_ahead=ahead)
        for row, n in enumerate(counts):
            torch.testing.assert_close(ours.decoder(frames)[row, :n], logits[ahead][row, :n], rtol=1e-5, atol=1e-5)
    assert list(logits) == [13, 6, 1, 0] and not torch.allclose(logits[13], logits[0], atol=0.01)


def test_contexts_of_nemo(tmp_path):
    tensors = as_nemo(parakeet())
    local = {"self_attention_model": "rel_pos_local_attn", "att_context_size": [128, 128], "global_tokens": 1}
    told = ParakeetSource(nemo(tmp_path / "a.nemo", local, tensors)).overrides
    assert told["encoder.window"] == 128 and told["encoder.global_tokens"] == 1 and told["encoder.norm"] == "batch"
    bins = torch.zeros(D, 11 * FILTERS)  # a causal front end has one more
    tensors = {name: t for name, t in tensors.items() if "running" not in name} | {
        "encoder.pre_encode.out.weight": bins
    }
    told = ParakeetSource(nemo(tmp_path / "b.nemo", STREAMING, tensors)).overrides
    assert told["encoder.look_aheads"] == [13, 6, 1, 0] and told["encoder.left_context"] == 70
    assert told["frontend.causal"]


@pytest.mark.parametrize("packed", [False, True])
def test_a_training_starts_from_it(packed, tmp_path):
    """All of the acoustic model, and a new head; for a model of other sizes the sentence says which ones fit."""
    model = parakeet()
    path = nemo(tmp_path / "model.nemo", tensors=as_nemo(model)) if packed else tmp_path
    if not packed:
        model.save_pretrained(tmp_path)
    units = train_units("char", ["abcdefgh"], None)
    assert units.size == CLASSES  # as many as there, which are other ones
    given = [("data_folder", "none"), ("dataset", "x"), ("locale", "sw"), ("n_units", str(CLASSES))]
    small = [("d_model", "32"), ("encoder.n_layers", "1"), ("encoder.n_heads", "2"), ("encoder.d_ffn", "64")]
    hparams = Hparams.load(preset("fast_conformer")).override([*given, *small])
    origin = open_origin(str(path))
    with pytest.raises(
        UserError, match="but .* in the model of .*; give hparams/fast_conformer.yaml --n_mels"
    ) as caught:
        Start(origin, hparams, ours := hparams.build()["model"], 1, units, ours.unit_parts)
    options = str(caught.value).partition("fast_conformer.yaml ")[2].split()
    pairs = [(key.removeprefix("--"), value) for key, value in zip(options[::2], options[1::2], strict=True)]
    hparams = Hparams.load(preset("fast_conformer")).override([*given, *pairs])
    ours = hparams.build()["model"]
    begun = Start(origin, hparams, ours, 1, units, ours.unit_parts)
    begun.transfer.load_into(ours)
    taken = ours.acoustic.state_dict()
    assert all(torch.equal(taken[name], origin.tensors[f"acoustic.{name}"]) for name in taken if "features" not in name)
    assert begun.statistics(ours.acoustic) is None and begun.about()["parts"]["decoder"]["loaded"] == 0


class Code:
    def __reduce__(self):
        return exec, ("open('was_here', 'w')",)


def member(name, kind=tarfile.REGTYPE, link="", size=0):
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, size
    return found


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"more": [member("../../evil", size=3)]}, "a path outside of the archive"),
        ({"more": [member("/etc/evil", size=3)]}, "a path outside of the archive"),
        ({"more": [member("vocab", tarfile.SYMTYPE, "/etc/passwd")]}, "is a link or a device"),
        ({"more": [member("vocab", tarfile.LNKTYPE, "../x")]}, "is a link or a device"),
        ({"more": [member("pipe", tarfile.FIFOTYPE)]}, "is a link or a device"),
        ({"tensors": {"encoder.x": Code()}}, "cannot be read as weights alone"),
        ({"tensors": {"encoder.x": 3}}, "is not a mapping of names to tensors"),
        ({"tensors": {}}, "frontend.first.weight is missing"),
        ({"encoder": {"d_model": 32}}, "but by its configuration it is"),
        ({"encoder": {"n_heads": 3}}, "describes no model"),
        ({"encoder": {"n_layers": 10**9}}, "which is no size of such a model"),
        ({"encoder": {"d_model": "wide"}}, "which is no size of such a model"),
        ({"encoder": {"subsampling": "striding"}}, "only models with 'dw_striding'"),
        ({"encoder": {"att_context_size": [64, 64]}}, "which is none that can be had here"),
    ],
)
def test_bad_files_are_refused(wrong, words, tmp_path, monkeypatch):
    """In a sentence; nothing is written, no code runs."""
    monkeypatch.chdir(tmp_path)
    file = nemo(tmp_path / "model.nemo", **({"tensors": as_nemo(parakeet())} | wrong))
    with pytest.raises(UserError, match=words) as refusal:
        ParakeetSource(file)
    assert "\n" not in str(refusal.value)
    assert [path.name for path in tmp_path.iterdir()] == ["model.nemo"]


@pytest.mark.parametrize("packed", ["", ":gz"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_files_that_are_cut_short_are_refused(share, packed, tmp_path, monkeypatch):
    """In a sentence; nothing is written, not even a temporary file."""
    file = nemo(tmp_path / "model.nemo", (), as_nemo(parakeet()), packed=packed)
    content = file.read_bytes()[: int(share * file.stat().st_size)]
    file.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(UserError, match="cut short|there is no model_") as refusal:
        ParakeetSource(file)
    assert "\n" not in str(refusal.value)
    assert list(tmp_path.rglob("*")) == [file] and file.read_bytes() == content


def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path):
    file = nemo(tmp_path / "model.nemo", (), {}, [member("zeros", size=2**24)], ":gz")
    with pytest.raises(UserError, match="too large for weights"):
        ParakeetSource(file)


def test_bad_folders_are_refused(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    parakeet().save_pretrained(good)
    config = (good / "config.json").read_text()
    for file, content, words in (
        ("config.json", None, "has no config.json"),
        ("model.safetensors", None, "has no model.safetensors"),
        ("config.json", "{", "cannot be read as JSON"),
        ("config.json", "[]", "no mapping"),
        ("config.json", config.replace("parakeet_ctc", "whisper"), "model_type is 'whisper'"),
        ("config.json", config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'), "is missing"),
        ("model.safetensors", "nothing", "cannot be read as weights"),
    ):
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(good, bad)
        (bad / file).unlink() if content is None else (bad / file).write_text(content)
        with pytest.raises(UserError, match=words):
            ParakeetSource(bad)
    shutil.copytree(good, bad, dirs_exist_ok=True)
    (bad / "model.safetensors").unlink()
    (tmp_path / "elsewhere").write_bytes(pickle.dumps(1))
    (bad / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="a link to"):
        ParakeetSource(bad)
    with pytest.raises(UserError, match="neither a folder nor"):
        ParakeetSource(tmp_path / "missing.nemo")
