"""Two tasks of asyncio inside the PyPI package `simloom`, which do nothing but send and answer.

Run by `bench_sim` with another interpreter, in an environment that has the package; it imports
nothing of ours. Two queues are the cheapest messages the package has: no network, no latency.
Prints messages per second of CPU time, the best of several runs.
"""

import asyncio
import sys
import time

import simloom

ROUNDS = 20_000
REPEATS = 3


async def ping_pong() -> None:
    """As many rounds as wanted."""
    there: asyncio.Queue[int] = asyncio.Queue()
    back: asyncio.Queue[int] = asyncio.Queue()

    async def pong() -> None:
        for _ in range(ROUNDS):
            await back.put(await there.get())

    answering = asyncio.create_task(pong())
    for number in range(ROUNDS):
        await there.put(number)
        assert await back.get() == number
    await answering


def messages_per_s(seed: int) -> float:
    """Messages per second under one seed's schedule."""
    began = time.process_time()
    result = simloom.run(ping_pong, seed=seed)
    spent = time.process_time() - began
    assert result.outcome == "ok"
    return 2 * ROUNDS / spent


if __name__ == "__main__":
    sys.stdout.write(f"{max(messages_per_s(seed) for seed in range(REPEATS))}\n")
