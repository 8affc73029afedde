"""``serenanet synthesise``."""

from serenanet_modules.cli.values import add_exclude, count, not_negative, positive, whole, written
from serenanet_modules.runtime.amounts import counted, duration


def add(commands, name):
    command = commands.add_parser(name, help="make a corpus of synthetic speech in the layout of Common Voice")
    command.add_argument(
        "texts",
        metavar="TEXT",
        nargs="+",
        help="a sentence a line; a list such as Common Voice's train.tsv; - for stdin",
    )
    command.add_argument("--locale", required=True, help="language of the sentences, and whose text rules are used")
    command.add_argument(
        "--out", type=written, required=True, metavar="DIR", help="the corpus; the same command goes on there"
    )
    amount = command.add_mutually_exclusive_group()
    amount.add_argument("--hours", type=positive, metavar="H", help="hours of speech (each sentence once)")
    amount.add_argument("--sentences", type=count, metavar="N", help="how many clips")
    command.add_argument("--voices", type=count, default=100, metavar="N", help="number of voices (100)")
    command.add_argument("--espeak-voice", metavar="NAME", help="espeak-ng voice (that of the locale)")
    command.add_argument(
        "--dev-share", type=not_negative, default=0.02, metavar="P", help="of sentences and voices (0.02)"
    )
    command.add_argument(
        "--test-share", type=not_negative, default=0.02, metavar="P", help="of sentences and voices (0.02)"
    )
    add_exclude(command, "sentences")
    command.add_argument("--seed", type=whole, default=1986, metavar="N", help="random seed (1986)")
    command.add_argument("--jobs", type=count, metavar="N", help="threads (one a core)")
    command.set_defaults(run=_synthesise)


def _synthesise(arguments):
    import sys

    from serenanet_modules.data.espeak import Espeak
    from serenanet_modules.data.held_out import HeldOut
    from serenanet_modules.data.synthesis.corpus import Corpus
    from serenanet_modules.data.synthesis.plan import Settings
    from serenanet_modules.data.synthesis.texts import sentences
    from serenanet_modules.errors import UserError

    a = arguments
    espeak = Espeak("synthetic speech")
    language = espeak.language_of(a.espeak_voice or a.locale)
    kept, left_out = sentences(a.texts, a.locale, HeldOut.read(a.exclude, a.locale), sys.stdin)
    told = ", ".join(f"{number} {reason}" for reason, number in left_out.items()) or "none"
    if not kept:
        raise UserError(f"{' '.join(a.texts)}: holds no sentence to say (left out: {told})")
    settings = Settings(a.locale, language, a.voices, a.dev_share, a.test_share, a.seed)
    corpus = Corpus(a.out, kept, settings, espeak)
    made = corpus.make(a.sentences, a.hours, a.jobs, True)
    print(f"sentences left out: {told}")
    print(summary(a.out, made))
    return 0


def summary(folder, made):
    """What was made, for people.

    Parameters
    ----------
    folder : str
    made : list of (Clip, float)
        As `Corpus.make` gives it.
    """
    clips = [clip for clip, seconds in made if seconds]
    sizes = ", ".join(f"{sum(c.split == split for c in clips)} {split}" for split in ("train", "dev", "test"))
    silent = f"; espeak-ng gave no sound for {len(made) - len(clips)}" * (len(clips) < len(made))
    voices, spoken = len({clip.voice for clip in clips}), duration(sum(seconds for _, seconds in made))
    return f"{folder}: {counted(len(clips), 'clip')} ({sizes}) by {counted(voices, 'voice')}, {spoken}{silent}"
