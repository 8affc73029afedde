"""Tiny corpora in their original layouts: noise for speech, and sentences of the tests' own."""

import zlib

import numpy as np
import soundfile

from serenanet_modules.data.recipe import Recipe
from tests.support.tiny import ROOT

SENTENCES = ("kuku analala", "mbwa anakimbia", "paka anacheza", "samaki anaogelea", "ndege anaruka", "farasi anakula")
SCRIPTS = {  # languages of FLEURS, and sentences of them
    "en_us": ("the dog sleeps", "the cat plays", "the fish swims", "the hen eats"),
    "ru_ru": ("собака спит", "кошка играет", "рыба плывёт", "курица ест"),
    "th_th": ("หมา นอน", "แมว เล่น", "ปลา ว่าย", "ไก่ กิน"),
}


def noise(path, seconds=1.0, rate=16000):
    """Write audio whose samples depend on the file's name alone; the ending says the format."""
    path.parent.mkdir(parents=True, exist_ok=True)
    samples = np.random.default_rng(zlib.crc32(path.name.encode())).uniform(-0.3, 0.3, int(seconds * rate))
    soundfile.write(path, samples, rate, subtype=None if path.suffix == ".mp3" else "PCM_16")
    return path


def candidates(recipe, data_folder, locale="xx", needs_text=True, **options):
    """What a recipe makes of a corpus, or of a list of them."""
    recipe = Recipe(ROOT / "recipes" / recipe)
    folders = [str(entry) for entry in data_folder] if isinstance(data_folder, list) else str(data_folder)
    values = recipe.values(folders, locale, list(options.items()))
    return recipe.candidates(values, needs_text)


def librispeech(folder, subsets, chapters=1, utterances=2):
    """<subset>/<speaker>/<chapter>/*.flac with a *.trans.txt; a speaker for each subset."""
    for number, subset in enumerate(subsets):
        for chapter in range(chapters):
            place = folder / subset / f"{100 + number}" / f"{900 + chapter}"
            names = [f"{100 + number}-{900 + chapter}-{i:04d}" for i in range(utterances)]
            for name in names:
                noise(place / f"{name}.flac", 1.2)
            lines = [f"{name} {SENTENCES[(i + number) % 6].upper()}" for i, name in enumerate(names)]
            text = "\n".join(lines) + "\n"
            (place / f"{100 + number}-{900 + chapter}.trans.txt").write_text(text, encoding="utf-8")
    return folder


def fleurs(folder, language="sw_ke", sentences=SENTENCES, count=2):
    """data/<language>/<split>.tsv without a header, audio/<split>/*.wav."""
    place = folder / "data" / language
    for split in ("train", "dev", "test"):
        rows = []
        for i in range(count):
            wav = noise(place / "audio" / split / f"{split}{i}77.wav")
            raw = f"{sentences[i].capitalize()}, \u201c{i}\u201d."
            rows.append([str(i), wav.name, raw, sentences[i], "k | u |", "16000", "FEMALE"])
        (place / f"{split}.tsv").write_text("".join("\t".join(row) + "\n" for row in rows), encoding="utf-8")
    return folder


def mboshi(folder):
    """full_corpus_newsplit/{train,dev}/<speaker>_…: wav, mb, mb.cleaned, fr."""
    for part, count in (("train", 3), ("dev", 6)):
        for i in range(count):
            wav = noise(folder / "full_corpus_newsplit" / part / f"abiayi_2015-09-08_mdw_elicit_Dico18_{part}{i}.wav")
            for ending, text in ((".mb", SENTENCES[i].title()), (".mb.cleaned", SENTENCES[i]), (".fr", "mot")):
                wav.with_name(wav.stem + ending).write_text(f"{text}\n", encoding="utf-8")
    return folder


def swahili_speech(folder):
    """data/raw_text_file.txt and data/records/{train,val,test}/*.wav; a test sentence is in train too."""
    lines = []
    for part, sentences in (("train", SENTENCES[:2]), ("val", SENTENCES[2:3]), ("test", SENTENCES[1:])):
        for i, sentence in enumerate(sentences):
            wav = noise(folder / "data" / "records" / part / f"200701_swh_elicit_{part}{i}.wav")
            lines.append(f"{wav.stem}:{sentence.capitalize()}.\n")
    (folder / "data" / "raw_text_file.txt").write_text("".join(lines), encoding="utf-8")
    return folder
