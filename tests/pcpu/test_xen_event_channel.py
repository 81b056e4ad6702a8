"""Event channels: who may bind what, and where a raised port shows."""

from collections.abc import Sequence

import pytest
from xen_bench import Bench, board

from proto.hypercall import EVTCHN_PPI, STORE_PORT, Errno, EvtchnOp, Hypercall, ShutdownReason, Virq
from proto.ids import DomainId
from proto.traces import EventRaised
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import domain_shutdown
from services.pcpu.xen.event_channel import evtchn_init, shared_pending
from services.pcpu.xen.guest_access import copy_from_guest, copy_to_guest
from services.pcpu.xen.hypercall import do_hypercall

PAGE = 0x4070_0000
BOARD = board(1, (1, 1))
FIRST_PORT = STORE_PORT + 8
"""Ports below belong to the store."""


async def evtchn(pe: Pe, caller: int, operation: int, *words: int) -> int:
    """Make the call from a domain."""
    vcpu = pe.xen.vcpus_of(caller)[0]
    await copy_to_guest(pe, vcpu, PAGE, words)
    return await do_hypercall(pe, vcpu, Hypercall.EVENT_CHANNEL_OP, (operation, PAGE, 0, 0, 0))


@pytest.mark.parametrize(
    ("caller", "call", "code"),
    [
        (0, (EvtchnOp.BIND_VIRQ, Virq.DOM_EXC, 0, 0), 0),
        (0, (EvtchnOp.BIND_VIRQ, 7, 0, 0), -Errno.EINVAL),
        (1, (EvtchnOp.BIND_VIRQ, Virq.DOM_EXC, 0, 0), -Errno.EPERM),
        (1, (EvtchnOp.ALLOC_UNBOUND, 1, 0, 0), 0),
        (1, (EvtchnOp.ALLOC_UNBOUND, 1, 6, 0), -Errno.ESRCH),
        (1, (EvtchnOp.SEND, 0), -Errno.EINVAL),
        (1, (EvtchnOp.SEND, 12), -Errno.EINVAL),
        (1, (EvtchnOp.SEND, 99), -Errno.EINVAL),
        (1, (99, 0), -Errno.ENOSYS),
    ],
)
def test_a_call_gives_its_code(caller: int, call: Sequence[int], code: int) -> None:
    """Refusals first."""
    codes: list[int] = []

    async def program(pe: Pe) -> None:
        codes.append(await evtchn(pe, caller, *call))

    Bench(program, of=BOARD)
    assert codes == [code]


def test_the_store_s_event_reaches_the_other_end() -> None:
    """Domain 0 raises port STORE_PORT + 1, domain 1 sees STORE_PORT and an interrupt."""
    seen: list[tuple[int, ...]] = []

    async def program(pe: Pe) -> None:
        await evtchn_init(pe, DomainId(1))
        assert await evtchn(pe, 0, EvtchnOp.SEND, STORE_PORT + 1) == 0
        assert await evtchn(pe, 0, EvtchnOp.SEND, STORE_PORT + 1) == 0
        pending = pe.xen.vcpu[pe.xen.vcpus_of(1)[0].index].vgic_pending[0]
        seen.append(await pe.load_burst((shared_pending(1), pending)))

    bench = Bench(program, of=BOARD)
    assert seen == [(1 << STORE_PORT, 1 << EVTCHN_PPI)]
    assert bench.traces(EventRaised) == [EventRaised(1, STORE_PORT, "")] * 2


@pytest.mark.parametrize("subscribed", [True, False])
def test_a_suspended_domain_raises_its_own_event_or_dom_exc(subscribed: bool) -> None:
    """The suspend event channel goes before VIRQ_DOM_EXC."""
    ports: list[int] = []

    async def program(pe: Pe) -> None:
        caller = pe.xen.vcpus_of(0)[0]
        assert await evtchn(pe, 0, EvtchnOp.BIND_VIRQ, Virq.DOM_EXC, 0, 0) == 0
        ports.extend(await copy_from_guest(pe, caller, PAGE + 16, 1))
        assert await evtchn(pe, 1, EvtchnOp.ALLOC_UNBOUND, 1, 0, 0) == 0
        (port,) = await copy_from_guest(pe, pe.xen.vcpus_of(1)[0], PAGE + 16, 1)
        if subscribed:
            await pe.store(pe.xen.domains[DomainId(1)].suspend_evtchn, port)
        await domain_shutdown(pe, DomainId(1), ShutdownReason.SUSPEND)

    bench = Bench(program, of=BOARD)
    assert ports == [FIRST_PORT]
    raised = EventRaised(0, FIRST_PORT, "" if subscribed else "DOM_EXC")
    assert bench.traces(EventRaised) == [raised]


def test_ports_run_out() -> None:
    """-ENOSPC for the one too many."""
    codes: list[int] = []

    async def program(pe: Pe) -> None:
        codes.extend([await evtchn(pe, 1, EvtchnOp.ALLOC_UNBOUND, 1, 0, 0) for _ in range(8)])

    Bench(program, of=BOARD)
    assert codes == [0] * 7 + [-Errno.ENOSPC]
