"""The virtual timer of a loaded bank: its wire, its comparator, EL2's view."""

import pytest
from domain_bench import LRS, Wires, board
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from proto.el1 import flatten, reset_state
from proto.ids import NodeId
from proto.messages import (
    BankLost,
    BankRead,
    BankWrite,
    Body,
    El1State,
    Reply,
    VcpuLoad,
    VcpuPut,
    VcpuState,
    Wire,
)
from proto.node import ProtocolError
from proto.platform import GUEST_TEXT
from proto.scenario import DomainSpec
from proto.timer import ENABLE, IMASK, ISTATUS

PE = NodeId("pe2")
SPEC = DomainSpec(id=1, program="idle")
OFFSET = 1_000


def armed(ctl: int, cval: int) -> El1State:
    """A reset state with its virtual timer set."""
    return replace(reset_state(GUEST_TEXT, 0, LRS, OFFSET), cntv_ctl=ctl, cntv_cval=cval)


def loaded(ctl: int = 0, cval: int = 0) -> Wires:
    """A domain whose vCPU 0 is loaded into PE 2 at board time 5000."""
    wires = Wires(SPEC)
    wires.now = 5_000
    wires.send(PE, VcpuLoad(1, 0, 1, armed(ctl, cval)))
    return wires


def levels(wires: Wires) -> list[Body]:
    """The wires it has driven."""
    return [body for dst, body in wires.sent if dst == "gicd"]


def high(level: bool) -> Wire:
    """PPI 27 of PE 2."""
    return Wire(27, level, 2)


def test_the_line_rises_at_cval_plus_offset_while_loaded() -> None:
    """The comparator counts board time less CNTVOFF, and drives the PE that holds the bank."""
    wires = loaded(ENABLE, 9_000)
    assert levels(wires) == []
    assert wires.timers == {"cntv.0": 10_000 + board(SPEC).platform.latencies.timer[1]}

    wires.fire("cntv.0")

    assert levels(wires) == [high(True)]


def test_a_deadline_in_the_past_raises_the_line_at_once() -> None:
    """A load with the condition met raises the line before it is answered."""
    wires = loaded(ENABLE, 4_000)

    assert [body for _, body in wires.sent] == [high(True), Reply(1)]


def test_masking_in_el2_lets_the_line_fall_before_the_answer() -> None:
    """Xen masks the timer in its handler; the reply comes after the wire's change."""
    wires = loaded(ENABLE, 4_000)
    read = wires.send(PE, BankRead(2, 0, "CNTV_CTL"))
    masked = wires.send(PE, BankWrite(3, 0, "CNTV_CTL", ENABLE | IMASK))

    assert read == [Reply(2, ENABLE | ISTATUS)]
    assert masked == [high(False), Reply(3)]


def test_a_new_deadline_replaces_the_old_one() -> None:
    """Writing CVAL moves the edge; disabling cancels it."""
    wires = loaded(ENABLE, 9_000)
    wires.send(PE, BankWrite(2, 0, "CNTV_CVAL", 19_000))
    slack = board(SPEC).platform.latencies.timer[1]
    assert wires.timers == {"cntv.0": 20_000 + slack}
    wires.send(PE, BankWrite(3, 0, "CNTVOFF", 2_000))
    assert wires.timers == {"cntv.0": 21_000 + slack}

    wires.send(PE, BankWrite(4, 0, "CNTV_CTL", 0))

    assert wires.timers == {}
    assert wires.send(PE, BankRead(5, 0, "CNTV_CVAL")) == [Reply(5, 19_000)]
    assert wires.send(PE, BankRead(6, 0, "CNTVOFF")) == [Reply(6, 2_000)]


def test_a_deadline_that_never_comes_sets_no_timer() -> None:
    """CVAL of all ones, as Linux writes it, is no event."""
    assert loaded(ENABLE, (1 << 64) - 1).timers == {}


@pytest.mark.parametrize("leave", [VcpuPut(7, 0, 1), BankLost(0, 1)])
def test_unloading_drops_the_line(leave: Body) -> None:
    """The comparator drives nothing without a PE, whether the bank was put back or lost."""
    wires = loaded(ENABLE, 4_000)
    wires.send(PE, leave)

    assert levels(wires) == [high(True), high(False)]
    assert wires.timers == {}


@pytest.mark.parametrize("leave", [VcpuPut(7, 0, 1), BankLost(0, 1)])
def test_unloading_cancels_the_comparator(leave: Body) -> None:
    """A deadline in the future is not waited for without a PE."""
    wires = loaded(ENABLE, 9_000)
    wires.send(PE, leave)

    assert wires.timers == {}
    assert levels(wires) == []


def test_an_unknown_register_stops_the_run() -> None:
    """EL2 knows the names of the bank's registers."""
    wires = loaded()

    with pytest.raises(ProtocolError, match="no register CNTP_CTL"):
        wires.send(PE, BankRead(2, 0, "CNTP_CTL"))
    with pytest.raises(ProtocolError, match="no register CNTP_CTL"):
        wires.send(PE, BankWrite(2, 0, "CNTP_CTL", 0))


WORD = st.integers(0, (1 << 64) - 1)


@given(
    st.tuples(*[WORD] * 31),
    st.tuples(*[WORD] * 15),
    st.tuples(*[st.integers(0, (1 << 32) - 1)] * (LRS + 2)),
    st.integers(0, 3),
    WORD,
    st.integers(0, 1 << 40),
)
def test_a_bank_that_is_loaded_and_put_is_unchanged(
    x: tuple[int, ...],
    sysregs: tuple[int, ...],
    gich: tuple[int, ...],
    ctl: int,
    cval: int,
    offset: int,
) -> None:
    """Loading and putting a vCPU that was not entered loses and changes nothing."""
    lrs, vmcr, apr = gich[:LRS], gich[LRS], gich[LRS + 1]
    state = El1State(GUEST_TEXT, 0x3C5, x, sysregs, lrs, vmcr, apr, ctl, cval, offset)
    wires = Wires(SPEC)
    wires.send(PE, VcpuLoad(1, 0, 1, state))
    (answer,) = [b for b in wires.send(PE, VcpuPut(2, 0, 1)) if isinstance(b, VcpuState)]

    assert flatten(answer.state) == flatten(state)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**40), st.integers(0, 2**64 - 1))
def test_tval_is_a_signed_distance_of_32_bits(written: int, now: int, cval: int) -> None:
    """A write sets CVAL relative to the count, a read gives the low half of the difference."""
    wires = loaded()
    wires.now = now
    wires.send(PE, BankWrite(2, 0, "CNTV_CVAL", cval))
    wires.send(PE, BankRead(3, 0, "CNTV_TVAL"))
    count = now - OFFSET
    assert (PE, Reply(3, (cval - count) % 2**32)) in wires.sent

    wires.send(PE, BankWrite(4, 0, "CNTV_TVAL", written))
    wires.send(PE, BankRead(5, 0, "CNTV_CVAL"))
    low = written % 2**32
    signed = low if low < 2**31 else low - 2**32
    assert (PE, Reply(5, (count + signed) % 2**64)) in wires.sent
