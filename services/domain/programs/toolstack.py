"""`xl` in a control domain: commands, what they print, and how they fail (tools/xl)."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from proto.hypercall import CpuHotplug, Domctl, DomInfo, Errno, ShutdownReason
from proto.image import symbol
from proto.units import S
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.libxc import (
    DomainInfo,
    domctl,
    xc_cpu_hotplug,
    xc_domain_getinfolist,
    xc_physinfo,
    xc_readconsolering,
    xc_vcpu_getinfo,
    xc_version,
    xs_write_shutdown,
)

FAILURE = 1
"""EXIT_FAILURE."""
ERROR_INVAL = -6
"""libxl's error for a domain that does not exist."""

ERRORS = {
    Errno.EPERM: "Operation not permitted",
    Errno.ESRCH: "No such process",
    Errno.EIO: "Input/output error",
    Errno.EBUSY: "Device or resource busy",
    Errno.EEXIST: "File exists",
    Errno.EINVAL: "Invalid argument",
    Errno.ENOSYS: "Function not implemented",
    Errno.EOPNOTSUPP: "Operation not supported",
    Errno.ETIMEDOUT: "Connection timed out",
}
"""What strerror says."""


def strerror(error: int) -> str:
    """The words of a negative error number."""
    known = [text for number, text in ERRORS.items() if number == -error]
    return known[0] if known else f"Unknown error {-error}"


class Command(NamedTuple):
    """A row of xl's command table."""

    run: Callable[[GuestCpu, list[str]], Awaitable[int]]
    arguments: str
    """Its arguments in the usage line; as many must be given."""
    help: str


@symbol
async def sh_xl(cpu: GuestCpu, words: list[str]) -> int:
    """`xl COMMAND ...`."""
    if not words or words[0] == "help":
        _help(cpu)
        return 0 if words else FAILURE
    command = COMMANDS.get(words[0])
    if command is None or (words[0] == "resume" and not cpu.domain.xl_resume):
        printk(cpu, "command not implemented")
        return FAILURE
    error, _ = await xc_domain_getinfolist(cpu)
    if error:
        printk(cpu, "xencall: error: Could not obtain handle on privileged command interface")
        printk(cpu, "cannot init xl context")
        return FAILURE
    arguments = words[1:]
    wanted = len(command.arguments.split())
    if len(arguments) < wanted:
        plural = "" if wanted == 1 else "s"
        printk(cpu, f"'xl {words[0]}' requires at least {wanted} argument{plural}.")
        printk(cpu, f"Usage: xl [-vfNtT] {words[0]} {command.arguments}")
        return FAILURE
    return await command.run(cpu, arguments)


def _help(cpu: GuestCpu) -> None:
    printk(cpu, "Usage xl [-vfNtT] <subcommand> [args]")
    printk(cpu, "xl full list of subcommands:")
    for name, command in COMMANDS.items():
        if name != "resume" or cpu.domain.xl_resume:
            printk(cpu, f" {name:<19} {command.help}")


async def find_domain(cpu: GuestCpu, word: str) -> DomainInfo | None:
    """The domain with this id or name; None, and a complaint, if there is none."""
    _, infos = await xc_domain_getinfolist(cpu)
    for info in infos:
        if word in (str(info.domain), cpu.domain.names[info.domain]):
            return info
    printk(cpu, f"{word} is an invalid domain identifier (rc={ERROR_INVAL})")
    return None


@symbol
async def xl_list(cpu: GuestCpu, words: list[str]) -> int:
    """All domains, or those named."""
    _, infos = await xc_domain_getinfolist(cpu)
    if words:
        found = [await find_domain(cpu, word) for word in words]
        if None in found:
            return FAILURE
        infos = [info for info in found if info is not None]
    printk(cpu, f"{'Name':<40} {'ID':>5} {'Mem':>5} {'VCPUs':>5}\tState\tTime(s)")
    for info in infos:
        seconds = info.cpu_time_ns / S
        printk(
            cpu,
            f"{cpu.domain.names[info.domain]:<40} {info.domain:>5} {info.memory_mb:>5} "
            f"{info.nr_online_vcpus:>5}     {_state(info)}  {seconds:>8.1f}",
        )
    return 0


def _state(info: DomainInfo) -> str:
    """Running, blocked, paused, shut down, crashed, dying."""
    flags = info.flags
    reason = flags >> DomInfo.SHUTDOWN_SHIFT
    crashed = flags & DomInfo.SHUTDOWN and reason == ShutdownReason.CRASH
    return "".join(
        letter if on else "-"
        for letter, on in (
            ("r", flags & DomInfo.RUNNING),
            ("b", flags & DomInfo.BLOCKED),
            ("p", flags & DomInfo.PAUSED),
            ("s", flags & DomInfo.SHUTDOWN),
            ("c", crashed),
            ("d", flags & DomInfo.DYING),
        )
    )


@symbol
async def xl_vcpu_list(cpu: GuestCpu, words: list[str]) -> int:
    """All vCPUs, or those of the domains named."""
    _, infos = await xc_domain_getinfolist(cpu)
    physical = await xc_physinfo(cpu)
    everywhere = (1 << physical.max_cpu_id + 1) - 1
    if words:
        found = [await find_domain(cpu, word) for word in words]
        if None in found:
            return FAILURE
        infos = [info for info in found if info is not None]
    printk(
        cpu,
        f"{'Name':<32} {'ID':>5} {'VCPU':>5} {'CPU':>5} {'State':>5} {'Time(s)':>9} "
        "Affinity (Hard / Soft)",
    )
    for info in infos:
        for number in range(info.max_vcpu_id + 1):
            vcpu = await xc_vcpu_getinfo(cpu, info.domain, number)
            place = f"{vcpu.cpu:>5}" if vcpu.online else f"{'-':>5}"
            flags = ("r" if vcpu.running else "-") + ("b" if vcpu.blocked else "-") + "-"
            state = flags if vcpu.online else "--p"
            hard = "all" if vcpu.affinity == everywhere else f"{vcpu.affinity:#x}"
            printk(
                cpu,
                f"{cpu.domain.names[info.domain]:<32} {info.domain:>5} {number:>5} {place} "
                f"{state:>5} {vcpu.cpu_time_ns / S:>9.1f}  {hard} / all",
            )
    return 0


async def _on_domain(cpu: GuestCpu, words: list[str], command: Domctl, what: str) -> int:
    """Carry out a domctl on the domain named first."""
    info = await find_domain(cpu, words[0])
    if info is None:
        return FAILURE
    error = await domctl(cpu, command, info.domain)
    if error:
        who = f"Domain {info.domain}"
        printk(cpu, f"libxl: error: {who}:Failed to {what} domain: {strerror(error)}")
        return FAILURE
    return 0


@symbol
async def xl_pause(cpu: GuestCpu, words: list[str]) -> int:
    """Pause a domain."""
    return await _on_domain(cpu, words, Domctl.PAUSEDOMAIN, "pause")


@symbol
async def xl_unpause(cpu: GuestCpu, words: list[str]) -> int:
    """Take a pause back."""
    return await _on_domain(cpu, words, Domctl.UNPAUSEDOMAIN, "unpause")


@symbol
async def xl_resume(cpu: GuestCpu, words: list[str]) -> int:
    """Resume a domain that has suspended itself."""
    return await _on_domain(cpu, words, Domctl.RESUMEDOMAIN, "resume")


@symbol
async def xl_shutdown(cpu: GuestCpu, words: list[str]) -> int:
    """Ask a domain to shut down, through its store."""
    info = await find_domain(cpu, words[0])
    if info is None:
        return FAILURE
    printk(cpu, f"Shutting down domain {info.domain}")
    error = await xs_write_shutdown(cpu, info.domain, ShutdownReason.POWEROFF)
    if error:
        printk(cpu, f"libxl: error: Domain {info.domain}:Failed to shut down: {strerror(error)}")
        return FAILURE
    return 0


@symbol
async def xl_dmesg(cpu: GuestCpu, words: list[str]) -> int:
    """Print what Xen has printed."""
    for line in (await xc_readconsolering(cpu)).decode(errors="replace").splitlines():
        printk(cpu, line)
    return 0


@symbol
async def xl_info(cpu: GuestCpu, words: list[str]) -> int:
    """What kind of machine this is."""
    physical = await xc_physinfo(cpu)
    major, minor = await xc_version(cpu)
    facts = {
        "host": f"dom{cpu.domain.spec.id}",
        "machine": "aarch64",
        "nr_cpus": physical.nr_cpus,
        "max_cpu_id": physical.max_cpu_id,
        "total_memory": physical.total_mb,
        "free_memory": physical.free_mb,
        "xen_major": major,
        "xen_minor": minor,
        "xen_version": f"{major}.{minor}",
        "xen_caps": "xen-3.0-aarch64 xen-3.0-armv7l",
    }
    for name, value in facts.items():
        printk(cpu, f"{name:<23}: {value}")
    return 0


HOTPLUG = {"on": (CpuHotplug.ONLINE, "online"), "off": (CpuHotplug.OFFLINE, "offline")}


@symbol
async def xl_cpu_hotplug(cpu: GuestCpu, words: list[str]) -> int:
    """Take a physical CPU down, or bring it back."""
    if words[1] not in HOTPLUG or not words[0].isdecimal():
        printk(cpu, "Usage: xl [-vfNtT] cpu-hotplug <CPU> <on|off>")
        return FAILURE
    operation, word = HOTPLUG[words[1]]
    error = await xc_cpu_hotplug(cpu, int(words[0]), operation)
    if error:
        printk(cpu, f"CPU {words[0]} {word} failed ({-error}: {strerror(error)})")
        return FAILURE
    printk(cpu, f"CPU {words[0]} {word}d successfully")
    return 0


COMMANDS: dict[str, Command] = {
    "list": Command(xl_list, "", "List information about all/some domains"),
    "vcpu-list": Command(xl_vcpu_list, "", "List the VCPUs for all/some domains"),
    "pause": Command(xl_pause, "<Domain>", "Pause execution of a domain"),
    "unpause": Command(xl_unpause, "<Domain>", "Unpause a paused domain"),
    "resume": Command(xl_resume, "<Domain>", "Resume a domain that suspended itself"),
    "shutdown": Command(xl_shutdown, "<Domain>", "Issue a shutdown signal to a domain"),
    "dmesg": Command(xl_dmesg, "", "Read and/or clear dmesg buffer"),
    "info": Command(xl_info, "", "Get information about Xen host"),
    "cpu-hotplug": Command(xl_cpu_hotplug, "<CPU> <on|off>", "Take a CPU down or bring it back"),
}
"""Subcommand to what it does; Arm has no `suspend` (LIBXL_HAVE_NO_SUSPEND_RESUME)."""
