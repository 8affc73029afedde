"""Micro-batches that do not fit into memory are halved until they do; an utterance that does not fit alone is left out.

What was halved is written down at once, in the result folder: a run that resumes, with more memory too, cuts the same
micro-batches in the same places and draws the same randomness, so that it still ends with the same weights.
"""

import gc
import json
import logging
from pathlib import Path

import torch

from serenanet_modules.errors import Fault
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.amounts import counted
from serenanet_modules.runtime.faults import out_of_memory

logger = logging.getLogger(__name__)


class Halving:
    """Which parts of micro-batches fit.

    Parameters
    ----------
    save : str or Path
        Folder that remembers; each process writes a file of its own, and reads all.
    """

    def __init__(self, save):
        self.file = Path(save) / f"halved-{distributed.rank()}.jsonl"
        self.known = {}
        for file in sorted(Path(save).glob("halved-*.jsonl")):
            for line in file.read_text(encoding="utf-8").splitlines():
                try:
                    epoch, number, spans = json.loads(line)
                except ValueError:  # cut short by a kill: it will be found out again
                    continue
                self.known[epoch, number] = spans

    def run(self, epoch, batch, attempt):
        """Do a micro-batch in parts that fit.

        Parameters
        ----------
        epoch : int
        batch : Batch
        attempt : callable
            (start, stop) -> what came of these utterances, or None where memory was not enough; it then has changed
            nothing.

        Returns
        -------
        list
            (number of utterances, what came of them) of the parts that fit.
        """
        key = epoch, batch.plan.number
        waiting = [tuple(span) for span in self.known.get(key, [(0, len(batch.utterances))])]
        done, failed = [], False
        while waiting:
            start, stop = waiting.pop(0)
            result = attempt(start, stop)
            if result is not None:
                done.append((start, stop, result))
                continue
            failed = True
            self._warn(epoch, batch, start, stop)
            middle = (start + stop) // 2
            waiting = [span for span in ((start, middle), (middle, stop)) if stop - start > 1] + waiting
        if failed:
            self._remember(key, [(start, stop) for start, stop, _ in done])
        return [(stop - start, result) for start, stop, result in done]

    def _remember(self, key, spans):
        self.known[key] = spans
        with open(self.file, "a", encoding="utf-8") as file:
            file.write(json.dumps([*key, spans]) + "\n")

    @staticmethod
    def _warn(epoch, batch, start, stop):
        if stop - start == 1:
            logger.warning(
                "Epoch %d: %s does not fit into memory even alone and is left out", epoch, batch.utterances[start].id
            )
        else:
            logger.warning(
                "Epoch %d: %d utterances of micro-batch %d do not fit into memory together and are tried in halves",
                *(epoch, stop - start, batch.plan.number),
            )


class Undivided:
    """As `Halving`, where all processes pass through each part of the network together, and none can try again."""

    def run(self, epoch, batch, attempt):
        """Do a micro-batch whole.

        Raises
        ------
        Fault
            Where it does not fit into memory.
        """
        count = len(batch.utterances)
        result = attempt(0, count)
        if result is None:
            which = f"micro-batch {batch.plan.number} of epoch {epoch} ({counted(count, 'utterance')})"
            raise Fault(
                f"{which} does not fit into memory, and "
                "--fsdp cannot split it; begin anew with a lower --max_batch_seconds and another --experiment, or with "
                "more processes"
            )
        return [(count, result)]


def attempting(parameters, backward):
    """A function that does what another one does, or nothing where memory is not enough.

    Parameters
    ----------
    parameters : list of torch.nn.Parameter
    backward : callable
        Adds to their gradients, and returns anything but None.

    Returns
    -------
    callable
        Takes the same arguments; returns None, and leaves all gradients as they were, where memory is not enough.
    """

    def attempt(*arguments):
        # A pass that fails leaves parts of its gradients, so what earlier micro-batches of the step have left is set
        # aside meanwhile and added once; autograd would add the same numbers parameter by parameter.
        kept = {p: p.grad for p in parameters if p.grad is not None}
        for parameter in kept:
            parameter.grad = None
        result = None
        try:
            result = backward(*arguments)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            for parameter in parameters:
                parameter.grad = None
        both = [(gradient, p.grad) for p, gradient in kept.items() if p.grad is not None]
        if both:
            torch._foreach_add_(*map(list, zip(*both, strict=True)))
        for parameter, gradient in kept.items():
            parameter.grad = gradient
        if result is None:  # only here is the exception gone, which held on to what the pass had computed
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
        return result

    return attempt
