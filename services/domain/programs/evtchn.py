"""Event channels in the guest: the upcall."""

from proto.hypercall import SHARED_PENDING, STORE_PORT
from proto.image import symbol
from proto.platform import SHARED_INFO, SHARED_SIZE
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.memory import Kernel, kernel


@symbol
async def linux_evtchn_interrupt(cpu: GuestCpu) -> None:
    """Take the pending ports (xen_evtchn_do_upcall); domain 0's own are for its toolstack."""
    address = SHARED_INFO + cpu.domain.spec.id * SHARED_SIZE + SHARED_PENDING
    pending = await cpu.swap_shared(address, 0)
    if pending & 1 << STORE_PORT:
        cpu.store_word(kernel(Kernel.STORE_CHANGED), 1)
    dom_exc = cpu.load_word(kernel(Kernel.DOM_EXC_PORT))
    if dom_exc and pending & 1 << dom_exc:
        cpu.store_word(kernel(Kernel.DOMAINS_CHANGED), 1)
