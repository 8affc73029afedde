"""Whole runs on corpora of other layouts: a manifest of one's own, several test sets, audio without transcripts."""

import json

from tests.support import layouts
from tests.support.presets import preset
from tests.support.tiny import FILES, MODEL, ROOT, SAMPLE, TRAINING, Run, decoded, make_corpus, read_tsv

SHORT = ("--number_of_epochs", "1", "--warmup_steps", "1", "--checkpoints_to_average", "1", "--lm", "null")


def command(recipe, data, folder, *more, hparams=FILES, model=MODEL):
    data = [*("--data_folder", str(data), "--output_folder", str(folder)), "--prepared_folder", f"{folder}.prepared"]
    return [str(ROOT / "recipes" / recipe / "train.py"), *map(str, hparams), *data, *model, *TRAINING, *SHORT, *more]


def test_a_manifest_of_ones_own(tmp_path):
    """One manifest without splits trains and scores; what it is split into is what decoded_*.csv holds."""
    rows = read_tsv(SAMPLE / "train.tsv")[:30]
    lines = [
        {"audio_filepath": f"$data_root/{row['path']}", "text": row["sentence"], "speaker": f"s{i % 10}"}
        for i, row in enumerate(rows)
    ]
    (tmp_path / "own.json").write_text("\n".join(map(json.dumps, lines)))
    options = ("--locale", "sw", "--data_root", str(SAMPLE / "clips"), "--shares.train", "0.7", "--shares.dev", "0.2")
    run = Run(command("Custom", tmp_path / "own.json", tmp_path / "run", *options), tmp_path / "run").done()
    assert run.result["dataset"] == "Custom" and run.result["results"].keys() == {"dev", "test"}
    assert len(decoded(run.folder, "dev")) == 6 and len(decoded(run.folder, "test")) == 3
    again = Run(command("Custom", tmp_path / "own.json", tmp_path / "run", *options), tmp_path / "run").done()
    assert again.result["results"] == run.result["results"]  # the split is the same, or this would be other data


def test_librispeech_scores_each_of_its_sets(tmp_path):
    """Dev sets choose together and are scored apart; each test set has its own figures and files."""
    subsets = ("train-clean-100", "dev-clean", "dev-other", "test-clean", "test-other")
    layouts.librispeech(tmp_path / "LibriSpeech", subsets, chapters=2, utterances=3)
    run = Run(command("LibriSpeech", tmp_path, tmp_path / "run"), tmp_path / "run").done()
    results = run.result["results"]
    assert list(results) == ["dev-clean", "dev-other", "test-clean", "test-other"]
    words = {name: results[name]["decoder/greedy"]["WER"] for name in results}
    assert all(w["hits"] + w["substitutions"] + w["deletions"] == 12 for w in words.values())
    for name in results:
        assert len(decoded(run.folder, name)) == 6
        assert (run.folder / f"wer_{name}_decoder_prefix-beam.txt").is_file()
    assert run.result["seconds"]["evaluated_audio"] > 4 * 6
    assert run.result["data"]["in_place"] == 5 * 6


def test_pre_training_pools_speech_with_and_without_transcripts(tmp_path):
    """Two releases, and a long recording that nobody transcribed and that comes in pieces; each set is measured."""
    releases = [make_corpus(tmp_path / name) for name in ("sw", "lg")]
    layouts.noise(tmp_path / "radio" / "news.wav", 45)
    corpora, folder = f"[{releases[0]}, {releases[1]}, {tmp_path / 'radio'}]", tmp_path / "run"
    trunk = MODEL[: MODEL.index("--car.d_model")] + MODEL[MODEL.index("--n_mels") :]
    more = ("--max_batch_seconds", "45", "--n_clusters", "12", "--cluster_frames", "2000", "--locale", "mdw")
    start = command("CommonVoice/sw", corpora, folder, *more, hparams=preset("pessl/small"), model=trunk)
    result = Run(start, folder).done().result
    assert result["data"]["splits"]["train"]["utterances"] == 2 * 24 + 3
    assert list(result["pretraining"]) == ["train", "dev-lg", "dev-sw", "test-lg", "test-sw"]
    assert result["data"]["warnings"][0] == "3 train utterance(s) have no text; only pre-training can use them"
