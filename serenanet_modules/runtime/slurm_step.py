"""What torchrun would tell a process, from what Slurm tells a task of an ``srun`` step."""

import re
from collections.abc import Mapping

# Ports for the meeting point: below the range that Linux hands out by itself (from 32768).
FIRST_PORT, PORTS = 15000, 15000


def slurm_launch(environ: Mapping[str, str]) -> dict[str, str]:
    """Return what torchrun would set, for a task of an srun step; nothing elsewhere.

    Only ``srun`` sets the step's variables. ``SLURM_PROCID`` and ``SLURM_NTASKS`` alone do not
    tell: a batch script is one process, whatever number of tasks its job asked for.

    Parameters
    ----------
    environ : mapping
        The environment. ``MASTER_ADDR`` and ``MASTER_PORT`` in it win over the derived ones.

    Returns
    -------
    dict
        ``RANK``, ``LOCAL_RANK``, ``WORLD_SIZE``, ``MASTER_ADDR`` and ``MASTER_PORT``, or empty
        for a single task, a batch script, a terminal (``srun --pty``), or without Slurm.

    Examples
    --------
    >>> step = {"SLURM_JOB_ID": "7", "SLURM_STEP_ID": "1", "SLURM_STEP_NUM_TASKS": "4",
    ...     "SLURM_PROCID": "3", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_NODES": "2",
    ...     "SLURM_STEP_NODELIST": "gpu[07-08]"}
    >>> for name, value in slurm_launch(step).items():
    ...     print(name, value)
    RANK 3
    LOCAL_RANK 1
    WORLD_SIZE 4
    MASTER_ADDR gpu07
    MASTER_PORT 15225
    """
    tasks = int(environ.get("SLURM_STEP_NUM_TASKS", 1))
    if tasks < 2 or "SLURM_PROCID" not in environ or "SLURM_PTY_PORT" in environ:
        return {}
    # 32 steps per job before two jobs in a row could share a port.
    port = 32 * int(environ.get("SLURM_JOB_ID", 0)) + int(environ.get("SLURM_STEP_ID", 0))
    return {
        "RANK": environ["SLURM_PROCID"],
        "LOCAL_RANK": environ["SLURM_LOCALID"],
        "WORLD_SIZE": str(tasks),
        "MASTER_ADDR": environ.get("MASTER_ADDR", _slurm_address(environ)),
        "MASTER_PORT": environ.get("MASTER_PORT", str(FIRST_PORT + port % PORTS)),
    }


def first_host(nodes: str) -> str:
    """Return the first host of a Slurm node list.

    Rank 0 runs there, so the whole expansion, and ``scontrol`` for it, is not needed.

    Examples
    --------
    >>> first_host("node[01-03,07],login2")
    'node01'
    >>> first_host("login2,node[01-03]")
    'login2'
    >>> first_host("rack[2-4]n[08,11]")
    'rack2n08'
    """
    host = re.split(r",(?![^\[]*\])", nodes, maxsplit=1)[0]
    return re.sub(r"\[(\w+)[^\]]*\]", r"\1", host)


def _slurm_address(environ: Mapping[str, str]) -> str:
    """Return where rank 0 listens."""
    if environ.get("SLURM_STEP_NUM_NODES") == "1":
        return "127.0.0.1"
    if "SLURM_STEP_NODELIST" in environ:
        return first_host(environ["SLURM_STEP_NODELIST"])
    # Where srun was typed: right only if that is rank 0's node, so the last resort.
    return environ.get("SLURM_LAUNCH_NODE_IPADDR", "127.0.0.1")
