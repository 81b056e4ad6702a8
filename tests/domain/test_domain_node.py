"""Guest entry and exit: registers, traps, generations, and devices that are passed through."""

import pytest
from domain_bench import Wires, board, pending_lr
from entry_bench import (
    DOM0,
    IDLE,
    PE0,
    PE1,
    SPEC,
    TTY1,
    entered,
    exits,
    image,
    only_exit,
    state,
    waiter,
    worker,
)
from msgspec.structs import replace

from proto.el1 import SCTLR_EL1_RESET
from proto.gic import GICC
from proto.ids import DomainId, NodeId
from proto.messages import (
    Abort,
    BankLost,
    BankRead,
    BankWrite,
    Body,
    ExitReason,
    FifoWrite,
    IrqOutput,
    RegRead,
    Reply,
    VcpuExit,
    VcpuKick,
    VcpuLoad,
    VcpuPut,
    VcpuRun,
    VcpuState,
)
from proto.node import ProtocolError
from proto.platform import GICC_BASE, GICD_BASE, GUEST_TEXT, RTC_BASE, TTY_BASE
from proto.scenario import DomainSpec
from proto.traces import GuestStarted, GuestWork
from services.domain.guest_cpu import GuestCpu
from services.domain.node import DomainNode

# -- entry and exit


def test_a_fresh_program_starts_at_its_entry_with_the_registers_of_the_state() -> None:
    """The first entry traces the start; x0 reaches the program."""
    seen = []

    async def program(cpu: GuestCpu, x0: int) -> None:
        seen.append(x0)
        await cpu.wfi()

    wires = Wires(SPEC, image(program))
    given_state = replace(state(), x=(0xC0FFEE, *range(1, 31)))
    assert wires.send(PE0, VcpuLoad(1, 0, 0, given_state)) == [Reply(1)]
    assert wires.traces == []

    exit_ = only_exit(wires.send(PE0, VcpuRun(0, 1, IDLE)))

    assert seen == [0xC0FFEE]
    assert exit_ == VcpuExit(0, 1, ExitReason.WFI, (), IDLE)
    assert wires.traces == [GuestStarted(1, 0, GUEST_TEXT, given_state.x, 0x3C5, SCTLR_EL1_RESET)]


def test_a_call_leaves_with_its_registers_and_returns_with_x0() -> None:
    """HVC and SMC carry x0-x3; a result goes to x0, and without one x0 stays what it was."""
    seen = []

    async def program(cpu: GuestCpu, x0: int) -> None:
        seen.append(await cpu.hvc(0xEA1, 1, 2, 3, -4))
        seen.append(await cpu.smc(5))
        await cpu.wfi()

    wires = entered(program)
    exit_ = exits(wires)[0]
    assert exit_.args == (1, 2, 3, (1 << 64) - 4, 0)
    assert (exit_.reason, exit_.immediate) == (ExitReason.HVC, 0xEA1)

    exit_ = only_exit(wires.send(PE0, VcpuRun(0, 2, IDLE, result=-3)))
    assert (exit_.reason, exit_.args) == (ExitReason.SMC, (5, 0, 0, 0, 0))
    wires.send(PE0, VcpuRun(0, 3, IDLE))

    assert seen == [(1 << 64) - 3, 5]


def test_a_result_written_into_the_saved_x0_reaches_the_caller() -> None:
    """Xen may put the answer into struct vcpu instead of the next entry."""
    seen = []

    async def program(cpu: GuestCpu, x0: int) -> None:
        seen.append(await cpu.hvc(0, 1))
        await cpu.wfi()

    wires = entered(program)
    (put,) = wires.send(PE0, VcpuPut(2, 0, 1))
    assert isinstance(put, VcpuState)
    wires.send(PE1, VcpuLoad(3, 0, 1, replace(put.state, x=(77, *put.state.x[1:]))))
    wires.send(PE1, VcpuRun(0, 2, IDLE))

    assert seen == [77]


def test_an_access_outside_ram_is_trapped_with_its_address_and_value() -> None:
    """Reads get the next entry's result; writes leave x0 alone."""
    seen = []

    async def program(cpu: GuestCpu, x0: int) -> None:
        seen.append(await cpu.read(GICD_BASE + 4))
        await cpu.write(GICD_BASE, 1)
        await cpu.write(RTC_BASE, 2, width=1)
        await cpu.wfi()

    wires = entered(program)
    wires.send(PE0, VcpuRun(0, 2, IDLE, result=0xFC))
    wires.send(PE0, VcpuRun(0, 3, IDLE))
    wires.send(PE0, VcpuRun(0, 4, IDLE))

    assert seen == [0xFC]
    assert [exit_.args for exit_ in exits(wires)] == [
        (GICD_BASE + 4, 4, 0, 0),
        (GICD_BASE, 4, 1, 1),
        (RTC_BASE, 1, 1, 2),
        (),
    ]


def test_wfi_with_a_pending_interrupt_is_no_exit() -> None:
    """A pending virtual interrupt, masked or not, ends WFI inside the guest."""

    async def program(cpu: GuestCpu, x0: int) -> None:
        await cpu.write(GICC_BASE + GICC.PMR.offset, 0xF0)
        await cpu.write(GICC_BASE + GICC.CTLR.offset, 0b111)
        await cpu.wfi()
        await cpu.hvc(0, 1)

    wires = Wires(SPEC, image(program))
    wires.send(PE0, VcpuLoad(1, 0, 0, state()))
    exit_ = only_exit(wires.send(PE0, VcpuRun(0, 1, (pending_lr(27), 0, 0, 0))))

    assert exit_.reason is ExitReason.HVC
    assert exit_.lrs[0] == pending_lr(27)


# -- generations


@pytest.mark.parametrize("generation", [0, 1])
def test_a_generation_that_does_not_grow_stops_the_run(generation: int) -> None:
    """Every entry has a larger number than the last."""
    wires = entered(waiter)

    with pytest.raises(ProtocolError, match="not after 1"):
        wires.send(PE0, VcpuRun(0, generation, IDLE))


def test_generations_grow_across_pes() -> None:
    """A put and a load elsewhere do not reset the number."""
    wires = entered(waiter)
    (put,) = wires.send(PE0, VcpuPut(2, 0, 1))
    wires.send(PE1, VcpuLoad(3, 0, 1, put.state))

    with pytest.raises(ProtocolError, match="not after 1"):
        wires.send(PE1, VcpuRun(0, 1, IDLE))


@pytest.mark.parametrize("src", [PE0, PE1])
def test_a_vcpu_that_a_pe_holds_cannot_be_loaded_again(src: NodeId) -> None:
    """Software that runs one vCPU on two PEs takes an external abort; the first load stands."""
    wires = entered(waiter)
    (refusal,) = wires.send(src, VcpuLoad(9, 0, 1, state()))

    assert refusal == Abort(9, f"dom1 vCPU 0 is loaded by {src}, but pe0 holds it")
    assert isinstance(wires.send(PE0, VcpuPut(2, 0, 1))[0], VcpuState)


@pytest.mark.parametrize(
    ("src", "body", "message"),
    [
        (PE0, VcpuRun(1, 2, IDLE), "not loaded"),
        (PE1, VcpuRun(0, 2, IDLE), "not loaded into pe1"),
        (PE0, VcpuRun(0, 2, (0,)), "1 LRs"),
        (PE0, VcpuRun(2, 2, IDLE), "no vCPU 2"),
        (PE0, VcpuPut(9, 1, 2), "not loaded"),
        (PE0, VcpuKick(0, 2), "kicked before entry 2"),
        (PE0, BankRead(9, 1, "CNTV_CTL"), "not loaded"),
        (PE1, BankWrite(9, 0, "CNTV_CTL", 0), "not loaded into pe1"),
        (PE1, BankLost(0, 1), "pe1 lost dom1 vCPU 0"),
        (PE0, VcpuLoad(9, 1, 1, replace(state(), lrs=(0,))), "EL1 state"),
        (PE0, IrqOutput(True), "cannot take"),
    ],
)
def test_what_no_pe_may_do_stops_the_run(src: NodeId, body: Body, message: str) -> None:
    """Misuse by one of our own nodes is an error, never ignored."""
    wires = entered(waiter)

    with pytest.raises(ProtocolError, match=message):
        wires.send(src, body)


@pytest.mark.parametrize(
    "body", [VcpuRun(0, 2, IDLE), VcpuPut(9, 0, 1), BankRead(9, 0, "CNTV_CTL")]
)
def test_a_running_vcpu_can_only_be_kicked(body: Body) -> None:
    """Entries, puts and register accesses need a guest that has left EL1."""
    wires = entered(worker)

    with pytest.raises(ProtocolError, match="has not left EL1"):
        wires.send(PE0, body)


# -- passed-through devices


def test_the_own_serial_port_and_the_rtc_of_domain_0_are_passed_through() -> None:
    """They are reached without an exit; other domains' devices are not."""

    async def program(cpu: GuestCpu, x0: int) -> None:
        cpu.fifo_write(b"hello\n")
        await cpu.read(RTC_BASE)
        await cpu.read(TTY1)

    wires = entered(program, DOM0)
    assert wires.sent[-2:] == [
        ("tty0", FifoWrite(TTY_BASE, b"hello\n")),
        ("rtc", RegRead(1, RTC_BASE, 4)),
    ]

    exit_ = only_exit(wires.send(NodeId("rtc"), Reply(1)))
    assert (exit_.reason, exit_.args[0]) == (ExitReason.DATA_ABORT, TTY1)


def test_a_refused_access_halts_the_guest() -> None:
    """A device without power answers with an abort, which no kernel here handles."""

    async def program(cpu: GuestCpu, x0: int) -> None:
        await cpu.read(TTY1 + 0x999)

    wires = entered(program)
    assert wires.send(NodeId("tty1"), Abort(1, "no register")) == []
    (work,) = wires.traced(GuestWork)
    assert work.detail == "halted: external abort: no register"


def test_a_domain_needs_a_description() -> None:
    """Building a node for a domain, or a program, that does not exist is a usage error."""
    with pytest.raises(ValueError, match="no domain 5"):
        DomainNode(board(DOM0), DomainId(5))
    with pytest.raises(ValueError, match="expected one of idle, ignorant, linux"):
        DomainNode(board(DomainSpec(id=1, program="hurd")), DomainId(1))


def test_a_timer_nobody_set_stops_the_run() -> None:
    """The node knows the names of its timers."""
    wires = Wires(SPEC)
    wires.timers["bus.0"] = 5

    with pytest.raises(ProtocolError, match=r"no timer bus\.0"):
        wires.fire("bus.0")
