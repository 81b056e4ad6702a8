"""Bringing the guest's secondary vCPUs up and down over PSCI."""

from proto.hypercall import PSCI_CALL
from proto.image import symbol
from proto.psci import SMC64, Affinity, Psci, error_name, from_register
from proto.scenario import GuestArch
from proto.units import MS
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.irq import linux_smp_send_reschedule
from services.domain.programs.memory import PerCpu, own, per_cpu, set_own
from services.domain.programs.tick import linux_sleep, start_tick, stop_tick

POLL_NS = 1 * MS
BOOT_POLLS_MAX = 5_000
"""A secondary has five seconds to come online (Linux, __cpu_up)."""
KILL_POLLS_MAX = 1_000
"""A secondary has a second to be OFF: ten times Linux's limit, for a busy board."""
CYCLE_POLLS_MAX = 10_000
"""Looks without a pause between them."""

EBUSY = -16


async def psci(cpu: GuestCpu, function: int, x1: int = 0, x2: int = 0, x3: int = 0) -> int:
    """A PSCI call by HVC, in the form of the guest's width; gives the signed return code."""
    return from_register(await cpu.hvc(PSCI_CALL, native(cpu, function), x1, x2, x3))


def native(cpu: GuestCpu, function: int) -> int:
    """A function id in the form of the guest's width: AArch32 has no SMC64."""
    return function & ~SMC64 if cpu.domain.spec.arch is GuestArch.AARCH32 else function


def is_online(cpu: GuestCpu, vcpu: int) -> bool:
    """Whether a vCPU has said that it runs."""
    return bool(cpu.load_word(per_cpu(vcpu, PerCpu.ONLINE)))


def online_count(cpu: GuestCpu) -> int:
    """How many vCPUs run."""
    return sum(is_online(cpu, vcpu) for vcpu in range(cpu.domain.spec.vcpus))


@symbol
async def linux_bring_up_secondaries(cpu: GuestCpu) -> None:
    """CPU_ON for each vCPU that is not online; one that fails stays off and is reported."""
    for vcpu in range(cpu.domain.spec.vcpus):
        if vcpu != cpu.vcpu and not is_online(cpu, vcpu):
            await linux_cpu_up(cpu, vcpu)


@symbol
async def linux_cpu_up(cpu: GuestCpu, vcpu: int) -> None:
    """CPU_ON, then wait until the secondary says that it runs."""
    cpu.store_word(per_cpu(vcpu, PerCpu.GOING_DOWN), 0)
    entry = cpu.address("linux_secondary_start")
    code = await psci(cpu, Psci.CPU_ON, vcpu, entry, vcpu)
    if code:
        printk(cpu, f"CPU{vcpu}: failed to boot: {code} {error_name(code)}")
        return
    for _ in range(BOOT_POLLS_MAX):
        if is_online(cpu, vcpu):
            return
        await linux_sleep(cpu, POLL_NS)
    printk(cpu, f"CPU{vcpu}: failed to come online")


@symbol
async def linux_take_down_secondaries(cpu: GuestCpu) -> int:
    """Ask all secondaries to leave and wait until PSCI calls each OFF; EBUSY if one does not."""
    secondaries = [
        vcpu for vcpu in range(cpu.domain.spec.vcpus) if vcpu != cpu.vcpu and is_online(cpu, vcpu)
    ]
    if not secondaries:
        return 0
    for vcpu in secondaries:
        cpu.store_word(per_cpu(vcpu, PerCpu.GOING_DOWN), 1)
    await linux_smp_send_reschedule(cpu)
    for vcpu in secondaries:
        if not await linux_cpu_kill(cpu, vcpu):
            printk(cpu, f"CPU{vcpu}: may not have shut down cleanly")
            return EBUSY
    return 0


@symbol
async def linux_cpu_kill(cpu: GuestCpu, vcpu: int) -> bool:
    """Poll AFFINITY_INFO until a vCPU is OFF; False if it takes too long."""
    for _ in range(KILL_POLLS_MAX):
        if await psci(cpu, Psci.AFFINITY_INFO, vcpu, 0) == Affinity.OFF:
            return True
        await linux_sleep(cpu, POLL_NS)
    return False


@symbol
async def linux_cpu_cycle(cpu: GuestCpu, vcpu: int) -> bool:
    """Take a secondary down and start it as soon as AFFINITY_INFO says OFF, without a pause.

    False if it never does.
    """
    cpu.store_word(per_cpu(vcpu, PerCpu.GOING_DOWN), 1)
    await linux_smp_send_reschedule(cpu)
    for _ in range(CYCLE_POLLS_MAX):
        if await psci(cpu, Psci.AFFINITY_INFO, vcpu, 0) == Affinity.OFF:
            await linux_cpu_up(cpu, vcpu)
            return True
    return False


@symbol
async def linux_cpu_die(cpu: GuestCpu) -> None:
    """The executing secondary switches itself off; it comes back here only if it is refused."""
    await cpu.irq_disable()
    stop_tick(cpu)
    set_own(cpu, PerCpu.ONLINE, 0)
    code = await psci(cpu, Psci.CPU_OFF)
    printk(cpu, f"CPU{cpu.vcpu}: unable to power off: {code} {error_name(code)}")
    set_own(cpu, PerCpu.GOING_DOWN, 0)
    linux_secondary_online(cpu)
    await cpu.irq_enable()


def linux_secondary_online(cpu: GuestCpu) -> None:
    """The executing secondary runs from here on."""
    set_own(cpu, PerCpu.ONLINE, 1)
    start_tick(cpu)


def is_leaving(cpu: GuestCpu) -> bool:
    """Whether the executing vCPU has been asked to leave."""
    return bool(own(cpu, PerCpu.GOING_DOWN))
