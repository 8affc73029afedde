"""Every part and model that hparams/ holds, found by itself and built at the size of a test.

A part is a file that makes one object (``!new:``), a model any other. What a file calls an alternative of a value
(``key: value # or other, another``) is built too, and so are switches in the other position. Files that come out alike
are built once.
"""

import re
from dataclasses import dataclass
from functools import cache

import torch
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar

from serenanet_modules.config.foreign import Document
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.config.nodes import is_placeholder
from tests.support.encoders import TINY, settled
from tests.support.tiny import ROOT

FOLDER = ROOT / "hparams"
SUITE = {"variants", "values"}  # keys of a file that describes no model
SIZES = {  # what these keys become at most, wherever they stand
    **{"d_model": 32, "n_mels": 20, "n_fft": 512, "n_units": 7, "n_clusters": 5, "n_heads": 2, "n_layers": 2},
    "attention_every": 2,
    "d_hidden": 24,
    **{"d_ffn": 32, "kernel_size": 5, "d_state": 4, "headdim": 8, "gate_size": 8, "channels": [4, 3], "filters": 6},
    **{"most_seconds": 1.0, "positions": 64},
    **{"mask_start": 0.3, "mask_length": 2, "dropout": 0.1},
}
LARGEST = 80_000  # parameters
FURTHER = {  # changes to try where a file has such a key, beside those that it names itself
    "right_context": [{"right_context": "2", "causal": "true"}],
    "max_gap": [{"max_gap": "2"}],
    "global_tokens": [{"window": "2"}, {"window": "3", "global_tokens": "2"}],
    "look_aheads": [
        {"look_aheads": look_aheads, "left_context": "4"} for look_aheads in ("[0]", "[3, 1, 0]", "[all, 1]")
    ],
    "resolutions": [{"resolutions": "[4]"}, {"resolutions": "[3]", "output_stride": "2"}],
    "output_stride": [{"output_stride": "1"}],
    "language": [*({"source": name} for name in TINY), {"source": "whisper", "window": "padded"}],
}


@dataclass(frozen=True)
class Found:
    """One thing to build.

    Attributes
    ----------
    kind : str
        ``models``, or the folder of a part.
    name : str
        The file, and what is changed in it.
    text : str
        Standalone yaml of ``model``, which may be a part, and of what it needs.
    """

    kind: str
    name: str
    text: str

    def build(self):
        """The model or part, in evaluation mode; all of it learns, also what is frozen unless someone asks.

        Matrices that begin as zeros or as the identity are made random: they would hide what flows through them.
        """
        torch.manual_seed(1)
        part = Document(self.text, self.name).build()["model"].eval().requires_grad_(True)
        size = sum(p.numel() for p in part.parameters())
        assert size < LARGEST, f"{self.name} has {size} parameters: SIZES in tests/support/parts.py lacks a key"
        for parameter in part.parameters():
            if parameter.dim() == 2 and (not parameter.any() or torch.equal(parameter, torch.eye(*parameter.shape))):
                torch.nn.init.normal_(parameter, std=0.5)
        return part

    def __str__(self):
        return self.name


@cache
def everything():
    """All that there is, a list of `Found`."""
    found = {}
    for file in sorted(FOLDER.rglob("*.yaml"), key=lambda file: (len(file.parts), file)):
        for thing in _of(file):
            found.setdefault((thing.kind, thing.text), thing)
    return list(found.values())


def _of(file):
    """The `Found` of one file: as it is, and with each change."""
    path = file.relative_to(FOLDER)
    name, own = path.with_suffix("").as_posix(), YAML().load(file.read_text(encoding="utf-8"))
    if SUITE & own.keys() or (own.tag.value or "").startswith("!name:"):  # which is an optimizer
        return
    is_part = (own.tag.value or "").startswith("!new:")
    for changes in [{}, *_changes(own, is_part, "model." if is_part else "")]:
        hparams = Hparams.load(_under(path) if is_part else [*_under(path), file])
        for key in [key for key, node in hparams.tree.items() if is_placeholder(node)]:
            hparams.set(key, "none")
        if is_part:
            hparams.override([("model", f"!include:{path}")])
        text = tiny_model(hparams.override(changes.items()))
        told = "".join(f" {key.removeprefix('model.')}={value}" for key, value in changes.items())
        yield Found(file.parent.name if is_part else "models", name + told, text)


def tiny_model(hparams):
    """Standalone yaml of the model, at the size of a test."""
    _shrink(hparams.tree)
    settled(hparams)
    needed = _needed(hparams.tree, ["model"])
    return Hparams(hparams.source, CommentedMap((key, hparams.tree[key]) for key in needed)).text


def _under(path):
    """The model that a part goes into, or under a layer: of sizes and ablations that which their folder names."""
    model = path.parent.name if len(path.parts) == 3 else "serenanet"
    return [] if len(path.parts) == 1 else [FOLDER / f"{model}.yaml"]


def _changes(own, is_part, prefix):
    """Changes of a file's own keys, each a mapping of keys with dots to yaml texts."""
    for key, node in own.items():
        comment = own.ca.items.get(key, [None] * 3)[2]
        told = re.match(r"# or (!include:\S+|[^:;,\s]+(?:, [^:;,\s]+)*)", comment.value if comment else "")
        for value in told[1].split(", ") if told else []:
            yield {prefix + key: f"!include:{value}" if re.match(r"[^!].*\.yaml", value) else value}
        if is_part and isinstance(node, bool):
            yield {prefix + key: str(not node).lower()}
        if is_part:
            yield from ({prefix + k: v for k, v in change.items()} for change in FURTHER.get(key, []))
        if isinstance(node, CommentedMap):
            yield from _changes(node, is_part, f"{prefix}{key}.")


def _shrink(node):
    for key, value in node.items() if isinstance(node, CommentedMap) else []:
        if key not in SIZES:
            _shrink(value)
        elif isinstance(value, (int, float)):
            node[key] = min(value, SIZES[key])
        else:
            node[key] = SIZES[key]


def _needed(tree, keys):
    """Top-level keys that these refer to, themselves included, in the order in which a training builds them."""
    needed, todo = [], list(keys)
    while todo:
        key = todo.pop(0)
        if key in tree and key not in needed:
            needed.append(key)
            todo += _references(tree[key])
    return [key for key in tree if key in needed]


def _references(node):
    if isinstance(node, CommentedMap):
        return [name for value in node.values() for name in _references(value)]
    if isinstance(node, CommentedSeq):
        return [name for value in node for name in _references(value)]
    return re.findall(r"<(\w+)", node.value) if isinstance(node, TaggedScalar) and node.value else []
