"""Per-CPU areas and the heap: who has one, when it is freed, and where nobody may allocate."""

import pytest
from xen_bench import Bench, board

from proto.hypercall import Errno
from proto.ids import CpuIndex
from proto.traces import HeapUse, Unpredictable
from services.pcpu.pe import Pe
from services.pcpu.xen.cpu import cpu_down, enable_nonboot_cpus
from services.pcpu.xen.heap import xfree, xmalloc
from services.pcpu.xen.memory import PercpuArea
from services.pcpu.xen.notifier import CpuEvent
from services.pcpu.xen.percpu import free_percpu_area, init_percpu_area, set_processor_id
from services.pcpu.xen.rcupdate import rcu_barrier, rcu_process_callbacks
from services.pcpu.xen.state import SystemState

OTHER = CpuIndex(1)


async def area(pe: Pe, value: PercpuArea) -> None:
    await pe.store(pe.xen.system.percpu_area[OTHER], value)


@pytest.mark.parametrize(
    ("symbol", "there", "state", "error"),
    [
        ("init_percpu_area", PercpuArea.INVALID, SystemState.ACTIVE, 0),
        ("init_percpu_area", PercpuArea.VALID, SystemState.ACTIVE, -Errno.EBUSY),
        ("init_percpu_area", PercpuArea.VALID, SystemState.RESUME, 0),
        ("init_percpu_area_busy", PercpuArea.INVALID, SystemState.RESUME, 0),
        ("init_percpu_area_busy", PercpuArea.VALID, SystemState.RESUME, -Errno.EBUSY),
    ],
)
def test_an_area_that_is_there_is_an_error_but_not_at_resume(
    symbol: str, there: PercpuArea, state: SystemState, error: int
) -> None:
    """Bug percpu-area-reinit-busy: the published code made no difference."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await area(pe, there)
        await pe.store(pe.xen.system.system_state, state)
        seen.append(await init_percpu_area(pe, OTHER))
        seen.append(await pe.load(pe.xen.system.percpu_area[OTHER]))

    Bench(program, of=board(2, init_percpu_area=symbol))

    assert seen == [error, PercpuArea.VALID]


def test_a_refused_area_at_resume_is_a_bug() -> None:
    """-EBUSY of cpu_up stops the machine."""

    async def program(pe: Pe) -> None:
        await area(pe, PercpuArea.VALID)
        await pe.store(pe.xen.system.system_state, SystemState.RESUME)
        await pe.store(pe.xen.suspend.frozen_cpus, 1 << OTHER)
        await enable_nonboot_cpus(pe)

    bench = Bench(program, of=board(2, init_percpu_area="init_percpu_area_busy"))

    assert bench.halts[0].startswith("Xen BUG: cpu_up returned -EBUSY")


@pytest.mark.parametrize(
    ("state", "left", "heap"),
    [
        (SystemState.ACTIVE, PercpuArea.INVALID, ["xfree"]),
        (SystemState.SUSPEND, PercpuArea.VALID, []),
    ],
)
def test_the_area_of_a_dead_cpu_is_freed_after_a_grace_period_but_not_at_suspend(
    state: SystemState, left: PercpuArea, heap: list[str]
) -> None:
    """Until then it is there, and nobody may come up with it."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await area(pe, PercpuArea.VALID)
        await pe.store(pe.xen.system.cpu_online_map, 1)
        await pe.store(pe.xen.system.system_state, state)
        await free_percpu_area(pe, OTHER)
        seen.append(await init_percpu_area(pe, OTHER))
        await rcu_barrier(pe)
        seen.append(await pe.load(pe.xen.system.percpu_area[OTHER]))

    bench = Bench(program, of=board(2))

    assert seen == [-Errno.EBUSY, left]
    assert [use.operation for use in bench.traces(HeapUse)] == heap


@pytest.mark.parametrize("barrier", ["rcu_barrier", "rcu_barrier_nothing"])
def test_without_the_barrier_a_cpu_comes_up_before_its_area_is_freed(barrier: str) -> None:
    """Bug percpu-free-races-up: the deferred free is still queued when the CPU comes up."""
    order: list[str] = []

    async def cpu_up(pe: Pe, cpu: CpuIndex) -> int:
        order.append("up")
        return 0

    async def rcu_free_percpu_area(pe: Pe, cpu: int) -> None:
        order.append("free")

    async def program(pe: Pe) -> None:
        await area(pe, PercpuArea.VALID)
        await pe.store(pe.xen.system.cpu_online_map, 1)
        await pe.store(pe.xen.system.system_state, SystemState.SUSPEND)
        await free_percpu_area(pe, OTHER)
        await pe.store(pe.xen.suspend.frozen_cpus, 1 << OTHER)
        await enable_nonboot_cpus(pe)
        await rcu_process_callbacks(pe)

    of = board(2, free_percpu_area="free_percpu_area_always", rcu_barrier=barrier)
    Bench(program, of=of, relinked={"cpu_up": cpu_up, "rcu_free_percpu_area": rcu_free_percpu_area})

    assert order == (["free", "up"] if barrier == "rcu_barrier" else ["up", "free"])


def test_freeing_the_area_of_a_cpu_that_is_online_is_said() -> None:
    """The judge reads it in the journal."""

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.system.cpu_online_map, 0b11)
        await pe.irq_enable()
        await pe.links["rcu_free_percpu_area"](pe, OTHER)

    (said,) = Bench(program, of=board(2)).traces(Unpredictable)

    assert said.what == "the per-CPU area of CPU1, which is online, is freed"


def test_a_cpu_without_an_area_faults() -> None:
    """Its first per-CPU access does."""

    async def program(pe: Pe) -> None:
        await set_processor_id(pe, OTHER)

    assert Bench(program, of=board(2)).halts == ["translation fault: CPU1 has no per-CPU area"]


@pytest.mark.parametrize(
    ("masked", "online", "bug"), [(False, 3, False), (True, 1, False), (True, 3, True)]
)
def test_nobody_allocates_with_irqs_off_and_several_cpus(
    masked: bool, online: int, bug: bool
) -> None:
    """ASSERT_ALLOC_CONTEXT; the journal says each use."""

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.system.cpu_online_map, online)
        await pe.irq_restore(masked)
        await xmalloc(pe, "something")
        await xfree(pe, "something")

    bench = Bench(program, of=board(2))
    uses = bench.traces(HeapUse)

    assert uses[0] == HeapUse("xmalloc", "something", masked, online.bit_count())
    assert [use.operation for use in uses] == (["xmalloc"] if bug else ["xmalloc", "xfree"])
    assert bool(bench.halts) == bug


@pytest.mark.parametrize(
    ("release", "bug"), [("release_ppis", False), ("release_ppis_and_free", True)]
)
def test_freeing_actions_in_cpu_dying_is_a_bug(release: str, bug: bool) -> None:
    """Bug free-in-cpu-dying: inside stop_machine IRQs are off and all CPUs online."""

    async def stop_machine_run(pe: Pe, function: str, cpu: CpuIndex) -> int:
        await pe.irq_disable()
        error: int = await pe.links["cpu_notifier_call_chain"](pe, cpu, CpuEvent.DYING)
        return error or -Errno.EBUSY

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.system.cpu_online_map, 0b11)
        await cpu_down(pe, OTHER)

    bench = Bench(
        program,
        of=board(2, release_ppis=release),
        relinked={"stop_machine_run": stop_machine_run},
    )

    assert any("xfree of irqaction" in halt for halt in bench.halts) == bug
