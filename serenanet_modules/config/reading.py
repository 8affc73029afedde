"""Hyper-parameter files read: parsed, with included files in their places, and what they extend below them."""

import os
from pathlib import Path

from ruamel.yaml.comments import CommentedMap, CommentedSeq

from serenanet_modules.config.foreign import MOST_NODES, children_of, well_formed
from serenanet_modules.config.merging import merge
from serenanet_modules.config.nodes import ruamel_yaml, tag_of
from serenanet_modules.errors import UserError

INCLUDE = "!include:"


def read_yaml(file):
    """A plain yaml file as a dict.

    Raises
    ------
    UserError
        Where it is missing or no mapping.
    """
    return dict(_read(Path(file)))


def stack(files, seen):
    """(path, tree) of the layers of several files' chains: each counts once, a later one over an earlier one."""
    layers = {}
    for file in files:
        layers |= {path: layer for path, layer in _chain(file, seen) if path not in layers}
    return list(layers.items())


def _chain(file, seen):
    """(path, tree) of the root of an ``extends`` chain first, ``file`` last."""
    file = file.resolve() if os.path.exists(file) else file
    if file in seen:
        raise UserError(f"{file}: extends itself through {seen[-1]}; break the circle")
    tree = _read(file)
    parents = tree.pop("extends", [])
    parents = [file.parent / str(parent) for parent in (parents if isinstance(parents, list) else [parents])]
    return [*stack(parents, (*seen, file)), (file, tree)]


def _read(file):
    """Parse one file and put included files in their places."""
    if not os.path.isfile(file):  # unlike Path's, of any name
        raise UserError(f"{file}: no such hyper-parameter file; the ready ones are in hparams/")
    tree = parse(_text(file), file)
    if not isinstance(tree, CommentedMap):
        raise UserError(f"{file}: a hyper-parameter file must be a mapping of keys to values")
    return _include(tree, file)


def _text(file):
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not UTF-8 text ({error})") from None


def parse(text, where):
    with well_formed(where):
        constructor, parser = ruamel_yaml().get_constructor_parser(text)
        try:
            node = constructor.composer.get_single_node()
            if node is None:
                return None
            _check_size(node, where, {})
            return constructor.construct_document(node)
        finally:
            parser.dispose()


def _check_size(node, where, counts):
    """Nodes at and below one, those behind aliases each time; refuses what is more than any file has, or endless."""
    if id(node) not in counts:
        counts[id(node)] = None
        counts[id(node)] = 1 + sum(_check_size(child, where, counts) for child in children_of(node))
    count = counts[id(node)]
    if count is None or count > MOST_NODES:
        raise UserError(f"{where}: its yaml aliases expand to too much")
    return count


def _include(node, file, seen=()):
    """Replace every include below ``node``; paths are relative to ``file``, which ``seen`` include."""
    if isinstance(node, (CommentedMap, CommentedSeq)):
        for key in node if isinstance(node, CommentedMap) else range(len(node)):
            node[key] = _include(node[key], file, seen)
    tag = tag_of(node)
    if not tag.startswith(INCLUDE):
        return node
    target = file.parent / tag[len(INCLUDE) :]
    if not os.path.isfile(target):
        raise UserError(f"{file}: includes {target}, which does not exist")
    if target.resolve() in seen:
        raise UserError(f"{file}: includes {target}, which includes it; break the circle")
    part = parse(_text(target), target)
    part = _include(part, target, (*seen, target.resolve()))
    if isinstance(part, CommentedMap):
        part.ca.comment = None  # a heading between a list's dash and a tag would tear them apart
    if isinstance(node, CommentedMap):
        merge(part, node, file)
    return part


def nest(key, text, files):
    """``a.b``, ``1`` -> {a: {b: 1}}; an unquoted text is taken whole, ``#`` and all."""
    node = parse(text, f"--{key}")
    name = tag_of(node).removeprefix(INCLUDE)
    node = _include(node, next((file for file in files if os.path.isfile(file.parent / name)), files[0]))
    if isinstance(node, str) and text.strip()[0] not in "'\"|>":
        node = text.strip()
    for part in reversed(key.split(".")):
        node = CommentedMap({part: node})
    return node
