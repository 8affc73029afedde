"""Time and memory of one function: alternating repeats in this process, peak memory in a process of its own."""

import json
import os
import resource
import signal
import statistics
import subprocess
import sys
import time

import torch
from torch.utils.flop_counter import FlopCounterMode, sdpa_backward_flop_count, sdpa_flop_count

from serenanet_modules.ops import linear
from serenanet_modules.runtime.memory import forget_peak, peak, resident, status

PASSES = ("forward", "forward+backward")
_aten = torch.ops.aten
ATTENTION = {  # of a CPU: operations from the shapes of what is given
    _aten._scaled_dot_product_flash_attention_for_cpu: lambda q, k, v, *_, **__: sdpa_flop_count(q, k, v),
    _aten._scaled_dot_product_flash_attention_for_cpu_backward: lambda grad, q, k, v, *_, **__: (
        sdpa_backward_flop_count(grad, q, k, v)
    ),
}


def once(function, inputs, gradient, way, autocast, device):
    """Run one pass and return the output (forward) or the gradients in the order of inputs, then parameters."""
    layer = getattr(function, "layer", None)
    if layer is not None:
        layer.train(way != "forward")
    with torch.autocast(device, autocast, enabled=autocast is not None):
        if way == "forward":
            with torch.no_grad():
                return function(**inputs)
        output = function(**inputs)
    leaves = [*inputs.values(), *(layer.parameters() if layer is not None else ())]
    return torch.autograd.grad(output, leaves, gradient.to(output.dtype), allow_unused=True)


def seconds(call, device):
    """Time of one call; on CUDA between two events."""
    if device == "cuda":
        begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        torch.cuda.synchronize()
        begin.record()
        call()
        end.record()
        torch.cuda.synchronize()
        return begin.elapsed_time(end) / 1000
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def alternate(calls, repeats, device, expected, budget=20.0):
    """Medians of repeats taken in turns, A B C A B C …, so that a drift of the machine meets all alike.

    Parameters
    ----------
    calls : dict
        Functions without arguments, by name.
    repeats : int
        Measurements of each; a slow call gets as many as fit into ``budget`` seconds, at least one.
    expected : dict
        Seconds that a call took elsewhere, by name, where known. Calls under five seconds are warmed up.

    Returns
    -------
    dict
        By name: median and all seconds.
    """
    wanted, taken = {}, {name: [] for name in calls}
    for name, call in calls.items():
        guess = expected.get(name) or 0.0
        if guess < 5:
            guess = seconds(call, device)
        wanted[name] = max(1, min(repeats, int(budget / max(guess, 1e-9))))
    for turn in range(repeats):
        for name, call in calls.items():
            if turn < wanted[name]:
                taken[name].append(seconds(call, device))
    return {name: {"median": statistics.median(all_), "all": all_} for name, all_ in taken.items()}


def operations(call):
    """Floating point operations of one call, as torch counts them, and of attention on a CPU, which it does not.

    Examples
    --------
    >>> q = torch.randn(1, 2, 8, 4)
    >>> operations(lambda: torch.nn.functional.scaled_dot_product_attention(q, q, q))  # 4 B H T² D
    2048
    """
    with FlopCounterMode(display=False, custom_mapping=ATTENTION) as counter:
        call()
    return counter.get_total_flops()


def matrix_rate(device, size=1024):
    """Operations a second of the fastest of 20 products of square float32 matrices, which counts as the peak."""
    a, b = torch.randn(2, size, size, device=device).unbind()
    with torch.no_grad():
        return 2 * size**3 / min(seconds(lambda: linear(a, b), device) for _ in range(20))


# ---- peak memory --------------------------------------------------------------------------------------------------


def peak_on_cuda(call):
    """Bytes that one call allocates on the GPU at its peak, beyond what is there before."""
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    call()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated() - before


def in_process_of_its_own(script, case, limits):
    """Peak bytes and seconds of each pass of one case, or the reason why it was given up.

    The child is ended by an alarm after ``limits["seconds"]`` and refused memory beyond ``limits["bytes"]``.

    Returns
    -------
    dict
        By pass: ``{"bytes", "seconds"}`` or ``{"skipped": reason}``.
    """
    # Large blocks go back to the system when freed, so that the second pass does not inherit the first one's peak.
    calm = {"MALLOC_MMAP_THRESHOLD_": "131072", "MALLOC_TRIM_THRESHOLD_": "131072"}
    child = subprocess.run(
        [sys.executable, str(script), "--child", json.dumps({**case, **limits})],
        env={**os.environ, **calm},
        capture_output=True,
        text=True,
    )
    found = {}
    for line in child.stdout.splitlines():
        if line.startswith("{"):
            found.update(json.loads(line))
    if child.returncode == -signal.SIGALRM:
        reason = f"over {limits['seconds']:.0f} s"
    else:
        reason = (child.stderr.strip().splitlines() or ["the process ended without a word"])[-1][:200]
    for way, before in zip(PASSES, (None, PASSES[0]), strict=True):
        found.setdefault(way, found.get(before) if "skipped" in found.get(before, {}) else {"skipped": reason})
    return found


def report_peak(passes, limits):
    """The child's part: run each pass and print its peak as a line of JSON.

    Parameters
    ----------
    passes : dict
        By name, a function that prepares the pass and returns the function to be measured.
    limits : dict
        ``seconds`` and ``bytes`` of one pass.
    """
    allowed = _data_segment() + limits["bytes"]
    resource.setrlimit(resource.RLIMIT_DATA, (allowed, resource.RLIM_INFINITY))
    for name, prepare in passes.items():
        call = prepare()
        base = resident()
        forget_peak()
        signal.setitimer(signal.ITIMER_REAL, limits["seconds"])
        began = time.perf_counter()
        try:
            call()
            result = {"seconds": time.perf_counter() - began, "bytes": max(0, peak() - base)}
        except (RuntimeError, MemoryError) as error:
            if "alloc" not in str(error) and not isinstance(error, MemoryError):
                raise
            result = {"skipped": f"over {limits['bytes'] / 2**30:.3g} GB"}
        signal.setitimer(signal.ITIMER_REAL, 0)
        print(json.dumps({name: result}), flush=True)
        if "skipped" in result:
            return


def _data_segment():
    return status("VmData") or 2**40
