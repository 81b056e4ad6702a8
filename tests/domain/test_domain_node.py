"""Guest entry and exit: generations, kicks, tokens, power loss, and that outside nothing moves."""

from collections.abc import Callable
from typing import Any

import pytest
from domain_bench import LRS, Wires, board, pending_lr
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proto.el1 import SCTLR_EL1_RESET, is_token, reset_state
from proto.gic import GICC
from proto.ids import DomainId, NodeId
from proto.image import Image
from proto.messages import (
    Abort,
    BankLost,
    BankRead,
    BankWrite,
    Body,
    El1State,
    ExitReason,
    FifoData,
    FifoRead,
    FifoWrite,
    IrqOutput,
    RegRead,
    RegWrite,
    Reply,
    VcpuExit,
    VcpuKick,
    VcpuLoad,
    VcpuPut,
    VcpuRun,
    VcpuState,
    VirtualDeactivate,
    Wire,
)
from proto.node import ProtocolError
from proto.platform import GICC_BASE, GICD_BASE, GUEST_TEXT, RTC_BASE, TTY_BASE
from proto.scenario import DomainSpec, Role
from proto.traces import GuestIrq, GuestStarted, GuestWork
from services.domain.guest_cpu import GuestCpu
from services.domain.node import DomainNode
from services.domain.programs import guest_image

PE0, PE1 = NodeId("pe0"), NodeId("pe1")
IDLE = (0,) * LRS
SPEC = DomainSpec(id=1, vcpus=2, program="idle")
DOM0 = DomainSpec(id=0, role=Role.HARDWARE, program="idle")
TTY1 = TTY_BASE + 0x1000


def image(program: Callable[..., Any], vector: Callable[..., Any] | None = None) -> Image:
    """A kernel whose entry is this program, with an IRQ vector."""
    relinked = {"idle_start": program}
    if vector is not None:
        relinked["linux_vectors"] = vector
    guest_image("idle")
    return Image("services.domain.programs", GUEST_TEXT, "idle_start", relinked)


def state(entry: int = GUEST_TEXT, x0: int = 0) -> El1State:
    """A reset vCPU."""
    return reset_state(entry, x0, LRS, 0)


def entered(program: Callable[..., Any], spec: DomainSpec = SPEC, **kwargs: Any) -> Wires:
    """A domain whose vCPU 0 runs a program since entry 1 on PE 0."""
    wires = Wires(spec, image(program, **kwargs))
    wires.send(PE0, VcpuLoad(1, 0, 0, state()))
    wires.send(PE0, VcpuRun(0, 1, IDLE))
    return wires


def only_exit(bodies: list[Body]) -> VcpuExit:
    """The one exit among these messages."""
    (exit_,) = [body for body in bodies if isinstance(body, VcpuExit)]
    return exit_


def exits(wires: Wires) -> list[VcpuExit]:
    """All exits so far."""
    return [body for _, body in wires.sent if isinstance(body, VcpuExit)]


async def worker(cpu: GuestCpu, x0: int) -> None:
    """Computes for 1000 ns, reports it by HVC, and so on."""
    for number in range(1_000):
        await cpu.work(1_000)
        await cpu.hvc(0, 100 + number)


async def waiter(cpu: GuestCpu, x0: int) -> None:
    """Waits for interrupts."""
    while True:
        await cpu.wfi()


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


# -- virtual interrupts


async def taking(cpu: GuestCpu, x0: int) -> None:
    """Opens its interrupts and computes."""
    cpu.msr("VBAR_EL1", cpu.address("linux_vectors"))
    await cpu.write(GICC_BASE + GICC.PMR.offset, 0xF0)
    await cpu.write(GICC_BASE + GICC.CTLR.offset, 0b111)
    await cpu.irq_enable()
    await cpu.work(1_000)
    await cpu.hvc(0, 1)


async def handler(cpu: GuestCpu) -> None:
    """Acknowledges, computes a little and ends."""
    iar = await cpu.read(GICC_BASE + GICC.IAR.offset)
    await cpu.work(10)
    await cpu.write(GICC_BASE + GICC.EOIR.offset, iar)


def test_an_interrupt_is_taken_inside_work_and_its_eret_goes_on() -> None:
    """The handler's time does not count for the work below it, and PSTATE.I is restored."""
    wires = entered(taking, vector=handler)
    wires.now = 400
    wires.send(PE0, VcpuKick(0, 1))
    wires.send(PE0, VcpuRun(0, 2, (pending_lr(40, 40), pending_lr(27), 0, 0)))

    assert wires.traces[1:] == [GuestIrq(1, 0, 27)]
    assert wires.timers == {"work.0": 410}
    wires.fire("work.0")
    assert wires.traces[2:] == [GuestIrq(1, 0, 40)]
    assert wires.fire("work.0") == [VirtualDeactivate(0, 40)]
    assert wires.timers == {"work.0": 420 + 600}
    exit_ = only_exit(wires.fire("work.0"))
    assert (exit_.reason, exit_.lrs[1] >> 28 & 3) == (ExitReason.HVC, 0)


def test_a_masked_interrupt_waits_in_its_list_register() -> None:
    """PSTATE.I keeps it pending; opening takes it before the next instruction."""
    seen = []

    async def masked(cpu: GuestCpu, x0: int) -> None:
        cpu.msr("VBAR_EL1", cpu.address("linux_vectors"))
        await cpu.write(GICC_BASE + GICC.PMR.offset, 0xF0)
        await cpu.write(GICC_BASE + GICC.CTLR.offset, 0b111)
        await cpu.work(100)
        seen.append("before")
        await cpu.irq_enable()
        seen.append("after")
        await cpu.wfi()

    async def noting(cpu: GuestCpu) -> None:
        await handler(cpu)
        seen.append("handled")

    wires = Wires(SPEC, image(masked, noting))
    wires.send(PE0, VcpuLoad(1, 0, 0, state()))
    wires.send(PE0, VcpuRun(0, 1, (pending_lr(27), 0, 0, 0)))
    assert wires.traced(GuestIrq) == []
    wires.fire("work.0")
    wires.fire("work.0")

    assert seen == ["before", "handled", "after"]


def test_a_guest_without_vectors_halts() -> None:
    """An interrupt with no program at VBAR_EL1 is reported; the guest spins until kicked."""

    async def program(cpu: GuestCpu, x0: int) -> None:
        await cpu.write(GICC_BASE + GICC.PMR.offset, 0xF0)
        await cpu.write(GICC_BASE + GICC.CTLR.offset, 0b111)
        await cpu.irq_enable()
        await cpu.wfi()

    wires = Wires(SPEC, image(program))
    wires.send(PE0, VcpuLoad(1, 0, 0, state()))

    assert wires.send(PE0, VcpuRun(0, 1, (pending_lr(27), 0, 0, 0))) == []
    (work,) = wires.traced(GuestWork)
    assert (work.intact, work.detail) == (False, "halted: no exception vectors at 0x0")
    assert only_exit(wires.send(PE0, VcpuKick(0, 1))).reason is ExitReason.IRQ


# -- tokens


def put(wires: Wires, pe: NodeId = PE0) -> El1State:
    """Put vCPU 0 and give its state."""
    (answer,) = [body for body in wires.send(pe, VcpuPut(2, 0, 1)) if isinstance(body, VcpuState)]
    return answer.state


def test_a_put_gives_a_token_that_resumes_the_program() -> None:
    """The saved pc stands for the interrupted program, wherever it is loaded next."""
    wires = entered(worker)
    wires.now = 250
    wires.send(PE0, VcpuKick(0, 1))
    saved = put(wires)
    assert is_token(saved.pc)
    wires.now = 9_000
    assert wires.send(PE1, VcpuLoad(3, 0, 1, saved)) == [Reply(3)]
    wires.send(PE1, VcpuRun(0, 2, IDLE))

    assert wires.timers == {"work.0": 9_750}
    assert len(wires.traced(GuestStarted)) == 1


def test_an_older_token_is_refused() -> None:
    """State saved before the last put does not belong to the program as it is now."""
    wires = entered(waiter)
    older = put(wires)
    wires.send(PE0, VcpuLoad(3, 0, 1, older))
    latest = put(wires)

    (answer,) = wires.send(PE0, VcpuLoad(4, 0, 1, older))
    assert isinstance(answer, Abort)
    assert (answer.tx, "corrupted" in answer.reason) == (4, True)
    assert wires.send(PE0, VcpuLoad(5, 0, 1, latest)) == [Reply(5)]


def test_the_token_of_another_vcpu_is_refused() -> None:
    """Tokens are unique in the domain."""
    wires = entered(waiter)
    saved = put(wires)

    (answer,) = wires.send(PE0, VcpuLoad(4, 1, 1, saved))
    assert isinstance(answer, Abort)


def test_an_entry_address_ends_the_interrupted_program() -> None:
    """A reset starts afresh, and the token of what ran before is worth nothing."""
    wires = entered(worker)
    wires.send(PE0, VcpuKick(0, 1))
    saved = put(wires)
    wires.send(PE0, VcpuLoad(3, 0, 1, state(x0=5)))
    wires.send(PE0, VcpuRun(0, 2, IDLE))
    assert [event.x[0] for event in wires.traced(GuestStarted)] == [0, 5]

    wires.send(PE0, VcpuKick(0, 2))
    put(wires)
    (answer,) = wires.send(PE0, VcpuLoad(4, 0, 2, saved))
    assert isinstance(answer, Abort)


def test_a_load_that_is_never_entered_starts_nothing() -> None:
    """A reset vCPU that is loaded and put keeps its entry address."""
    wires = Wires(SPEC, image(waiter))
    wires.send(PE0, VcpuLoad(1, 0, 0, state()))

    assert put(wires) == state()
    assert wires.traces == []


def test_an_entry_address_without_code_halts_the_guest() -> None:
    """Nobody answers there: the start is traced, and that it failed."""
    wires = Wires(SPEC)
    wires.send(PE0, VcpuLoad(1, 0, 0, state(entry=0x1234)))

    assert wires.send(PE0, VcpuRun(0, 1, IDLE)) == []
    assert [event.entry for event in wires.traced(GuestStarted)] == [0x1234]
    assert wires.traced(GuestWork) == [GuestWork(1, 0, 0, False, "halted: no code at 0x1234")]
    wires.send(PE0, VcpuKick(0, 1))
    saved = put(wires)
    wires.send(PE0, VcpuLoad(3, 0, 1, saved))
    assert wires.send(PE0, VcpuRun(0, 2, IDLE)) == []


def test_a_kernel_that_returns_halts_the_guest() -> None:
    """There is nothing to return to."""

    async def program(cpu: GuestCpu, x0: int) -> None:
        await cpu.wfi()

    wires = entered(program)
    assert wires.send(PE0, VcpuRun(0, 2, IDLE)) == []
    (work,) = wires.traced(GuestWork)
    assert work.detail == "halted: the kernel has returned"


# -- power


def test_a_lost_bank_takes_its_programs_with_it() -> None:
    """Registers and frames are gone; RAM stays, and old state is worth nothing."""

    async def storing(cpu: GuestCpu, x0: int) -> None:
        before = cpu.fetch_add(GUEST_TEXT, 1)
        await cpu.hvc(0, before)
        await cpu.work(100)

    wires = entered(storing)
    saved = put(wires)
    wires.send(PE0, VcpuLoad(3, 0, 1, saved))
    wires.send(PE0, VcpuRun(0, 2, IDLE))
    assert wires.timers
    assert wires.send(PE0, BankLost(0, 2)) == []
    assert wires.timers == {}

    (refused,) = wires.send(PE0, VcpuLoad(4, 0, 2, saved))
    assert isinstance(refused, Abort)
    wires.send(PE0, VcpuLoad(5, 0, 2, state()))
    assert only_exit(wires.send(PE0, VcpuRun(0, 3, IDLE))).args[0] == 1


def test_a_late_answer_to_a_lost_program_has_no_taker() -> None:
    """The access is gone with its frame."""

    async def reading(cpu: GuestCpu, x0: int) -> None:
        await cpu.read(TTY1 + 0x3C)

    wires = entered(reading)
    wires.send(PE0, BankLost(0, 1))

    assert wires.send(NodeId("tty1"), Reply(1, 5)) == []


def test_losing_what_is_not_loaded_is_no_loss() -> None:
    """The power cut met a load that was refused, or a put that was done."""
    wires = entered(waiter)
    put(wires)

    assert wires.send(PE0, BankLost(0, 1)) == []


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
