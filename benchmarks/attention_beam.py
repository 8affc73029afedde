"""The joint attention/CTC beam search against SpeechBrain's, on one model, with the same beam and weights.

    python benchmarks/attention_beam.py RESULT_DIR FILE [FILE ...]

RESULT_DIR is a finished run with an attention decoder, FILEs are audio. The encoder runs once; what is timed is the
search over its output. SpeechBrain's `S2STransformerBeamSearcher` reads the same decoder through the interface it
wants, which runs the whole prefix at each step, with its `CTCScorer` on all units or on those that attention prefers.
What the decoder's own steps take, those of our search played again without it, is the least that it could take.
Medians of repeats taken in turns. Transcripts that differ are judged by their exact joint score, which both searches
maximise.
"""

import argparse
import json
import os
import sys
from pathlib import Path
from types import SimpleNamespace

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import torch  # noqa: E402
from measure import alternate  # noqa: E402
from speechbrain.decoders import S2STransformerBeamSearcher  # noqa: E402
from speechbrain.decoders.scorer import CTCScorer, ScorerBuilder  # noqa: E402

from serenanet_modules.data.audio import load  # noqa: E402
from serenanet_modules.data.sources import Piece  # noqa: E402
from serenanet_modules.decoding.attention import AttentionBeam  # noqa: E402
from serenanet_modules.decoding.ctc_prefix import CTCPrefixScorer  # noqa: E402
from serenanet_modules.decoding.rows import Outputs  # noqa: E402
from serenanet_modules.inference.recognizer import Recognizer  # noqa: E402
from serenanet_modules.lobes.decoders.attention_decoder import BORDER  # noqa: E402
from serenanet_modules.runtime.provenance import device_name, provenance  # noqa: E402

OURS, FLOOR = "ours", "the network's steps of ours alone"
NEVER = -1e20  # SpeechBrain's minus infinity
CANDIDATES = 1.5  # times the beam: what SpeechBrain's recipes preselect for CTC


def main(argv=None):
    options = parse(argv)
    torch.set_num_threads(options.threads)
    recognizer = Recognizer.from_folder(options.folder, options.device)
    decoder = recognizer.modules["model"].attention
    if decoder is None:
        sys.exit(f"error: {options.folder}: has no attention decoder; give a run of such a model")
    memory, log_probs, lengths = encode(recognizer, options.files)
    rows = []
    for beam in options.beams:
        searches = {
            OURS: ours(recognizer, beam, options.ctc_weight),
            "SpeechBrain, CTC on all units": theirs(decoder, log_probs, beam, options.ctc_weight, None),
            "SpeechBrain, CTC on candidates": theirs(decoder, log_probs, beam, options.ctc_weight, CANDIDATES),
        }
        arguments = (memory, log_probs, lengths)
        floor = recorded(decoder, recognizer.units, beam, options.ctc_weight, *arguments)
        rows += compare(searches, floor, decoder, arguments, beam, options)
    found = {
        "options": vars(options)
        | {"out": str(options.out), "folder": str(options.folder), "files": len(options.files)},
        **provenance(),
        "device": device_name(options.device),
        "frames": lengths.tolist(),
        "rows": rows,
    }
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "attention_beam.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
    text = table(found)
    (options.out / "attention_beam.md").write_text(text, encoding="utf-8")
    print(text)
    return 0


def parse(argv):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="RESULT_DIR")
    parser.add_argument("files", nargs="+", metavar="FILE", help="decoded as one batch")
    parser.add_argument("--beams", type=int, nargs="+", default=[5, 10])
    parser.add_argument("--ctc-weight", type=float, default=0.3)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "benchmarks")
    return parser.parse_args(argv)


@torch.no_grad()
def encode(recognizer, files):
    """Encoder output (B, T, d_model), CTC log-probabilities (B, T, V) and lengths (B,) of audio files."""
    output = recognizer.network.output([Piece(0.0, load(file)) for file in files])
    return output.hidden, output.log_probs("decoder"), output.lengths


# ---- contestants --------------------------------------------------------------------------------------------------


def ours(recognizer, beam, ctc_weight):
    search = AttentionBeam(recognizer.modules["model"].attention, recognizer.units, beam, ctc_weight)

    def run(memory, log_probs, lengths):
        outputs = Outputs({search.scoring: log_probs}, memory)
        return [hypothesis.labels for hypothesis in search.decode(outputs, lengths)]

    return run


class Recorded:
    """A label decoder that notes what it is asked, to be asked again."""

    def __init__(self, decoder):
        self.decoder, self.calls = decoder, []

    def __getattr__(self, name):
        asked = getattr(self.decoder, name)
        if name not in ("step", "reorder"):
            return asked

        def noted(*arguments):
            kept = [value for value in arguments if isinstance(value, torch.Tensor)]  # all but the state
            self.calls.append((name, kept))
            return asked(*arguments)

        return noted

    @torch.no_grad()
    def play(self, memory, lengths, beam):
        """All of it once more."""
        state = self.decoder.init_state(memory.float(), lengths, beam)
        for name, kept in self.calls:
            state = self.decoder.step(*kept, state)[1] if name == "step" else self.decoder.reorder(state, *kept)


def recorded(decoder, units, beam, ctc_weight, memory, log_probs, lengths):
    """A function that plays the network's steps of our search again."""
    record = Recorded(decoder)
    AttentionBeam(record, units, beam, ctc_weight).nbest(memory, log_probs, lengths, 1)
    return lambda: record.play(memory, lengths, beam)


class Interface(torch.nn.Module):
    """Our decoder as SpeechBrain's searcher calls a TransformerASR; it has classes of their own for both borders."""

    def __init__(self, decoder):
        super().__init__()
        self.decoder, self.units = decoder, decoder.stack.output.out_features

    def decode(self, labels, memory, lengths):
        """What goes into the output layer (N, U, d_model), and attention weights, which nobody reads."""
        stack, hidden, labels = self.decoder.stack, [], labels.long()
        handle = stack.norm.register_forward_hook(lambda module, inputs, output: hidden.append(output))
        self.decoder(labels.where(labels < self.units, BORDER), memory, lengths)
        handle.remove()
        return hidden[0], memory.new_zeros(1)


class Output(torch.nn.Module):
    """Our output layer with its border moved to the last class but one, and blank and beginning impossible."""

    def __init__(self, layer):
        super().__init__()
        self.layer, self.w = layer, SimpleNamespace(out_features=layer.out_features + 2)

    def forward(self, hidden):
        """Logits (N, U, units + 2)."""
        logits = self.layer(hidden)
        never = torch.full_like(logits[..., :1], NEVER)
        return torch.cat([never, logits[..., 1:], logits[..., :1], never], -1)


class Given(torch.nn.Module):
    """CTC's output layer, whose logits are known already."""

    def __init__(self, log_probs):
        super().__init__()
        self.log_probs = torch.nn.functional.pad(log_probs, (0, 2), value=NEVER)

    def forward(self, memory):
        """The log-probabilities, for any memory."""
        return self.log_probs


def theirs(decoder, log_probs, beam, ctc_weight, candidates):
    end = decoder.stack.output.out_features
    ctc = CTCScorer(ctc_fc=Given(log_probs), blank_index=BORDER, eos_index=end)
    kind = {"full_scorers": [ctc]} if candidates is None else {"partial_scorers": [ctc]}
    scale = {} if candidates is None else {"scorer_beam_scale": candidates}
    search = S2STransformerBeamSearcher(
        modules=[Interface(decoder), Output(decoder.stack.output)],
        bos_index=end + 1,
        eos_index=end,
        min_decode_ratio=0.0,
        max_decode_ratio=1.0,
        beam_size=beam,
        using_eos_threshold=False,
        length_normalization=False,
        scorer=ScorerBuilder(weights={"ctc": ctc_weight}, **kind, **scale),
    )

    @torch.no_grad()
    def run(memory, _, lengths):
        hypotheses = search(memory, lengths / memory.shape[1])[0]
        return [[unit for unit in map(int, units) if BORDER < unit < end] for units in hypotheses]

    return run


# ---- comparison ---------------------------------------------------------------------------------------------------


def compare(searches, floor, decoder, arguments, beam, options):
    """One row per contestant, and one of what a search cannot do without."""
    found = {name: search(*arguments) for name, search in searches.items()}
    scores = {name: exact_scores(decoder, *arguments, labels, options.ctc_weight) for name, labels in found.items()}
    calls = {name: (lambda search=search: search(*arguments)) for name, search in searches.items()}
    times = alternate(calls | {FLOOR: floor}, options.repeats, options.device.split(":")[0], {})
    rows = [{"name": FLOOR, "beam": beam, "seconds": times[FLOOR]["median"], "all": times[FLOOR]["all"]}]
    for name, labels in found.items():
        pairs = list(zip(scores[OURS], scores[name], found[OURS], labels, strict=True))
        rows.append(
            {
                "name": name,
                "beam": beam,
                "seconds": times[name]["median"],
                "all": times[name]["all"],
                "equal": sum(a == b for *_, a, b in pairs),
                "worse": sum(theirs < own - 1e-3 for own, theirs, a, b in pairs if a != b),
                "better": sum(theirs > own + 1e-3 for own, theirs, a, b in pairs if a != b),
            }
        )
    return rows


@torch.no_grad()
def exact_scores(decoder, memory, log_probs, lengths, labels, ctc_weight):
    """The joint score of each utterance's labels."""
    scores = []
    for i, units in enumerate(labels):
        one = slice(i, i + 1)
        targets = torch.tensor([*units, BORDER], device=memory.device)
        logits = decoder(targets.roll(1).unsqueeze(0), memory[one], lengths[one])[0]
        attention = logits.double().log_softmax(-1).gather(1, targets.unsqueeze(1)).sum()
        scorer = CTCPrefixScorer(log_probs[one], lengths[one])
        state = scorer.start(1)
        for unit in units:
            state = scorer.advance(state, torch.zeros_like(lengths[one]).view(1, 1), targets.new_tensor([[unit]]))
        scores.append(float((1 - ctc_weight) * attention + ctc_weight * scorer.extend(state)[0, 0, BORDER]))
    return scores


def table(found):
    """The rows as markdown."""
    o = found["options"]
    threads = "" if o["device"] != "cpu" else f", {o['threads']} thread(s)"
    lines = [
        "# Joint attention/CTC beam search: time and agreement\n",
        f"{found['device']}, {found['processor']}{threads}; torch {found['packages']['torch']}; {o['files']} files "
        f"in one batch of up to {max(found['frames'])} frames; CTC weight {o['ctc_weight']:g}; medians of "
        f"{o['repeats']} alternating repeats.\n",
        "| beam | search | ms | times ours | same transcript | better score | worse score |",
        "|---|---|---|---|---|---|---|",
    ]
    own = {row["beam"]: row["seconds"] for row in found["rows"] if row["name"] == OURS}
    for row in found["rows"]:
        lines.append(
            f"| {row['beam']} | {row['name']} | {1e3 * row['seconds']:.0f} | {row['seconds'] / own[row['beam']]:.2f} | "
            f"{' | '.join(str(row.get(name, '')) for name in ('equal', 'better', 'worse'))} |"
        )
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    sys.exit(main())
