"""Two real gloo processes, started as torchrun or srun would start them."""

import os
import socket
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
from speechbrain.utils.run_opts import RunOptions

from serenanet_modules.errors import UserError
from serenanet_modules.runtime import distributed
from serenanet_modules.runtime.slurm_step import FIRST_PORT, slurm_launch

pytestmark = pytest.mark.slow  # together: each starts processes that import torch
ROOT = Path(__file__).parents[2]
HEADER = """
import os, sys, time
import torch
from serenanet_modules.runtime import distributed
from serenanet_modules.errors import UserError
run_opts = distributed.start({"device": "cpu"})
me = distributed.rank()
"""


@dataclass
class Finished:
    """How one process ended."""

    status: int
    out: str
    err: str


def free_port() -> int:
    """Return a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def torchrun_environment(rank: int, port: int) -> dict[str, str]:
    """Return what torchrun sets for one of two processes."""
    return {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": "2",
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
    }


def slurm_environment(rank: int, port: int) -> dict[str, str]:
    """Return what srun sets for one of two tasks on one node; the step's number gives the port."""
    return {
        "SLURM_JOB_ID": "0",
        "SLURM_STEP_ID": str(port - FIRST_PORT),
        "SLURM_STEP_NUM_TASKS": "2",
        "SLURM_STEP_NUM_NODES": "1",
        "SLURM_STEP_NODELIST": "nowhere[07-08]",
        "SLURM_NTASKS": "2",
        "SLURM_PROCID": str(rank),
        "SLURM_LOCALID": str(rank),
    }


def run_pair(code: str, environment=torchrun_environment, timeout: float = 60) -> list[Finished]:
    """Run HEADER and the code in two processes; a hang is a failure."""
    port = free_port()
    clean = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("SLURM_")
        and name not in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    }
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", HEADER + textwrap.dedent(code)],
            env=clean | {"PYTHONPATH": str(ROOT)} | environment(rank, port),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    try:
        outputs = [process.communicate(timeout=timeout) for process in processes]
    finally:
        for process in processes:
            process.kill()
    return [Finished(process.returncode, out, err) for process, (out, err) in zip(processes, outputs, strict=True)]


HELPERS = """
assert distributed.world_size() == 2 and distributed.is_main() == (me == 0)
assert run_opts["distributed_backend"] == "gloo"
assert distributed.gather_objects([(me, i) for i in range(me + 1)]) == [(0, 0), (1, 0), (1, 1)]
assert distributed.broadcast_object({"from": me}) == {"from": 0}
total = torch.tensor([me + 1.0, 10.0])
assert distributed.sum_(total) is total and total.tolist() == [3.0, 20.0]
assert distributed.main_first(lambda: f"by {me}") == "by 0"
distributed.barrier()
print("agreed", me)
cycle = [torch.distributed.group.WORLD]
cycle.append(cycle)
del cycle
import torch._dynamo  # as the first optimizer does
distributed.stop()
assert distributed.world_size() == 1
if os.path.isdir("/proc/self/task"):  # threads of a group must not live to see the interpreter's end
    names = [open(f"/proc/self/task/{task}/comm").read() for task in os.listdir("/proc/self/task")]
    assert not [name for name in names if "gloo" in name], names
"""


@pytest.mark.parametrize("environment", [torchrun_environment, slurm_environment], ids=["torchrun", "srun"])
def test_two_processes_agree(environment):
    for rank, finished in enumerate(run_pair(HELPERS, environment)):
        assert finished.status == 0, finished.err
        assert finished.out.strip() == f"agreed {rank}"


def test_brain_trains_in_the_same_group():
    code = """
    import speechbrain as sb
    class Brain(sb.Brain):
        def compute_forward(self, batch, stage):
            return self.modules.model(batch)
        def compute_objectives(self, predictions, batch, stage):
            return predictions.square().mean()
    torch.manual_seed(me)  # DDP must take the main process's weights
    brain = Brain({"model": torch.nn.Linear(3, 1)}, lambda p: torch.optim.SGD(p, 0.1),
                  hparams={}, run_opts=run_opts)
    brain.fit(range(1), [torch.full((3,), 1.0), torch.full((3,), 2.0)], progressbar=False)
    print(brain.modules.model.module.weight.tolist())
    distributed.stop()
    """
    first, second = run_pair(code)
    assert (first.status, second.status) == (0, 0), first.err + second.err
    assert first.out == second.out != ""


def test_user_error_of_the_main_process_ends_all_with_one_sentence():
    code = """
    def prepare():
        raise UserError("clips: no such folder")
    try:
        distributed.main_first(prepare)
    except UserError as error:
        print(error)
        sys.exit(2)
    """
    for finished in run_pair(code):
        assert (finished.status, finished.out) == (2, "clips: no such folder\n"), finished.err


def test_others_help_the_main_process():
    """Twice, each with a part; what a part refuses is said by all, and a failure on the way ends all."""
    code = """
    def work(part):
        if part == "bad":
            raise UserError(f"no such part, {me}")
        return f"{part} by {me}"
    print(distributed.main_first(lambda share: share(["a", "b"]) + share(["c", "d"]), work))
    try:
        distributed.main_first(lambda share: share(["a", "bad"]), work)
    except UserError as error:
        print(error)
    try:
        distributed.main_first(lambda share: share([1, 2]) and 1 / 0, work)
    finally:
        distributed.stop()
    """
    main, other = run_pair(code)
    assert main.out == other.out == "['a by 0', 'b by 1', 'c by 0', 'd by 1']\nno such part, 1\n", main.err + other.err
    assert (main.status, other.status) == (1, 1) and "ZeroDivisionError" in main.err and "Traceback" not in other.err


def test_an_error_on_its_way_keeps_no_thread_of_the_group_it_came_through():
    """Such a thread can outlive Python and abort the process: status -6 in the place of 1."""
    code = """
    def threads():
        return len(os.listdir("/proc/self/task"))
    def fail(share=None):
        raise UserError("no such part")
    before = threads()
    for arguments in ((fail,), (fail, str), (lambda share: share(["a", "b"]) and fail(), str)):
        try:
            distributed.main_first(*arguments)
        except UserError as error:
            until = time.monotonic() + 20
            while threads() > before and time.monotonic() < until:  # the kernel lists what was joined a little longer
                time.sleep(0.01)
            print(error, threads() - before)
    distributed.stop()
    """
    if not Path("/proc/self/task").is_dir():
        pytest.skip("this system does not list a process's threads")
    for finished in run_pair(code, timeout=120):
        assert (finished.status, finished.out) == (0, "no such part 0\n" * 3), finished.err


@pytest.mark.parametrize("failure", ["1 / 0", "sys.exit(3)"])
def test_any_failure_of_the_main_process_ends_the_others_silently(failure):
    main, other = run_pair(f"distributed.main_first(lambda: {failure})")
    assert main.status != 0
    assert ("ZeroDivisionError" in main.err) == (failure == "1 / 0")
    assert other.status == 1
    assert "Traceback" not in other.err


def test_waiting_for_main_outlasts_the_limit_of_collectives():
    code = """
    import torch.distributed as dist
    from datetime import timedelta
    distributed.stop()
    rank, port = int(os.environ["RANK"]), int(os.environ["MASTER_PORT"])
    store = dist.TCPStore("127.0.0.1", port, 2, rank == 0, timedelta(seconds=120))  # they need not come together
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=timedelta(seconds=6))
    def slow():
        time.sleep(8)
        return "done"
    print(distributed.main_first(slow))
    """
    for finished in run_pair(code):
        assert (finished.status, finished.out) == (0, "done\n"), finished.err


@pytest.mark.parametrize(
    "environ",
    [
        {},
        # a batch script of a job with four tasks: one process
        {"SLURM_JOB_ID": "7", "SLURM_PROCID": "0", "SLURM_LOCALID": "0", "SLURM_NTASKS": "4"},
        slurm_environment(0, 20000) | {"SLURM_STEP_NUM_TASKS": "1"},
        slurm_environment(0, 20000) | {"SLURM_PTY_PORT": "40000"},
    ],
    ids=["no Slurm", "batch script", "one task", "terminal"],
)
def test_one_process_is_not_distributed(monkeypatch, environ):
    for name in (*distributed.LAUNCH, *distributed.RENDEZVOUS):
        monkeypatch.delenv(name, raising=False)
    for name in [name for name in os.environ if name.startswith("SLURM_")]:
        monkeypatch.delenv(name)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    distributed.start({"device": "cpu"})
    assert distributed.world_size() == 1
    assert "RANK" not in os.environ and "LOCAL_RANK" not in os.environ


def test_helpers_do_nothing_in_one_process():
    tensor = torch.ones(2)
    assert distributed.sum_(tensor) is tensor and tensor.tolist() == [1.0, 1.0]
    assert distributed.gather_objects([3]) == [3]
    assert distributed.broadcast_object("x") == "x"
    assert distributed.main_first(lambda: 5) == 5
    with pytest.raises(ZeroDivisionError):
        distributed.main_first(lambda: 1 / 0)
    distributed.barrier()
    distributed.stop()


def test_incomplete_launch_is_one_clear_sentence(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("LOCAL_RANK", "0")
    for name in distributed.RENDEZVOUS:
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(UserError, match="WORLD_SIZE, MASTER_ADDR, MASTER_PORT not: start with"):
        distributed.start({"device": "cpu"})


def test_taken_port_is_one_clear_sentence(monkeypatch):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        for name, value in torchrun_environment(0, taken.getsockname()[1]).items():
            monkeypatch.setenv(name, value)
        with pytest.raises(UserError, match="process 0 of 2 could not join .* set MASTER_ADDR"):
            distributed.start({"device": "cpu"})


def choose(monkeypatch, gpus: int, local_rank: int, run_opts, **environ: str):
    """Run the choice of backend and device as on a machine with that many GPUs."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpus > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: gpus)
    monkeypatch.delenv("SLURM_STEP_NUM_TASKS", raising=False)
    for name, value in ({"LOCAL_RANK": str(local_rank)} | environ).items():
        monkeypatch.setenv(name, value)
    return distributed._choose_backend(run_opts)


def test_backend_follows_the_device(monkeypatch):
    assert choose(monkeypatch, 0, 0, {}) == {"distributed_backend": "gloo"}
    on_cpu = choose(monkeypatch, 2, 0, {"device": "cpu"})
    assert on_cpu["distributed_backend"] == "gloo"
    on_gpu = choose(monkeypatch, 2, 1, {"device": "cuda"})
    assert on_gpu == {"device": "cuda:1", "distributed_backend": "nccl"}
    asked = choose(monkeypatch, 2, 1, {"distributed_backend": "gloo"})
    assert asked == {"distributed_backend": "gloo"}


def test_backend_reaches_brain_through_its_run_options(monkeypatch):
    _, run_opts, _ = RunOptions.from_command_line_args(["h.yaml", "--device=cpu"])
    chosen = choose(monkeypatch, 0, 0, run_opts)
    assert (chosen.device, chosen.distributed_backend) == ("cpu", "gloo")
    assert chosen.overridden_args == {"device", "distributed_backend"}
    assert run_opts.distributed_backend == "nccl"


def test_more_processes_than_gpus_is_refused(monkeypatch):
    with pytest.raises(UserError, match="process 2 of this node has no GPU, there are 2"):
        choose(monkeypatch, 2, 2, {})


def test_srun_that_shows_each_task_its_own_gpu(monkeypatch):
    chosen = choose(monkeypatch, 1, 1, {"device": "cuda"}, SLURM_STEP_NUM_TASKS="2")
    assert chosen["device"] == "cuda:0"
    assert os.environ["LOCAL_RANK"] == "0"


@pytest.mark.parametrize(
    ("environ", "address"),
    [
        ({"SLURM_STEP_NUM_NODES": "1", "SLURM_STEP_NODELIST": "a7"}, "127.0.0.1"),
        ({"SLURM_STEP_NUM_NODES": "2", "SLURM_STEP_NODELIST": "a[07,09-12],b1"}, "a07"),
        ({"SLURM_LAUNCH_NODE_IPADDR": "10.0.0.3"}, "10.0.0.3"),
        ({"SLURM_STEP_NUM_NODES": "1", "MASTER_ADDR": "chosen"}, "chosen"),
    ],
)
def test_slurm_address(environ, address):
    task = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
    assert slurm_launch(task | environ)["MASTER_ADDR"] == address


def test_slurm_ports_differ_between_jobs_and_steps():
    task = {"SLURM_STEP_NUM_TASKS": "2", "SLURM_PROCID": "1", "SLURM_LOCALID": "0"}
    ports = [
        int(slurm_launch(task | step)["MASTER_PORT"])
        for step in (
            {"SLURM_JOB_ID": str(job), "SLURM_STEP_ID": str(number)} for job in (1, 2, 987654321) for number in (0, 1)
        )
    ]
    assert len(set(ports)) == len(ports)
    assert all(1024 < port < 32768 for port in ports)
