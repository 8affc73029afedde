"""The command line: what it prints where, and its exit statuses."""

import io
import json
import os
import shutil
import subprocess
import sys

import pytest
import soundfile

from serenanet_modules import cli
from serenanet_modules.cli import demo
from serenanet_modules.data.annotations import elan
from serenanet_modules.data.audio import load
from serenanet_modules.errors import UserError
from serenanet_modules.inference.transcript import Segment, Word
from serenanet_modules.runs.results import in_words
from serenanet_modules.runtime.ending import BROKEN_PIPE
from tests.support.eaf import eaf, tier
from tests.support.folders import copy_without
from tests.support.tiny import MODEL, ROOT, TRAINING, make_corpus


@pytest.fixture
def serenanet(capsys):
    """Run a command line in this process: ``serenanet(*arguments) -> (status, stdout, stderr)``."""

    def run(*arguments):
        capsys.readouterr()
        status = cli.main([str(argument) for argument in arguments])
        return status, *capsys.readouterr()

    return run


def one_sentence(result, *words):
    """Nothing but one line on stderr, with these words, and status 2."""
    status, out, err = result
    assert (status, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1
    for word in words:
        assert word in err


# --- the frame --------------------------------------------------------------------------------------------------------


def test_help_lists_the_commands_without_loading_torch():
    """Help comes at once: neither torch nor numpy is imported."""
    code = "import sys\nfrom serenanet_modules.cli import main\ntry: main(['-h'])\nfinally: print(sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0
    assert all(f"\n    {command} " in done.stdout for command in cli.COMMANDS)
    assert "'argparse'" in done.stdout and "'torch'" not in done.stdout and "'numpy'" not in done.stdout


def test_the_module_is_the_command():
    """``python -m`` hands the status on."""
    command = [sys.executable, "-m", "serenanet_modules.cli", "transcribe"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 2 and done.stderr.startswith("error: the following arguments are required")


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], ["required", "{" + ",".join(cli.COMMANDS) + "}", "serenanet --help"]),
        (["transcripe"], ["no command 'transcripe'", "did you mean transcribe?"]),
        (["xyz"], ["no command 'xyz'", f"choose from {', '.join(cli.COMMANDS)}"]),
        (["transcribe", "folder"], ["FILE", "serenanet transcribe --help"]),
        (["transcribe", "folder", "file", "--batch-seconds", "many"], ["--batch-seconds", "'many'"]),
        (["lm", "text"], ["--locale, --out"]),
        (["train"], ["RECIPE"]),
        (["lm", "text", "--locale", "sw", "--out", "x", "--ordre", "3"], ["unrecognized arguments: --ordre"]),
        (["ablate"], ["--recipe, --suite"]),
        (["ablate", "--recipe", "x", "--suite", "nowhere.yaml"], ["nowhere.yaml: no such"]),
        (["ablate", "--recipe", "x", "--suite", "y", "--seeds", "0"], ["--seeds", "'0' is not a number from 1"]),
        (["ablate", "--recipe", "x", "--suite", "y", "--price", "free"], ["--price", "'free' is not a number from 0"]),
        (["report"], ["RESULT_DIR"]),
        (["report", "nowhere"], ["nowhere: there is no such folder"]),
        (["compare", "recipes", "recipes"], ["recipes: has no result.json"]),
        (["train", "recipes"], ["recipes: has no train.py"]),
    ],
)
def test_bad_command_lines(serenanet, arguments, words):
    one_sentence(serenanet(*arguments), *words)


def test_interrupt(serenanet, monkeypatch):
    """Ctrl-C ends with the status that shells know."""

    def interrupted():
        raise KeyboardInterrupt

    monkeypatch.setattr(demo, "run", interrupted)
    assert serenanet("demo") == (130, "", "")


# --- transcribe -------------------------------------------------------------------------------------------------------

UNNEEDED = (
    *("speechbrain", "scipy", "sklearn", "pandas", "matplotlib", "tensorboard", "torch._dynamo", "torch._inductor"),
    *("torch.onnx", "torch.utils.tensorboard", "triton", "sympy", "epitran", "num2words", "huggingface_hub"),
    *("serenanet_modules.training.loop", "serenanet_modules.analysis", "serenanet_modules.export"),
)


def test_transcribing_imports_nothing_that_it_does_not_need(tiny, clips):
    """Each of these would make one clip wait for longer than torch does."""
    code = "import sys\nfrom serenanet_modules.cli import main\nmain(sys.argv[1:])\nprint(*sys.modules)"
    command = [sys.executable, "-c", code, "transcribe", str(tiny[1]), str(clips[0])]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT)
    imported = set(done.stdout.splitlines()[-1].split())
    assert done.returncode == 0 and {"torch", "soundfile", "serenanet_modules.inference"} <= imported
    assert not imported.intersection(UNNEEDED)


def listed(*lines):
    """A stdin with these lines."""
    return io.TextIOWrapper(io.BytesIO(b"".join(os.fsencode(line) + b"\n" for line in lines)))


@pytest.fixture
def clips(clips):
    return clips[:3]


def test_one_file_gives_its_text_alone(serenanet, tiny, clips):
    status, out, err = serenanet("transcribe", tiny[1], clips[0])
    assert (status, err) == (0, "")
    assert out.strip() and out.count("\n") == 1 and "\t" not in out


def test_several_files_are_named(serenanet, tiny, clips):
    """Lines are path and text, in the order of the command line, and equal those of single calls."""
    status, out, _ = serenanet("transcribe", tiny[1], *reversed(clips), "--batch-seconds", "5")
    alone = [serenanet("transcribe", tiny[1], clip)[1] for clip in clips]
    assert status == 0
    assert out == "".join(f"{clip}\t{text}" for clip, text in zip(reversed(clips), reversed(alone), strict=True))


def test_bad_files_do_not_stop_the_others(serenanet, tiny, clips, tmp_path):
    """Each bad file is one sentence on stderr; the status says that there was one."""
    (tmp_path / "empty.wav").touch()
    (tmp_path / "text.mp3").write_text("no audio")
    bad = [tmp_path / "empty.wav", tmp_path / "absent.flac", tmp_path / "text.mp3"]
    status, out, err = serenanet("transcribe", tiny[1], clips[0], *bad, clips[1])
    assert status == 1
    assert [line.split("\t")[0] for line in out.splitlines()] == [str(clips[0]), str(clips[1])]
    lines = err.splitlines()
    assert len(lines) == 3
    for line, path in zip(lines, bad, strict=True):
        assert line.startswith(f"error: {path}: ")


def test_formats(serenanet, tiny, clips):
    """One file may be printed as anything; several only as what can hold several."""
    for format, begins in (("srt", "1\n00:00:0"), ("vtt", "WEBVTT\n"), ("tsv", "start\tend\ttext\n")):
        status, out, _ = serenanet("transcribe", tiny[1], clips[0], "--format", format)
        assert status == 0 and out.startswith(begins)
        one_sentence(serenanet("transcribe", tiny[1], *clips, "--format", format), "3 files", "--out DIR")
    for format in ("json", "ctm"):
        _, out, _ = serenanet("transcribe", tiny[1], *clips, "--format", format)
        assert out == "".join(serenanet("transcribe", tiny[1], clip, "--format", format)[1] for clip in clips)
    one_sentence(serenanet("transcribe", tiny[1], clips[0], "--format", "doc"), "'doc'", "textgrid")


def test_wishes_are_in_the_output(serenanet, tiny, recognizer, clips, tmp_path, monkeypatch):
    """Hotwords, lists of texts, numbers as digits, a language model's weight; lists of a tier's segments, too."""

    def told(*more):
        status, out, err = serenanet("transcribe", tiny[1], clips[0], "--format", "json", *more)
        assert status == 0, err
        return json.loads(out)

    plain, expecting = told(), recognizer.wishing(hotwords=(("saa", 150.0),))
    assert told("--hotwords", "saa", "--hotword-weight", "50")["text"] == expecting.transcribe(clips[0]).text
    assert plain["text"] != expecting.transcribe(clips[0]).text and "alternatives" not in plain["segments"][0]
    lists = told("--nbest", "3")["segments"][0]["alternatives"]
    assert len(lists) == 3 and lists[0]["score"] >= lists[1]["score"]
    several = [
        serenanet("transcribe", tiny[1], *clips[:4], *("--format", "json", "--lm", "auto", "--nbest", 3, "--jobs", n))
        for n in (1, 2, 3)
    ]
    assert several[0] == several[1] == several[2] and several[0][0] == 0
    light, heavy = (told("--lm", "auto", "--lm-weight", weight)["text"] for weight in ("0", "30"))
    assert light != heavy
    tiers = eaf(tmp_path / f"{clips[0].stem}.eaf", tier("A", ("a1", "", 1, 2)), slots=[0, 900])
    (segment,) = told("--nbest", "3", "--annotations", tiers, "--segment-at", "A")["segments"]
    assert [a["text"] for a in segment["alternatives"]][0] == segment["text"] and len(segment["alternatives"]) == 3
    words = tuple(Word(text, at, at + 1.0, 0.9) for at, text in enumerate("saa kumi na moja".split()))
    heard = Segment("saa kumi na moja", 0.0, 4.0, 0.9, words, ())
    monkeypatch.setattr("serenanet_modules.inference.recognizer.timed", lambda *_: heard)
    assert (told()["text"], told("--digits")["text"]) == (heard.text, "saa 11")


def test_several_formats_and_tiers(serenanet, tiny, clips, tmp_path):
    """A file for each format; exactly the segments of a tier; tiers beside those that are there, which stay."""
    run = ("transcribe", tiny[1], clips[0])
    assert serenanet(*run, "--format", "eaf,srt,TextGrid".lower(), "--out", tmp_path)[0] == 0
    assert {path.suffix for path in tmp_path.glob("[!.]*")} == {".eaf", ".srt", ".TextGrid"}
    given = eaf(
        *(tmp_path / f"{clips[0].stem}.eaf", tier("A", ("a1", "", 1, 2), ("a2", "", 3, 4))), slots=[0, 400, 500, 900]
    )
    before = [line for line in given.read_text().splitlines() if "<TIME_ORDER>" not in line]
    status, out, _ = serenanet(*run, "--format", "eaf", "--annotations", tmp_path, "--segment-at", "A")
    assert status == 0 and [line for line in out.splitlines() if line in before] == before
    (tmp_path / "new.eaf").write_text(out, encoding="utf-8")
    tiers = {t.name: t.annotations for t in elan.read(tmp_path / "new.eaf")[0].tiers}
    assert {(a.start, a.end) for a in tiers["phrases"]} <= {(0.0, 0.4), (0.5, 0.9)} and tiers["words"]
    for samples, phrase in (((0, 6400), (0.0, 0.4)), ((8000, 14400), (0.5, 0.9))):
        soundfile.write(tmp_path / "part.wav", load(clips[0])[slice(*samples)], 16000, subtype="FLOAT")
        alone = serenanet("transcribe", tiny[1], tmp_path / "part.wav")[1].strip()
        assert alone == "".join(a.text for a in tiers["phrases"] if (a.start, a.end) == phrase)
    one_sentence(serenanet(*run, "--format", "eaf,srt"), "give --out DIR")
    one_sentence(serenanet(*run, "--segment-at", "A"), "--annotations")
    assert "has no tier B" in serenanet(*run, "--annotations", given, "--segment-at", "B")[2]
    (tmp_path / "bad.eaf").write_text("<a>")
    status, out, err = serenanet(*run, "--format", "eaf", "--annotations", tmp_path / "bad.eaf")
    assert (status, out, err.count("\n")) == (1, "", 1) and "bad.eaf: its outermost element" in err
    grid = tmp_path / f"{clips[0].stem}.TextGrid"
    assert serenanet(*run, "--format", "eaf", "--annotations", grid)[0] == 0  # a new file: that is none of ELAN's
    late = eaf(tmp_path / "late.eaf", tier("A", ("a1", "", 1, 2)), slots=[900_000, 901_000])
    assert "ends before 900.00 s" in serenanet(*run, "--annotations", late, "--segment-at", "A")[2]


def test_folders_lists_and_a_file_for_each(serenanet, tiny, clips, tmp_path, monkeypatch):
    """A folder's audio is found at any depth, a list comes on stdin, and --out keeps places and bad files apart."""
    folder = tmp_path / "audio"
    for name in ("a.mp3", "deep/er/b.MP3", "deep/b.mp3"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(clips[0], folder / name)
    (folder / "notes.txt").write_text("no audio")
    (folder / "a.wav").write_text("no audio either")
    monkeypatch.setattr(sys, "stdin", listed(clips[1], "", folder / "deep"))
    status, out, err = serenanet("transcribe", tiny[1], folder, "-", "--out", tmp_path / "out", "--format", "tsv")
    bad, told = err.splitlines()
    assert (status, out, told) == (1, "", f"{tmp_path / 'out'}: 6 files") and bad.startswith(
        f"error: {folder / 'a.wav'}: "
    )
    written = {str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("[!.]*.*")}
    assert written == {"a.mp3.tsv", "deep/b.tsv", "deep/er/b.tsv", f"{clips[1].stem}.tsv", "b.tsv", "er/b.tsv"}
    alone = serenanet("transcribe", tiny[1], clips[0], "--format", "tsv")[1]
    assert (tmp_path / "out/deep/er/b.tsv").read_text() == (tmp_path / "out/a.mp3.tsv").read_text() == alone

    (tmp_path / "silent").mkdir()
    one_sentence(serenanet("transcribe", tiny[1], tmp_path / "silent"), "silent: holds no audio")
    monkeypatch.setattr(sys, "stdin", listed())
    one_sentence(serenanet("transcribe", tiny[1], "-"), "the list of audio files is empty")


def test_what_was_written_is_said(serenanet, tiny, clips, tmp_path):
    """On stderr, at the end: how many files, and in how many recordings nobody speaks."""
    soundfile.write(tmp_path / "silence.wav", [0.0] * 16000, 16000)
    run, out = ("transcribe", tiny[1], clips[0]), tmp_path / "heard"
    assert serenanet(*run, "--out", out) == (0, "", f"{out}: 1 file\n")
    told = f"{out}: 4 files; 1 recording without speech\n"
    assert serenanet(*run, tmp_path / "silence.wav", "--format", "txt,json", "--out", out) == (0, "", told)


def test_names_that_are_no_text(serenanet, tiny, clips, tmp_path, monkeypatch):
    """Files from systems that wrote names in another encoding are found, listed, read and written about."""
    paths = [tmp_path / os.fsdecode(name) for name in (b"kahawa \xff.mp3", b"$HOME \xfe.mp3")]
    try:
        for path in paths:
            shutil.copy2(clips[0], path)
    except OSError:
        pytest.skip("this file system takes text only")
    monkeypatch.setattr(sys, "stdin", listed(*paths))
    alone = serenanet("transcribe", tiny[1], clips[0])[1]
    status, out, _ = serenanet("transcribe", tiny[1], "-")
    assert (status, out) == (0, f"{tmp_path}/kahawa \ufffd.mp3\t{alone}{tmp_path}/$HOME \ufffd.mp3\t{alone}")
    status, *_ = serenanet("transcribe", tiny[1], *paths, "--format", "json", "--out", tmp_path / "out")
    assert status == 0 and len(list((tmp_path / "out").glob("*.json"))) == 2


def test_language_models(serenanet, tiny, clips, tmp_path):
    """The run's own model, another, and one that does not exist."""
    plain = serenanet("transcribe", tiny[1], *clips)
    own = serenanet("transcribe", tiny[1], *clips, "--lm", "auto")
    given = serenanet("transcribe", tiny[1], *clips, "--lm", tiny[1] / "save" / "lm.arpa")
    assert own == given and own[0] == 0 and own != plain
    one_sentence(serenanet("transcribe", tiny[1], clips[0], "--lm", tmp_path / "no.arpa"), "no.arpa: no such language")


def test_bad_result_folders(serenanet, tiny, clips, tmp_path):
    one_sentence(serenanet("transcribe", tmp_path / "nowhere", clips[0]), "nowhere: there is no such folder")
    one_sentence(serenanet("transcribe", tmp_path, clips[0]), "hyperparams.yaml is missing")
    folder = copy_without(tiny[1], tmp_path / "run", "weights.safetensors")
    one_sentence(serenanet("transcribe", folder, clips[0]), "weights.safetensors is missing", "finished run")
    one_sentence(serenanet("transcribe", tiny[1], clips[0], "--device", "quantum"), "device quantum")


def test_a_closed_pipe_is_no_error(tiny, clips):
    """``serenanet transcribe … | head -1`` ends without a traceback."""
    command = [sys.executable, "-m", "serenanet_modules.cli", "transcribe", str(tiny[1]), *map(str, clips)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT)
    process.stdout.close()
    assert "Traceback" not in process.stderr.read() and process.wait() == BROKEN_PIPE


# --- lm ---------------------------------------------------------------------------------------------------------------


@pytest.fixture
def text(tmp_path):
    """Sentences with capitals and punctuation."""
    path = tmp_path / "text.txt"
    path.write_text("Ng’ombe wangu, wapi?\nWapi ng'ombe WANGU!\nNina ng'ombe 2.\n", encoding="utf-8")
    return path


def test_lm_normalises_and_measures(serenanet, text, tmp_path):
    """The file holds the locale's words; perplexity is that of normalised text."""
    held_out = tmp_path / "held_out.txt"
    held_out.write_text("NG'OMBE wapi? Farasi.\n", encoding="utf-8")
    arpa = tmp_path / "new" / "sw.arpa"
    status, out, err = serenanet(
        "lm", text, text, "--locale", "sw", "--order", "2", "--out", arpa, "--tool", "own", "--held-out", held_out
    )
    assert (status, err) == (0, "")
    words = {line.split("\t")[1] for line in arpa.read_text(encoding="utf-8").splitlines() if line.count("\t") > 0}
    assert {"ng'ombe", "wangu", "wapi", "mbili"} <= words and not any("," in word for word in words)
    assert out.splitlines()[0] == f"{arpa}: order 2, made with own"
    assert "perplexity" in out and "1 of 3 words unknown" in out


def test_lm_errors(serenanet, text, tmp_path):
    out = ["--locale", "sw", "--out", tmp_path / "x.arpa"]
    one_sentence(serenanet("lm", tmp_path / "no.txt", *out), "no.txt: cannot be read as text")
    (tmp_path / "latin.txt").write_bytes("né".encode("latin-1"))
    one_sentence(serenanet("lm", tmp_path / "latin.txt", *out), "latin.txt: is not UTF-8")
    one_sentence(serenanet("lm", text, *out, "--tool", "magic"), "'magic'", "auto, lmplz, irstlm, own")
    one_sentence(serenanet("lm", text, *out, "--order", "9"), "order 9")
    one_sentence(serenanet("lm", text, *out, "--held-out", tmp_path / "no.txt"), "no.txt")
    assert not (tmp_path / "x.arpa").exists()


# --- train and demo ---------------------------------------------------------------------------------------------------


def test_train_is_the_recipes_script(serenanet, tmp_path, monkeypatch, capsys):
    """Everything after the recipe reaches its train.py as if it had been started by python."""
    monkeypatch.setattr(sys, "argv", ["serenanet"])
    (tmp_path / "train.py").write_text("import sys\nprint(__name__, *sys.argv)\n", encoding="utf-8")
    arguments = ["x.yaml", "--data_folder", "DIR", "--lr=1", "--help"]
    status, out, _ = serenanet("train", tmp_path, *arguments)
    assert (status, out) == (0, f"__main__ {tmp_path / 'train.py'} {' '.join(arguments)}\n")


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A checkout with a tiny corpus."""
    root = tmp_path / "checkout"
    shutil.copytree(ROOT / "recipes", root / "recipes")
    shutil.copytree(ROOT / "hparams", root / "hparams")
    make_corpus(root / demo.CORPUS, sizes={"train": 12, "dev": 3, "test": 3})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    return root


@pytest.mark.trains
def test_demo(checkout, monkeypatch, capfd):
    """It trains, transcribes and prints a summary, in the training's own words; a second time it trains nothing."""
    monkeypatch.setattr(demo, "COMMAND", (*demo.COMMAND, *MODEL, *TRAINING, "--number_of_epochs", "1"))
    demo.run(checkout)
    folder = checkout / "results/CommonVoice/sw/serenanet_demo/1986"
    first = (folder / "train_log.txt").read_text()
    out = capfd.readouterr().out
    assert out.startswith(
        "$ python recipes/CommonVoice/sw/train.py hparams/serenanet.yaml hparams/sizes/serenanet/demo.yaml "
    )
    for words in ("$ serenanet transcribe results/", "reference: ", "M parameters"):
        assert words in out
    sentence = in_words(json.loads((folder / "result.json").read_text()))
    assert "; with --lm auto " in sentence and out.count(sentence) == 2
    assert "serenanet report results/CommonVoice/sw/serenanet_demo/1986 --out report" in out

    demo.run(checkout)
    assert "holds a finished run" in capfd.readouterr().out
    assert (folder / "train_log.txt").read_text() == first


@pytest.mark.trains
def test_demo_needs_a_checkout_and_a_good_training(checkout):
    with pytest.raises(UserError, match="runs in a checkout"):
        demo.run(checkout / "hparams")
    (checkout / "recipes/CommonVoice/sw/dataset.yaml").write_text("dataset: x\nlocale: sw\nprepare: none.py\n")
    with pytest.raises(UserError, match="the training ended with status"):
        demo.run(checkout)
