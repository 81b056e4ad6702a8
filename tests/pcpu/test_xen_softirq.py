"""Softirqs, tasklets and the SGI that announces them."""

from xen_bench import Bench, board

from proto.gic import GICD, SGIR
from proto.ids import CpuIndex
from proto.platform import GICD_BASE
from services.pcpu.pe import Pe
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq, do_softirq, raise_softirq
from services.pcpu.xen.tasklet import Tasklet, do_tasklet, tasklet_schedule_on_cpu

OTHER = CpuIndex(1)


async def nothing(pe: Pe) -> None:
    """A PE that only stands there."""


async def online(pe: Pe) -> None:
    await pe.store(pe.xen.system.cpu_online_map, 0b11)


def sgis(bench: Bench) -> list[int]:
    """Values written to GICD_SGIR."""
    address = GICD_BASE + GICD.SGIR.offset
    return [value for _, kind, where, value in bench.gic.log if (kind, where) == ("write", address)]


def test_pending_softirqs_are_served_lowest_first() -> None:
    """Each handler runs once, also one that was raised by another."""
    served: list[str] = []

    async def timer(pe: Pe) -> None:
        served.append("timer")

    async def scheduler(pe: Pe) -> None:
        served.append("schedule")
        if len(served) < 3:
            await raise_softirq(pe, Softirq.TIMER)

    async def program(pe: Pe) -> None:
        await online(pe)
        await raise_softirq(pe, Softirq.SCHEDULE)
        await raise_softirq(pe, Softirq.TIMER)
        await do_softirq(pe)
        served.append(str(await pe.load(pe.xen.percpu[0].softirq_pending)))

    Bench(program, relinked={"timer_softirq_action": timer, "schedule": scheduler})

    assert served == ["timer", "schedule", "timer", "0"]


def test_an_offline_cpu_serves_none() -> None:
    """What is pending stays pending."""
    left: list[int] = []

    async def program(pe: Pe) -> None:
        await raise_softirq(pe, Softirq.TIMER)
        await do_softirq(pe)
        left.append(await pe.load(pe.xen.percpu[0].softirq_pending))

    Bench(program)

    assert left == [1 << Softirq.TIMER]


def test_another_cpu_is_poked_once() -> None:
    """The SGI is sent only when the bit was not set yet; this CPU needs none."""

    async def program(pe: Pe) -> None:
        await cpu_raise_softirq(pe, OTHER, Softirq.SCHEDULE)
        await cpu_raise_softirq(pe, OTHER, Softirq.SCHEDULE)
        await cpu_raise_softirq(pe, pe.cpu, Softirq.SCHEDULE)

    bench = Bench(program, nothing)

    assert sgis(bench) == [SGIR.TARGETS.put(1 << OTHER)]


def test_a_tasklet_runs_where_it_was_scheduled() -> None:
    """Its work bit is taken before it runs, and the scheduler is asked again afterwards."""
    ran: list[tuple[int, int, int]] = []

    async def action(pe: Pe) -> None:
        ran.append((pe.cpu, await pe.load(pe.xen.percpu[pe.cpu].tasklet_work), 0))

    async def program(pe: Pe) -> None:
        await tasklet_schedule_on_cpu(pe, Tasklet.STOPMACHINE, pe.cpu)
        await do_tasklet(pe)
        await do_tasklet(pe)
        ran.append((-1, 0, await pe.load(pe.xen.percpu[pe.cpu].softirq_pending)))

    Bench(program, of=board(1), relinked={"stopmachine_action": action})

    assert ran == [(0, 0, 0), (-1, 0, 1 << Softirq.SCHEDULE)]
