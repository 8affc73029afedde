"""Fast Conformers of others: NeMo's files and Parakeet's folders give what transformers gives; bad ones are refused."""

import io
import pickle
import random
import re
import shutil
import tarfile
import tempfile
import zipfile
from pathlib import Path

import pytest
import torch
from ruamel.yaml import YAML
from safetensors.torch import save_file
from torch import nn

from serenanet_modules.config.foreign import Document
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.data.units import train_units
from serenanet_modules.errors import UserError
from serenanet_modules.runs.nemo import PACKED
from serenanet_modules.runs.origin import open_origin
from serenanet_modules.runs.parakeet import MOST_JSON, ParakeetSource, is_one
from serenanet_modules.runs.start import Start
from tests.support.presets import preset
from tests.support.refusals import refusal, refused_or

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


def nemo(path, encoder=(), tensors=None, more=(), packed="", change=bytes, **options):
    """Write a file as NeMo does; keys of the encoder that are ``...`` are left out."""
    config = io.BytesIO()
    encoder = {key: value for key, value in (ENCODER | dict(encoder)).items() if value is not ...}
    YAML().dump({"encoder": encoder, "decoder": {"num_classes": CLASSES - 1}}, config)
    weights = io.BytesIO()
    torch.save(tensors, weights, **options)
    members = [("./model_config.yaml", config.getvalue()), ("./model_weights.ckpt", change(weights.getvalue()))]
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
        ({"tensors": {3: torch.ones(2)}}, "has a name that is no text"),
        ({"encoder": {"n_layers": 10**9}}, "its n_layers is 1000000000; such a model can have 1 to 1024"),
        ({"encoder": {"n_layers": int("9" * 4000)}}, "its n_layers is 9+...9+; such a model can have"),
        ({"encoder": {"d_model": "wide"}}, "its d_model is 'wide'; such a model can have"),
        ({"encoder": {"d_model": True}}, "its d_model is True; such a model can have"),
        ({"encoder": {"ff_expansion_factor": "x"}}, "its ff_expansion_factor is 'x'"),
        ({"encoder": {"xscaling": "no"}}, "its xscaling is 'no'; only models with True or False"),
    ],
)
def test_bad_files_are_refused(wrong, words, tmp_path, monkeypatch):
    """In a sentence; nothing is written, no code runs."""
    monkeypatch.chdir(tmp_path)
    file = nemo(tmp_path / "model.nemo", **({"tensors": as_nemo(parakeet())} | wrong))
    refused(file, words)
    assert [path.name for path in tmp_path.iterdir()] == ["model.nemo"]


def refused(path, words):
    """It is, in one sentence with these words and the path."""
    assert re.search(words, said := refusal(lambda: ParakeetSource(path), path)), said


LOCAL = {"self_attention_model": "rel_pos_local_attn", "att_context_size": [128, 128]}


@pytest.mark.parametrize(
    ("encoder", "words"),
    [
        ({"subsampling": "striding"}, "its subsampling is 'striding'; only models with 'dw_striding'"),
        ({"subsampling": ...}, "its subsampling is 'striding'"),  # NeMo's default
        ({"subsampling_factor": ...}, "its subsampling_factor is 4; only models with 8"),
        ({"reduction": "pooling"}, "its reduction is 'pooling'"),
        ({"feat_out": 2 * D}, f"its feat_out is {2 * D}; only models with -1 or {D}"),
        ({"conv_norm_type": "group_norm"}, "only models with 'batch_norm' or 'layer_norm'"),
        ({"att_context_size": [64, 64]}, r"its att_context_size is \[64, 64\]; only models with \[-1, -1\]"),
        ({"conv_context_size": "causal"}, "its conv_context_size is 'causal'; only models with None or"),
        ({"conv_context_size": [4, 0]}, r"its conv_context_size is \[4, 0\]; only models with None or \[2, 2\]"),
        ({"att_context_style": "chunked_limited_with_rc"}, "only models with 'regular' or 'chunked_limited'"),
        (STREAMING | {"causal_downsampling": ...}, "its causal_downsampling is False; only models with True"),
        (STREAMING | {"causal_downsampling": "yes"}, "its causal_downsampling is 'yes'; only models with True"),
        (STREAMING | {"conv_context_size": ...}, "its conv_context_size is None; only models with 'causal'"),
        (STREAMING | {"conv_context_size": [2, 2]}, r"its conv_context_size is \[2, 2\]; only models with 'causal'"),
        (STREAMING | LOCAL, "its self_attention_model is 'rel_pos_local_attn'; only models with 'rel_pos'"),
        (STREAMING | {"att_context_size": [[70, 13], [56, 6]]}, "one number of frames to the left"),
        *(
            (STREAMING | {"att_context_size": wrong}, r"it must be \[left, right\] frames")
            for wrong in (5, "all", None)
        ),
        *(
            (STREAMING | {"att_context_size": wrong}, r"it must be \[left, right\] frames")
            for wrong in ([], [[]], [[70, 13, 1]], [[70, 13], 3], [3, [70, 13]], [70, 13.0], [70, True], [{}])
        ),
        (STREAMING | {"att_context_size": [70, -1]}, "its configuration describes no model"),
        (STREAMING | {"att_context_size": [70, 12]}, "its configuration describes no model .*no multiple of 13"),
        (STREAMING | {"att_context_size": [[70, 13], [70, 13]]}, "its configuration describes no model .*twice"),
        (LOCAL | {"att_context_size": 128}, r"it must be \[left, right\] frames"),
        (LOCAL | {"att_context_size": [128, 64]}, "as many frames to the left as to the right"),
        (LOCAL | {"att_context_size": [0, 0]}, "as many frames to the left as to the right"),
        (LOCAL | {"att_context_size": [[128, 128], [64, 64]]}, "as many frames to the left as to the right"),
        (LOCAL | {"global_tokens": "one"}, "its global_tokens is 'one'; such a model can have 0 to"),
        (LOCAL | {"global_tokens": 2, "global_tokens_spacing": 3}, "its global_tokens_spacing is 3"),
        (LOCAL | {"global_tokens": 1, "global_attn_separate": True}, "its global_attn_separate is True"),
        ({"conv_kernel_size": 4}, "its configuration describes no model .*kernel_size"),
    ],
)
def test_models_that_ours_cannot_be_are_refused(encoder, words, tmp_path):
    """And none is opened as another one."""
    refused(nemo(tmp_path / "model.nemo", encoder, {}), words)


@pytest.mark.parametrize("conv", ["causal", [4, 0]])
def test_a_causal_convolution_may_be_said_in_two_ways(conv, tmp_path):
    refused(nemo(tmp_path / "model.nemo", STREAMING | {"conv_context_size": conv}, {}), "first.weight is missing")


WEIGHT = "encoder.layers.0.self_attn.linear_q.weight"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({WEIGHT: torch.tensor(1.0)}, r"linear_q.weight has the shape \(\)"),
        ({WEIGHT: torch.ones(D)}, r"linear_q.weight has the shape \(16,\)"),
        ({WEIGHT: torch.ones(D, D).to_sparse()}, "linear_q.weight is sparse"),
        ({WEIGHT: torch.ones(D, D, device="meta")}, "linear_q.weight has no values"),
        ({WEIGHT: torch.ones(D, D, dtype=torch.int8)}, "linear_q.weight holds int8"),
        ({WEIGHT: torch.full((D, D), torch.nan)}, "linear_q.weight holds values that are infinite"),
        ({WEIGHT: torch.ones(1).expand(2**20, 2**20)}, "linear_q.weight is larger than what the file has of it"),
        ({WEIGHT: torch.ones(0, D)}, r"linear_q.weight has the shape \(0, 16\)"),
        ({WEIGHT: torch.ones(D, 2 * D)}, "q, k and v .* have different shapes"),
        ({WEIGHT: torch.ones(2 * D, D)}, "q, k and v .* have different shapes"),
        ({WEIGHT: None}, "attention.qkv.weight is missing"),
        ({"encoder.layers.0.conv.pointwise_conv1.weight": torch.ones(2 * D)}, "has the shape"),
        ({"encoder.layers.0.norm_out.weight": torch.tensor(1.0)}, r"norm_out.weight has the shape \(\)"),
        ({"encoder.pre_encode.conv.0.weight": None}, "its first convolution is missing"),
        ({"encoder.pre_encode.out.weight": torch.ones(D)}, r"out.weight has the shape \(16,\)"),
        ({"encoder.pre_encode.out.weight": torch.ones(D, 7)}, r"has the shape \(16, 7\), for 4 filters"),
        ({"encoder.subsampling.linear.weight": torch.ones(D, D)}, "is there under two names"),
        ({"encoder.layers.2.norm_out.weight": torch.ones(D)}, "layers.2.norm.weight .* there is none"),
        ({"decoder.decoder_layers.0.weight": torch.ones(D)}, r"has the shape \(16,\)"),
    ],
)
def test_weights_that_are_none_are_refused(changes, words, tmp_path):
    """In a file, and in a folder where safetensors can hold them."""
    tensors = as_nemo(model := parakeet()) | changes
    tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
    refused(nemo(tmp_path / "model.nemo", (), tensors), words)
    if all(t.layout == torch.strided and not t.is_meta and t.is_contiguous() for t in tensors.values()):
        model.save_pretrained(folder := tmp_path / "folder")
        save_file({name: t.clone() for name, t in tensors.items()}, folder / "model.safetensors")
        refused(folder, words)


def reworded(content, rng):
    """A file of torch.save with right sums and wrong instructions to its reader."""
    changed = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(changed, "w") as new:
        for name in old.namelist():
            new.writestr(name, flipped(old.read(name), rng) if name.endswith("data.pkl") else old.read(name))
    return changed.getvalue()


def flipped(content, rng, most=3):
    """The same with a few bytes changed, those at the beginning more often."""
    content = bytearray(content)
    for _ in range(rng.randint(1, most)):
        content[rng.randrange(rng.choice((min(64, len(content)), len(content))))] ^= 1 << rng.randrange(8)
    return bytes(content)


@pytest.mark.parametrize("packed", ["", ":gz"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.9])
def test_files_that_are_cut_short_are_refused(share, packed, tmp_path, monkeypatch):
    """In a sentence; nothing is written, not even a temporary file."""
    file = nemo(tmp_path / "model.nemo", (), as_nemo(parakeet()), packed=packed)
    content = file.read_bytes()[: int(share * file.stat().st_size)]
    file.write_bytes(content)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    refused(file, "cut short|there is no model_")
    assert list(tmp_path.rglob("*")) == [file] and file.read_bytes() == content


INSIDE = {"older weights": {"_use_new_zipfile_serialization": False}, "weights": {}, "instructions": {}}


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize("kind", ["", ":gz", ":bz2", ":xz", *INSIDE])
def test_files_with_changed_bytes_are_refused_or_open(kind, seed, tmp_path, monkeypatch, small_weights):
    """In a sentence; nothing is written, not even a temporary file."""
    rng, file = random.Random(seed), tmp_path / "model.nemo"
    if kind in INSIDE:
        change = reworded if kind == "instructions" else flipped
        nemo(file, (), small_weights, change=lambda content: change(content, rng), **INSIDE[kind])
    else:
        nemo(file, (), small_weights, packed=kind)
        file.write_bytes(flipped(file.read_bytes(), rng))
    content = file.read_bytes()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    refused_or(lambda: ParakeetSource(file), file)
    assert list(tmp_path.rglob("*")) == [file] and file.read_bytes() == content


@pytest.fixture(scope="module")
def small_weights():
    return as_nemo(parakeet())


def test_changed_weights_are_noticed(tmp_path):
    """By their sums, in a file that is not packed."""
    file, marked = tmp_path / "model.nemo", torch.linspace(1, 2, D)
    nemo(file, (), as_nemo(parakeet()) | {"encoder.layers.0.norm_out.bias": marked})
    content, place = bytearray(file.read_bytes()), file.read_bytes().find(marked.numpy().tobytes())
    content[place + 2] ^= 1
    file.write_bytes(content)
    refused(file, "the bytes of .* have changed")


@pytest.mark.parametrize("packed", ["gz", "bz2", "xz"])
@pytest.mark.parametrize("where", ["member", "header", "hole"])
def test_a_file_that_unpacks_to_far_more_is_refused(where, packed, tmp_path, monkeypatch):
    """Before it is unpacked: a member, a long name, zeros that the archive has no bytes of."""
    file = tmp_path / "model.nemo"
    kinds = {"member": tarfile.REGTYPE, "header": tarfile.GNUTYPE_LONGNAME, "hole": tarfile.GNUTYPE_SPARSE}
    nemo(file, (), {}, [member("zeros", kinds[where], size=2**24)], f":{packed}")
    read, opened = [], PACKED[magic := next(magic for magic in PACKED if file.read_bytes().startswith(magic))]

    class Counted:
        def __init__(self, *given):
            self._file = opened(*given)

        def __getattr__(self, name):
            return getattr(self._file, name)

        def __enter__(self):
            return self

        def __exit__(self, *_):
            read.append(self._file.tell())
            self._file.close()

    monkeypatch.setitem(PACKED, magic, Counted)
    refused(file, "too large for weights")
    assert len(read) == 1 and read[0] < 2**20


def test_no_more_than_the_beginning_of_a_config_is_read(tmp_path, monkeypatch):
    """To find out what a folder is."""
    (tmp_path / "config.json").write_bytes(b" " * MOST_JSON + b"parakeet")
    assert not is_one(tmp_path)
    monkeypatch.setattr(Path, "read_bytes", None)
    (tmp_path / "config.json").write_bytes(b"parakeet" + b" " * MOST_JSON)
    assert is_one(tmp_path)


def test_bad_folders_are_refused(tmp_path):
    good, bad = tmp_path / "good", tmp_path / "bad"
    parakeet().save_pretrained(good)
    config = (good / "config.json").read_text()
    for file, content, words in (
        ("config.json", None, "has no config.json"),
        ("model.safetensors", None, "has no model.safetensors"),
        ("config.json", "{", "cannot be read as JSON"),
        ("config.json", "[]", "no JSON object"),
        ("config.json", '{"model_type": []}', r"its model_type is \[\]; only models with 'parakeet_ctc' or"),
        ("config.json", '{"model_type": "parakeet_ctc"}', "has no 'encoder_config'"),
        ("config.json", '{"model_type": "parakeet_ctc", "encoder_config": 5}', "has no 'encoder_config'"),
        ("config.json", '{"model_type": "parakeet_encoder", "encoder_config": 5}', "its hidden_size is None"),
        ("config.json", config.replace('"hidden_act": "silu"', '"hidden_act": ["silu"]'), "its hidden_act is"),
        ("config.json", config.replace("parakeet_ctc", "whisper"), "its model_type is 'whisper'; only models with"),
        ("config.json", config.replace('"num_hidden_layers": 2', '"num_hidden_layers": 3'), "is missing"),
        ("model.safetensors", "nothing", "cannot be read as weights"),
    ):
        shutil.rmtree(bad, ignore_errors=True)
        shutil.copytree(good, bad)
        (bad / file).unlink() if content is None else (bad / file).write_text(content)
        refused(bad, words)
    shutil.copytree(good, bad, dirs_exist_ok=True)
    (bad / "model.safetensors").unlink()
    (tmp_path / "elsewhere").write_bytes(pickle.dumps(1))
    (bad / "model.safetensors").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match="a link to"):
        ParakeetSource(bad)
    with pytest.raises(UserError, match="neither a folder nor"):
        ParakeetSource(tmp_path / "missing.nemo")
