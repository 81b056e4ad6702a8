"""Saved programs are named by tokens that are good once, and die with their PE."""

from domain_bench import Wires
from entry_bench import (
    IDLE,
    PE0,
    PE1,
    SPEC,
    TTY1,
    entered,
    image,
    only_exit,
    put,
    state,
    waiter,
    worker,
)

from proto.el1 import is_token
from proto.ids import NodeId
from proto.messages import (
    Abort,
    BankLost,
    Reply,
    VcpuKick,
    VcpuLoad,
    VcpuRun,
)
from proto.platform import GUEST_TEXT
from proto.traces import GuestStarted, GuestWork
from services.domain.guest_cpu import GuestCpu

# -- tokens


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
