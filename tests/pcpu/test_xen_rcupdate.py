"""RCU: a callback waits until every CPU has passed, runs once, and a barrier waits for it."""

import pytest
from xen_bench import Bench, board

from proto.ids import CpuIndex
from proto.machine import Halt
from proto.units import MS
from services.pcpu.pe import Pe
from services.pcpu.xen.rcupdate import call_rcu, rcu_barrier, rcu_offline_cpu
from services.pcpu.xen.softirq import do_softirq, serve_softirqs

CPUS = 3


async def online(pe: Pe, mask: int) -> None:
    await pe.store(pe.xen.system.cpu_online_map, mask)


async def serving(pe: Pe) -> None:
    """A CPU that serves its softirqs whenever one is raised, for a while."""
    pending = pe.xen.percpu[pe.cpu].softirq_pending
    end_ns = pe.now + 50 * MS
    while await pe.wfe_until(pending, 0, end_ns) is not None:
        await do_softirq(pe)


@pytest.mark.parametrize("seed", range(5))
def test_a_barrier_waits_until_every_cpu_has_passed(seed: int) -> None:
    """The callback runs once, on the CPU that queued it, and before the barrier ends."""
    order: list[str] = []

    async def rcu_free_percpu_area(pe: Pe, data: int) -> None:
        order.append(f"free {data} on {pe.cpu}")

    async def program(pe: Pe) -> None:
        await online(pe, 0b111)
        await call_rcu(pe, pe.xen.percpu_rcu_head[2], "rcu_free_percpu_area", 7)
        await rcu_barrier(pe)
        order.append("barrier")

    async def slow(pe: Pe) -> None:
        await pe.delay(2 * MS)
        order.append("passes")
        await serving(pe)

    links = {"rcu_free_percpu_area": rcu_free_percpu_area}
    Bench(program, serving, slow, of=board(CPUS), seed=seed, relinked=links)

    assert order == ["passes", "free 7 on 0", "barrier"]


def test_without_callbacks_a_barrier_is_one_look() -> None:
    """Nobody is poked."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        await online(pe, 0b111)
        await rcu_barrier(pe)
        seen.extend(await pe.load_burst([area.softirq_pending for area in pe.xen.percpu]))

    bench = Bench(program, of=board(CPUS))

    assert seen == [0] * CPUS
    assert bench.gic.log == []


def test_a_second_callback_gets_a_grace_period_of_its_own() -> None:
    """One that comes while a batch is under way does not end with that batch."""
    ran: list[tuple[int, int]] = []

    async def rcu_free_percpu_area(pe: Pe, data: int) -> None:
        ran.append((data, await pe.load(pe.xen.rcu.completed)))
        if data == 1:
            await call_rcu(pe, pe.xen.percpu_rcu_head[1], "rcu_free_percpu_area", 2)

    async def program(pe: Pe) -> None:
        await online(pe, 0b1)
        await call_rcu(pe, pe.xen.percpu_rcu_head[0], "rcu_free_percpu_area", 1)
        await rcu_barrier(pe)

    Bench(program, of=board(2), relinked={"rcu_free_percpu_area": rcu_free_percpu_area})

    assert ran == [(1, 1), (2, 2)]


def test_nobody_waits_for_a_dead_cpu() -> None:
    """Its bit is taken out of the batch, and its callbacks run here."""
    ran: list[int] = []

    async def rcu_free_percpu_area(pe: Pe, data: int) -> None:
        ran.append(data)

    async def program(pe: Pe) -> None:
        await online(pe, 0b11)
        head = pe.xen.percpu_rcu_head[0]
        await call_rcu(pe, head, "rcu_free_percpu_area", 5)
        await do_softirq(pe)
        await pe.store(head.cpu, 1 + 1)
        await online(pe, 0b1)
        await rcu_offline_cpu(pe, CpuIndex(1))
        await do_softirq(pe)
        ran.append(await pe.load(pe.xen.percpu[0].softirq_pending))

    Bench(program, of=board(2), relinked={"rcu_free_percpu_area": rcu_free_percpu_area})

    assert ran == [5, 0]


def test_a_barrier_inside_the_rendezvous_never_ends() -> None:
    """Bug rcu-vs-scheduler-rendezvous: it needs a softirq of CPUs that stand still."""
    polls: list[int] = []

    async def process_pending_softirqs(pe: Pe) -> None:
        await serve_softirqs(pe, 0)
        polls.append(await pe.load(pe.xen.rcu.cpumask))
        if len(polls) == 100:
            raise Halt("waits for ever")

    async def program(pe: Pe) -> None:
        await online(pe, 0b11)
        await call_rcu(pe, pe.xen.percpu_rcu_head[0], "rcu_free_percpu_area", 0)
        await rcu_barrier(pe)

    async def held(pe: Pe) -> None:
        await pe.irq_disable()
        await pe.wfe(pe.xen.stop_machine.state, 0)

    links = {"process_pending_softirqs": process_pending_softirqs}
    bench = Bench(program, held, of=board(2), relinked=links)

    assert bench.halts == ["waits for ever"]
    assert polls == [0b10] * 100
