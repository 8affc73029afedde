"""A recipe's folder: dataset.yaml, and in its prepare.py the reader of one corpus's layout, or of its text."""

import copy
import importlib.util
import inspect

from ruamel.yaml.comments import CommentedMap

from serenanet_modules.config.carried import there
from serenanet_modules.config.hparams import Hparams
from serenanet_modules.config.nodes import is_placeholder
from serenanet_modules.config.reading import read_yaml
from serenanet_modules.data import corpora
from serenanet_modules.errors import UserError


class Recipe:
    """What stands in ``recipes/<Dataset>[/<lang>]``.

    Parameters
    ----------
    folder : str or Path
        Holds dataset.yaml: ``dataset``, ``locale``, ``prepare`` (the file whose function ``candidates`` reads a corpus
        of speech, or ``texts`` finds files of text, and whose ``downloads`` says where it is published) and ``options``
        (further arguments of ``candidates``, which become hyper-parameters).

    Raises
    ------
    UserError
        Where there is no recipe.
    """

    def __init__(self, folder):
        self.file = there(folder) / "dataset.yaml"
        if not self.file.is_file():
            raise UserError(f"{folder}: has no dataset.yaml; give a recipe's folder such as recipes/CommonVoice/sw")
        self.keys = read_yaml(self.file)
        self._prepare = self.file.parent / self.keys.pop("prepare")
        self.options = dict(self.keys.pop("options", {}))

    @property
    def asks(self):
        """Names of options that have no value until somebody gives one."""
        return [name for name, value in self.options.items() if is_placeholder(value)]

    @property
    def languages(self):
        """Path of languages.tsv beside prepare.py: the code, name, region and measure of each language; or None."""
        table = self._prepare.with_name("languages.tsv")
        return table if table.is_file() else None

    def values(self, data_folder, locale, overrides=()):
        """The recipe's keys with their values, without a model's.

        Parameters
        ----------
        data_folder : str or list of str
        locale : str
            For a recipe that has none.
        overrides : sequence of (str, str)
            ``key``, with dots, and yaml text.

        Returns
        -------
        dict

        Raises
        ------
        UserError
            For an unknown key, a wrong type, or an option without a value.
        """
        tree = copy.deepcopy(CommentedMap({**self.keys, **self.options, "data_folder": data_folder}))
        if is_placeholder(tree["locale"]):
            tree["locale"] = locale
        return Hparams(self.file, tree).override(overrides).plain()

    def candidates(self, values, needs_text=True, roles=None):
        """Read the corpora that hyper-parameters name.

        Parameters
        ----------
        values : dict
            ``data_folder``, ``locale`` and the recipe's own options.
        needs_text : bool
        roles : tuple of str, optional
            Of train, dev and test those that matter; a recipe that can tell them apart reads and asks for no other.

        Returns
        -------
        list of Candidate
        """
        options, reader = {name: values[name] for name in self.options}, self._reader("candidates")
        if roles and "roles" in inspect.signature(reader).parameters:
            options["roles"] = roles
        return corpora.read(values["data_folder"], values["locale"], reader, needs_text, options)

    def texts(self, data_folder):
        """The text files of a corpus.

        Returns
        -------
        list of Path

        Raises
        ------
        UserError
            Where they are not there, or the recipe is of speech.
        """
        return self._reader("texts")(data_folder)

    def downloads(self, parts=None, mirror=None):
        """What a corpus is fetched by.

        Parameters
        ----------
        parts : list of str, optional
            Of it, which the recipe knows.
        mirror : str, optional
            Where it lies, if not where it is published.

        Returns
        -------
        iterable of Download

        Raises
        ------
        UserError
            For an unknown part, and where the corpus is not free to fetch.
        """
        return self._reader("downloads")(parts, mirror)

    def _reader(self, name):
        spec = importlib.util.spec_from_file_location("recipe_prepare", self._prepare)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        if name not in vars(module):
            kind = {"candidates": "speech", "texts": "text", "downloads": "what can be fetched"}[name]
            raise UserError(f"{self.file.parent}: is no recipe of {kind}: {self._prepare.name} has no {name}()")
        return getattr(module, name)
