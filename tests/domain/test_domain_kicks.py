"""Kicks end an entry and nothing else, and outside EL1 nothing of a guest moves."""

import pytest
from entry_bench import IDLE, PE0, PE1, TTY1, entered, exits, only_exit, put, waiter, worker
from hypothesis import given
from hypothesis import strategies as st

from proto.ids import NodeId
from proto.messages import (
    ExitReason,
    FifoData,
    FifoRead,
    RegWrite,
    Reply,
    VcpuKick,
    VcpuLoad,
    VcpuPut,
    VcpuRun,
    Wire,
)
from services.domain.guest_cpu import GuestCpu

# -- kicks


def test_a_kick_of_an_older_entry_is_stale() -> None:
    """A kick that crossed an exit on its way does nothing to the next entry."""
    wires = entered(worker)
    wires.send(PE0, VcpuKick(0, 1))
    wires.send(PE0, VcpuRun(0, 5, IDLE))

    assert wires.send(PE0, VcpuKick(0, 1)) == []
    assert only_exit(wires.send(PE0, VcpuKick(0, 5))).reason is ExitReason.IRQ


def test_a_kick_after_the_exit_is_stale() -> None:
    """The guest has left by itself: there is only one exit per entry."""
    wires = entered(waiter)

    assert wires.send(PE0, VcpuKick(0, 1)) == []
    assert len(exits(wires)) == 1


@given(st.lists(st.tuples(st.integers(0, 999), st.integers(0, 5_000)), max_size=8))
def test_compute_time_is_the_same_however_often_the_guest_is_kicked(
    kicks: list[tuple[int, int]],
) -> None:
    """`work` takes its time in EL1; time outside does not count and none is lost."""
    wires = entered(worker)
    generation, inside = 1, 0
    for run_ns, pause_ns in kicks:
        if inside + run_ns >= 1_000:
            break
        inside += run_ns
        wires.now += run_ns
        assert only_exit(wires.send(PE0, VcpuKick(0, generation))).reason is ExitReason.IRQ
        assert wires.timers == {}
        wires.now += pause_ns
        generation += 1
        assert wires.send(PE0, VcpuRun(0, generation, IDLE)) == []
    assert wires.timers == {"work.0": wires.now + 1_000 - inside}

    assert only_exit(wires.fire("work.0")).args[0] == 100


def test_a_kick_during_an_access_exits_at_once_and_the_answer_is_kept() -> None:
    """The frame gets the answer at the next entry if it came while the guest was outside."""
    seen = []

    async def program(cpu: GuestCpu, x0: int) -> None:
        seen.append(await cpu.fifo_read())
        await cpu.wfi()

    wires = entered(program)
    dst, read = wires.sent[-1]
    assert (dst, read) == ("tty1", FifoRead(1, TTY1))
    assert only_exit(wires.send(PE0, VcpuKick(0, 1))).reason is ExitReason.IRQ
    assert wires.send(NodeId("tty1"), FifoData(1, b"abc")) == []
    assert seen == []

    assert only_exit(wires.send(PE0, VcpuRun(0, 2, IDLE))).reason is ExitReason.WFI
    assert seen == [b"abc"]


def test_an_entry_before_the_answer_waits_on_and_can_be_kicked_again() -> None:
    """A slow device does not keep the guest in EL1, nor is its access repeated."""
    seen = []

    async def program(cpu: GuestCpu, x0: int) -> None:
        seen.append(await cpu.read(TTY1 + 0x3C))
        await cpu.wfi()

    wires = entered(program)
    wires.send(PE0, VcpuKick(0, 1))
    assert wires.send(PE0, VcpuRun(0, 2, IDLE)) == []
    wires.send(PE0, VcpuKick(0, 2))
    assert wires.send(PE0, VcpuRun(0, 3, IDLE)) == []

    assert only_exit(wires.send(NodeId("tty1"), Reply(1, 16))).generation == 3
    assert seen == [16]


def test_the_answer_moves_with_the_vcpu() -> None:
    """An access outlives a put and a load into another PE."""
    seen = []

    async def program(cpu: GuestCpu, x0: int) -> None:
        await cpu.write(TTY1 + 0x38, 16)
        seen.append("written")
        await cpu.wfi()

    wires = entered(program)
    assert wires.sent[-1] == ("tty1", RegWrite(1, TTY1 + 0x38, 16))
    wires.send(PE0, VcpuKick(0, 1))
    (put,) = wires.send(PE0, VcpuPut(2, 0, 1))
    wires.send(NodeId("tty1"), Reply(1))
    assert seen == []

    wires.send(PE1, VcpuLoad(3, 0, 1, put.state))
    wires.send(PE1, VcpuRun(0, 2, IDLE))

    assert seen == ["written"]
    assert wires.sent[-1][0] == PE1


# -- outside EL1


@pytest.mark.parametrize("loaded", [True, False])
def test_outside_el1_nothing_of_the_guest_advances(loaded: bool) -> None:
    """A frozen guest's timers are stopped, and what arrives changes nothing until it is entered."""
    steps = []

    async def program(cpu: GuestCpu, x0: int) -> None:
        steps.append(await cpu.read(TTY1 + 0x3C))
        await cpu.work(50)
        steps.append("worked")

    wires = entered(program)
    wires.send(PE0, VcpuKick(0, 1))
    if not loaded:
        put(wires)
    sent = len(wires.sent)
    wires.send(NodeId("tty1"), Reply(1, 9))
    wires.now = 1_000_000_000

    assert steps == []
    assert wires.timers == {}
    assert len(wires.sent) == sent


def test_only_the_comparator_lives_on_while_loaded() -> None:
    """The virtual timer raises its wire outside EL1, and the guest sees nothing of it."""

    async def arming(cpu: GuestCpu, x0: int) -> None:
        cpu.set_timer(1, 5_000)
        await cpu.hvc(0, 1)
        await cpu.hvc(0, 2)

    wires = entered(arming)
    assert list(wires.timers) == ["cntv.0"]

    assert wires.fire("cntv.0") == [Wire(27, True, 0)]
    assert len(exits(wires)) == 1
