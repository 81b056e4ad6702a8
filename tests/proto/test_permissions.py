"""Permissions: every wire of the board is there, and no other."""

from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.cli.psci import VECTORS
from deploy.composition import build_nodes
from deploy.loading import Overrides, resolve
from deploy.psci.board import board_for
from deploy.psci.parse import read_file
from proto import messages as m
from proto.gic import PPI_HYP_TIMER, PPI_MAINTENANCE, PPI_PHYS_TIMER, PPI_VIRT_TIMER
from proto.ids import GICD_NODE, CpuIndex, NodeId, el3_node
from proto.messages import AtomicOp, Body
from proto.permissions import BARE, TABLE, Row, number, permissions, permits, role
from proto.platform import RTC_SPI, SHARED_INFO, SHARED_SIZE, TTY_SPI, XENSTORE

BOARD = resolve("seed", Overrides())
RULES = permissions(BOARD)
NODES = sorted(build_nodes(BOARD))


def may(sender: str, body: object, receiver: str) -> bool:
    """Whether a message may be sent on a board of four PEs and three domains."""
    return permits(RULES(NodeId(sender), NodeId(receiver)), body)


def test_every_message_has_a_wire() -> None:
    """And no row names what is no message."""
    named = {kind for row in TABLE + BARE for kind in row.types}
    assert named == set(get_args(Body))


@pytest.mark.parametrize("table", [TABLE, TABLE + BARE], ids=["all boards", "bare boards"])
def test_no_wire_stands_twice(table: tuple[Row, ...]) -> None:
    """A second row would take the condition off the first."""
    wires = [(row.sender, row.receiver, kind) for row in table for kind in row.types]
    assert len(wires) == len(set(wires))


def test_every_node_has_a_role() -> None:
    """A name that is no node's has none, and may nothing."""
    assert all(role(node) for node in NODES)
    for name in ("hub", "pe", "pe0x", "el3.dom1", "dom", "client", "", "xpe0"):
        assert role(NodeId(name)) == ""
        assert not RULES(NodeId(name), NodeId("scp"))


BARE_ONLY: list[tuple[str, object, str]] = [
    ("operator", m.BareCall(1, (), False), "pe0"),
    ("operator", m.PowerHold(CpuIndex(1), True), "scp"),
    ("operator", m.WakeLine(RTC_SPI, True), "scp"),
    ("operator", m.Store(1, 0x4000_0000, 0), "dram"),
    ("pe1", m.Wire(PPI_PHYS_TIMER, True, 1), "gicd"),
    ("pe1", m.RegRead(1, 0, 4), "rtc"),
]
"""What the driver of call vectors does, and a PE without Xen."""


@pytest.mark.parametrize(("sender", "body", "receiver"), BARE_ONLY)
def test_a_board_without_software_has_a_few_more(sender: str, body: object, receiver: str) -> None:
    """They are the driver's."""
    bare = permissions(board_for(read_file(VECTORS / "cpu-on.yaml")[0], 0))
    assert permits(bare(NodeId(sender), NodeId(receiver)), body)


@pytest.mark.parametrize(
    ("sender", "body", "receiver"),
    [
        ("pe2", m.Smc(1, 0, (0, 0, 0)), "el3.pe2"),
        ("el3.pe2", m.PowerOn(1, 3), "scp"),
        ("el3.pe2", m.PowerOff(2), "scp"),
        ("scp", m.Rail(True), "pe3"),
        ("rtc", m.Wire(RTC_SPI, True), "gicd"),
        ("rtc", m.WakeLine(RTC_SPI, True), "scp"),
        ("tty1", m.Wire(TTY_SPI + 1, True), "gicd"),
        ("pe1", m.Wire(PPI_HYP_TIMER, True, 1), "gicd"),
        ("dom1", m.Wire(PPI_VIRT_TIMER, True, 3), "gicd"),
        ("dom1", m.Wire(PPI_MAINTENANCE, True, 0), "gicd"),
        ("dom1", m.VirtualDeactivate(0, TTY_SPI + 1), "gicd"),
        ("dom0", m.VirtualDeactivate(3, RTC_SPI), "gicd"),
        ("el3.pe3", m.BlockPowered(el3_node(3), False), "scp"),
        ("gicd", m.BlockPowered(GICD_NODE, True), "scp"),
        ("dom0", m.RegRead(1, 0, 4), "rtc"),
        ("el3.pe0", m.RegWrite(1, 0, 0, 4, False, True), "gicd"),
        ("client7", m.EndScenario(1), "operator"),
        ("operator", m.OperateResult(1, True), "client7"),
        ("dom1", m.Atomic(1, AtomicOp.SWAP, SHARED_INFO + SHARED_SIZE, 0), "dram"),
        ("dom0", m.Atomic(1, AtomicOp.SWAP, XENSTORE + 2 * SHARED_SIZE, 0), "dram"),
    ],
)
def test_what_hardware_does_is_allowed(sender: str, body: object, receiver: str) -> None:
    """A sample; that nothing else is missing is shown by every run in the simulator."""
    assert may(sender, body, receiver)


@pytest.mark.parametrize(
    ("sender", "body", "receiver"),
    [
        ("pe2", m.Smc(1, 0, (0, 0, 0)), "el3.pe1"),
        ("dom1", m.Smc(1, 0, (0, 0, 0)), "el3.pe1"),
        ("dom1", m.PowerOn(1, 3), "scp"),
        ("pe0", m.PowerOn(1, 3), "scp"),
        ("uart", m.BlockPowered(GICD_NODE, True), "scp"),
        ("el3.pe1", m.BlockPowered(el3_node(2), False), "scp"),
        ("el3.pe2", m.PowerOff(1), "scp"),
        ("el3.pe2", m.SystemSleep(0, ()), "scp"),
        ("dom1", m.Rail(False), "pe0"),
        ("operator", m.Rail(False), "pe0"),
        ("dom1", m.WakeLine(RTC_SPI, True), "scp"),
        ("tty1", m.WakeLine(RTC_SPI, True), "scp"),
        ("uart", m.WakeLine(33, True), "scp"),
        ("dom1", m.Wire(RTC_SPI, True), "gicd"),
        ("dom1", m.Wire(PPI_HYP_TIMER, True, 0), "gicd"),
        ("pe1", m.Wire(PPI_HYP_TIMER, True, 0), "gicd"),
        ("tty1", m.Wire(TTY_SPI, True), "gicd"),
        ("dom1", m.Wire(PPI_VIRT_TIMER, True, 4), "gicd"),
        ("dom1", m.Wire(PPI_VIRT_TIMER, True), "gicd"),
        ("dom1", m.VirtualDeactivate(0, PPI_HYP_TIMER), "gicd"),
        ("dom1", m.VirtualDeactivate(0, TTY_SPI), "gicd"),
        ("dom1", m.VirtualDeactivate(0, RTC_SPI), "gicd"),
        ("dom1", m.VirtualDeactivate(4, TTY_SPI + 1), "gicd"),
        ("dom1", m.RegWrite(1, 0xF00, 0, 4), "gicd"),
        ("pe1", m.Wire(PPI_VIRT_TIMER, True, 1), "gicd"),
        ("pe1", m.RegWrite(1, 0, 0, 4, False, True), "gicd"),
        ("pe1", m.RegRead(1, 0, 4), "rtc"),
        ("pe1", m.RegRead(1, 0, 4), "tty1"),
        ("dom1", m.Store(1, 0x4000_0000, 0), "dram"),
        ("dom1", m.FifoRead(1, 0), "tty0"),
        ("dom1", m.RegRead(1, 0, 4), "rtc"),
        ("dom1", m.VcpuKick(0, 0), "dom2"),
        ("dom1", m.Atomic(1, AtomicOp.SWAP, 0x4000_0000, 0), "dram"),
        ("dom1", m.Atomic(1, AtomicOp.SWAP, SHARED_INFO, 0), "dram"),
        ("dom1", m.Atomic(1, AtomicOp.SWAP, XENSTORE + 2 * SHARED_SIZE, 0), "dram"),
        ("dom0", m.Atomic(1, AtomicOp.ADD, SHARED_INFO, 0), "dram"),
        ("dom0", m.Atomic(1, AtomicOp.SWAP, XENSTORE + 3 * SHARED_SIZE, 0), "dram"),
        ("dom0", m.Atomic(1, AtomicOp.SWAP, 0x9000_0000, 0), "dram"),
        ("client1", m.SerialInput("halt"), "tty0"),
        ("client1", m.OperateResult(1, True), "operator"),
        *BARE_ONLY,
    ],
)
def test_what_no_hardware_does_is_forbidden(sender: str, body: object, receiver: str) -> None:
    """Forged power, interrupts, wake-ups, stores and calls."""
    assert not may(sender, body, receiver)


@given(st.sampled_from(NODES), st.sampled_from(NODES))
def test_a_node_may_what_a_row_says_and_nothing_else(sender: str, receiver: str) -> None:
    """Looked up the slow way."""
    expected = {
        kind
        for row in TABLE
        for kind in row.types
        if row.sender == role(NodeId(sender))
        and row.receiver == role(NodeId(receiver))
        and (not row.own or number(NodeId(sender)) == number(NodeId(receiver)))
    }
    rules: Any = RULES(NodeId(sender), NodeId(receiver))
    assert set(rules) == expected
