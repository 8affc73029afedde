"""espeak-ng, the library that the package espeakng-loader carries: its languages, its phonemes and its speech.

Run as a program, this says sentences; `Talker` starts it and asks it for them. What the library says depends on what
it said before, in its sound and even in its length, so each sentence is said by a fresh copy of a process.
"""

import contextlib
import ctypes
import difflib
import functools
import json
import os
import re
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path

from serenanet_modules.data import codes
from serenanet_modules.errors import UserError

SYNCHRONOUS, DONT_EXIT = 2, 1 << 15  # espeak_Initialize: sound comes to a callback, no exit()
IPA_PARTED = 0x02 | ord("_") << 8  # espeak_TextToPhonemes: IPA, "_" between phones
UTF8, PHONEMES = 1, 0x0100  # espeak_Synth: encoding, and phonemes between [[ and ]]
RATE, PITCH, RANGE = 1, 3, 4  # espeak_SetParameter
SEED = 1  # of the breath in its voices, which it draws by the clock otherwise
RELATED = {"zh-cn": "cmn", "zh-tw": "cmn", "zh-hk": "yue", "nn": "nb"}  # locales, and the language that espeak-ng knows
NEAR = 6  # languages that an error names
ODD = re.compile("whisper|robo|demonic|announcer|croak|fast|tweaky|UniRobot", re.I)  # variants that nobody sounds like


@dataclass(frozen=True)
class Manner:
    """How somebody speaks.

    Attributes
    ----------
    voice : str
        An espeak-ng language, with a variant: ``sw+m1``.
    rate : int
        Words a minute, 80 to 450.
    pitch, range : int
        Of the voice, and how far it rises and falls: 0 to 99.
    """

    voice: str
    rate: int = 175
    pitch: int = 50
    range: int = 50


class Espeak:
    """The library, opened in this process.

    Parameters
    ----------
    purpose : str
        What it is needed for, for the error.

    Raises
    ------
    UserError
        Where the package is not installed, or broken.

    Attributes
    ----------
    version : str
    sample_rate : int
        Of what it says.
    """

    def __init__(self, purpose):
        try:
            import espeakng_loader
        except ImportError:
            raise UserError(f"{purpose}: needs espeak-ng; run 'pip install espeakng-loader'") from None
        self._data = espeakng_loader.get_data_path()
        self._library, self.sample_rate = _opened(espeakng_loader.get_library_path(), self._data)
        self.version = self._library.espeak_Info(None).decode().split()[0]

    # --- what it knows --------------------------------------------------------------------------------------------

    def languages(self):
        """Tags of all languages, such as ``sw`` and ``en-gb-scotland``, and their English names."""
        tags = {}
        for voice in self._voices():
            for tag in voice.tags:
                tags.setdefault(tag, voice.name.decode().strip())
        return tags

    def variants(self):
        """Variants of a voice that people might sound like: name -> whether it is a man's."""
        asked = _Voice(languages=ctypes.cast(ctypes.c_char_p(b"variant"), ctypes.POINTER(ctypes.c_ubyte)))
        names = {v.identifier.decode().removeprefix("!v/"): v.gender == 1 for v in self._voices(ctypes.byref(asked))}
        return {name: names[name] for name in sorted(names) if not ODD.search(name)}

    def language_of(self, locale):
        """The tag of the language that is spoken in a locale.

        Raises
        ------
        UserError
            Where espeak-ng has none; it lists what is spelled alike.
        """
        languages, tag = self.languages(), locale.lower().replace("_", "-")
        for name in (tag, tag.split("-")[0], codes.language(tag)):
            for known in (name, RELATED.get(name)):
                if known in languages:
                    return known
        near = difflib.get_close_matches(tag, languages, NEAR, cutoff=0.4) or sorted(languages)[:NEAR]
        names = ", ".join(f"{name} ({languages[name]})" for name in near)
        raise UserError(
            f"espeak-ng has no voice for locale {locale!r}; spelled alike are {names}; give --espeak-voice with one of "
            f"its {len(languages)}, such as that of a related language"
        )

    def _voices(self, asked=None):
        """All voices but variants, or what is asked for."""
        found, i = self._library.espeak_ListVoices(asked), 0
        while found[i]:
            yield found[i].contents
            i += 1

    # --- what it says ---------------------------------------------------------------------------------------------

    def phones(self, text, voice, form=0):
        """Phonemes of a text: espeak-ng's own mnemonics, or of another form of ``espeak_TextToPhonemes``."""
        self._speak_as(voice)
        rest, clauses = ctypes.c_char_p(text.encode()), []
        while rest.value:  # one clause at a time; the library moves `rest` on, to NULL at the end
            clauses.append(self._library.espeak_TextToPhonemes(ctypes.byref(rest), UTF8, form).decode())
        return clauses

    def ipa(self, text, voice):
        """Phonemes of a text, ``_`` between them."""
        return "_".join(self.phones(text, voice, IPA_PARTED))

    def say(self, text, manner):
        """Samples at `sample_rate`, as bytes of 16-bit numbers; only the first call of a process gives the same always.

        Parameters
        ----------
        text : str
            With phonemes between ``[[`` and ``]]``.
        manner : Manner
        """
        sound, encoded = [], text.encode()

        @ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        def keep(samples, count, events):
            if samples and count > 0:
                sound.append(ctypes.string_at(samples, 2 * count))
            return 0

        self._library.espeak_SetSynthCallback(keep)
        try:
            self._speak_as(manner.voice)
            for parameter, value in ((RATE, manner.rate), (PITCH, manner.pitch), (RANGE, manner.range)):
                self._library.espeak_SetParameter(parameter, value, 0)
            self._library.espeak_Synth(encoded, len(encoded) + 1, 0, 1, 0, UTF8 | PHONEMES, None, None)
        finally:
            self._library.espeak_SetSynthCallback(None)  # a function that Python has freed must not be called
        return b"".join(sound)

    def _speak_as(self, voice):
        if self._library.espeak_SetVoiceByName(voice.encode()) != 0:
            raise UserError(f"espeak-ng cannot open its voice {voice!r} in {self._data}; reinstall espeakng-loader")


@functools.cache  # its state is the process's: it is not to be initialised over itself
def _opened(path, data):
    """The library and its sample rate."""
    library = ctypes.CDLL(path)
    for name, result in (("TextToPhonemes", ctypes.c_char_p), ("Info", ctypes.c_char_p), ("ListVoices", _VOICES)):
        getattr(library, f"espeak_{name}").restype = result
    sample_rate = library.espeak_Initialize(SYNCHRONOUS, 0, data.encode(), DONT_EXIT)
    if sample_rate <= 0:
        raise UserError(f"espeak-ng finds no data in {data}; reinstall espeakng-loader")
    library.espeak_ng_SetRandSeed(ctypes.c_long(SEED))
    return library, sample_rate


class _Voice(ctypes.Structure):
    """espeak_VOICE of speak_lib.h."""

    _fields_ = (
        *(("name", ctypes.c_char_p), ("languages", ctypes.POINTER(ctypes.c_ubyte)), ("identifier", ctypes.c_char_p)),
        *((name, ctypes.c_ubyte) for name in ("gender", "age", "variant", "unused")),
        *(("score", ctypes.c_int), ("spare", ctypes.c_void_p)),
    )

    @property
    def tags(self):
        """Its languages: each stands behind a byte of priority, and an empty one ends them."""
        data, at = ctypes.cast(self.languages, ctypes.c_void_p).value, 0
        while ctypes.string_at(data + at, 1) != b"\0":
            tag = ctypes.string_at(data + at + 1)
            yield tag.decode().lower()
            at += len(tag) + 2


_VOICES = ctypes.POINTER(ctypes.POINTER(_Voice))


class Talker:
    """A process that says sentences, one after the other; it ends with this one.

    Examples
    --------
    >>> with Talker() as talker:
    ...     one, other = (talker.say("habari", Manner("sw+f2")) for _ in range(2))
    >>> len(one) > 10_000 and one == other
    True
    """

    def __enter__(self):
        paths = [str(Path(__file__).parents[2]), os.environ.get("PYTHONPATH", "")]  # this package, and no other copy
        self._process = subprocess.Popen(
            [sys.executable, "-m", __spec__.name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        )
        return self

    def __exit__(self, *_):
        self._process.communicate()

    def say(self, text, manner):
        """Samples as of `Espeak.say`, the same whatever was said before; none where espeak-ng fails.

        Raises
        ------
        UserError
            Where the process has died.
        """
        with contextlib.suppress(BrokenPipeError):  # then there is no answer
            self._process.stdin.write(json.dumps([text, asdict(manner)]).encode() + b"\n")
            self._process.stdin.flush()
        head = self._process.stdout.read(4)
        sound = self._process.stdout.read(int.from_bytes(head))
        if len(head) < 4 or len(sound) < int.from_bytes(head):
            raise UserError(f"espeak-ng's process ended before it had said {text[:60]!r}; start the command again")
        return sound


def main():
    """Answer each line of the standard input, a text and a `Manner` as JSON, by the length of its sound and that."""
    espeak = Espeak("speech")
    for line in sys.stdin.buffer:
        text, manner = json.loads(line)
        child = os.fork()
        if not child:
            _answer(espeak, text, Manner(**manner))
        if os.waitpid(child, 0)[1]:
            sys.stdout.buffer.write(bytes(4))
            sys.stdout.flush()


def _answer(espeak, text, manner):
    """Say a text and end the process, which is a copy; its status is 0 if there was sound."""
    status = 1
    try:
        sound = espeak.say(text, manner)
        sys.stdout.buffer.write(len(sound).to_bytes(4) + sound)
        sys.stdout.flush()
        status = 0
    finally:
        os._exit(status)


if __name__ == "__main__":
    main()
