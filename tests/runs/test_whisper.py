"""A Whisper of transformers opens as it is and says what it says there, with times; what is no Whisper is refused."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from serenanet_modules.cli import main
from serenanet_modules.data.units import load_units
from serenanet_modules.decoding.label_search import Unsaid, attention_greedy
from serenanet_modules.errors import UserError
from serenanet_modules.inference.hearing import Hearing
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.runs.whisper import WhisperSource
from serenanet_modules.runtime.files import sha256
from tests.support.whispers import WORDS, make_whisper

pytest.importorskip("transformers")
REAL = "SERENANET_WHISPER"  # environment variable: the folder of a real one, of several languages


@pytest.fixture(name="whisper", scope="module")
def _whisper(tmp_path_factory):
    return make_whisper(tmp_path_factory.mktemp("whisper"))


@pytest.fixture(name="recognizer", scope="module")
def _recognizer(whisper):
    return Recognizer.from_folder(whisper, language="sw")


def noise(seconds, seed=0):
    generator = np.random.default_rng(seed)
    shape = np.sin(np.linspace(0, 20 * seconds, round(16000 * seconds))) ** 2
    return (0.3 * shape * generator.standard_normal(len(shape))).clip(-1, 1).astype(np.float32)


def tokens_of_transformers(folder, samples, language, n_mels, seconds):
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(folder, local_files_only=True).eval()
    extractor = WhisperFeatureExtractor(feature_size=n_mels, chunk_length=seconds)
    found = []
    for row in samples:
        x = extractor(row, sampling_rate=16000, return_tensors="pt").input_features
        tokens = model.generate(x, language=language, task="transcribe", num_beams=1, do_sample=False)[0].tolist()
        found.append([token for token in tokens if token < model.config.eos_token_id])
    return found


def test_it_says_what_transformers_says(whisper, recognizer):
    """In a batch of several lengths, token by token, until it loops."""
    samples = [noise(seconds, seed) for seed, seconds in enumerate((0.9, 0.4, 0.62, 0.2))]
    want = tokens_of_transformers(whisper, samples, "sw", 20, 1)
    units, model = recognizer.units, recognizer.modules["model"]
    lengths = torch.tensor([len(row) for row in samples])
    wavs = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in samples], batch_first=True)
    output = model(wavs, lengths)
    assert output.lengths.tolist() == [50] * 4 and output.decoder is None
    found = attention_greedy(recognizer.run.decoders.attention, output.hidden, output.lengths, Unsaid(units))
    assert len({tuple(row) for row in found}) > 1
    for got, expected in zip(found, want, strict=True):
        theirs = [units.label(token) for token in expected]
        assert got and got == theirs[: len(got)] and (len(got) == len(theirs) or len(got) >= 16)


def test_it_transcribes_with_times(recognizer):
    samples = [noise(0.9), noise(0.4, 1)]
    found = recognizer.transcribe(samples)
    alone = [recognizer.transcribe([row])[0] for row in samples]
    assert [t.text for t in found] == [t.text for t in alone] and any(t.text for t in found)
    for transcript in found:
        for segment in transcript.segments:
            times = [time for word in segment.words for time in (word.start, word.end)]
            assert times == sorted(times) and 0 <= times[0] and times[-1] <= transcript.duration
            assert all(0 <= word.confidence <= 1 for word in segment.words)


def test_loops_are_counted_and_said_once(recognizer):
    """Random weights loop; what is written in their place does not."""
    samples = [noise(0.9, seed) for seed in range(6)]
    segments = [segment for t in recognizer.transcribe(samples) for segment in t.segments]
    looped = [segment for segment in segments if segment.looped]
    assert looped
    for segment in looped:
        words = segment.text.split()
        assert len(words) < 16 or len(set(words)) > len(words) / 4


def test_a_beam_is_searched(whisper, recognizer):
    wide = Recognizer.from_folder(whisper, language="sw", beam_size=3)
    assert recognizer.decoder().name == "attention/greedy" and wide.decoder().name == "attention/beam"
    assert wide.transcribe([noise(0.9)])[0].segments


def test_without_ctc_there_are_no_hotwords_and_no_lists(recognizer):
    """The sentences say why, and what to do."""
    with pytest.raises(UserError, match="has no CTC head, .*; leave out --hotwords"):
        recognizer.wishing(hotwords=(("saa", 9.0),)).decoder()
    with pytest.raises(UserError, match="lists need a model with a CTC head; leave --nbest out"):
        recognizer.listing(2).transcribe(noise(0.5))


def test_silence_has_no_text(recognizer):
    assert recognizer.transcribe([np.zeros(8000, np.float32)])[0].text == ""


def undecided(folder, model, first, second):
    """Save a model that hears English in the first features and Swahili in the second."""
    told = model.generation_config
    english, swahili = (told.lang_to_id[f"<|{code}|>"] for code in ("en", "sw"))
    start = torch.tensor([[told.decoder_start_token_id]])
    with torch.no_grad():
        one, other = (model.model(x, decoder_input_ids=start).last_hidden_state[0, -1] for x in (first, second))
        difference, mean = one - other, (one + other) / 2
        apart = difference - mean * (difference @ mean) / (mean @ mean)  # as far from one as from the other
        rows = model.model.decoder.embed_tokens.weight
        rows[english] = rows[swahili] + 10 * apart / apart.norm()
    model.save_pretrained(folder)


def test_the_language_is_heard(whisper, tmp_path):
    """As transformers hear it, recording by recording; each is then what that language alone would make of it."""
    from transformers import WhisperFeatureExtractor, WhisperForConditionalGeneration

    samples = [noise(seconds, seed) for seed, seconds in enumerate((0.9, 0.4, 1.7, 0.3, 0.5, 0.6))]
    extractor = WhisperFeatureExtractor(feature_size=20, chunk_length=1)
    features = [extractor(row[:16000], sampling_rate=16000, return_tensors="pt").input_features for row in samples]
    folder = shutil.copytree(whisper, tmp_path / "whisper")
    model = WhisperForConditionalGeneration.from_pretrained(whisper, local_files_only=True).eval()
    undecided(folder, model, *features[:2])
    codes = {token: mark[2:-2] for mark, token in model.generation_config.lang_to_id.items()}
    listening = Recognizer.from_folder(folder)
    found = listening.transcribe(samples)
    assert [t.language for t in found] == [codes[int(model.detect_language(x)[0])] for x in features]
    assert [t.language for t in found[:2]] == ["en", "sw"]
    told = {code: Recognizer.from_folder(folder, language=code) for code in ("en", "sw")}
    assert [t.text for t in found] == [
        told[t.language].transcribe(row).text for row, t in zip(samples, found, strict=True)
    ]
    assert listening.speaking("Swahili").language == "sw"
    translating = Recognizer.from_folder(whisper, task="translate").speaking("sw")
    assert translating.settings["prefix"] == tuple(listening.units.prefix("sw", "translate"))


@pytest.mark.parametrize("asked", [{"task": "sing"}, {"language": "xx"}, {"language": "sw", "task": "sing"}])
def test_what_it_cannot_speak_is_refused(whisper, asked):
    with pytest.raises(UserError, match="--language: .* it has en sw|--task: sing is none of"):
        Recognizer.from_folder(whisper, **asked)


def test_units(whisper, tmp_path):
    """They write and read any text, count from the end of a text, and are kept."""
    units = WhisperSource(whisper).units
    text = f"{' '.join(WORDS)} Ünï 你好!"
    assert units.decode(units.encode(text)) == text and 0 not in units.encode(text)
    assert units.label(units.end) == 0 and units.label(0) == 1 and units.label(units.end + 1) == units.end + 1
    units.of_plain_words().save(tmp_path)
    again = load_units(tmp_path)
    assert again.pieces == units.pieces and again.unsaid == units.unsaid and again.normalised != units.normalised
    assert len(units.prefix("en")) == 4 and units.prefix("en") != units.prefix("sw") != units.prefix("sw", "translate")


def test_it_transcribes_on_the_command_line(whisper, tmp_path, capsys):
    import soundfile

    soundfile.write(tmp_path / "a.wav", noise(0.9), 16000)
    assert main(["transcribe", str(whisper), str(tmp_path / "a.wav"), "--language", "sw", "--format", "json"]) == 0
    assert json.loads(capsys.readouterr().out)["segments"]
    for more in ([], ["--language", "auto"]):
        assert main(["transcribe", str(whisper), str(tmp_path / "a.wav"), *more, "--format", "json"]) == 0
        said = capsys.readouterr()
        assert f"a.wav: {json.loads(said.out)['language']} is spoken" in said.err
    (tmp_path / "m.csv").write_text("path,text\na.wav,habari za asubuhi\n", encoding="utf-8")
    assert (
        main(["evaluate", str(whisper), str(tmp_path / "m.csv"), "--locale", "sw", "--out", str(tmp_path / "o")]) == 0
    )
    assert "WER" in capsys.readouterr().out
    assert json.loads((tmp_path / "o/scores.json").read_text(encoding="utf-8"))["loops"].keys() == {"test"}
    assert main(["align", str(whisper), str(tmp_path / "a.wav"), "habari", "--out", str(tmp_path)]) == 2


@pytest.mark.parametrize("more", [[], ["--language", "auto"]])
def test_every_command_hears_the_language(whisper, tmp_path, capsys, more):
    """As `transcribe` does: also for scores, for labels, and for what to transcribe next."""
    import soundfile

    sound, table, out = tmp_path / "a.wav", tmp_path / "m.csv", tmp_path / "labels.csv"
    soundfile.write(sound, noise(0.9), 16000)
    table.write_text("path,text\na.wav,habari za asubuhi\n", encoding="utf-8")
    assert main(["transcribe", str(whisper), str(sound), *more, "--format", "json"]) == 0
    heard = json.loads(capsys.readouterr().out)
    assert main(["evaluate", str(whisper), str(table), *more, "--out", str(tmp_path / "scores")]) == 0
    assert "note: no language given" in capsys.readouterr().out
    assert main(["pseudo-label", str(whisper), str(sound), *more, "--min-confidence", "0", "--out", str(out)]) == 0
    (row,) = csv.DictReader(out.open(encoding="utf-8", newline=""))
    assert (row["text"], row["locale"]) == (heard["text"], heard["language"])
    assert row["model_sha256"] == sha256(whisper / "model.safetensors")
    capsys.readouterr()
    assert more or main(["rank", str(whisper), str(sound)]) == 0
    assert more or heard["text"] in capsys.readouterr().out


def test_numbers_are_digits_where_it_is_measured(whisper, tmp_path, monkeypatch):
    """With --digits those of its texts stay, as those of the references become some."""
    import soundfile

    soundfile.write(tmp_path / "a.wav", noise(0.9), 16000)
    (tmp_path / "m.csv").write_text("path,text\na.wav,watu ishirini na moja\n", encoding="utf-8")
    said = {"text": "Watu 21.", "phones": "", "words": [("Watu", 0.9), ("21.", 0.9)], "calibrated": False}
    monkeypatch.setattr(
        Hearing, "_heard", lambda _, rows, *more: {"seconds": 1.0, "utterances": {u.id: said for u in rows}}
    )
    out = tmp_path / "scores"
    asked = [str(tmp_path / "m.csv"), "--locale", "sw", "--language", "sw", "--digits", "--out", str(out)]
    assert main(["evaluate", str(whisper), *asked]) == 0
    found = json.loads((out / "scores.json").read_text(encoding="utf-8"))["results"]["test"]
    assert [found[measure]["percent"] for measure in ("WER", "WER normalised")] == [0, 0]


def spoil(folder, **changes):
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    (folder / "config.json").write_text(json.dumps(config | changes), encoding="utf-8")


def swapped(folder):
    tensors = load_file(folder / "model.safetensors")
    tensors["model.encoder.conv1.bias"] = torch.zeros(3)
    save_file(tensors, folder / "model.safetensors")


BAD = {
    "no tokenizer": (lambda f: (f / "tokenizer.json").unlink(), "has no tokenizer.json"),
    "a broken tokenizer": (lambda f: (f / "tokenizer.json").write_text("{}"), "cannot be used"),
    "another activation": (lambda f: spoil(f, activation_function="relu"), "'activation_function' is 'relu'"),
    "no size": (lambda f: spoil(f, d_model="32"), "'d_model' is '32'"),
    "a huge size": (lambda f: spoil(f, encoder_ffn_dim=2**40), "is no size of a Whisper"),
    "another size": (lambda f: spoil(f, encoder_ffn_dim=48), "has the shape"),
    "another tensor": (swapped, "frontend.first.bias has the shape"),
    "pickles": (lambda f: (f / "model.safetensors").rename(f / "pytorch_model.bin"), "may hold anybody's code"),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_whisper_is_refused(whisper, tmp_path, kind):
    folder = Path(shutil.copytree(whisper, tmp_path / "copy"))
    change, said = BAD[kind]
    change(folder)
    with pytest.raises(UserError, match=said) as error:
        Recognizer.from_folder(folder, language="sw")
    assert "\n" not in str(error.value)


@pytest.mark.skipif(REAL not in os.environ, reason=f"{REAL} names no folder of a real Whisper of several languages")
def test_a_real_one(tmp_path):
    """Opens, knows its languages, and agrees with transformers on noise, which both hear something in."""
    folder = Path(os.environ[REAL])
    recognizer = Recognizer.from_folder(folder, language="sw")
    samples = [noise(3.0)]
    mels = recognizer.modules["model"].acoustic.frontend.input_size
    (want,) = tokens_of_transformers(folder, samples, "sw", mels, 30)
    model, units = recognizer.modules["model"], recognizer.units
    output = model(torch.from_numpy(samples[0])[None], torch.tensor([len(samples[0])]))
    (found,) = attention_greedy(recognizer.run.decoders.attention, output.hidden, output.lengths, Unsaid(units))
    assert found == [units.label(token) for token in want][: len(found)]
