"""``serenanet validate``: what a training would find in a corpus, without training."""

import contextlib
import logging
import unicodedata
from collections import Counter, defaultdict
from pathlib import Path

from serenanet_modules.analysis.corpus import characters, outliers, plot, speech_rate
from serenanet_modules.analysis.spelling import asides, changed, left_out, numbers
from serenanet_modules.config.carried import HOME
from serenanet_modules.data.corpora import entries, lacking
from serenanet_modules.data.custom import annotated
from serenanet_modules.data.manifest import role
from serenanet_modules.data.recipe import Recipe
from serenanet_modules.data.sifting import Settings, inspect
from serenanet_modules.data.splitting import SplitError
from serenanet_modules.data.summary import crossing, in_words, summarise, table
from serenanet_modules.errors import LayoutError, UserError
from serenanet_modules.runtime.amounts import counted, duration

RECIPES = HOME / "recipes"
MOST_CHANGED = 60  # characters
MOST_RECORDINGS = 100  # shown
EXAMPLES = 5  # shown of each kind
RARE = 5  # occurrences in train below which a character can hardly be learned
LITTLE = 600  # seconds of train that hardly teach a model from nothing
ANY_LOCALE = "und"  # has no text rule of its own
FIGURES = (".png", ".pdf", ".svg")
COLUMNS = 8  # characters in a line of the inventory


def run(data, recipe=None, overrides=(), unlabelled=False, decode=False, figure=None, jobs=None):
    """Inspect a corpus and print a report.

    Parameters
    ----------
    data : list of str
        What ``data_folder`` may name.
    recipe : str, optional
        Its folder; by default the first whose layout the corpus has.
    overrides : sequence of (str, str)
        ``locale`` and the recipe's own options, and their values as yaml.
    unlabelled : bool
        Whether to check for pre-training, which needs no text.
    decode : bool
        Whether to decode all audio rather than read its headers.
    figure : str, optional
        Where to draw it.
    jobs : int, optional

    Returns
    -------
    bool
        Whether a training could start.

    Raises
    ------
    UserError
    """
    if figure and Path(figure).suffix.lower() not in FIGURES:
        raise UserError(f"--plot {figure}: a figure's name ends in {', '.join(FIGURES)}")
    paths = [str(path) for path in entries(data)]
    locale = dict(overrides).get("locale", ANY_LOCALE)
    found = Recipe(recipe) if recipe else guess(paths, locale, unlabelled)
    values, wrong = found.values(paths, locale, overrides), []
    try:
        candidates = found.candidates(values, needs_text=not unlabelled)
    except SplitError as error:  # what is in it is said all the same
        values, wrong = values | {"shares": {"train": 1}}, [str(error)]
        candidates = found.candidates(values, needs_text=not unlabelled)
    print(f"{counted(len(candidates), 'utterance')}, read as {found.file.parent.name} (language: {values['locale']})")
    if values["locale"] == ANY_LOCALE:
        print("note: no --locale: rows without a locale use the default text rules")
    settings = Settings(needs_text=not unlabelled)
    clips = inspect(candidates, settings, decode, jobs)
    for line in report(clips, decode):
        print(line)
    if figure:
        plot(figure, clips, settings.frame_rate)
        print(f"\nfigure: {figure}")
    wrong = wrong or list(problems(clips))
    print("", *(f"problem: {problem}" for problem in wrong), *([] if wrong else verdict(clips, unlabelled)), sep="\n")
    return not wrong


def guess(data, locale, unlabelled=False):
    """The recipe in whose layout the first folder of a corpus is.

    Raises
    ------
    UserError
        Where there is none: what is wrong in the first layout that the folder has half of.
    """
    folder = next((path for path in data if Path(path).is_dir()), None)
    own, first = Recipe(RECIPES / "Custom"), None
    others = [Recipe(file.parent) for file in sorted(RECIPES.glob("*/dataset.yaml")) if file != own.file]
    for recipe in (*others, own) if folder else ():  # own last: the lists of others look like manifests
        if recipe is own and not first and annotated(Path(folder)):
            return own  # whichever tier is meant
        if not recipe.asks:
            try:
                with _unheard():  # what it warns of is said when it is read
                    recipe.candidates(recipe.values(folder, locale))
                return recipe
            except LayoutError:
                continue
            except SplitError:  # is said where it is described
                return recipe
            except UserError as error:
                first = first or error
    if first:
        raise first
    if folder and not unlabelled:
        unknown = f"{folder}: its layout is not recognised; name the recipe that reads it with --recipe RECIPE"
        raise UserError(lacking(folder) or unknown)
    return own


@contextlib.contextmanager
def _unheard():
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        yield
    finally:
        logging.disable(before)


def report(clips, decoded):
    """Yield the lines that say what is in a corpus and what is odd about it.

    Parameters
    ----------
    clips : list of Clip
        Inspected.
    decoded : bool
        Whether their audio was, too.
    """
    yield ""
    yield from table(summarise(clips))
    kept = [clip for clip in clips if not clip.reason]
    yield from recordings(clips)
    yield from _rejects(clips)
    yield from _crossing(kept)
    yield from _outliers(kept)
    yield from _spelling([clip for clip in clips if clip.candidate.text])
    yield from _characters(kept)
    if not decoded:
        yield "\nOnly headers were read; --decode also finds truncated, damaged and silent files and invalid samples."


def recordings(clips):
    """Yield a table of recordings of several utterances: what was read of each; nothing where there are none."""
    inside = defaultdict(list)
    for clip in clips:
        inside[clip.candidate.path].append(clip)
    if not any(clip.candidate.is_segment for clip in clips):
        return
    rows = [("recording", "split", "utterances", "seconds", "characters", "rejected")]
    for path, found in sorted(inside.items()):
        kept = [clip for clip in found if not clip.reason]
        reasons = Counter(clip.reason for clip in found if clip.reason)
        counts = (len(kept), f"{sum(clip.duration for clip in kept):.1f}", sum(len(clip.text) for clip in kept))
        splits = ",".join(sorted({clip.candidate.split for clip in kept})) or "-"
        rows.append((path.name, splits, *map(str, counts), in_words(reasons) if reasons else "none"))
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    yield ""
    for row in rows[: 1 + MOST_RECORDINGS]:
        cells = (c.ljust(w) if i in (0, 1, 5) else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths, strict=True)))
        yield "  ".join(cells).rstrip()
    if len(rows) > 1 + MOST_RECORDINGS:
        yield f"and {len(rows) - 1 - MOST_RECORDINGS} more"


def problems(clips):
    """Yield what would stop a training."""
    for name, split in summarise(clips)["splits"].items():
        if split["utterances"]:
            continue
        if split["rejected"]:
            yield f"no {name} utterance is usable ({in_words(split['rejected'])})"
        elif role(name) != "test":
            yield f"there is no {name} set; a training needs train and dev"


def verdict(clips, unlabelled=False):
    """Yield what there is to say at the end of a corpus that can train: what is left out of it, and if it is little."""
    left = Counter(clip.reason for clip in clips if clip.reason)
    reasons = in_words(dict(left.most_common()))
    without = f", without {left.total()} of {counted(len(clips), 'utterance')} ({reasons})" if left else ""
    yield f"A training can start{without}."
    spoken = sum(clip.duration for clip in clips if clip.candidate.split == "train" and not clip.reason)
    if spoken < LITTLE and not unlabelled:
        yield (
            f"Train has only {duration(spoken)}, too little to train a model from nothing; start from a finished or a "
            "public one, and aim at half an hour or more."
        )


def _some(items):
    """The first few of many, as lines."""
    for item in items[:EXAMPLES]:
        yield f"  {item}"
    if len(items) > EXAMPLES:
        yield f"  and {len(items) - EXAMPLES} more"


def _rejects(clips):
    groups = defaultdict(list)
    for clip in clips:
        if clip.reason:
            groups[clip.reason, clip.candidate.split].append(clip)
    for (reason, split), inside in sorted(groups.items(), key=lambda group: -len(group[1])):
        yield f"\nrejected from {split}: {reason} ({len(inside)})"
        yield from _some([f"{c.candidate.id}  {c.candidate.path}  {c.detail}".rstrip() for c in inside])


def _crossing(kept):
    for name, (speakers, sentences) in crossing(kept).items():
        if speakers:
            yield f"\nspeakers of {name} that also speak in train ({len(speakers)})"
            yield from _some([s if len(s) <= 40 else f"{s[:40]}…" for s in speakers])
        if sentences:
            yield f"\nutterances of {name} whose sentence is in train too ({len(sentences)})"
            yield from _some([f"{clip.candidate.id}  {clip.text}" for clip in sentences])


def _outliers(kept):
    spoken = [clip for clip in kept if clip.text]
    for title, unit, odd in (
        ("unusual durations", "s", outliers(kept, lambda clip: clip.duration)),
        ("unusual speech rates; does the text belong to the audio?", "characters/s", outliers(spoken, speech_rate)),
    ):
        if odd:
            yield f"\n{title} ({len(odd)})"
            yield from _some([f"{o.clip.candidate.id}  {o.value:.2f} {unit}, {o.times:.2g} × median" for o in odd])


def _spelling(written):
    for title, items in (
        ("transcribers' marks, which are left out of texts (see --marks)", left_out(written)),
        ("text in round brackets, taken as spoken", asides(written)),
        ("numbers whose words may differ from what was said", numbers(written)),
    ):
        if items:
            yield f"\n{title} ({sum(item.count for item in items)})"
            yield from _some([f"{item.what}  {item.count} ×  {item.example}" for item in items])
    if characters := changed(written):
        title = "characters the text rules remove or replace"
        yield f"\n{title} ({len(characters)}); to keep a letter, see --clean FILE"
        for c in characters[:MOST_CHANGED]:
            yield f"  {_described(c.what)}  {c.count} ×  {c.example}"
        if len(characters) > MOST_CHANGED:
            yield f"  and {len(characters) - MOST_CHANGED} more"


def _described(character):
    """A character with its code point and Unicode's name."""
    named = unicodedata.name(character, "without a name").lower()
    return f"{_name(character)} U+{ord(character):04X} {named}"


def _characters(kept):
    train = characters(clip for clip in kept if clip.candidate.split == "train")
    if not train:
        return
    yield f"\ncharacters of train ({len(train)}), with their occurrences"
    shown = [f"{_name(character)} {count}" for character, count in train.items()]
    for i in range(0, min(len(shown), 12 * COLUMNS), COLUMNS):
        yield "  " + "".join(f"{cell:<14}" for cell in shown[i : i + COLUMNS]).rstrip()
    if len(shown) > 12 * COLUMNS:
        yield f"  and {len(shown) - 12 * COLUMNS} more"
    if rare := [c for c, count in train.items() if count < RARE]:
        yield f"\ncharacters that train has fewer than {RARE} times ({len(rare)}); are they errors?"
        yield from _some([f"{_described(c)}  {_in_text(c, kept)}" for c in rare])


def _in_text(character, kept):
    """The text in which a character stands first."""
    text = next(clip.text for clip in kept if character in clip.text)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _name(character):
    if character == " ":
        return "␣"
    return f"◌{character}" if unicodedata.combining(character) else character
