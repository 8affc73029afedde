"""Several processes: one start for torchrun and for plain ``srun python ...``, and a few helpers.

SpeechBrain's Brain takes a run to be distributed when ``RANK`` and ``LOCAL_RANK`` are set, which
torchrun does. :func:`start` sets the same five variables from Slurm's for the tasks of an ``srun``
step, and then lets SpeechBrain make the process group. In a single process every helper does
nothing, so that callers need no case of their own.
"""

import gc
import importlib
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from speechbrain.utils.distributed import ddp_barrier, ddp_init_group, is_distributed_initialized
from speechbrain.utils.run_opts import RunOptions

from serenanet_modules.errors import UserError
from serenanet_modules.runtime.slurm_step import slurm_launch

Item = TypeVar("Item")
Options = TypeVar("Options", RunOptions, dict)

LAUNCH = ("RANK", "LOCAL_RANK")
RENDEZVOUS = ("WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")

# Preparing a large corpus on the main process takes longer than any collective should.
PATIENCE = timedelta(days=7)

BUCKET = 2**23  # elements of gradients that are summed over processes at once


def start(run_opts: Options) -> Options:
    """Join the process group of a torchrun or srun launch; do nothing in a single process.

    Parameters
    ----------
    run_opts : speechbrain.utils.run_opts.RunOptions or dict
        SpeechBrain's run options; left as they are.

    Returns
    -------
    RunOptions or dict
        The options to give to Brain. In a group, ``distributed_backend`` is ``gloo`` where NCCL,
        SpeechBrain's default, cannot run (no CUDA, or ``device: cpu``), and a ``device`` that
        was asked for is this process's own GPU.

    Raises
    ------
    UserError
        When the launch variables are incomplete, when there are more processes than GPUs, or
        when the processes do not find each other.
    """
    if is_distributed_initialized():
        return run_opts
    if not all(name in os.environ for name in LAUNCH):
        os.environ.update(slurm_launch(os.environ))
    if not all(name in os.environ for name in LAUNCH):
        return run_opts
    missing = [name for name in RENDEZVOUS if name not in os.environ]
    if missing:
        raise UserError(
            f"RANK and LOCAL_RANK are set but {', '.join(missing)} not: start with torchrun or "
            "srun, or unset RANK for a single process"
        )
    run_opts = _choose_backend(run_opts)
    # Its functions have the group of the time of their import as a default, and would keep that and its threads for
    # ever: torch's compiler imports it with the first optimizer, and a thread that outlives Python aborts the process.
    importlib.import_module("torch.distributed.nn")
    try:
        ddp_init_group(run_opts)
    except (ValueError, RuntimeError) as error:
        address = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise UserError(
            f"process {os.environ['RANK']} of {os.environ['WORLD_SIZE']} could not join the "
            f"others at {address} ({_one_line(error)}); set MASTER_ADDR and MASTER_PORT to a host "
            "and free port that all nodes reach"
        ) from error
    return run_opts


def stop() -> None:
    """Leave the process group, if there is one; call it once, at the end of a run."""
    if is_distributed_initialized():
        dist.destroy_process_group()
        gc.collect()  # a group in a cycle keeps its threads, and one that frees a tensor as Python ends aborts it


def world_size() -> int:
    """Return the number of processes, 1 without a process group.

    Examples
    --------
    >>> world_size(), rank(), is_main()
    (1, 0, True)
    """
    return dist.get_world_size() if is_distributed_initialized() else 1


def local_world_size() -> int:
    """Number of processes of this run on this machine, as torchrun or Slurm tells it; 1 where neither does."""
    if world_size() == 1:
        return 1
    told = os.environ.get("LOCAL_WORLD_SIZE") or os.environ.get("SLURM_STEP_TASKS_PER_NODE", "1")
    return int(re.match(r"\d+", told)[0])  # Slurm writes 4(x2),3 for nodes with 4, 4 and 3 tasks


def rank() -> int:
    """Return this process's number, 0 for the main one."""
    return dist.get_rank() if is_distributed_initialized() else 0


def is_main() -> bool:
    """Whether this process is the one that writes files and prints."""
    return rank() == 0


def barrier() -> None:
    """Wait until every process is here."""
    ddp_barrier()


def gather_objects(items: list[Item]) -> list[Item]:
    """Concatenate every process's items, in rank order, on every process.

    Parameters
    ----------
    items : list
        Picklable; the lengths may differ between processes.

    Examples
    --------
    >>> gather_objects(["a", "b"])
    ['a', 'b']
    """
    if not is_distributed_initialized():
        return list(items)
    parts: list[list[Item]] = [[] for _ in range(world_size())]
    dist.all_gather_object(parts, list(items))
    return [item for part in parts for item in part]


def broadcast_object(obj: Item) -> Item:
    """Return the main process's (picklable) object on every process."""
    return _broadcast(obj, None) if is_distributed_initialized() else obj


def sum_(tensor: torch.Tensor) -> torch.Tensor:
    """Sum a tensor over the processes, in place, and return it.

    The tensor may be on any device: NCCL, which sums on GPUs only, gets a copy of a CPU tensor.

    Examples
    --------
    >>> sum_(torch.tensor([1.0, 2.0]))
    tensor([1., 2.])
    """
    if not is_distributed_initialized():
        return tensor
    if dist.get_backend() == "nccl" and not tensor.is_cuda:
        on_gpu = tensor.cuda()
        dist.all_reduce(on_gpu)
        return tensor.copy_(on_gpu)
    dist.all_reduce(tensor)
    return tensor


def broadcast_tensors(tensors: Iterable[torch.Tensor]) -> None:
    """Overwrite tensors, the same ones in the same order on every process, with the main process's."""
    if is_distributed_initialized():
        for tensor in tensors:
            dist.broadcast(tensor, src=0)


def sum_gradients(parameters: Sequence[torch.nn.Parameter]) -> None:
    """Sum each parameter's gradient over the processes, in place.

    A process without a gradient counts as one of zeros; a parameter without one on all processes keeps none.
    """
    if not is_distributed_initialized():
        return
    there = sum_(torch.tensor([float(p.grad is not None) for p in parameters])).tolist()
    wanted = [p for p, count in zip(parameters, there, strict=True) if count]
    for parameter in wanted:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    for bucket in _buckets([p.grad for p in wanted]):
        flat = torch.cat([gradient.reshape(-1) for gradient in bucket])
        dist.all_reduce(flat)
        for gradient, summed in zip(bucket, flat.split([g.numel() for g in bucket]), strict=True):
            gradient.copy_(summed.view_as(gradient))


def _buckets(tensors: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Neighbours of one type, of `BUCKET` elements or so together."""
    bucket: list[torch.Tensor] = []
    for tensor in tensors:
        if bucket and (tensor.dtype != bucket[0].dtype or sum(t.numel() for t in bucket) >= BUCKET):
            yield bucket
            bucket = []
        bucket.append(tensor)
    if bucket:
        yield bucket


def main_first(function: Callable[..., Item], work: Callable | None = None) -> Item:
    """Run a function on the main process while the others wait, or help, and return its result on all.

    The wait may last for days, over a gloo group of its own: the limit of the other collectives
    (two hours in SpeechBrain) is meant to catch a hang, not the preparation of a large corpus.

    Parameters
    ----------
    function : callable
        Takes nothing, or with ``work`` a `Share` of it; its result must be picklable.
    work : callable, optional
        What each process can do of it, from a picklable part to a picklable result.

    Raises
    ------
    UserError
        On every process, with the same sentence, when the function raises one.
    SystemExit
        On the waiting processes when the function raises anything else, which the main process
        lets pass: none hangs, and one traceback is printed.
    """
    share = Share(work)
    try:
        if is_main():
            return _run_and_tell(function, share)
        if work:
            share.help()
        result, sentence, failed = share.tell(None)
    finally:
        share.leave()
    if sentence is not None:
        raise UserError(sentence)
    if failed:
        raise SystemExit(1)
    return result


class Share:
    """Other processes' help with the main process's work: called with a part for each of all ``processes``.

    Where the main process fails in its own part, it ends without a word, and the others with it (`lifeline`).

    Parameters
    ----------
    work : callable, optional
        From a part to its result, both picklable.
    """

    def __init__(self, work):
        self.work, self.processes = work, world_size()
        self.group = dist.new_group(backend="gloo", timeout=PATIENCE) if is_distributed_initialized() else None
        self.busy = False

    def leave(self):
        """Give up the group, which nothing else holds: an error on its way would keep its threads to Python's end."""
        if self.group is not None:
            dist.destroy_process_group(self.group)
            self.group = None

    def tell(self, found):
        """The main process's object, on every process."""
        return found if self.group is None else _broadcast(found, self.group)

    def __call__(self, parts):
        """Results of the parts, in order; the first part is the main process's own.

        Raises
        ------
        UserError
            Of a part, once all are done.
        """
        if self.group is None:
            return [self.work(part) for part in parts]
        self.busy = True
        _scatter([(True, part) for part in parts], self.group)
        found = _gather(_tried(self.work, parts[0]), self.group)
        self.busy = False
        if sentences := [sentence for _, sentence in found if sentence is not None]:
            raise UserError(sentences[0])
        return [result for result, _ in found]

    def help(self):
        """What the other processes do until `end`."""
        while True:
            wanted, part = _scatter(None, self.group)
            if not wanted:
                return
            _gather(_tried(self.work, part), self.group)

    def end(self):
        """Let the others go."""
        if self.group is not None and self.work:
            _scatter([(False, None)] * self.processes, self.group)


def _tried(work, part):
    """(result, sentence of a `UserError` or None)."""
    try:
        return work(part), None
    except UserError as error:
        return None, str(error)


def _scatter(objects: list | None, group: dist.ProcessGroup) -> Any:
    box = [None]
    dist.scatter_object_list(box, objects, src=0, group=group)
    return box[0]


def _gather(obj: Any, group: dist.ProcessGroup) -> list | None:
    found = [None] * world_size() if is_main() else None
    dist.gather_object(obj, found, dst=0, group=group)
    return found


def _run_and_tell(function: Callable[..., Item], share: Share) -> Item:
    """Run the function and send what came of it: (result, UserError's sentence, failed)."""

    def tell(*found):
        share.end()
        share.tell(found)

    try:
        result = function(share) if share.work else function()
    except UserError as error:
        tell(None, str(error), True)
        raise
    except BaseException:
        if not share.busy:
            tell(None, None, True)
        raise
    tell(result, None, False)
    return result


def _broadcast(obj: Any, group: dist.ProcessGroup | None) -> Any:
    box = [obj]
    dist.broadcast_object_list(box, src=0, group=group)
    return box[0]


def _choose_backend(run_opts: Options) -> Options:
    """Fall back from NCCL to gloo on CPU, and check that each process has a GPU otherwise."""
    device = str(run_opts.get("device") or "")
    if run_opts.get("distributed_backend", "nccl") != "nccl":
        return run_opts
    if device.startswith("cpu") or not torch.cuda.is_available():
        return with_options(run_opts, distributed_backend="gloo")
    gpus, local_rank = torch.cuda.device_count(), int(os.environ["LOCAL_RANK"])
    if gpus == 1 and "SLURM_STEP_NUM_TASKS" in os.environ:
        # srun --gpus-per-task=1 shows each task its own GPU only, as number 0.
        local_rank = 0
        os.environ["LOCAL_RANK"] = "0"
    elif local_rank >= gpus:
        raise UserError(
            f"process {local_rank} of this node has no GPU, there are {gpus}: start at most "
            f"{gpus} processes per node, or use --device=cpu"
        )
    own = {"device": f"cuda:{local_rank}"} if device else {}
    return with_options(run_opts, distributed_backend="nccl", **own)


def with_options(run_opts: Options, **options: str | bool) -> Options:
    """Return SpeechBrain's run options with some set as if given on the command line."""
    if isinstance(run_opts, dict):
        return {**run_opts, **options}
    overridden = run_opts.overridden_args | options.keys()
    return replace(run_opts, **options, overridden_args=overridden)


def _one_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
