"""The GIC on the bus: refusals, loss and retention of power, wake requests."""

import pytest
from gicd_bench import Bench, address, states

from proto.gic import GICC, GICD, IDLE_PRIORITY
from proto.ids import BoardNs
from proto.messages import (
    Abort,
    Barrier,
    BlockPower,
    IrqOutput,
    Rail,
    RegRead,
    RegWrite,
    Reply,
    VirtualDeactivate,
    WakeEnable,
    WakeRequests,
    Wire,
)
from proto.node import ProtocolError
from proto.platform import GICC_BASE, GICD_BASE, GiccPower
from proto.traces import InterruptLost, IntState, Unpredictable

SPI, OTHER = 34, 40


def running(power_model: str, eoimode: int = 0) -> Bench:
    """A GIC in use: SPI and OTHER enabled, OTHER edge-triggered."""
    bench = Bench(power_model).open(eoimode)
    bench.set_edge(OTHER)
    bench.enable(SPI, OTHER)
    bench.traces.clear()
    return bench


# -- the bus


def test_posted_writes_act_and_are_not_answered() -> None:
    """A barrier after them is answered; so the sender knows they are done."""
    bench = Bench()
    write = RegWrite(0, address(GICC.BPR), 5, posted=True)

    assert bench.send("pe1", write) is None
    assert bench.send("pe1", Barrier(7)) == Reply(7)
    assert bench.read(1, GICC.BPR) == 5
    assert bench.read(0, GICC.BPR) == 3


@pytest.mark.parametrize(
    ("address_", "width"),
    [
        (GICD_BASE - 4, 4),
        (GICD_BASE + 0x1000, 4),
        (GICC_BASE + 0x2000, 4),
        (GICD_BASE + 0x101, 4),
        (GICD_BASE + 0x100, 1),
        (GICD_BASE + 0x400, 2),
        (GICC_BASE + 0x04, 1),
    ],
)
def test_accesses_the_gic_does_not_support_abort(address_: int, width: int) -> None:
    """Outside the frames, misaligned, bytes where there are no byte fields."""
    bench = Bench()

    assert isinstance(bench.send("pe0", RegRead(3, address_, width)), Abort)
    assert isinstance(bench.send("pe0", RegWrite(3, address_, 0, width)), Abort)


def test_holes_read_as_zero() -> None:
    """Reserved offsets inside the frames are RAZ/WI."""
    bench = Bench()
    for hole in (GICD_BASE + 0x00C, GICD_BASE + 0xE00, GICC_BASE + 0x30, GICC_BASE + 0xD4):
        assert bench.send("pe0", RegWrite(1, hole, 0xFFFF_FFFF)) == Reply(1)
        assert bench.send("el3.pe0", RegRead(2, hole, secure=True)) == Reply(2, 0)


@pytest.mark.parametrize(
    ("src", "body"),
    [
        ("dom1", RegRead(1, GICD_BASE)),
        ("pe9", RegRead(1, GICD_BASE)),
        ("pe0", RegWrite(1, GICD_BASE, 0, secure=True)),
        ("rtc", Wire(200, True)),
        ("rtc", Wire(SPI, True, 0)),
        ("pe0", Wire(27, True)),
        ("pe0", Wire(27, True, 4)),
        ("pe0", Wire(3, True, 0)),
        ("dom1", VirtualDeactivate(4, 27)),
        ("dom1", VirtualDeactivate(0, 500)),
        ("scp", BlockPower(True)),
        ("pe0", IrqOutput(True)),
        ("pe0", Rail(False)),
        ("pe0", WakeRequests(0, WakeEnable.WAKEUP)),
        ("scp", WakeRequests(4, WakeEnable.WAKEUP)),
    ],
)
def test_what_no_node_may_send_stops_the_run(src: str, body: object) -> None:
    """Accesses by nobody, wires that do not exist, power that is on already."""
    with pytest.raises(ProtocolError):
        Bench().send(src, body)  # type: ignore[arg-type]  # the point of the test


def test_start_and_timers() -> None:
    """The GIC starts silently and knows no timer."""
    gicd = Bench().gicd

    assert list(gicd.on_start(BoardNs(0))) == []
    with pytest.raises(ProtocolError):
        gicd.on_timer(BoardNs(0), "x")


# -- power


@pytest.mark.parametrize("power_model", ["all-lost", "all-retained"])
def test_without_power_accesses_abort(power_model: str) -> None:
    """A posted access has nobody to abort and is reported as lost."""
    bench = running(power_model)
    bench.power(False)
    bench.traces.clear()

    assert isinstance(bench.send("pe0", RegRead(1, GICD_BASE)), Abort)
    assert isinstance(bench.send("pe0", RegWrite(1, GICD_BASE, 0)), Abort)
    assert bench.send("pe0", RegWrite(0, GICD_BASE, 0, posted=True)) is None
    assert bench.send("dom1", VirtualDeactivate(0, SPI)) is None
    assert len(bench.take_traces(Unpredictable)) == 2


def test_loss_resets_distributor_and_interfaces() -> None:
    """Firmware and Xen find reset values on both sides."""
    bench = running("all-lost")
    bench.wire(SPI, True)
    bench.iar()
    bench.power(False)
    bench.wire(SPI, False)
    bench.power(True)

    assert bench.read(0, GICD.CTLR, secure=True) == 0
    assert bench.read(0, GICD.IGROUPR, SPI, secure=True) == 0
    assert not bench.bit(GICD.ISENABLER, SPI, secure=True)
    assert bench.state(SPI) == "inactive"
    assert bench.read(0, GICC.CTLR, secure=True) == bench.read(0, GICC.PMR) == 0
    assert bench.read(0, GICC.RPR) == IDLE_PRIORITY


def test_latches_that_no_level_line_backs_are_lost() -> None:
    """An edge, an SGI and software's pending bit are gone; a high level line is not."""
    bench = running("all-lost")
    bench.enable(SPI + 1)
    bench.pulse(OTHER)
    bench.sgi(1, 4, 0b0100)
    bench.wire(SPI, True)
    bench.write(0, GICD.ISPENDR, 0b11 << SPI % 32, SPI)
    bench.traces.clear()
    bench.power(False)

    assert bench.take_traces(InterruptLost) == [
        InterruptLost(intid, "gicd") for intid in (4, SPI + 1, OTHER)
    ]

    bench.power(True)
    assert bench.state(OTHER) == bench.state(SPI + 1) == bench.state(4, cpu=2) == "inactive"
    assert bench.state(SPI) == "pending"


def test_a_level_line_pends_again_after_loss() -> None:
    """It rose while the block was off; once configured, the interrupt is signalled."""
    bench = running("all-lost")
    bench.power(False)
    bench.wire(SPI, True)
    bench.power(True)
    bench.open()
    assert not bench.irq[0]

    bench.enable(SPI)
    assert bench.irq[0]


def test_a_pulse_without_power_is_lost() -> None:
    """Nothing could latch it; the hardware says so when the line falls."""
    bench = running("all-lost")
    bench.power(False)
    bench.traces.clear()
    bench.wire(OTHER, True)
    assert bench.take_traces(InterruptLost) == []

    bench.wire(OTHER, False)
    bench.wire(OTHER, False)
    assert bench.take_traces(InterruptLost) == [InterruptLost(OTHER, "gicd")]


def test_outputs_fall_when_power_returns_after_loss() -> None:
    """An output that was high is told low; no output moves while the block is off."""
    bench = running("all-lost")
    bench.wire(SPI, True)
    bench.power(False)
    assert bench.irq[0]

    bench.power(True)
    assert bench.outputs == [(0, True), (0, False)]


def test_loss_is_traced_as_a_change_of_state() -> None:
    """What was active is not any more."""
    bench = running("all-lost", eoimode=1)
    bench.pulse(OTHER)
    bench.iar()
    bench.traces.clear()
    bench.power(False)

    assert states(bench.take_traces(IntState)) == [(OTHER, -1, False, False)]


def test_retention_keeps_everything() -> None:
    """Registers, latches, active bits and priorities are as before; an edge is still latched."""
    bench = running("gic-retained")
    bench.wire(SPI, True)
    bench.iar()
    bench.power(False)
    bench.pulse(OTHER)
    bench.power(True)

    assert bench.state(SPI) == "active and pending"
    assert bench.read(0, GICC.RPR) == 0xA0
    assert bench.take_traces(InterruptLost) == []

    bench.eoir(SPI)
    bench.wire(SPI, False)
    assert bench.iar() == OTHER


# -- wake requests


def test_a_retained_gic_asks_for_wake_up() -> None:
    """Pending, enabled, group-enabled, targeted: whatever the CPU interfaces say."""
    bench = running("gic-retained")
    bench.write(0, GICC.CTLR, GICC.CTLR_BYPASS_DISABLE)
    bench.write(0, GICC.PMR, 0)
    bench.power(False)
    assert bench.wake == []

    bench.wire(SPI, True)
    bench.pulse(OTHER)
    assert bench.wake == [(SPI, True), (OTHER, True)]

    bench.wire(SPI, False)
    assert bench.wake[2:] == [(SPI, False)]

    bench.power(True)
    assert bench.wake[3:] == [(OTHER, False)]
    assert not bench.irq[0]


def test_what_pends_at_power_down_asks_at_once() -> None:
    """The request is made in the turn that goes off."""
    bench = running("gic-retained")
    bench.pulse(OTHER)
    bench.power(False)

    assert bench.wake == [(OTHER, True)]


@pytest.mark.parametrize("obstacle", ["disabled", "group disabled", "no target", "on", "lost"])
def test_nobody_asks_for_wake_up(obstacle: str) -> None:
    """An interrupt that could not be forwarded, and a block that is on or knows nothing."""
    bench = running("all-lost" if obstacle == "lost" else "all-retained")
    if obstacle == "disabled":
        bench.write(0, GICD.ICENABLER, 1 << SPI % 32, SPI)
    if obstacle == "group disabled":
        bench.write(0, GICD.CTLR, 0)
    if obstacle == "no target":
        bench.target(SPI, 0)
    if obstacle != "on":
        bench.power(False)
    bench.wire(SPI, True)

    assert bench.wake == []


def test_a_system_reset_beats_retention() -> None:
    """With `reset` nothing survives, and a pulse meanwhile is lost."""
    bench = running("all-retained")
    bench.pulse(OTHER)
    bench.power(False, reset=True)
    bench.pulse(SPI)
    bench.power(True)

    lost = bench.take_traces(InterruptLost)
    assert lost == [InterruptLost(OTHER, "gicd"), InterruptLost(SPI, "gicd")]
    assert bench.read(0, GICD.CTLR, secure=True) == 0
    assert bench.wake == []


def test_the_wakeup_output_of_a_pe_looks_past_its_interface() -> None:
    """Closed and fully masked: what targets the PE asks for it, what targets another does not."""
    bench = running("all-lost")
    bench.write(0, GICC.CTLR, 0)
    bench.write(0, GICC.PMR, 0)
    bench.target(OTHER, 0b0010)
    bench.wake_requests(0, WakeEnable.WAKEUP)
    bench.pulse(OTHER)
    assert bench.wake_of[0] == []

    bench.wire(SPI, True)
    assert bench.wake_of[0] == [(SPI, True)]

    bench.wake_requests(0, WakeEnable.NONE)
    assert bench.wake_of[0] == [(SPI, True), (SPI, False)]
    assert bench.wake == []


def test_a_pe_with_an_open_interface_is_woken_by_its_irq() -> None:
    """INTERFACE follows nIRQCPU: a masked interrupt does not ask, an opened mask does."""
    bench = running("all-lost")
    bench.write(0, GICC.PMR, 0xA0)
    bench.wake_requests(0, WakeEnable.INTERFACE)
    bench.wire(SPI, True)
    assert bench.wake_of[0] == []

    bench.write(0, GICC.PMR, 0xF0)
    assert bench.wake_of[0] == [(SPI, True)]

    bench.wire(SPI, False)
    assert bench.wake_of[0] == [(SPI, True), (SPI, False)]


def test_what_pends_already_asks_at_once() -> None:
    """A request that was high before anybody wanted it is told in the same turn."""
    bench = running("all-lost")
    bench.wire(SPI, True)
    bench.wake_requests(0, WakeEnable.WAKEUP)

    assert bench.wake_of[0] == [(SPI, True)]


def test_a_lost_gic_asks_for_nobody() -> None:
    """Requests fall with the block's power, and stay low until it is set up again."""
    bench = running("all-lost")
    bench.wire(SPI, True)
    bench.wake_requests(0, WakeEnable.WAKEUP)
    bench.power(False)
    bench.power(True)

    assert bench.wake_of[0] == [(SPI, True), (SPI, False)]


def test_a_cpu_interface_goes_with_its_pe() -> None:
    """In the PE's power domain it comes back at reset; the distributor keeps the active bit."""
    bench = Bench("all-retained", gicc_power=GiccPower.PE).open(eoimode=1)
    bench.enable(SPI)
    bench.wire(SPI, True)
    bench.iar()
    assert bench.send("pe0", Rail(False)) is None
    assert bench.send("pe0", Rail(True)) is None

    for row, reset in ((GICC.CTLR, 0), (GICC.PMR, 0), (GICC.BPR, 2), (GICC.NSAPR, 0)):
        assert bench.read(0, row, secure=True) == reset
    assert bench.state(SPI) == "active and pending"
    assert bench.read(1, GICC.PMR, secure=True) == 0xF8


def test_the_signal_to_a_pe_without_power_falls() -> None:
    """Its interface drives nothing; what was pending is signalled once it is set up again."""
    bench = Bench("all-retained", gicc_power=GiccPower.PE).open()
    bench.enable(SPI)
    bench.wire(SPI, True)
    bench.send("pe0", Rail(False))
    assert bench.outputs == [(0, True), (0, False)]

    bench.send("pe0", Rail(True))
    bench.write(0, GICC.PMR, 0xFF, secure=True)
    bench.write(0, GICC.CTLR, GICC.CTLR_ENABLE)
    assert bench.irq[0]
