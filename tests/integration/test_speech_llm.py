"""A speech LLM through all of a recogniser's life: trained, killed, resumed, used; and it listens."""

import json

import pytest
import torch

from serenanet_modules.config.foreign import Document
from serenanet_modules.data.tokens import Tokens
from serenanet_modules.decoding.prompted import Prompted
from serenanet_modules.errors import UserError
from serenanet_modules.export.command import export
from serenanet_modules.inference.recognizer import Recognizer
from serenanet_modules.inference.streaming import Streamer
from serenanet_modules.lobes.speech_llm import Said
from serenanet_modules.runs.public_encoder import EncoderFolder
from serenanet_modules.training.brains.speech_llm import token_loss
from tests.support import hooks
from tests.support.encoders import save_encoder
from tests.support.language_models import LORA, PROMPT, VOCABULARY, save_language_model, speech_llm, tokenizer
from tests.support.presets import HPARAMS, preset
from tests.support.tiny import (
    MODEL,
    PAIRS,
    checkpoints,
    command,
    decoded,
    distance,
    heard,
    log,
    make_corpus,
    read_tsv,
    same,
    weights,
    write_tsv,
)
from tests.support.tiny import Run as Start

TINY = ("--head", "null", "--d_model", 32, "--adapter.d_hidden", 24)
QUICK = ("--number_of_epochs", 2, "--beam_size", 0)
CONTEXT = ("--context_words", 4, "--context", "Wanjiku")
WITHOUT_CTC = ("--ctc_head", "false", "--ctc_weight", 0, "--draft", "false", "--preparation.frames_per_character", 0)


@pytest.fixture(scope="module", name="sources")
def _sources(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    return save_encoder(folder / "whisper", "whisper"), save_language_model(folder / "llama")


def arguments(sources, *more):
    encoder, llm = sources
    given = ("--encoder.source", encoder, "--llm.source", llm, *TINY, *more)
    return [str(part) for part in given]


@pytest.fixture(scope="module", name="run")
def _run(corpus, sources, tmp_path_factory):
    """A whole job with low-rank adapters, and contexts of which some are drawn."""
    folder = tmp_path_factory.mktemp("speech_llm") / "run"
    model = arguments(sources, "--llm.learns", "lora", "--llm.lora.r", 2)
    return Start(command(corpus, folder, *QUICK, *CONTEXT, hparams=preset("speech_llm"), model=model), folder).done()


def test_the_folder_is_small_and_says_where_the_rest_is(run, sources):
    """It holds adapters, the CTC head and the tokenizer; of encoder and language model their SHA-256."""
    held = weights(run.folder)
    assert not any(name.startswith("model.acoustic.encoder.") for name in held)
    assert {name for name in held if name.startswith("model.llm.")} == {
        name for name in held if ".lora_A." in name or ".lora_B." in name
    }
    assert any(name.startswith("model.adapter.") for name in held) and "model.decoder.weight" in held
    text = (run.folder / "hyperparams.yaml").read_text(encoding="utf-8")
    assert text.count("sha256: ") == 2 and "model_type: llama" in text and "model_type: whisper" in text
    assert not (run.folder / "save/frozen.safetensors").exists()
    assert (run.folder / "save/tokenizer.json").read_bytes() == (sources[1] / "tokenizer.json").read_bytes()
    result = run.result
    assert set(result["results"]["test"]) == {"decoder/greedy", "llm/greedy"}
    counts = result["written"]["test"]["llm/greedy"]
    assert counts["pieces"] >= 6 and set(counts) == {"pieces", "empty", "looped"}
    assert set(result["history"][0]["train"]) == {"loss", "ctc", "tokens", "accuracy"}
    prompt = Document.of_run(run.folder).arguments("llm", "serenanet_modules.lobes.pretrained.CausalLM")["prompt"]
    assert prompt == ["<|im_start|>user\n", "", "\nTranscribe the speech.<|im_end|>\n<|im_start|>assistant\n"]


def test_it_is_used(run, corpus):
    """Text as the evaluation's, also from one clip; nothing from silence; the rest in one sentence."""
    recognizer = Recognizer.from_folder(run.folder)
    test = decoded(run.folder, "test")
    rows = {row["id"]: row["llm/greedy"] for row in test}
    clips = dict(zip(rows, heard(corpus, run.folder, test), strict=True))
    found = recognizer.transcribe(list(clips.values()))
    assert [t.text for t in found] == list(rows.values())
    assert recognizer.transcribe([torch.zeros(16000).numpy()])[0].text == ""
    with pytest.raises(UserError, match="no exported file can"):
        export(run.folder, "onnx")
    with pytest.raises(UserError, match="cannot stream"):
        Streamer(recognizer)
    with pytest.raises(UserError, match="own language model"):
        recognizer.decoder("auto")
    told = Recognizer.from_folder(run.folder, context="Wanjiku", beam_size=3).wishing(
        hotwords=(("kisu", 1.0),), nbest=2
    )
    search = told.decoder()
    assert (search.context, search.beam_size, search.ctc_weight) == ("Wanjiku, kisu", 3, 0.3)
    assert search.draft and recognizer.decoder().draft
    assert "Wanjiku, kisu" in told.run.tokens.decode(search.tokens.around(search.context)[0])
    segment = told.transcribe([clips[name] for name in rows][0]).segments
    assert all(1 <= len(part.alternatives) <= 2 for part in segment)
    four = Recognizer.from_folder(run.folder, computing={"quantize": "nf4"})
    assert isinstance(four.transcribe(next(iter(clips.values()))).text, str)


@pytest.mark.parametrize("what", ["llama", "whisper"])
def test_a_reference_that_is_gone_or_another(run, sources, what):
    """One sentence that says which, and where a copy may lie."""
    part = dict(zip(("whisper", "llama"), sources, strict=True))[what]
    moved = part.rename(part.with_name("moved"))
    key = {"llama": "llm", "whisper": "encoder"}[what]
    try:
        with pytest.raises(UserError, match=f"{key}.source: there is no folder .*; a copy of it may lie in .*/{key}"):
            Recognizer.from_folder(run.folder)
        (run.folder / key).symlink_to(moved)
        assert Recognizer.from_folder(run.folder)
        (run.folder / key).unlink()
        (save_encoder if what == "whisper" else save_language_model)(
            part, "whisper-30s" if what == "whisper" else "llama"
        )
        file = part / "model.safetensors"
        if what == "llama":
            file.write_bytes(file.read_bytes()[:-4] + b"\0\0\0\1")
            with pytest.raises(UserError, match=f"{key}.source: the weights in .* are not those of this run"):
                Recognizer.from_folder(run.folder)
    finally:
        for file in part.iterdir() if part.exists() else []:
            file.unlink()
        if part.exists():
            part.rmdir()
        moved.rename(part)


def test_killed_and_resumed(train, run, sources, tmp_path):
    """It ends as the run that nothing disturbed."""
    options = {"hparams": preset("speech_llm"), "model": arguments(sources, "--llm.learns", "lora", "--llm.lora.r", 2)}
    started = train(*QUICK, *CONTEXT, "--ckpt_interval_minutes", 0.0005, hooks=[hooks.slow], **options)
    started.until(lambda: checkpoints(started.folder))
    started.kill()
    resumed = train(*QUICK, *CONTEXT, **options).done()
    assert same(resumed, run)


def test_two_processes_are_one(train, train_both, sources, tmp_path):
    """That accumulates twice as many micro-batches, also with contexts that are drawn."""
    options = {"hparams": preset("speech_llm"), "model": arguments(sources, "--llm.learns", "lora", "--llm.lora.r", 2)}
    short = ("--number_of_epochs", 1, "--beam_size", 0, *CONTEXT)
    alone = train(*short, *PAIRS, folder=tmp_path / "alone", **options).done()
    both = [run.done() for run in train_both(*short, folder=tmp_path / "both", **options)]
    assert distance(both[0].folder, alone.folder) < 1e-5
    assert decoded(both[0].folder, "test") == decoded(alone.folder, "test")


def test_from_a_ctc_run_and_merged_frames(train, run, sources):
    """The adapter may begin on a CTC model's frames; here on those of another speech LLM, whose head it takes."""
    model = arguments(sources, "--pretrained", run.folder, "--compress", "ctc", "--attention_beam_size", 2)
    quick = ("--number_of_epochs", 1, "--beam_size", 0, "--lr", 1e-9)
    begun = train(*quick, hparams=preset("speech_llm"), model=model).done()
    assert torch.allclose(
        weights(begun.folder)["model.decoder.weight"], weights(run.folder)["model.decoder.weight"], atol=1e-5
    )
    assert "llm/beam" in begun.result["results"]["test"] and "llm/beam" in begun.result["decoding"]


def test_over_an_acoustic_model_of_this_project(train, sources, tmp_path):
    """The layer lays a language model over any model's file; here over SerenaNet's, kept, of a run that learned CTC."""
    quick = ("--number_of_epochs", 1, "--beam_size", 0)
    heard = train(*quick, "--car", "null", folder=tmp_path / "heard").done()
    small = [*MODEL[: MODEL.index("--car.d_model")], *MODEL[MODEL.index("--n_mels") :]]
    layer = HPARAMS / "over/language_model.yaml"
    model = [*small, "--llm.source", str(sources[1]), "--adapter.d_hidden", "24", "--pretrained", str(heard.folder)]
    run = train(*quick, "--freeze", "[acoustic]", hparams=[*preset("serenanet/small"), layer], model=model).done()
    before, after = weights(heard.folder), weights(run.folder)
    kept = [name for name in before if name.startswith("model.acoustic.")]
    assert kept and all(torch.equal(before[name], after[name]) for name in kept)
    assert any(name.startswith("model.adapter.") for name in after)
    assert set(run.result["results"]["test"]) == {"decoder/greedy", "llm/greedy"}
    assert isinstance(Recognizer.from_folder(run.folder).transcribe([torch.zeros(16000).numpy()])[0].text, str)


@pytest.mark.parametrize("low_rank", [True, False])
def test_encoder_and_language_model_learn_too(train, sources, low_rank):
    """Both by low-rank adapters, or all of both; what has learned stands in the folder."""
    learning = ("--freeze", "null", "--keep_encoder", "copy", "--encoder_cache", "null")
    adapters = ("--lora.r", 2, "--llm.learns", "lora", "--llm.lora.r", 2)
    learning += adapters if low_rank else ("--llm.learns", "all", "--keep_llm", "copy")
    quick = ("--number_of_epochs", 1, "--beam_size", 0)
    run = train(*quick, hparams=preset("speech_llm"), model=arguments(sources, *learning)).done()
    held = weights(run.folder)
    part, before = "model.acoustic.encoder.network.body.layers.0.", EncoderFolder(str(sources[0])).tensors()
    moved = {
        name: not torch.equal(held[f"{part}{name}.weight"], before[f"encoder.layers.0.{name}.weight"])
        for name in ("self_attn.q_proj", "fc1")
    }
    assert moved == {"self_attn.q_proj": True, "fc1": not low_rank}
    assert any(".lora_B." in name for name in held) == low_rank
    assert any(name.startswith("model.llm.") and ".lora_" not in name for name in held) == (not low_rank)
    assert Recognizer.from_folder(run.folder)


def test_without_a_ctc_head(train, sources, tmp_path):
    """A text of more letters than there are frames is trained on, and there is no CTC loss; that no answer will be as
    long is said."""
    release = make_corpus(tmp_path / "release")
    rows = read_tsv(release / "train.tsv")
    rows[0]["sentence"] = " ".join(["habari"] * 40)
    write_tsv(release / "train.tsv", rows)
    short = ("--number_of_epochs", 1, "--beam_size", 0)
    run = train(*short, corpus=release, hparams=preset("speech_llm"), model=arguments(sources, *WITHOUT_CTC)).done()
    assert set(run.result["history"][0]["train"]) == {"loss", "tokens", "accuracy"}
    assert run.result["data"]["splits"]["train"]["utterances"] == len(rows)
    assert "of the training texts have more tokens than an answer may have" in log(run.folder)
    assert "left out" not in log(run.folder) and set(run.result["results"]["test"]) == {"llm/greedy"}


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (("--llm.source", "null"), "give the language model with --llm.source"),
        (("--llm.learns", "all"), "keep is reference, but all of the language model learns"),
        (("--units", "phoneme"), "a language model writes words"),
        (("--language_units", "own"), "'language_units' is own, but a language model does not say which language"),
        (("--llm.learns", "lora", "--llm.lora.targets", "[nope]"), "no linear layer 'nope'"),
        (("--d_model", 48), "adapter.d_input must be 32"),
        (("--ctc_head", "false"), "'ctc_weight' is 0.3, but there is no CTC head"),
        (("--ctc_head", "false", "--ctc_weight", 0), "no CTC head, whose text would be a draft; set 'draft' to false"),
        (WITHOUT_CTC[:-2], "'preparation.frames_per_character' is 1.0, which leaves out what CTC cannot learn"),
    ],
)
def test_what_cannot_be(train, sources, more, words):
    """One sentence, before any audio is read."""
    run = train(hparams=preset("speech_llm"), model=arguments(sources, *more))
    assert run.wait() == 2 and words in run.output.splitlines()[-1], run.output
    assert "Traceback" not in run.output


def test_it_listens(tmp_path):
    """A tiny random encoder and language model with low-rank adapters learn four clips by heart, and with the sound of
    another clip write the other text."""
    file = tmp_path / "tokenizer.json"
    tokenizer().save(str(file))
    tokens = Tokens(file, PROMPT, [2], VOCABULARY)
    texts = ["mama anakula", "baba", "ng'ombe wa baba", "mama na baba wanakula"]
    model = speech_llm("llama", learns="lora", lora={**LORA, "r": 8, "alpha": 16})
    wavs = torch.randn(4, 6400, generator=torch.Generator().manual_seed(0)) * torch.linspace(0.05, 1, 4).unsqueeze(1)
    lengths = torch.tensor([6400, 5000, 6000, 5500])
    before, after = tokens.around()
    said = Said([before] * 4, [after] * 4, [tokens.encode(text) for text in texts])
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=0.01)
    for _ in range(400):
        summed, _, count = token_loss(model(wavs, lengths, said=lambda *_: said).tokens, said.texts, 2)
        optimizer.zero_grad()
        loss = (summed / count).mean()
        loss.backward()
        optimizer.step()
        if loss < 0.02:
            break

    class Words:
        kind = "char"
        encode = staticmethod(lambda text: [1 for _ in text])

    search = Prompted(model, Words(), tokens)
    order = [1, 2, 3, 0]
    with torch.no_grad():
        right, shuffled = (model(wavs[rows], lengths[rows]) for rows in ([0, 1, 2, 3], order))
    assert [found.text for found in search.decode(right, right.lengths)] == texts
    assert [found.text for found in search.decode(shuffled, shuffled.lengths)] == [texts[i] for i in order]


def test_result_json_is_plain(run):
    assert json.dumps(run.result)
