"""SpeechBrain's EncoderASR opens the same folder and hears the same."""

import subprocess
import sys

import numpy as np
import pytest
import soundfile
import torch
from speechbrain.inference.ASR import EncoderASR

from serenanet_modules.data.audio import SAMPLE_RATE, load
from serenanet_modules.data.sources import Piece
from serenanet_modules.inference.recognizer import Recognizer
from tests.support.folders import make_random_result
from tests.support.presets import preset
from tests.support.tiny import ROOT


def test_a_trained_folder(tiny, recognizer, clips, tmp_path):
    """Files, of any rate and channel count, and batches give the text of our greedy decoding."""
    asr = EncoderASR.from_hparams(source=str(tiny[1]), savedir=str(tmp_path / "links"))
    stereo = np.stack([load(clips[1])] * 2, axis=1)
    soundfile.write(tmp_path / "stereo.wav", stereo, 44100)  # too fast, which is speech as good as any here
    files = [*clips, tmp_path / "stereo.wav"]
    ours = [found.text for found in recognizer.transcribe(files, piece_seconds=30.0)]  # EncoderASR reads them whole
    assert all(ours) and len(set(ours)) > len(ours) / 2
    assert [asr.transcribe_file(str(file)) for file in files] == ours

    wavs = [torch.from_numpy(load(clip)) for clip in clips]
    lengths = torch.tensor([len(wav) for wav in wavs])
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    texts, labels = asr.transcribe_batch(padded, lengths / lengths.max())
    assert texts == ours[: len(clips)] and [recognizer.units.decode(ids) for ids in labels] == texts


MODELS = {
    "attention decoder": (preset("conmamba_s2s"), (("encoder.n_layers", "2"),), {"units": "bpe"}),
    "learned chunks": (preset("hmamba/small"), (("encoder.read", "chunks"),), {}),
    "fixed chunks": (preset("hmamba_pooling/small"), (), {}),
    "causal": (preset("conmamba_causal/small"), (), {}),
    "conformer": (preset("conformer_ctc"), (), {}),
    "phonemes": (preset("serenanet/small"), (), {"units": "phoneme", "texts": ["m a | b a", "n a | k u l a"]}),
}


@pytest.mark.parametrize("name", MODELS)
def test_every_kind_of_model(tmp_path, name, monkeypatch):
    """A batch gives what CTC greedy gives of each utterance alone; nothing is written where no savedir is given."""
    files, overrides, units = MODELS[name]
    if units.get("units") == "bpe":
        units = {**units, "texts": ["mama anakula ng'ombe wa baba", "baba anakula", "wa mama na baba"]}
    folder = make_random_result(tmp_path / "run", files, *overrides, blank=2.0, **units)
    before = sorted(path for path in folder.rglob("*"))
    monkeypatch.chdir(tmp_path)
    asr = EncoderASR.from_hparams(source=str(folder))
    assert sorted(path for path in folder.rglob("*")) == before and [*tmp_path.iterdir()] == [folder]

    rng, sizes = np.random.default_rng(0), (3 * SAMPLE_RATE, 2 * SAMPLE_RATE + 801, 12345)
    wavs = [torch.from_numpy((0.1 * rng.standard_normal(size)).astype(np.float32)) for size in sizes]
    padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
    texts, _ = asr.transcribe_batch(padded, torch.tensor(sizes) / max(sizes))
    recognizer = Recognizer.from_folder(folder)
    assert any(texts)
    for wav, text in zip(wavs, texts, strict=True):
        output = recognizer.network.output([Piece(0.0, wav.numpy())])
        best = output.log_probs(recognizer.settings["scoring"])[0].argmax(-1)
        labels = torch.unique_consecutive(best)
        assert recognizer.units.decode(labels[labels != 0].tolist()) == text


def test_an_override_of_the_place_where_a_value_is_used(tmp_path):
    """The output that is read is another one; a key alone changes nothing, for references in the file are resolved."""
    folder = make_random_result(tmp_path / "run", preset("serenanet/small"), blank=2.0)
    wavs, lengths = torch.randn(1, 3 * SAMPLE_RATE) / 10, torch.ones(1)
    for scoring in ("decoder", "car"):
        overrides = {"modules": {"encoder": {"scoring": scoring}}}
        asr = EncoderASR.from_hparams(source=str(folder), overrides=overrides)
        ours = Recognizer.from_folder(folder, overrides={"scoring": scoring})
        output = ours.network.output([Piece(0.0, wavs[0].numpy())])
        torch.testing.assert_close(asr.encode_batch(wavs, lengths), output.log_probs(scoring), atol=1e-4, rtol=1e-4)
        assert ours.decoder().name == f"{scoring}/greedy"


def test_training_is_not_imported(tmp_path):
    """Neither way to open a folder loads more of training than what its file names, nor needs the training's data."""
    folder = make_random_result(tmp_path / "run", preset("serenanet/small"))
    code = f"""
import sys
from speechbrain.inference.ASR import EncoderASR
from serenanet_modules.inference.recognizer import Recognizer
EncoderASR.from_hparams(source={str(folder)!r})
Recognizer.from_folder({str(folder)!r})
found = [name for name in sys.modules if name.startswith("serenanet_modules.training.")]
print(sorted(name.rsplit(".", 1)[1] for name in found))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "['muon', 'schedule']\n", done.stderr
