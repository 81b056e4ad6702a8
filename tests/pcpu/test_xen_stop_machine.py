"""stop_machine: the function runs on one CPU while all stand still with IRQs masked."""

import pytest
from xen_bench import Bench

from proto.hypercall import Errno
from proto.ids import CpuIndex
from services.pcpu.pe import Pe
from services.pcpu.xen.spinlock import spin_lock
from services.pcpu.xen.stop_machine import stop_machine_run, stopmachine_tasklet_init
from services.pcpu.xen.tasklet import do_tasklet

CPUS = 4


async def follower(pe: Pe) -> None:
    """A secondary: waits for its tasklet and runs it."""
    await pe.irq_enable()
    work = pe.xen.percpu[pe.cpu].tasklet_work
    await pe.wfe(work, 0)
    await do_tasklet(pe)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize("target", range(1, CPUS))
def test_everybody_stands_still(seed: int, target: int) -> None:
    """The result comes back, and no CPU has IRQs open while the function runs."""
    masked: list[bool] = []
    results: list[int] = []
    pes: dict[int, Pe] = {}

    async def take_cpu_down(pe: Pe) -> int:
        masked.extend(pes[cpu].irq_masked for cpu in range(CPUS))
        await pe.delay(10_000)
        masked.extend(pes[cpu].irq_masked for cpu in range(CPUS))
        return -pe.cpu

    async def boot(pe: Pe) -> None:
        pes[pe.cpu] = pe
        for cpu in pe.board.platform.cpus:
            await stopmachine_tasklet_init(pe, cpu)
        await pe.store(pe.xen.system.cpu_online_map, (1 << CPUS) - 1)
        await pe.irq_enable()
        results.append(await stop_machine_run(pe, "take_cpu_down", CpuIndex(target)))
        masked.append(not pe.irq_masked)

    async def other(pe: Pe) -> None:
        pes[pe.cpu] = pe
        await follower(pe)
        masked.append(not pe.irq_masked)

    Bench(boot, *[other] * (CPUS - 1), seed=seed, relinked={"take_cpu_down": take_cpu_down})

    assert results == [-target]
    assert masked == [True] * (2 * CPUS + CPUS)


def test_a_second_one_is_refused() -> None:
    """The lock is not waited for: whoever holds it expects us to stand still."""
    results: list[int] = []

    async def program(pe: Pe) -> None:
        await spin_lock(pe, pe.xen.stop_machine.lock)
        results.append(await stop_machine_run(pe, "take_cpu_down", CpuIndex(0)))

    Bench(program)

    assert results == [-Errno.EBUSY]
