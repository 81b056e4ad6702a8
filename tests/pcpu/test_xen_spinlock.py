"""Spinlocks exclude, under every interleaving tried."""

import pytest
from xen_bench import Bench

from services.pcpu.pe import Pe
from services.pcpu.xen.spinlock import spin_lock, spin_trylock, spin_unlock

ROUNDS = 5


async def locked(pe: Pe) -> None:
    """Add to a cell in two accesses, under a lock."""
    system = pe.xen.system
    for _ in range(ROUNDS):
        await spin_lock(pe, system.cpu_hotplug_lock)
        await pe.store(system.cpu_is_dead, await pe.load(system.cpu_is_dead) + 1)
        await spin_unlock(pe, system.cpu_hotplug_lock)


async def unlocked(pe: Pe) -> None:
    """The same without the lock."""
    system = pe.xen.system
    for _ in range(ROUNDS):
        await pe.store(system.cpu_is_dead, await pe.load(system.cpu_is_dead) + 1)


def total(program: object, seed: int) -> int:
    """What the cell holds after four PEs have added."""
    seen: list[int] = []

    async def last(pe: Pe) -> None:
        await program(pe)  # type: ignore[operator]
        await pe.delay(1_000_000)
        seen.append(await pe.load(pe.xen.system.cpu_is_dead))

    Bench(last, *[program] * 3, seed=seed)  # type: ignore[list-item]
    return seen[0]


@pytest.mark.parametrize("seed", range(20))
def test_no_update_is_lost_under_the_lock(seed: int) -> None:
    """Four PEs add five times each."""
    assert total(locked, seed) == 4 * ROUNDS


def test_updates_are_lost_without_it() -> None:
    """The test can fail: interleavings do lose updates."""
    assert min(total(unlocked, seed) for seed in range(5)) < 4 * ROUNDS


def test_trylock_refuses_a_held_lock() -> None:
    """The second attempt fails until the lock is released."""
    got: list[bool] = []

    async def program(pe: Pe) -> None:
        lock = pe.xen.system.cpu_hotplug_lock
        got.append(await spin_trylock(pe, lock))
        got.append(await spin_trylock(pe, lock))
        await spin_unlock(pe, lock)
        got.append(await spin_trylock(pe, lock))

    Bench(program)

    assert got == [True, False, True]
