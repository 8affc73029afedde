"""What stands in a result folder that anybody may have made: plain data, and objects of known classes.

To HyperPyYAML a file is a program: ``!apply:`` and ``!applyref:`` call any function of any package, ``!new:`` and
``!name:`` reach one through the modules that a module has imported, ``!include:`` and ``!ref`` read files and compute,
and a plain ``(...)`` is handed to a loader that calls functions too. The file of a finished run needs little of that,
for its references are resolved and its includes in their places. So here it is read by a loader that knows plain
values and two tags, ``!new:`` and ``!name:``, of the classes below, and is judged as a whole before it builds anything.
"""

import contextlib
import copy
import functools
import importlib
import inspect
import os
import re
from pathlib import Path

import ruamel.yaml
from ruamel.yaml.error import YAMLError
from ruamel.yaml.nodes import MappingNode, ScalarNode, SequenceNode
from torch.nn.modules.module import (
    register_module_buffer_registration_hook,
    register_module_parameter_registration_hook,
)

from serenanet_modules.config.keys import check_arguments
from serenanet_modules.errors import UserError

FILE = "hyperparams.yaml"  # of a result folder
FORMAT = 3  # of a result folder, which its hyperparams.yaml says; raise it when other code cannot read what is written
TRUST = "SERENANET_TRUST"  # environment variable: further modules whose classes may be built, parted by commas

ROOMS = frozenset(  # what these export may be built, and nothing else of this package
    f"serenanet_modules.{room}"
    for room in (
        *("lobes", "lobes.frontends", "lobes.encoders", "lobes.pretrained"),
        *("lobes.decoders", "lobes.heads", "lobes.blocks"),
        *("data", "training", "runs"),
    )
)
BRAINS = "serenanet_modules.training.brains"  # whose exports may be named, not built
LIBRARIES = frozenset(
    [
        "speechbrain.augment.time_domain.SpeedPerturb",
        *(f"torch.nn.{name}" for name in ("GELU", "LeakyReLU", "ReLU", "SiLU", "Tanh")),
        *(f"torch.optim.{name}" for name in ("Adam", "AdamW", "SGD")),
    ]
)
NEW, NAME, TUPLE = "!new:", "!name:", "!tuple"
PARENTHESES = re.compile(r"^\(.*\)$")  # HyperPyYAML's tuples, which may lose quotes around them
INTEGER = "tag:yaml.org,2002:int"
SCALARS = frozenset(f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str", "timestamp"))
COLLECTIONS = {"tag:yaml.org,2002:seq": SequenceNode, "tag:yaml.org,2002:map": MappingNode}
PLAIN = SCALARS.union(COLLECTIONS)
MAP = "tag:yaml.org,2002:map"

MALFORMED = (YAMLError, AssertionError, AttributeError, LookupError, TypeError, ValueError)  # what ruamel.yaml dies of

MOST_TEXT = 2**16  # characters of a file; those of the largest models have 6,000
MOST_NODES = 10_000  # of a document, what stands behind an alias counted each time
MOST_DIGITS = 40  # of any whole number
MOST_SIZE = 2**20  # of a number that a class is given
LEAST_ROOM = 2**24  # bytes of parameters and buffers that any file may ask for
ROOM = 4  # times the bytes of the weights' file that they may take; it may hold them in half precision


class Document:
    """Hyper-parameters that anybody may have written: parsed once, judged as a whole, and built from no earlier.

    Parameters
    ----------
    text : str
        Yaml, as a run writes it.
    source : str or Path
        The file that it was found in; errors name it.

    Raises
    ------
    UserError
        For bad yaml, and for the first node that may not be there: its line, tag and class.

    Examples
    --------
    >>> document = Document("seed: 1\\nactivation: !new:torch.nn.GELU", "hyperparams.yaml")
    >>> document.plain(), document.only(["activation"]).build()
    ({'seed': 1}, {'activation': GELU(approximate='none')})
    """

    def __init__(self, text, source):
        self.text, self.source = text, Path(source)
        self._loader, self._node = _checked(text, source)

    @classmethod
    def of_run(cls, folder):
        """The hyperparams.yaml of a result folder; a link that leads out and another format are refused too."""
        inside(folder, FILE)
        file = Path(folder) / FILE
        try:
            with open(file, encoding="utf-8") as stream:
                document = cls(stream.read(MOST_TEXT + 1), file)
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{file}: cannot be read as text ({error})") from None
        check_format(document._part(lambda name, node: name.value == "format" and _untagged(node)).build(), file)
        return document

    def __contains__(self, key):
        return any(name.value == key for name, _ in self._node.value)

    def only(self, keys):
        """The part with those of these top-level keys that it has; its ``text`` stays whole."""
        return self._part(lambda name, _: name.value in keys)

    def plain(self):
        """Top-level values as Python's, without those that are objects or hold some."""
        return self._part(lambda _, node: _untagged(node)).build()

    def arguments(self, key, name):
        """Plain arguments of a top-level part, where it is ``!new:`` and this name; {} where it is something else."""
        found = [node for key_node, node in self._node.value if key_node.value == key]
        if not found or found[0].tag != f"{NEW}{name}" or not isinstance(found[0], MappingNode):
            return {}
        pairs = [pair for pair in found[0].value if _untagged(pair[1])]
        return self._loader.construct_mapping(MappingNode(MAP, pairs, found[0].start_mark), deep=True)

    def _part(self, wanted):
        part = copy.copy(self)
        pairs = [pair for pair in self._node.value if wanted(*pair)]
        part._node = MappingNode(self._node.tag, pairs, self._node.start_mark, self._node.end_mark)
        return part

    def build(self, *weights):
        """Construct all objects; keys to objects and values.

        Parameters
        ----------
        *weights : Path
            The files of the weights that they will get, if any: parameters that are larger than they by far are refused
            before they take any memory.

        Raises
        ------
        UserError
            For a class that cannot be built so, and for too large a model.
        """
        try:
            with bounded(*weights) if weights else contextlib.nullcontext():
                return self._loader.construct_document(self._node)
        except MemoryError:
            raise
        except Exception as error:
            raise UserError(f"{self.source}: {one_line(error.__cause__ or error)}") from error


def check_format(values, file):
    """Refuse a result folder that another version of the code wrote.

    Parameters
    ----------
    values : dict
        Of its hyperparams.yaml.
    file : Path
        That file.

    Raises
    ------
    UserError
    """
    if values.get("format") != FORMAT:
        raise UserError(
            f"{file}: the result folder has format {values.get('format', 'none')}, and this version of SerenaNet reads "
            f"format {FORMAT}; use the version that wrote it, or train anew"
        )


@contextlib.contextmanager
def well_formed(where):
    """Say in one sentence what is wrong with yaml that is parsed inside."""
    try:
        yield
    except MALFORMED as error:
        raise UserError(f"{where}: not valid yaml: {one_line(error)}") from error
    except RecursionError:
        raise UserError(f"{where}: not valid yaml: brackets inside brackets without end") from None


def one_line(error):
    """An exception's message without its line breaks."""
    said = error.args if isinstance(error, TypeError) else (error,)
    return re.sub(r"\s+", " ", ": ".join(map(str, said))).strip()


def inside(folder, *names):
    """Refuse files of a folder that are links to somewhere else.

    Links into the ``blobs`` beside it are those of the Hugging Face hub's cache, whose files are all such.

    Parameters
    ----------
    folder : Path
    *names : str
        Paths below it; those that are not there count as well.

    Raises
    ------
    UserError
        With the first that leads out.
    """
    home = Path(folder).resolve()
    homes = [home, *([home.parents[1] / "blobs"] if home.parent.name == "snapshots" else [])]
    for name in names:
        target = (home / name).resolve()
        if not any(target.is_relative_to(allowed) for allowed in homes):
            raise UserError(f"{folder}: {name} is a link to {target}, outside of the folder; put the file itself there")


class _Loader(ruamel.yaml.SafeLoader):
    """Plain values, tuples, ``!new:`` and ``!name:``; mappings and lists are whole before a class gets them."""

    def construct_object(self, node, deep=True):
        return super().construct_object(node, deep=True)


def _new(loader, name, node):
    args, kwargs = _arguments(loader, name, node)
    found = located(name)
    if not inspect.isclass(found):
        raise ValueError(f"{NEW}{name} is no class")
    try:
        return found(*args, **kwargs)
    except TypeError as error:
        error.args = (f"Invalid argument to class {name}", *error.args)
        raise


def _name(loader, name, node):
    args, kwargs = _arguments(loader, name, node)
    found = located(name)
    return functools.partial(found, *args, **kwargs) if args or kwargs else found


def _tuple(loader, node):
    return tuple(_inside_of(node).get_single_data())


def _inside_of(node):
    return _Loader(f"[{node.value[1:-1]}]")


_Loader.add_multi_constructor(NEW, _new)
_Loader.add_multi_constructor(NAME, _name)
_Loader.add_constructor(TUPLE, _tuple)
_Loader.add_implicit_resolver(TUPLE, PARENTHESES, first="(")


def _arguments(loader, name, node):
    """Of a class of this name, by place and by name; refuses those that cannot be."""
    if isinstance(node, ScalarNode):
        return (), {}
    if isinstance(node, MappingNode):
        given = loader.construct_mapping(node, deep=True)
        plain = {key_node.value for key_node, value in node.value if _untagged(value)}
        check_arguments(((key, value) for key, value in given.items() if key in plain), name.rpartition(".")[2])
        return (), given
    return loader.construct_sequence(node, deep=True), {}


def located(name):
    """The class or function of this name."""
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError):
        raise ImportError(f"There is no such class as {name}") from None
    if not (inspect.isclass(found) or inspect.isroutine(found)):
        raise ImportError(f"There is no such class as {name}")
    return found


def _checked(text, where):
    """A loader, and the document's node."""
    if len(text) > MOST_TEXT:
        raise UserError(f"{where}: is too long for hyper-parameters")
    with well_formed(where):
        loader = _Loader(text)
        node = loader.get_single_node()
        if not isinstance(node, MappingNode):
            raise UserError(f"{where}: a hyper-parameter file must be a mapping of keys to values")
        _Check(where, loader).count(node)
    return loader, node


class _Check:
    """Judges the nodes of a document, and counts them."""

    def __init__(self, where, loader, line=0):
        self._where, self._loader, self._line, self._counts = where, loader, line, {}

    def count(self, node, given=False):
        """Nodes at and below one, those behind aliases each time; ``given``: it is an argument of a class."""
        key = id(node), given
        if key not in self._counts:
            self._counts[key] = None
            self._judge(node, given)
            given = given or node.tag not in PLAIN
            self._counts[key] = 1 + sum(self.count(child, given) for child in children_of(node))
        count = self._counts[key]
        if count is None or count > MOST_NODES:
            self._refuse(node, "its yaml aliases expand to too much")
        return count

    def _judge(self, node, given):
        tag = str(node.tag)
        for kind in (NEW, NAME):
            name = tag.removeprefix(kind)
            if name != tag and not (_permitted(name) or (kind == NAME and _exported(name, {BRAINS}))):
                module = name.rpartition(".")[0] or name
                self._refuse(
                    node,
                    f"a result folder may not build '{tag}'; if you trust whoever made the folder and this class, set "
                    f"{TRUST}={module}",
                )
        parenthesised = isinstance(node, ScalarNode) and PARENTHESES.match(node.value)
        known = tag in PLAIN or tag.startswith((NEW, NAME)) or (tag == TUPLE and parenthesised)
        if not known:
            shown = tag.replace("tag:yaml.org,2002:", "!!")
            self._refuse(node, f"'{shown}' is code or reads other files, and a result folder is opened as data only")
        self._read(node, tag)
        if tag == INTEGER and (len(node.value) > MOST_DIGITS or (given and self._number(node) > MOST_SIZE)):
            self._refuse(node, f"{node.value[:MOST_DIGITS]} is larger than any size of a network")
        if parenthesised:
            loader = _inside_of(node)
            _Check(self._where, loader, self._line + node.start_mark.line).count(loader.get_single_node(), given)

    def _read(self, node, tag):
        """Refuse a value that is not of its kind, and a key that is there twice, also where nobody will build it."""
        if tag in SCALARS and not (tag == INTEGER and len(node.value) > MOST_DIGITS):
            self._loader.construct_object(node)
        elif tag in COLLECTIONS and not isinstance(node, COLLECTIONS[tag]):
            self._refuse(node, "not valid yaml: a list or a mapping is expected here")
        elif isinstance(node, MappingNode):
            names = [name.value for name, _ in node.value if isinstance(name, ScalarNode)]
            if twice := [name for name in names if names.count(name) > 1]:
                self._refuse(node, f"not valid yaml: the key '{twice[0]}' is there twice")

    def _number(self, node):
        try:
            return abs(self._loader.construct_yaml_int(node))
        except ValueError:
            self._refuse(node, f"{node.value!r} is no whole number")

    def _refuse(self, node, why):
        raise UserError(f"{self._where}, line {self._line + node.start_mark.line + 1}: {why}")


def children_of(node):
    """The nodes right below one, of a mapping keys and values."""
    if isinstance(node, MappingNode):
        return [child for pair in node.value for child in pair]
    return [] if isinstance(node, ScalarNode) else node.value


def _untagged(node):
    """Whether a node is plain data, all below it too."""
    return node.tag in PLAIN and all(map(_untagged, children_of(node)))


def _permitted(name):
    return name in LIBRARIES or _exported(name, ROOMS) or _trusted(name)


def _trusted(name):
    """Whether the environment trusts the name's module."""
    trusted = [module.strip() for module in os.environ.get(TRUST, "").split(",") if module.strip()]
    return bool(re.fullmatch(r"[\w.]+", name)) and any(name.startswith(f"{module}.") for module in trusted)


def _exported(name, rooms):
    """Whether one of the rooms exports the name: not what its files have imported."""
    room, _, attribute = name.rpartition(".")
    return room in rooms and attribute in importlib.import_module(room).__all__


def brain_named(name, where):
    """The Brain class that a result folder names.

    Raises
    ------
    UserError
        For a name that it may not say, or of nothing.
    """
    if not (_exported(name, {BRAINS}) or _trusted(name)):
        raise UserError(
            f"{where}: 'brain' is {name}, which is not part of this project; if you trust it, set "
            f"{TRUST}={name.rpartition('.')[0]}"
        )
    try:
        found = located(name)
    except ImportError as error:
        raise UserError(f"{where}: {error}") from None
    if not inspect.isclass(found):
        raise UserError(f"{where}: 'brain' is {name}, which is no class")
    return found


@contextlib.contextmanager
def bounded(*weights):
    """Refuse a parameter, before it is filled, or a buffer with which a model outgrows the files of its weights."""
    room, taken = max(LEAST_ROOM, ROOM * sum(Path(file).stat().st_size for file in weights)), 0

    def count(module, name, tensor):
        nonlocal taken
        taken += 0 if tensor is None else tensor.nbytes
        if taken > room:
            raise ValueError(f"the model is far larger than {weights[0]}; that is cut short, or belongs to another one")

    with contextlib.ExitStack() as hooks:
        hooks.callback(register_module_parameter_registration_hook(count).remove)
        hooks.callback(register_module_buffer_registration_hook(count).remove)
        yield
