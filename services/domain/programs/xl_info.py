"""`xl list`, `vcpu-list`, `info` and `dmesg` (tools/xl/xl_info.c, xl_vcpu.c)."""

from proto.hypercall import DomInfo, Errno, ShutdownReason
from proto.image import symbol
from proto.scenario import GuestArch
from proto.units import S
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.libxc import (
    DomainInfo,
    VcpuInfo,
    xc_domain_getinfolist,
    xc_physinfo,
    xc_readconsolering,
    xc_vcpu_getinfo,
    xc_version,
)
from services.domain.programs.xl_utils import (
    FAILURE,
    SUCCESS,
    domain_info,
    find_domain,
    libxl_error,
    strerror,
)

MACHINES = {GuestArch.AARCH64: "aarch64", GuestArch.AARCH32: "armv7l"}
"""What uname calls the machine."""

KERNEL_RELEASE = "6.12.0"
"""What uname calls the kernel."""

COUNTER_MHZ = 1000
"""Frequency of the generic timer's counter, which Xen on Arm reports as the CPUs' speed."""

SHUTDOWN_LETTERS = {
    ShutdownReason.REBOOT: "r",
    ShutdownReason.SUSPEND: "s",
    ShutdownReason.CRASH: "c",
    ShutdownReason.WATCHDOG: "w",
    ShutdownReason.SOFT_RESET: "S",
}
"""Letter of a shutdown reason in the state; POWEROFF has none."""


@symbol
async def main_list(cpu: GuestCpu, words: list[str], options: str) -> int:
    """`list`: all domains, or the one named."""
    _, infos = await xc_domain_getinfolist(cpu)
    if words:
        domain = await find_domain(cpu, words[0])
        if domain is None:
            return FAILURE
        infos = [info for info in infos if info.domain == domain]
        if not infos:
            printk(cpu, f"Error: Domain '{words[0]}' does not exist.")
            return FAILURE
    printk(cpu, f"{'Name':<40} {'ID':>5} {'Mem':>5} {'VCPUs':>5}\tState\tTime(s)")
    for info in infos:
        name = cpu.domain.names[info.domain]
        printk(
            cpu,
            f"{name:<40} {info.domain:>5} {info.memory_mb:>5} {info.nr_online_vcpus:>5}"
            f"     {domain_state(info)}  {info.cpu_time_ns / S:>8.1f}",
        )
    return SUCCESS


def domain_state(info: DomainInfo) -> str:
    """Running, blocked, paused, shut down, why it was, dying: a letter each, or a dash."""
    flags = info.flags
    why = "-"
    if flags & DomInfo.SHUTDOWN:
        why = SHUTDOWN_LETTERS.get(ShutdownReason(flags >> DomInfo.SHUTDOWN_SHIFT), "-")
    letters = [
        "r" if flags & DomInfo.RUNNING else "-",
        "b" if flags & DomInfo.BLOCKED else "-",
        "p" if flags & DomInfo.PAUSED else "-",
        "s" if flags & DomInfo.SHUTDOWN else "-",
        why,
        "d" if flags & DomInfo.DYING else "-",
    ]
    return "".join(letters)


@symbol
async def main_vcpulist(cpu: GuestCpu, words: list[str], options: str) -> int:
    """`vcpu-list`: all vCPUs, or those of the domains named."""
    nr_cpus = (await xc_physinfo(cpu)).nr_cpus
    printk(
        cpu,
        f"{'Name':<32} {'ID':>5} {'VCPU':>5} {'CPU':>5} {'State':>5} {'Time(s)':>9} "
        "Affinity (Hard / Soft)",
    )
    if not words:
        _, infos = await xc_domain_getinfolist(cpu)
        for info in infos:
            await print_domain_vcpuinfo(cpu, info, nr_cpus)
    for word in words:
        domain = await find_domain(cpu, word)
        if domain is None:
            return FAILURE
        found = await domain_info(cpu, domain)
        if found is not None:
            await print_domain_vcpuinfo(cpu, found, nr_cpus)
        else:
            text = f"Domain {domain}:Getting infolist: {strerror(-Errno.ESRCH)}"
            libxl_error(cpu, "libxl_domain.c:libxl_list_vcpu", text)
    return SUCCESS


@symbol
async def print_domain_vcpuinfo(cpu: GuestCpu, info: DomainInfo, nr_cpus: int) -> None:
    """A row for each vCPU of a domain."""
    for number in range(info.max_vcpu_id + 1):
        vcpu = await xc_vcpu_getinfo(cpu, info.domain, number)
        # As in xl, nothing separates the third column from the fourth.
        printk(
            cpu,
            f"{cpu.domain.names[info.domain]:<32} {info.domain:>5} {number:>5}"
            f"{vcpu_state(vcpu)} {vcpu.cpu_time_ns / S:>9.1f}  "
            f"{bitmap(vcpu.affinity, nr_cpus)} / all",
        )


def vcpu_state(vcpu: VcpuInfo) -> str:
    """Physical CPU and state of a vCPU; one that is offline has no CPU and shows `--p`."""
    if not vcpu.online:
        return f"{'-':>5} {'-':>3}-p"
    return f"{vcpu.cpu:>5} {'r' if vcpu.running else '-':>3}{'b' if vcpu.blocked else '-'}-"


def bitmap(bits: int, length: int) -> str:
    """The CPUs of a map as ranges, `all` or `none` (print_bitmap)."""
    runs: list[list[int]] = []
    for index in (index for index in range(length) if bits >> index & 1):
        if runs and runs[-1][1] == index - 1:
            runs[-1][1] = index
        else:
            runs.append([index, index])
    if runs == [[0, length - 1]]:
        return "all"
    ranges = (str(first) if first == last else f"{first}-{last}" for first, last in runs)
    return ",".join(ranges) or "none"


@symbol
async def main_dmesg(cpu: GuestCpu, words: list[str], options: str) -> int:
    """`dmesg`: what Xen has printed."""
    for line in (await xc_readconsolering(cpu)).decode(errors="replace").splitlines():
        printk(cpu, line)
    return SUCCESS


@symbol
async def main_info(cpu: GuestCpu, words: list[str], options: str) -> int:
    """`info`: what kind of machine this is; with an argument, only the value of that fact."""
    physical = await xc_physinfo(cpu)
    major, minor = await xc_version(cpu)
    facts = {
        "host": f"dom{cpu.domain.spec.id}",
        "release": KERNEL_RELEASE,
        "machine": MACHINES[cpu.domain.spec.arch],
        "nr_cpus": physical.nr_cpus,
        "max_cpu_id": physical.max_cpu_id,
        "nr_nodes": 1,
        "cores_per_socket": 1,
        "threads_per_core": 1,
        "cpu_mhz": f"{COUNTER_MHZ}.000",
        "total_memory": physical.total_mb,
        "free_memory": physical.free_mb,
        "free_cpus": 0,
        "xen_major": major,
        "xen_minor": minor,
        "xen_version": f"{major}.{minor}",
        "xen_caps": "xen-3.0-aarch64 xen-3.0-armv7l",
        "xen_pagesize": 4096,
    }
    for name, value in facts.items():
        # Without padding: a name is matched by its beginning.
        if words and name.startswith(words[0]):
            printk(cpu, f"{value}")
        elif not words:
            printk(cpu, f"{name:<23}: {value}")
    return SUCCESS
