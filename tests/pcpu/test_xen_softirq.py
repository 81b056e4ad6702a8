"""Softirqs, tasklets and the SGI that announces them."""

from xen_bench import Bench, board

from proto.gic import GICD, SGIR
from proto.ids import CpuIndex
from proto.platform import GICD_BASE
from services.pcpu.pe import Pe
from services.pcpu.xen.softirq import Softirq, cpu_raise_softirq, do_softirq, raise_softirq
from services.pcpu.xen.tasklet import (
    do_tasklet,
    migrate_tasklets_from_cpu,
    tasklet_init,
    tasklet_schedule_on_cpu,
)

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
    """It is taken from the list before it runs, and the scheduler is asked again afterwards."""
    ran: list[tuple[int, int, int]] = []

    async def action(pe: Pe, data: int) -> None:
        cells = pe.xen.percpu[pe.cpu].tasklet_list
        ran.append((pe.cpu, data, sum(await pe.load_burst(cells))))

    async def program(pe: Pe) -> None:
        tasklet = pe.xen.stopmachine_tasklet[0]
        await tasklet_init(pe, tasklet, "stopmachine_action", 7)
        await tasklet_schedule_on_cpu(pe, tasklet, pe.cpu)
        await do_tasklet(pe)
        await do_tasklet(pe)
        ran.append((-1, 0, await pe.load(pe.xen.percpu[pe.cpu].softirq_pending)))

    Bench(program, of=board(1), relinked={"stopmachine_action": action})

    assert ran == [(0, 7, 0), (-1, 0, 1 << Softirq.SCHEDULE)]


def test_tasklets_run_in_the_order_they_came_and_each_once() -> None:
    """One that is scheduled twice moves to where it was scheduled last."""
    ran: list[int] = []

    async def action(pe: Pe, data: int) -> None:
        ran.append(data)

    async def program(pe: Pe) -> None:
        first, second = pe.xen.stopmachine_tasklet
        for data, tasklet in enumerate((first, second)):
            await tasklet_init(pe, tasklet, "stopmachine_action", data)
        for tasklet in (first, second, first):
            await tasklet_schedule_on_cpu(pe, tasklet, pe.cpu)
        for _ in range(3):
            await do_tasklet(pe)
        ran.append(await pe.load(pe.xen.percpu[0].tasklet_work))

    Bench(program, of=board(2), relinked={"stopmachine_action": action})

    assert ran == [1, 0, 0]


def test_a_tasklet_that_is_scheduled_while_it_runs_runs_again() -> None:
    """Work that comes after the function has looked is not lost."""
    ran: list[int] = []

    async def action(pe: Pe, data: int) -> None:
        ran.append(data)
        if len(ran) == 1:
            await tasklet_schedule_on_cpu(pe, pe.xen.suspend_tasklet, pe.cpu)

    async def program(pe: Pe) -> None:
        await tasklet_init(pe, pe.xen.suspend_tasklet, "stopmachine_action", 5)
        await tasklet_schedule_on_cpu(pe, pe.xen.suspend_tasklet, pe.cpu)
        for _ in range(3):
            await do_tasklet(pe)

    Bench(program, relinked={"stopmachine_action": action})

    assert ran == [5, 5]


def test_a_dead_cpus_tasklets_move_here() -> None:
    """In their order, behind what is queued here."""
    ran: list[int] = []

    async def action(pe: Pe, data: int) -> None:
        ran.append(data)

    async def program(pe: Pe) -> None:
        tasklets = pe.xen.tasklets[:3]
        for data, tasklet in enumerate(tasklets):
            await tasklet_init(pe, tasklet, "stopmachine_action", data)
        for tasklet, cpu in zip(tasklets, (OTHER, pe.cpu, OTHER), strict=True):
            await tasklet_schedule_on_cpu(pe, tasklet, cpu)
        await migrate_tasklets_from_cpu(pe, OTHER)
        for _ in range(3):
            await do_tasklet(pe)
        ran.append(await pe.load(pe.xen.percpu[OTHER].tasklet_work))

    Bench(program, nothing, relinked={"stopmachine_action": action})

    assert ran == [1, 0, 2, 0]
