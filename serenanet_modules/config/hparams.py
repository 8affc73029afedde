"""Hyper-parameter files: layers of HyperPyYAML merged into one standalone file.

A file may begin with ``extends: other.yaml`` and then holds only what differs. It may extend several,
``extends: [small.yaml, task.yaml]``: of their chains each file counts once, a later one over an earlier one; several
files of a command line stack likewise. Layers merge in the order base < dataset < extending files < command line:

- a tagged node (``!new:``, ``!name:``, ``!ref``, ``!include:``) or a list replaces what stood there;
- an untagged mapping merges into what stood there, keeping its class; an empty one there takes any keys;
- a key that the base does not know is an error that names the file, and so is a value of another kind than the base's;
  what the base leaves open (null, ``!PLACEHOLDER``) takes any kind, as often as it is given.

``part: !include:parts/x.yaml`` puts that file's content, merged with the mapping that follows, in the place of the
node. ``!ref <key>`` always means a key of the whole document, in included files too. Dots reach into mappings on
the command line: ``--frontend.output_stride 2``; an include there is looked for beside each file that was given.
"""

import copy
import difflib
import functools
import io
import os
from pathlib import Path

import ruamel.yaml
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.comments import CommentedMap, CommentedSeq, TaggedScalar

from serenanet_modules.config.foreign import MALFORMED, MOST_NODES, children_of, one_line
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import replacing

INCLUDE = "!include:"
PLACEHOLDER = "!PLACEHOLDER"
NAME = "!name:"
COMMAND_LINE = "the command line"


class Hparams:
    """A merged, standalone document that has not built any object yet.

    Attributes
    ----------
    source : Path
        The file that was asked for, the last of several; errors name it.
    tree : CommentedMap
        The merged nodes.
    unset : frozenset of str, optional
        Top-level keys whose values may be of any kind; by default those of the tree that have no value.
    files : list of Path, optional
        Files beside which a command line's includes may stand; ``source`` alone by default.
    layers : list of (Path, CommentedMap), optional
        What the tree was merged from, the lowest first; `told` names them.
    """

    def __init__(self, source, tree, unset=None, files=None, layers=()):
        self.source, self.tree = Path(source), tree
        self._unset = _unset(tree) if unset is None else unset
        self._files, self._layers = files or [self.source], list(layers)

    @classmethod
    def load(cls, files, dataset=None, options=None, needs=None):
        """Merge one or more files, all they extend, and a dataset's keys.

        Parameters
        ----------
        files : str, Path or list of them
            Of several a later one goes over an earlier one, and what they extend in common counts once.
        dataset : mapping of str to (str, str), optional
            Plain keys of the dataset: the file that says so, and the value.
        options : mapping, optional
            Keys that only this dataset has, and their values.
        needs : str, optional
            A key that the lowest file must have, for otherwise it is a layer without what it is to be laid over.

        Raises
        ------
        UserError
            For a missing file, bad yaml, an unknown key or a wrong type.
        """
        files = [Path(file) for file in (files if isinstance(files, list) else [files])]
        (root, tree), *above = _stack(files, seen=())
        if needs is not None and needs not in tree:
            raise UserError(f"{root}: is to be laid over a model; give that first, such as hparams/serenanet.yaml")
        for key, value in (options or {}).items():
            if key in tree:
                raise UserError(f"{root}: '{key}' is a hyper-parameter; the dataset's option needs another name")
            tree[key] = copy.deepcopy(value)
        said = [(where, CommentedMap({key: value})) for key, (where, value) in (dataset or {}).items()]
        for where, layer in said:
            _merge(tree, layer, where)
        unset = _unset(tree)
        for where, layer in above:
            _merge(tree, layer, where, unset)
        layers = [(root, tree), *said, *above]
        return cls(files[-1], tree, unset, [*files, root], layers)

    def override(self, overrides):
        """Merge the command line: (key with dots, yaml text of the value) pairs.

        Raises
        ------
        UserError
            For an unknown key, a wrong type, or a key that has no value even now.
        """
        return self.lay(overrides).complete()

    def lay(self, overrides):
        """As `override`; what has no value yet may come later."""
        self.__dict__.pop("text", None)
        for key, text in overrides:
            layer = _nest(key, text, self._files)
            _merge(self.tree, layer, COMMAND_LINE, self._unset)
            self._layers.append((COMMAND_LINE, layer))
        return self

    def complete(self):
        """Itself; refuses a key that has no value even now."""
        for key, node in self.tree.items():
            if is_placeholder(node):
                raise UserError(f"{self.source}: '{key}' has no value; give it with --{key} VALUE")
        return self

    def __contains__(self, key):
        return key in self.tree

    @property
    def layers(self):
        """(file, what it says) of each layer, the lowest first, the command line last."""
        return tuple(self._layers)

    def is_switch(self, key):
        """Whether a key, with dots, is true or false now."""
        node = self.tree
        for part in key.split("."):
            node = node.get(part) if isinstance(node, CommentedMap) else None
        return isinstance(node, bool)

    def told(self):
        """The merged document as yaml, with a comment on each line that names the layer that says it."""
        return "\n".join(_told(self.tree, self._layers, ()))

    def set(self, key, value):
        """Give a top-level key its final value."""
        self.__dict__.pop("text", None)
        self.tree[key] = value

    def part(self, key, name):
        """Arguments of a part that are plain, where it is ``!new:`` and this name; None where it is something else."""
        node = self.tree.get(key)
        if _tag(node) != f"!new:{name}" or not isinstance(node, CommentedMap):
            return None
        return {argument: value for argument, value in node.items() if not _tag(value)}

    def arguments(self):
        """(name with dots, value) of the arguments of all parts, references resolved; of lists those of plain values.

        A top-level key's own value is none, nor is what stands in a mapping that is no part.
        """
        yield from _arguments(_parse(self.text, self.source), (), False)

    def fill(self, key, arguments):
        """Give a plain key, or arguments of a part, their final values, plain ones."""
        self.__dict__.pop("text", None)
        if isinstance(arguments, dict):
            self.tree[key].update(arguments)
        else:
            self.tree[key] = arguments

    def without(self, keys):
        """The same with the values of top-level keys blanked, for what does not depend on them."""
        tree = CommentedMap(self.tree)
        tree.update(dict.fromkeys(keys, ""))
        return self._of(tree)

    def only(self, keys):
        """The document with those of these top-level keys that it has, and no others."""
        return self._of(CommentedMap({key: self.tree[key] for key in keys if key in self.tree}))

    def extended(self, text):
        """The same with further keys (yaml text), also inside mappings that are there."""
        tree = copy.deepcopy(self.tree)
        _lay(tree, _parse(text, self.source))
        return self._of(tree)

    def named(self, key):
        """The same with a class's name alone in the place of ``!name:class``, so that `build` does not import it."""
        tree = CommentedMap(self.tree)
        tree[key] = _tag(tree[key]).removeprefix(NAME)
        return self._of(tree)

    def _of(self, tree):
        return Hparams(self.source, tree, self._unset, self._files, self._layers)

    def differences(self, file, free=()):
        """Top-level keys, ``free`` ones aside, that have another value in another standalone file.

        What only one of the two has is none, and a class's name is the same with and without ``!name:``.
        """
        mine, other = (_parse(text, file) for text in (self.text, Path(file).read_text(encoding="utf-8")))
        common = [key for key in mine if key in other and key not in free]
        return [key for key in common if _bare(mine[key]) != _bare(other[key])]

    @functools.cached_property
    def text(self):
        """The standalone yaml, references resolved."""
        stream = io.StringIO()
        _yaml().dump(self.tree, stream)
        try:
            return resolve_references(stream.getvalue()).getvalue()
        except RecursionError:
            raise UserError(f"{self.source}: a !ref refers to itself") from None
        except Exception as error:  # of arithmetic too, which a !ref may hold
            raise UserError(f"{self.source}: a !ref cannot be resolved: {error}") from error

    def plain(self):
        """Top-level scalars, lists and untagged mappings as Python values; tagged nodes are left out."""
        yaml = _yaml("safe")
        yaml.Constructor = _PlainConstructor
        return {key: value for key, value in yaml.load(self.text).items() if not _holds_objects(value)}

    def build(self):
        """Construct every object of the document; the result maps keys to objects and values."""
        try:
            return load_hyperpyyaml(self.text)
        except MemoryError:
            raise
        except Exception as error:
            raise UserError(f"{self.source}: {one_line(error.__cause__ or error)}") from error


def write_layer(path, parents, overrides):
    """Write a file that extends others by overrides as those of a command line.

    Parameters
    ----------
    path : Path
    parents : list of Path
        A later one goes over an earlier one.
    overrides : list of (str, str)
        Keys with dots, and yaml texts of the values; an include there is looked for beside each of ``parents``.
    """
    tree = CommentedMap({"extends": [str(parent.resolve()) for parent in parents]})
    for key, text in overrides:
        _lay(tree, _nest(key, text, parents))
    with replacing(path) as partial, open(partial, "w", encoding="utf-8") as file:
        _yaml().dump(tree, file)


def _lay(tree, layer):
    """Merge as `_merge` does, into a tree that does not know the keys yet."""
    for key, new in layer.items():
        if isinstance(tree.get(key), CommentedMap) and isinstance(new, CommentedMap) and not _tag(new):
            _lay(tree[key], new)
        else:
            tree[key] = new


def read_yaml(file):
    """A plain yaml file as a dict.

    Raises
    ------
    UserError
        Where it is missing or no mapping.
    """
    return dict(_read(Path(file)))


def is_placeholder(node):
    """Whether a node says that its value is still to come."""
    return _tag(node) == PLACEHOLDER


def shown(node):
    """One line of yaml for a value."""
    if isinstance(node, TaggedScalar) and not node.value:
        return _tag(node)
    stream = io.StringIO()
    yaml = _yaml()
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


def _told(tree, layers, path):
    """Lines of a mapping and what is below it."""
    for key, node in tree.items():
        here = (*path, key)
        nested = isinstance(node, CommentedMap) and len(node) > 0
        says = next(where for where, layer in reversed(layers) if _says(layer, here, nested) or layer is layers[0][1])
        said_by = os.path.relpath(says) if isinstance(says, Path) else says
        value = _tag(node) if nested else shown(node)
        yield f"{'    ' * len(path)}{key}:{' ' * bool(value)}{value} # {said_by}"
        if nested:
            yield from _told(node, layers, here)


def _says(layer, path, nested):
    """Whether a layer gives the node of this path, or one in the place of what it stands in; keys alone merge."""
    node = layer
    for key in path:
        if not isinstance(node, CommentedMap) or key not in node:
            return node is not layer and (not isinstance(node, CommentedMap) or bool(_tag(node)))
        node = node[key]
    return not nested or bool(_tag(node))


def _arguments(node, path, of_part):
    """(dotted name, value) below a node; ``of_part``: whether it stands in a part."""
    if isinstance(node, CommentedMap):
        for key, child in node.items():
            yield from _arguments(child, (*path, str(key)), of_part or bool(_tag(node)))
    elif isinstance(node, CommentedSeq) and any(isinstance(child, (CommentedMap, CommentedSeq)) for child in node):
        for i, child in enumerate(node):
            yield from _arguments(child, (*path, str(i)), of_part)
    elif of_part and not _tag(node):
        yield ".".join(path), list(node) if isinstance(node, CommentedSeq) else node


def _unset(tree):
    return frozenset(key for key, node in tree.items() if node is None or is_placeholder(node))


def _yaml(kind="rt"):
    yaml = ruamel.yaml.YAML(typ=kind)
    if kind == "rt":
        yaml.width = 10_000
    return yaml


def _stack(files, seen):
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
    return [*_stack(parents, (*seen, file)), (file, tree)]


def _read(file):
    """Parse one file and put included files in their places."""
    if not os.path.isfile(file):  # unlike Path's, of any name
        raise UserError(f"{file}: no such hyper-parameter file; the ready ones are in hparams/")
    tree = _parse(_text(file), file)
    if not isinstance(tree, CommentedMap):
        raise UserError(f"{file}: a hyper-parameter file must be a mapping of keys to values")
    return _include(tree, file)


def _text(file):
    try:
        return file.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"{file}: is not UTF-8 text ({error})") from None


def _parse(text, where):
    try:
        constructor, parser = _yaml().get_constructor_parser(text)
        try:
            node = constructor.composer.get_single_node()
            if node is None:
                return None
            _check_size(node, where, {})
            return constructor.construct_document(node)
        finally:
            parser.dispose()
    except MALFORMED as error:
        raise UserError(f"{where}: not valid yaml: {one_line(error)}") from error
    except RecursionError:
        raise UserError(f"{where}: not valid yaml: brackets inside brackets without end") from None


def _check_size(node, where, counts):
    """Nodes at and below one, those behind aliases each time; refuses what is more than any file has, or endless."""
    if id(node) not in counts:
        counts[id(node)] = None
        counts[id(node)] = 1 + sum(_check_size(child, where, counts) for child in children_of(node))
    count = counts[id(node)]
    if count is None or count > MOST_NODES:
        raise UserError(f"{where}: its aliases stand for more than can be built")
    return count


def _include(node, file, seen=()):
    """Replace every include below ``node``; paths are relative to ``file``, which ``seen`` include."""
    if isinstance(node, (CommentedMap, CommentedSeq)):
        for key in node if isinstance(node, CommentedMap) else range(len(node)):
            node[key] = _include(node[key], file, seen)
    tag = _tag(node)
    if not tag.startswith(INCLUDE):
        return node
    target = file.parent / tag[len(INCLUDE) :]
    if not os.path.isfile(target):
        raise UserError(f"{file}: includes {target}, which does not exist")
    if target.resolve() in seen:
        raise UserError(f"{file}: includes {target}, which includes it; break the circle")
    part = _parse(_text(target), target)
    part = _include(part, target, (*seen, target.resolve()))
    if isinstance(part, CommentedMap):
        part.ca.comment = None  # a heading between a list's dash and a tag would tear them apart
    if isinstance(node, CommentedMap):
        _merge(part, node, file)
    return part


def _nest(key, text, files):
    """``a.b``, ``1`` -> {a: {b: 1}}; an unquoted text is taken whole, ``#`` and all."""
    node = _parse(text, f"--{key}")
    name = _tag(node).removeprefix(INCLUDE)
    node = _include(node, next((file for file in files if os.path.isfile(file.parent / name)), files[0]))
    if isinstance(node, str) and text.strip()[0] not in "'\"|>":
        node = text.strip()
    for part in reversed(key.split(".")):
        node = CommentedMap({part: node})
    return node


def _merge(base, layer, where, unset=(), path=()):
    """Merge a layer; ``unset`` are keys of the top level that take any kind of value."""
    for key, new in layer.items():
        dotted = ".".join(map(str, (*path, key)))
        if key not in base:
            close = difflib.get_close_matches(str(key), map(str, base), n=1)
            hint = f"; did you mean '{close[0]}'?" if close else ""
            raise UserError(f"{where}: unknown key '{dotted}'{hint}")
        old = base[key]
        if isinstance(old, CommentedMap) and isinstance(new, CommentedMap) and not _tag(new):
            if old or _tag(old):
                _merge(old, new, where, path=(*path, key))
            else:
                base[key] = new
        else:
            if isinstance(old, str) and isinstance(new, (int, float)) and not isinstance(new, bool):
                new = str(new)  # a name such as 7 is a text too
            _check_type(None if dotted in unset else old, new, dotted, where)
            base[key] = new


def _check_type(old, new, dotted, where):
    """Refuse a plain value of another kind than the one that it replaces."""
    if isinstance(new, CommentedMap) and not _tag(new):
        raise UserError(f"{where}: '{dotted}' has no keys of its own here; give it one value")
    if isinstance(old, CommentedMap) and not _tag(new) and (new is not None or not _tag(old)):
        raise UserError(f"{where}: '{dotted}' must be a mapping of keys to values, not {new!r}")
    if _tag(old) or _tag(new) or old is None or isinstance(old, CommentedMap):
        return
    if new is None and isinstance(old, str):
        return
    kinds = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    kinds[CommentedSeq] = "a list"
    for kind, name in kinds.items():
        if isinstance(old, kind):
            accepted = (int, float) if kind is float else kind
            if not isinstance(new, accepted) or (isinstance(new, bool) and kind is not bool):
                raise UserError(f"{where}: '{dotted}' must be {name}, not {new!r}")
            return


def _tag(node):
    """A node's own tag, or ''."""
    if isinstance(node, (CommentedMap, CommentedSeq, TaggedScalar)):
        tag = node.tag.value
        return "" if tag is None or tag.startswith("tag:yaml.org") else tag
    return ""


def _bare(node):
    """A node as comparable Python values: its tag, and what it holds."""
    if isinstance(node, TaggedScalar) and _tag(node).startswith(NAME) and not node.value:
        return "", _tag(node).removeprefix(NAME)
    if isinstance(node, dict):
        return _tag(node), {key: _bare(value) for key, value in node.items()}
    if isinstance(node, list):
        return _tag(node), [_bare(value) for value in node]
    return _tag(node), node.value if isinstance(node, TaggedScalar) else node


class _PlainConstructor(ruamel.yaml.SafeConstructor):
    """Makes an `OBJECT` of everything that has a tag of its own."""


OBJECT = object()
_PlainConstructor.add_multi_constructor("!", lambda constructor, suffix, node: OBJECT)


def _holds_objects(value):
    children = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is OBJECT or any(map(_holds_objects, children))
