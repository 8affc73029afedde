"""Requests share batches, and nothing else."""

import asyncio
import contextlib
import threading

import numpy as np
import pytest

from serenanet_modules.data.audio import SAMPLE_RATE
from serenanet_modules.errors import UserError
from serenanet_modules.server import batcher as batching
from serenanet_modules.server.batcher import Batcher

SECOND = np.zeros(SAMPLE_RATE, np.float32)
POISON, BAD = -1.0, -2.0  # samples that kill the batch, or are refused


class Network:
    """Stands in for the recogniser: says the first sample of each source, and remembers the batches' sizes.

    It waits for `go` before each batch.
    """

    def __init__(self):
        self.sizes, self.go, self.began = [], threading.Event(), threading.Event()
        self.go.set()

    def __call__(self, sources, heard):
        self.began.set()
        self.go.wait(60)
        self.sizes.append(len(sources))
        firsts = [float(source[0]) for source in sources]
        if POISON in firsts:
            raise RuntimeError("poison")
        return [UserError("bad") if first == BAD else first for first in firsts]


def together(network, values, batch_seconds=100.0):
    """Results, or exceptions, of requests that come while the network is busy with another."""
    network.go.clear()

    async def main():
        batcher = Batcher(network, batch_seconds, 0.0)
        first = asyncio.create_task(batcher.result(batcher.submit(SECOND)))
        await asyncio.to_thread(network.began.wait, 60)
        jobs = [asyncio.create_task(batcher.result(batcher.submit(SECOND + value))) for value in values]
        while len(batcher) < len(jobs):
            await asyncio.sleep(0)
        network.go.set()
        try:
            assert await first == 0
            return await asyncio.gather(*jobs, return_exceptions=True)
        finally:
            batcher.close()

    return asyncio.run(main())


def test_one_batch_and_each_its_own():
    network = Network()
    assert together(network, range(20)) == list(range(20))
    assert network.sizes == [1, 20]


def test_batches_are_bounded():
    """No batch has more seconds than allowed, but what is longer by itself is done alone."""
    network = Network()
    assert together(network, range(7), batch_seconds=3.0) == list(range(7))
    assert network.sizes == [1, 3, 3, 1]
    network = Network()
    assert together(network, range(3), batch_seconds=0.5) == list(range(3))
    assert network.sizes == [1, 1, 1, 1]


def test_an_error_is_the_request_s_own():
    """A refused request, and one that kills the whole batch, leave the others their results."""
    refused, killed = together(Network(), [1, BAD, 2]), together(Network(), [1, POISON, 2, BAD])
    assert refused[::2] == [1, 2] and isinstance(refused[1], UserError)
    assert killed[::2] == [1, 2] and isinstance(killed[1], RuntimeError) and isinstance(killed[3], UserError)


def test_company_is_waited_for_where_there_was_some():
    """A request alone is taken at once; behind a batch of several the next waits for others, until a batch is full."""
    network = Network()

    async def main():
        batcher = Batcher(network, 2.0, 600.0)
        assert await batcher.result(batcher.submit(SECOND)) == 0
        network.go.clear()
        network.began.clear()
        first = asyncio.create_task(batcher.result(batcher.submit(SECOND)))
        await asyncio.to_thread(network.began.wait, 60)
        others = [asyncio.create_task(batcher.result(batcher.submit(SECOND + value))) for value in (1, 2)]
        while len(batcher) < 2:
            await asyncio.sleep(0)
        network.go.set()
        assert await asyncio.gather(first, *others) == [0, 1, 2]
        third = asyncio.create_task(batcher.result(batcher.submit(SECOND + 3)))
        await asyncio.sleep(0.05)
        assert network.sizes == [1, 1, 2] and not third.done()
        assert await asyncio.gather(third, batcher.result(batcher.submit(SECOND + 4))) == [3, 4]
        batcher.close()

    asyncio.run(main())
    assert network.sizes == [1, 1, 2, 2]


@contextlib.asynccontextmanager
async def behind_company(network, wait, others=2):
    """A `Batcher` that has just had a batch of some, behind one of one."""
    batcher = Batcher(network, 100.0, wait)
    network.go.clear()
    first = asyncio.create_task(batcher.result(batcher.submit(SECOND)))
    await asyncio.to_thread(network.began.wait, 60)
    jobs = [asyncio.create_task(batcher.result(batcher.submit(SECOND + value))) for value in range(1, 1 + others)]
    network.go.set()
    assert await asyncio.gather(first, *jobs) == list(range(1 + others))
    yield batcher
    batcher.close()


def test_company_on_its_way_is_waited_for(monkeypatch):
    """Longer than other company, and no longer than until it is here, or it is clear that it does not come."""
    network = Network()
    monkeypatch.setattr(batching, "LONGER", 10_000)

    async def main():
        async with behind_company(network, 0.01) as batcher:
            with batcher.expecting():
                jobs = [asyncio.create_task(batcher.result(batcher.submit(SECOND + value))) for value in (1, 2)]
                await asyncio.sleep(0.05)
                assert network.sizes == [1, 2]
                jobs += [asyncio.create_task(batcher.result(batcher.submit(SECOND + 3)))]
            assert await asyncio.gather(*jobs) == [1, 2, 3]
            with pytest.raises(UserError), batcher.expecting():
                jobs = [asyncio.create_task(batcher.result(batcher.submit(SECOND + value))) for value in (1, 2, 4)]
                await asyncio.sleep(0.05)
                raise UserError("no audio")
            assert await asyncio.gather(*jobs) == [1, 2, 4]

    asyncio.run(main())
    assert network.sizes == [1, 2, 3, 3]


def test_what_comes_slowly_is_waited_for_once(monkeypatch):
    """An upload that takes long to decode does not stop each batch that is made meanwhile."""
    network, waits = Network(), []

    async def main():
        async with behind_company(network, 0.01) as batcher:
            once, wait_for = batcher._changed.wait_for, batcher._changed.wait_for

            def waited(predicate, timeout=None):
                found = wait_for(predicate, timeout)
                if timeout is not None and timeout > 0.05 and timeout < batching.IDLE:
                    waits.append(bool(found))
                return found

            monkeypatch.setattr(batcher._changed, "wait_for", waited)
            with batcher.expecting():
                for _ in range(3):
                    jobs = [asyncio.create_task(batcher.result(batcher.submit(SECOND + value))) for value in (1, 2)]
                    assert await asyncio.gather(*jobs) == [1, 2]
            monkeypatch.setattr(batcher._changed, "wait_for", once)

    asyncio.run(main())
    assert waits[0] is False and waits[1:] and all(waits[1:])


def test_as_many_as_last_time_are_not_waited_for_longer():
    network = Network()

    async def main():
        async with behind_company(network, 600.0) as batcher:
            jobs = [asyncio.create_task(batcher.result(batcher.submit(SECOND + value))) for value in (1, 2)]
            assert await asyncio.gather(*jobs) == [1, 2]

    asyncio.run(main())
    assert network.sizes == [1, 2, 2]


def test_idle_once_behind_work(monkeypatch):
    """Not before any work, and not again before there is more."""
    network, idle = Network(), []
    monkeypatch.setattr(batching, "IDLE", 0.01)

    async def main():
        batcher = Batcher(network, 1.0, idle=lambda: idle.append(len(network.sizes)))
        await asyncio.sleep(0.05)
        assert idle == []
        for rest in ([1], [1, 2]):
            await batcher.result(batcher.submit(SECOND))
            while idle != rest:
                await asyncio.sleep(0.01)
            await asyncio.sleep(0.05)
            assert idle == rest
        batcher.close()

    asyncio.run(main())


@pytest.mark.parametrize("wait", [0.0, 0.05])
def test_cancelled_before_its_turn(wait):
    """What is cancelled while it waits never reaches the network."""
    network = Network()
    network.go.clear()

    async def main():
        batcher = Batcher(network, 1.0, wait)
        first = asyncio.create_task(batcher.result(batcher.submit(SECOND)))
        await asyncio.to_thread(network.began.wait, 60)
        second, third = (asyncio.create_task(batcher.result(batcher.submit(SECOND + value))) for value in (1, 2))
        await asyncio.sleep(0)
        assert len(batcher) == 2
        second.cancel()
        await asyncio.sleep(0)
        network.go.set()
        assert await asyncio.gather(first, third) == [0, 2]
        batcher.close()

    asyncio.run(main())
    assert network.sizes == [1, 1]


def test_closing_finishes_what_waits():
    network = Network()
    network.go.clear()

    async def main():
        batcher = Batcher(network, 1.0, 0.0)
        jobs = [asyncio.create_task(batcher.result(batcher.submit(SECOND + value))) for value in range(5)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(asyncio.to_thread(batcher.close))
        network.go.set()
        await closing
        return await asyncio.gather(*jobs)

    assert asyncio.run(main()) == list(range(5))
