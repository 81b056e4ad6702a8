"""The store in the guest: its watch on `control/shutdown` (Linux, drivers/xen/manage.c)."""

from proto.hypercall import STORE_SHUTDOWN, ShutdownReason
from proto.image import symbol
from proto.platform import SHARED_SIZE, XENSTORE
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.memory import Kernel, kernel
from services.domain.programs.power import linux_poweroff, linux_reboot


def store_word(domain: int, offset: int) -> int:
    """Address of a word of a domain's store page."""
    return XENSTORE + domain * SHARED_SIZE + offset


def store_changed(cpu: GuestCpu) -> bool:
    """Whether the store's watch has something to do."""
    return bool(cpu.load_word(kernel(Kernel.STORE_CHANGED)))


@symbol
async def linux_shutdown_handler(cpu: GuestCpu) -> None:
    """`control/shutdown` has been written: do what it says, once (Linux, shutdown_handler)."""
    cpu.store_word(kernel(Kernel.STORE_CHANGED), 0)
    wanted = await cpu.swap_shared(store_word(cpu.domain.spec.id, STORE_SHUTDOWN), 0)
    match wanted - 1:
        case ShutdownReason.POWEROFF:
            await linux_poweroff(cpu)
        case ShutdownReason.REBOOT:
            await linux_reboot(cpu)
        case -1:
            return
        case unknown:
            printk(cpu, f"Ignoring shutdown request: {unknown}")
