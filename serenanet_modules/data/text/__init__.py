"""Text normalisers: one file per language, found by its name.

To add a language, add ``<locale>.py`` (lower case, ``_`` for ``-``) beside this file with a
function ``normalise(text: str) -> str``, whose docstring states its rule. Until then its texts
follow :mod:`serenanet_modules.data.text.default`.
"""

import functools
import importlib
import importlib.util
import re
from collections.abc import Callable

from serenanet_modules.data import codes
from serenanet_modules.data.text import default
from serenanet_modules.data.text.marks import SIGNS, kept, without_marks
from serenanet_modules.data.text.written import PLAIN, Style, styled
from serenanet_modules.errors import UserError

ANY = "und"  # ISO 639's code of a language that nobody has told, whose texts follow the default


def normaliser(locale: str, style: Style = PLAIN) -> Callable[[str], str]:
    """Return the rule that turns a sentence of `locale` into what a recogniser should write.

    The file of the whole locale is looked for first, then that of its language, by whichever ISO 639 code it is named,
    then the default. Before any of them transcribers' marks are left out (`marks.without_marks`). Every rule is
    idempotent: normalised text stays as it is.

    Parameters
    ----------
    locale : str
        As Common Voice writes it, such as ``sw``, ``en`` or ``zh-CN``, or with a code of three letters, ``swa``.
    style : Style
        Whether capitals, punctuation and transcribers' marks stay.

    Raises
    ------
    UserError
        For what is no code of a language.

    Examples
    --------
    >>> normaliser("sw")("Ng’ombe 21, sivyo?")
    "ng'ombe ishirini na moja sivyo"
    >>> normaliser("en")("It's 5 o’clock!")
    "it's five o'clock"
    >>> normaliser("mdw")("Lápo teémi, gωlω.")
    'lápo teémi gωlω'
    >>> normaliser("nru")("[kelele] ə˧ʝi˧-ʂɯ˥ʝi˩ ba:ka.")
    'ə˧ʝi˧ ʂɯ˥ʝi˩ ba:ka'
    """
    return _rule(module_of(locale), style)


@functools.cache
def _rule(module, style):
    rule = styled(module.normalise, style)
    if style.marks == "keep":
        return _once_and_for_all(lambda text: kept(text, rule))
    return _once_and_for_all(lambda text: rule(without_marks(text)))


def _once_and_for_all(rule):
    """The rule, and the rule again where its text has a sign of marks: ``SIL!`` is one once it is ``sil``."""

    def normalise(text):
        found = rule(text)
        return rule(found) if SIGNS.search(found) else found

    return normalise


def rewriter(locale: str) -> Callable[[str], str]:
    """Return what hypotheses go through before they are scored on texts of `locale`.

    That is the text itself, as a recogniser writes by its own rule; but a benchmark with a rule for whatever system is
    scored has a function ``rewrite`` in its file.

    Examples
    --------
    >>> rewriter("en_librispeech")("Mr. Quilter's 2 manuals."), rewriter("sw")("Habari.")
    ("mister quilter's two manuals", 'Habari.')
    """
    return getattr(module_of(locale), "rewrite", str)


def rule_of_others(locale: str, style: Style = PLAIN) -> Callable[[str], str]:
    """Return what texts of any system, with digits and punctuation, go through before they are scored.

    That is the `rewriter`, and then the `normaliser`, which would leave out what the former spells out.

    Examples
    --------
    >>> rule_of_others("en_librispeech")("Mr. Quilter's 2 manuals."), rule_of_others("sw")("Habari.")
    ("mister quilter's two manuals", 'habari')
    """
    rewrite, normalise = rewriter(locale), normaliser(locale, style)
    return lambda text: normalise(rewrite(text))


def has_rules(locale):
    """Whether a language's texts have other rules than the default.

    Examples
    --------
    >>> [has_rules(locale) for locale in ("sw", "swh-KE", "eng", "lug")]
    [True, True, True, False]
    """
    return module_of(locale).normalise is not default.normalise


def module_of(locale):
    """The module of a locale's rule."""
    name = locale.lower().replace("-", "_")
    if not re.fullmatch(r"[a-z]{2,3}(_[a-z0-9]+)*", name):
        raise UserError(f"locale {locale[:60]!r}: is no code of a language, such as sw, en or zh-CN")
    own = name.split("_")[0]
    for module in (name, own, codes.language(own)):
        if importlib.util.find_spec(f"{__name__}.{module}"):
            return importlib.import_module(f"{__name__}.{module}")
    return default
