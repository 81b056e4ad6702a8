"""Guest memory as Xen copies it, and the pages that a domain shares."""

import pytest
from domain_bench import LRS, Wires

from proto.el1 import reset_state
from proto.hypercall import SHARED_PENDING, STORE_SHUTDOWN
from proto.ids import DRAM, pe_node
from proto.image import Image, symbol
from proto.messages import (
    Atomic,
    AtomicOp,
    ExitReason,
    GuestLoad,
    GuestStore,
    Replies,
    Reply,
    VcpuExit,
    VcpuLoad,
    VcpuRun,
)
from proto.platform import GUEST_TEXT, SHARED_INFO, SHARED_SIZE, XENSTORE
from proto.scenario import DomainSpec, Role
from services.domain.guest_cpu import GuestCpu

PE0 = pe_node(0)
IDLE = (0,) * LRS
ADDRESS = GUEST_TEXT + 0x70_0000


def test_xen_copies_words_to_and_from_guest_memory() -> None:
    """Words nobody wrote are zero."""
    wires = Wires(DomainSpec(id=1))

    assert wires.send(PE0, GuestStore(1, (ADDRESS, ADDRESS + 8), (5, 6))) == [Reply(1)]
    loaded = wires.send(PE0, GuestLoad(2, (ADDRESS + 8, ADDRESS, ADDRESS + 16)))
    assert loaded == [Replies(2, (6, 5, 0))]


@symbol
async def swaps_start(cpu: GuestCpu, x0: int) -> None:
    """Exchange a word of the page whose address is in x0 and report what was there."""
    seen = await cpu.swap_shared(x0, 9)
    await cpu.hvc(0, seen)


def swapped(spec: DomainSpec, address: int) -> tuple[Wires, list[object]]:
    """A guest that swaps a word of a page, and what that sent."""
    wires = Wires(spec, Image("test_domain_guest_memory", GUEST_TEXT, "swaps_start"))
    wires.send(PE0, VcpuLoad(1, 0, 1, reset_state(GUEST_TEXT, address, LRS, 0)))
    return wires, list(wires.send(PE0, VcpuRun(0, 2, IDLE)))


@pytest.mark.parametrize(
    ("domain", "address"),
    [
        (1, SHARED_INFO + SHARED_SIZE + SHARED_PENDING),
        (1, XENSTORE + SHARED_SIZE + STORE_SHUTDOWN),
        (0, XENSTORE + STORE_SHUTDOWN),
    ],
)
def test_a_shared_page_is_memory_on_the_bus(domain: int, address: int) -> None:
    """A swap is one atomic access to `dram`, and its answer is the word before."""
    role = Role.GUEST if domain else Role.HARDWARE
    wires, [swap] = swapped(DomainSpec(id=domain, role=role), address)
    assert isinstance(swap, Atomic)
    assert (swap.op, swap.address, swap.operand) == (AtomicOp.SWAP, address, 9)

    [exit_] = wires.send(DRAM, Reply(swap.tx, 77))
    assert isinstance(exit_, VcpuExit)
    assert (exit_.reason, exit_.args[0]) == (ExitReason.HVC, 77)


def test_a_domain_does_not_see_another_one_s_pages() -> None:
    """Stage 2 does not map them."""
    with pytest.raises(AssertionError, match="is not shared"):
        swapped(DomainSpec(id=1), SHARED_INFO)
