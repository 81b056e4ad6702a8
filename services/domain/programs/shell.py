"""The shell on the guest's boot vCPU: the few commands a suspend test types."""

import re
from collections.abc import Awaitable, Callable

from proto.devices import RTC
from proto.el1 import THUMB
from proto.hypercall import CpuHotplug, Hypercall, Sysctl
from proto.image import symbol
from proto.platform import RTC_BASE
from proto.psci import Psci
from proto.units import S
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import has_line, printk, take_line
from services.domain.programs.irq import linux_smp_send_reschedule
from services.domain.programs.memory import Kernel, kernel, structure
from services.domain.programs.power import (
    Way,
    linux_pm_suspend,
    linux_poweroff,
    linux_suspend_supported,
    linux_xen_suspend,
)
from services.domain.programs.smp import is_online, linux_cpu_cycle
from services.domain.programs.toolstack import sh_xl
from services.domain.programs.workload import report, total_rounds
from services.domain.programs.xl_monitor import log_lines

HOTPLUG = {"cpu-online": CpuHotplug.ONLINE, "cpu-offline": CpuHotplug.OFFLINE}
"""Subcommand of xen-hptool to operation."""

LOG_PATH = re.compile(r"/var/log/xen/xl-(?P<name>.+)\.log")
"""Where a daemon of xl writes what became of its domain."""

ALARM_S_MAX = 1e9

NOWHERE = 0x1000
"""An address where a guest has no RAM."""

FAILURE = 1
NOT_FOUND = 127
"""Exit statuses."""


def command_waits(cpu: GuestCpu) -> bool:
    """Whether the shell has a line to run: one of its own start-up file, or a typed one."""
    done = cpu.load_word(kernel(Kernel.COMMANDS_DONE))
    return done < len(cpu.domain.spec.commands) or has_line(cpu)


@symbol
async def linux_shell(cpu: GuestCpu) -> None:
    """Read one line, echo it and run it."""
    commands = cpu.domain.spec.commands
    done = cpu.load_word(kernel(Kernel.COMMANDS_DONE))
    if done < len(commands):
        # Counted first: a suspend that succeeds does not come back here.
        cpu.store_word(kernel(Kernel.COMMANDS_DONE), done + 1)
        line = commands[done]
    else:
        line = take_line(cpu)
    words = line.split()
    status = 0
    if words:
        printk(cpu, line)
        status = await _run(cpu, words)
    prompt(cpu, status)


async def _run(cpu: GuestCpu, words: list[str]) -> int:
    command = COMMANDS.get(words[0])
    if command is None or (words[0] in HARDWARE_DOMAIN_ONLY and cpu.domain.spec.id != 0):
        printk(cpu, f"sh: {words[0]}: not found")
        return NOT_FOUND
    return await command(cpu, words[1:])


def prompt(cpu: GuestCpu, status: int) -> None:
    """Say that the shell waits for a line, and how the last command ended."""
    printk(cpu, f"dom{cpu.domain.spec.id} [{status}]#")


@symbol
async def sh_echo(cpu: GuestCpu, words: list[str]) -> int:
    """`echo mem > /sys/power/state`, or just echo."""
    if words == ["mem", ">", "/sys/power/state"]:
        await linux_pm_suspend(cpu)
        return FAILURE
    printk(cpu, " ".join(words))
    return 0


@symbol
async def sh_cat(cpu: GuestCpu, words: list[str]) -> int:
    """`cat FILE`: the states that the guest can be put into, or the log of a daemon of xl."""
    path = " ".join(words)
    lines: list[str] = []
    if path == "/sys/power/state":
        lines = ["freeze mem" if await linux_suspend_supported(cpu) else "freeze"]
    elif log := LOG_PATH.fullmatch(path):
        lines = log_lines(cpu, log["name"])
    for line in lines or [f"cat: {path}: No such file or directory"]:
        printk(cpu, line)
    return 0 if lines else FAILURE


@symbol
async def sh_rtcwake(cpu: GuestCpu, words: list[str]) -> int:
    """`rtcwake -m mem -s SECONDS`: set the alarm, then suspend. The alarm stays set."""
    seconds = _seconds(words[3]) if len(words) == 4 and words[:3] == ["-m", "mem", "-s"] else None
    if seconds is None:
        printk(cpu, "rtcwake: usage: rtcwake -m mem -s SECONDS")
        return FAILURE
    low = await cpu.read(RTC_BASE + RTC.COUNT_LO.offset)
    high = await cpu.read(RTC_BASE + RTC.COUNT_HI.offset)
    alarm = (high << 32 | low) + round(seconds * S)
    await cpu.write(RTC_BASE + RTC.ALARM_LO.offset, alarm & 0xFFFF_FFFF)
    await cpu.write(RTC_BASE + RTC.ALARM_HI.offset, alarm >> 32)
    await cpu.write(RTC_BASE + RTC.CTRL.offset, RTC.CTRL_ENABLE)
    await linux_pm_suspend(cpu)
    return FAILURE


def _seconds(word: str) -> float | None:
    """A time from 0 to 30 years, or None for any other word."""
    try:
        seconds = float(word)
    except ValueError:
        return None
    return seconds if 0 <= seconds <= ALARM_S_MAX else None


@symbol
async def sh_xen_hptool(cpu: GuestCpu, words: list[str]) -> int:
    """`xen-hptool cpu-offline N`, `xen-hptool cpu-online N`: XEN_SYSCTL_cpu_hotplug."""
    if len(words) != 2 or words[0] not in HOTPLUG or not words[1].isdecimal():
        printk(cpu, "xen-hptool: usage: xen-hptool cpu-online|cpu-offline CPU")
        return FAILURE
    target = int(words[1])
    argument = structure(cpu, Sysctl.CPU_HOTPLUG, target, HOTPLUG[words[0]])
    error = await cpu.hypercall(Hypercall.SYSCTL, argument)
    printk(cpu, f"cpu {target} {words[0].removeprefix('cpu-')}: {error}")
    return FAILURE if error else 0


@symbol
async def sh_smp_test(cpu: GuestCpu, words: list[str]) -> int:
    """`smp-test TIMES`: take vCPU 1 down and up again, so many times in a row."""
    if len(words) != 1 or not words[0].isdecimal() or not is_online(cpu, 1):
        printk(cpu, "smp-test: usage: smp-test TIMES, with vCPU 1 on")
        return FAILURE
    for _ in range(int(words[0])):
        if not await linux_cpu_cycle(cpu, 1):
            printk(cpu, "smp-test: CPU1 stays on")
            return FAILURE
    printk(cpu, "smp-test: done")
    return 0


@symbol
async def sh_poweroff(cpu: GuestCpu, words: list[str]) -> int:
    """`poweroff`."""
    await linux_poweroff(cpu)
    return FAILURE


@symbol
async def sh_suspend_test(cpu: GuestCpu, words: list[str]) -> int:
    """`suspend-test WAY`: call SYSTEM_SUSPEND as no Linux would."""
    if len(words) == 2 and words[0] == "vcpu" and words[1].isdecimal():
        return await _suspend_on(cpu, int(words[1]))
    if words == ["hypercall"]:
        return FAILURE if await linux_xen_suspend(cpu) else 0
    way = WAYS.get(words[0]) if len(words) == 1 else None
    if way is None:
        printk(cpu, f"suspend-test: usage: suspend-test {'|'.join(WAYS)}|hypercall|vcpu N")
        return FAILURE
    await linux_pm_suspend(cpu, way)
    return FAILURE


async def _suspend_on(cpu: GuestCpu, vcpu: int) -> int:
    """Have another vCPU suspend the domain, and this one go down for it."""
    if vcpu == cpu.vcpu or not is_online(cpu, vcpu):
        printk(cpu, f"suspend-test: vCPU {vcpu} is not another one that is on")
        return FAILURE
    cpu.store_word(kernel(Kernel.SUSPEND_ON), vcpu + 1)
    await linux_smp_send_reschedule(cpu)
    return 0


@symbol
async def linux_suspend_here(cpu: GuestCpu) -> None:
    """Suspend on the executing vCPU, which another one's shell has asked for."""
    cpu.store_word(kernel(Kernel.SUSPEND_ON), 0)
    await linux_pm_suspend(cpu)


@symbol
async def sh_work(cpu: GuestCpu, words: list[str]) -> int:
    """`work`: how far the workload is, and whether anything was damaged."""
    report(cpu)
    violations = cpu.load_word(kernel(Kernel.VIOLATIONS))
    verdict = f"NOT intact, {violations} violations" if violations else "intact"
    printk(cpu, f"work: {total_rounds(cpu)} rounds, {verdict}")
    return FAILURE if violations else 0


WAYS = {
    "thumb-entry": Way(entry_bits=THUMB),
    "vcpu-on": Way(leave_on=True),
    "nowhere": Way(entry=NOWHERE),
    "junk32": Way(function=Psci.SYSTEM_SUSPEND_32, junk=0xDEAD << 32),
}
"""Word of `suspend-test` to how it calls."""

COMMANDS: dict[str, Callable[[GuestCpu, list[str]], Awaitable[int]]] = {
    "cat": sh_cat,
    "echo": sh_echo,
    "rtcwake": sh_rtcwake,
    "xen-hptool": sh_xen_hptool,
    "poweroff": sh_poweroff,
    "smp-test": sh_smp_test,
    "suspend-test": sh_suspend_test,
    "xl": sh_xl,
    "work": sh_work,
}
"""First word of a line to the program that runs it."""

HARDWARE_DOMAIN_ONLY = ("rtcwake", "xen-hptool")
"""Commands that only domain 0 has."""
