"""Nodes of a hyper-parameter file as ruamel.yaml keeps them: tags, values, and how they are shown."""

import copy
import io

import ruamel.yaml
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar

PLACEHOLDER = "!PLACEHOLDER"
NAME = "!name:"


def ruamel_yaml(kind="rt"):
    """A reader and writer that keeps tags and comments ("rt"), or one of plain values ("safe")."""
    yaml = ruamel.yaml.YAML(typ=kind)
    if kind == "rt":
        yaml.width = 10_000
    return yaml


def tag_of(node):
    """A node's own tag, or ''."""
    if isinstance(node, (CommentedMap, CommentedSeq, TaggedScalar)):
        tag = node.tag.value
        return "" if tag is None or tag.startswith("tag:yaml.org") else tag
    return ""


def is_placeholder(node):
    """Whether a node says that its value is still to come."""
    return tag_of(node) == PLACEHOLDER


def without_value(tree, path=()):
    """Keys that have no value yet, inside parts with dots."""
    found = set()
    for key, node in tree.items():
        if isinstance(node, CommentedMap):
            found |= without_value(node, (*path, key))
        elif node is None or is_placeholder(node):
            found.add(".".join(map(str, (*path, key))))
    return frozenset(found)


def shown(node):
    """One line of yaml for a value."""
    if isinstance(node, TaggedScalar) and not node.value:
        return tag_of(node)
    stream = io.StringIO()
    yaml = ruamel_yaml()
    yaml.default_flow_style = True
    yaml.dump({"value": _uncommented(copy.deepcopy(node))}, stream)
    return stream.getvalue().strip()[len("{value: ") : -1]


def _uncommented(node):
    if isinstance(node, (CommentedMap, CommentedSeq)):
        node.ca.comment = None
        node.ca.items.clear()
        node.fa.set_flow_style()
        for child in node.values() if isinstance(node, CommentedMap) else node:
            _uncommented(child)
    return node


def bare(node):
    """A node as comparable Python values: its tag, and what it holds."""
    if isinstance(node, TaggedScalar) and tag_of(node).startswith(NAME) and not node.value:
        return "", tag_of(node).removeprefix(NAME)
    if isinstance(node, dict):
        return tag_of(node), {key: bare(value) for key, value in node.items()}
    if isinstance(node, list):
        return tag_of(node), [bare(value) for value in node]
    return tag_of(node), node.value if isinstance(node, TaggedScalar) else node


def arguments_of(node, path, of_part):
    """(dotted name, value) below a node; ``of_part``: whether it stands in a part."""
    if isinstance(node, CommentedMap):
        for key, child in node.items():
            yield from arguments_of(child, (*path, str(key)), of_part or bool(tag_of(node)))
    elif isinstance(node, CommentedSeq) and any(isinstance(child, (CommentedMap, CommentedSeq)) for child in node):
        for i, child in enumerate(node):
            yield from arguments_of(child, (*path, str(i)), of_part)
    elif of_part and not tag_of(node):
        yield ".".join(path), list(node) if isinstance(node, CommentedSeq) else node


class _PlainConstructor(ruamel.yaml.SafeConstructor):
    """Makes an `_OBJECT` of everything that has a tag of its own."""


_OBJECT = object()
_PlainConstructor.add_multi_constructor("!", lambda constructor, suffix, node: _OBJECT)


def plain(text):
    """Top-level scalars, lists and untagged mappings of a yaml text as Python values; tagged nodes are left out."""
    yaml = ruamel_yaml("safe")
    yaml.Constructor = _PlainConstructor
    return {key: value for key, value in yaml.load(text).items() if not _holds_objects(value)}


def _holds_objects(value):
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is _OBJECT or any(map(_holds_objects, children))
