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
import functools
import io
from pathlib import Path

from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml.comments import CommentedMap

from serenanet_modules.config.foreign import one_line
from serenanet_modules.config.keys import check_arguments
from serenanet_modules.config.merging import lay, merge
from serenanet_modules.config.nodes import (
    NAME,
    arguments_of,
    bare,
    is_placeholder,
    plain,
    ruamel_yaml,
    tag_of,
    without_value,
)
from serenanet_modules.config.reading import nest, parse, stack
from serenanet_modules.config.telling import told
from serenanet_modules.config.usual import usual_arguments
from serenanet_modules.errors import UserError
from serenanet_modules.runtime.files import replacing

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
        As of `merge`; by default those of the tree that have no value.
    files : list of Path, optional
        Files beside which a command line's includes may stand; ``source`` alone by default.
    layers : list of (Path, CommentedMap), optional
        What the tree was merged from, the lowest first; `told` names them.
    """

    def __init__(self, source, tree, unset=None, files=None, layers=()):
        self.source, self.tree = Path(source), tree
        self._unset = without_value(tree) if unset is None else unset
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
        (root, tree), *above = stack(files, seen=())
        if needs is not None and needs not in tree:
            raise UserError(
                f"{root}: is a layer over a model; give the model's file first, such as hparams/serenanet.yaml"
            )
        for key, value in (options or {}).items():
            if key in tree:
                raise UserError(f"{root}: '{key}' is a hyper-parameter; the dataset's option needs another name")
            tree[key] = copy.deepcopy(value)
        said = [(where, CommentedMap({key: value})) for key, (where, value) in (dataset or {}).items()]
        for where, layer in said:
            merge(tree, layer, where)
        unset = without_value(tree)
        for where, layer in above:
            merge(tree, layer, where, unset)
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
            if not text.strip():
                raise UserError(f"--{key}: is empty; give a value, or null for none")
            layer = nest(key, text, self._files)
            merge(self.tree, layer, COMMAND_LINE, self._unset)
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
        return "\n".join(told(self.tree, self._layers, ()))

    def set(self, key, value):
        """Give a top-level key its final value."""
        self.__dict__.pop("text", None)
        self.tree[key] = value

    def part(self, key, name):
        """Arguments of a part that are plain, where it is ``!new:`` and this name; None where it is something else."""
        node = self.tree.get(key)
        if tag_of(node) != f"!new:{name}" or not isinstance(node, CommentedMap):
            return None
        return {argument: value for argument, value in node.items() if not tag_of(value)}

    def arguments(self):
        """(name with dots, value) of the arguments of all parts, references resolved; of lists those of plain values.

        A top-level key's own value is none, nor is what stands in a mapping that is no part.
        """
        yield from arguments_of(parse(self.text, self.source), (), False)

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
        lay(tree, parse(text, self.source))
        return self._of(tree)

    def named(self, key):
        """The same with a class's name alone in the place of ``!name:class``, so that `build` does not import it."""
        tree = CommentedMap(self.tree)
        tree[key] = tag_of(tree[key]).removeprefix(NAME)
        return self._of(tree)

    def _of(self, tree):
        return Hparams(self.source, tree, self._unset, self._files, self._layers)

    def differences(self, file, free=()):
        """Top-level keys, ``free`` ones aside, that have another value in another standalone file.

        What only one of the two has is none, and a class's name is the same with and without ``!name:``.
        """
        mine, other = (parse(text, file) for text in (self.text, Path(file).read_text(encoding="utf-8")))
        common = [key for key in mine if key in other and key not in free]
        return [key for key in common if bare(mine[key]) != bare(other[key])]

    def other_arguments(self, file, parts):
        """(name, value here, value there) of those `arguments` that another standalone file has with another value.

        What a part does not name is as `usual_arguments` have it. The file's classes are imported: it must have been
        judged as a `Document`.

        Parameters
        ----------
        file : Path
        parts : iterable of str
            Top-level keys.
        """
        here, there = (
            {**usual_arguments(tree), **dict(arguments_of(tree, (), False))}
            for text in (self.text, Path(file).read_text(encoding="utf-8"))
            for tree in [CommentedMap({key: part for key, part in parse(text, file).items() if key in parts})]
        )
        return [(name, value, there[name]) for name, value in here.items() if there.get(name, value) != value]

    @functools.cached_property
    def text(self):
        """The standalone yaml, references resolved."""
        stream = io.StringIO()
        ruamel_yaml().dump(self.tree, stream)
        try:
            return resolve_references(stream.getvalue()).getvalue()
        except RecursionError:
            raise UserError(f"{self.source}: a !ref refers to itself") from None
        except Exception as error:  # of arithmetic too, which a !ref may hold
            raise UserError(f"{self.source}: a !ref cannot be resolved: {error}") from error

    def plain(self):
        """Top-level scalars, lists and untagged mappings as Python values; tagged nodes are left out."""
        return plain(self.text)

    def build(self):
        """Construct every object of the document; the result maps keys to objects and values.

        Raises
        ------
        UserError
            For arguments that cannot be, as of `check_arguments`, and for what a class refuses.
        """
        check_arguments(self.arguments(), self.source)
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
        lay(tree, nest(key, text, parents))
    with replacing(path) as partial, open(partial, "w", encoding="utf-8") as file:
        ruamel_yaml().dump(tree, file)
