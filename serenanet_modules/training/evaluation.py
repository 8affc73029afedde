"""Decode dev and test with every decoder a model has, score, and write what a reader needs to believe it."""

import time
from pathlib import Path

import torch

from serenanet_modules.analysis.bootstrap import with_interval
from serenanet_modules.analysis.scoring import LEVELS, NORMALISED, measures_of, score, write_alignments
from serenanet_modules.data.batching import read_seconds
from serenanet_modules.data.manifest import by_set, written_by_people
from serenanet_modules.data.segment import piece_seconds
from serenanet_modules.data.summary import read_summary
from serenanet_modules.data.text import normaliser
from serenanet_modules.decoding.network import Network, seconds_bar
from serenanet_modules.decoding.rows import rows_of
from serenanet_modules.lobes.encoders.hmamba import chunk_statistics
from serenanet_modules.runs.decoded import write_decoded
from serenanet_modules.runs.dev import Known, write_dev
from serenanet_modules.runs.words import write_words
from serenanet_modules.runtime import distributed
from serenanet_modules.training.calibration import Confidences, heard_words, known_words
from serenanet_modules.training.examples import write_examples
from serenanet_modules.training.gates import write_gates
from serenanet_modules.training.searches import Heard, Searches, search_threads


class Evaluation:
    """Decodes and scores splits with a trained `RecogniserBrain`.

    Audio is cut and read, and texts are joined, as `Recognizer` does it: one model has one error rate.

    Parameters
    ----------
    brain : RecogniserBrain
        With the weights to be evaluated.
    root : Path
        Folder of the manifest.
    splits : dict of str to list of Utterance
        ``train`` for the lexicon and the language model; ``dev`` and ``test`` are decoded, and scored by named set.
    folder : Path
        Result folder.

    Attributes
    ----------
    scoring : str
        decoder, car or average: what the beam search reads.
    decoding : dict
        What dev chose, as of `Searches`, once `run` is done.
    known : frozenset of str
        Words of people's training transcripts, written and as phones, which the folder keeps.
    confidences : Confidences
        Fitted on dev.
    seconds : float
        Spent on features, network and greedy decoding, by the slowest process.
    written : dict of str to dict
        For each split, or all dev sets together, and each decoder: of how many ``pieces`` of audio it wrote nothing
        (``empty``), or went round until it was stopped (``looped``).
    chunks : dict of str to dict
        ``boundary_rate``, chunks per frame, and ``compression``, frames per chunk, of each split, of an encoder that
        cuts chunks.
    """

    def __init__(self, brain, root, splits, folder):
        self.brain, self.root, self.folder = brain, Path(root), Path(folder)
        self.train, self.dev, self.test = splits["train"], splits["dev"], splits["test"]
        self.decoders, self.network = brain.decoders, Network(brain.modules, brain.device, brain.evaluation_ctx)
        self.greedy = [self.decoders.greedy(scoring) for scoring in brain.modules.model.scorings]
        self.scoring, self.decoding = self.decoders.scoring, self.decoders.settings["decoding"]
        self.batch_seconds = read_seconds(brain.hparams.max_batch_seconds)
        self.style = brain.style(vars(brain.hparams))
        self.piece_seconds = piece_seconds(read_summary(root)["splits"]["train"]["p99_seconds"])
        self.known, self.confidences = frozenset(known_words(written_by_people(self.train))), Confidences()
        self.seconds, self.chunks, self.written = 0.0, {}, {}

    def run(self):
        """Evaluate all splits; the main process writes the files.

        Returns
        -------
        dict
            split -> decoder -> measure -> rate, counts and interval.
        """
        results, searches = {}, None
        self.brain.modules.eval()
        if distributed.is_main():
            write_words(self.folder, self.known)
        # all dev sets at once and first: they tune the searches
        for sets in (by_set(self.dev), *({name: rows} for name, rows in by_set(self.test).items())):
            title = ", ".join(sets)
            heard, found = self._hear(sum(sets.values(), []), title)
            first = searches is None
            searches = self._searches(heard) if first else searches
            found += [self._search(decoder, heard, title) for decoder in searches]
            decoders = [*self.greedy, *searches]
            decoded = [_gathered(heard.texts(*pair)) for pair in zip(decoders, found, strict=True)]
            self._judge(sets, heard, decoders, found, fit=first)
            self.written[title] = {d.name: _written(texts) for d, texts in zip(decoders, found, strict=True)}
            if first:
                self._keep_dev(heard)
            if distributed.is_main():
                results |= {name: self._score(name, rows, decoders, decoded) for name, rows in sets.items()}
        if distributed.is_main():
            model, file = self.brain.modules.model, self.folder / "examples.npz"
            if model.scorings:
                write_examples(file, model, self.dev, self.root, self.brain.units, self.brain.device)
            write_gates(self.folder / "gates.npz", model, self.dev, self.root, self.brain.device)
        return results

    # --- decoding -------------------------------------------------------------------------------------------------

    def _hear(self, rows, title):
        """Run the network over this process's share of a split, and decode greedily.

        Returns
        -------
        Heard, list of list of Hypothesis
            For the searches, and of each greedy decoder.
        """
        share = sorted(rows, key=lambda u: (-u.duration, u.id))[distributed.rank() :: distributed.world_size()]
        model, owners, found = self.brain.modules.model, [], []
        seconds, rates = 0.0, torch.zeros(2, dtype=torch.long)  # frames and chunks, of an encoder that cuts chunks

        def hear(pieces):
            nonlocal seconds
            start = time.monotonic()
            output = self.network.output(pieces)
            hypotheses = [decoder.decode(output, output.lengths) for decoder in self.greedy]
            seconds += time.monotonic() - start  # texts are there, so the device has nothing left to do
            if output.extras.chunks is not None:
                rates.add_(output.extras.chunks.cpu())
            with_hidden = model.writer is not None
            kept = rows_of(output, self.scoring, [piece.seconds for piece in pieces], with_hidden)
            return list(zip(kept, *hypotheses, strict=True))

        ended = self.network.read(
            (self.root / u.path for u in share),
            hear,
            self.piece_seconds,
            self.batch_seconds,
            seconds_bar(f"{title}: network" if distributed.is_main() else None),
        )
        for utterance, (end, heard) in zip(share, ended, strict=True):
            if end.error:
                raise end.error
            sounding = [result for result in heard if result is not None]
            owners += [utterance] * len(sounding)
            found += sounding
        self._count(title, seconds, rates)
        kept, *hypotheses = zip(*found, strict=True) if found else [()] * (1 + len(self.greedy))
        return Heard(share, owners, list(kept)), list(map(list, hypotheses))

    def _count(self, title, seconds, rates):
        """Add what a split took and how its frames were cut, over all processes."""
        self.seconds += max(distributed.gather_objects([seconds]))
        frames, chunks = distributed.sum_(rates).tolist()
        if chunks:
            self.chunks[title] = {key: round(value, 4) for key, value in chunk_statistics(frames, chunks).items()}

    def _searches(self, heard):
        """The searches of the brain, tuned on dev."""
        h = self.brain.hparams
        return list(self.brain.searches(Searches(self.decoders, h, self.train, self.folder, heard, self.dev)))

    def _search(self, decoder, heard, title):
        """Hypotheses of this process's share of a split."""
        shown = f"{title}: {decoder.name}" if distributed.is_main() else None
        return decoder.decode_rows(heard.rows, self.batch_seconds, search_threads(), shown)

    def _keep_dev(self, heard):
        """Keep what was heard in dev, for language models that come later."""
        rows = {u.id: Known(u.text, []) for u in heard.share}
        for owner, row in zip(heard.owners, heard.rows, strict=True):
            rows[owner.id].rows.append(row)
        found = _gathered(rows)
        if distributed.is_main():
            write_dev(self.folder, [found[key] for key in sorted(found)], self.brain.hparams.seed)

    def _judge(self, sets, heard, decoders, found, fit):
        """Fit or measure the confidences of the decoders that uses of the model have, which read `scoring`."""
        others = {decoder.name for decoder in self.greedy} - {self.decoders.greedy().name}
        for decoder, hypotheses in zip(decoders, found, strict=True):
            if decoder.name not in others:
                words = _gathered(heard_words(heard, decoder, hypotheses, self.known))
                if distributed.is_main():
                    (self.confidences.fit if fit else self.confidences.measure)(sets, decoder, words)

    # --- scoring --------------------------------------------------------------------------------------------------

    def _score(self, split, rows, decoders, decoded):
        """Score every decoder's texts of a split, and write its files."""
        results, columns = {}, {}
        for decoder, texts in zip(decoders, decoded, strict=True):
            words, texts = decoder.writes_words, {u.id: texts[u.id] for u in rows}
            references = {u.id: u.text if words else u.phonemes for u in rows}
            results[decoder.name] = {
                m: self._measure(split, decoder.name, m, *self._as_measured(m, rows, references, texts))
                for m in measures_of(words, not words, both=self.style.written)
            }
            columns[decoder.name] = texts
        write_decoded(self.folder, split, rows, columns, phonemic=self.brain.units.phonemic)
        return results

    def _as_measured(self, measure, rows, *texts):
        """References and hypotheses, normalised where the measure is of that."""
        if not measure.endswith(NORMALISED):
            return texts
        rules = {u.id: normaliser(u.locale) for u in rows}
        return [{key: rules[key](text) for key, text in found.items()} for found in texts]

    def _measure(self, split, decoder, measure, references, texts):
        result = score(references, texts, LEVELS[measure])
        if not measure.startswith("CER"):
            file = f"{measure.lower().replace(' ', '_')}_{split}_{decoder.replace('/', '_')}.txt"
            write_alignments(self.folder / file, result)
        return with_interval(result)


def _written(hypotheses):
    """How many of all processes' hypotheses there are, how many are empty, and how many ended in a loop."""
    empty, looped = (
        sum(map(bool, found)) for found in ((not h.text for h in hypotheses), (h.looped for h in hypotheses))
    )
    counts = distributed.sum_(torch.tensor([len(hypotheses), empty, looped])).tolist()
    return dict(zip(("pieces", "empty", "looped"), counts, strict=True))


def _gathered(by_utterance):
    """What all processes have, of what each has of its share."""
    return dict(distributed.gather_objects(list(by_utterance.items())))
