"""`xl pause`, `unpause`, `resume`, `shutdown` and `cpu-hotplug` (tools/xl/xl_vmcontrol.c).

As in xl, the exit status of the first three says nothing about Xen's answer: it is printed.
"""

from proto.hypercall import CpuHotplug, Domctl, ShutdownReason
from proto.image import symbol
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.libxc import (
    domctl,
    xc_cpu_hotplug,
    xc_domain_getinfolist,
    xs_write_shutdown,
)
from services.domain.programs.xl_monitor import expect_another_shutdown
from services.domain.programs.xl_utils import (
    BAD_USAGE,
    ERROR_FAIL,
    FAILURE,
    SUCCESS,
    domain_exists,
    find_domain,
    libxl_error,
    strerror,
)

HOTPLUG = {"on": (CpuHotplug.ONLINE, "online"), "off": (CpuHotplug.OFFLINE, "offline")}
"""Last word of `cpu-hotplug` to operation, and what it is called."""


@symbol
async def main_pause(cpu: GuestCpu, words: list[str], options: str) -> int:
    """`pause`: one more pause of the toolstack."""
    domain = await find_domain(cpu, words[0])
    if domain is None:
        return FAILURE
    error = await domctl(cpu, Domctl.PAUSEDOMAIN, domain)
    _report(cpu, "libxl_domain.c:libxl_domain_pause", domain, "Pausing domain", error)
    return SUCCESS


@symbol
async def main_unpause(cpu: GuestCpu, words: list[str], options: str) -> int:
    """`unpause`: take a pause of the toolstack back."""
    domain = await find_domain(cpu, words[0])
    if domain is None:
        return FAILURE
    if await domain_exists(cpu, domain):
        error = await domctl(cpu, Domctl.UNPAUSEDOMAIN, domain)
        _report(cpu, "libxl_domain.c:domain_unpause_done", domain, "Unpausing domain", error)
    return SUCCESS


@symbol
async def main_resume(cpu: GuestCpu, words: list[str], options: str) -> int:
    """`resume`: end a domain's own suspend."""
    domain = await find_domain(cpu, words[0])
    if domain is None:
        return FAILURE
    if await domain_exists(cpu, domain):
        expect_another_shutdown(cpu, domain)
        error = await domctl(cpu, Domctl.RESUMEDOMAIN, domain)
        what = "xc_domain_resume failed"
        _report(cpu, "libxl_dom_suspend.c:domain_resume_done", domain, what, error)
    return SUCCESS


def _report(cpu: GuestCpu, place: str, domain: int, what: str, error: int) -> None:
    if error:
        libxl_error(cpu, place, f"Domain {domain}:{what}: {strerror(error)}")


@symbol
async def main_shutdown(cpu: GuestCpu, words: list[str], options: str) -> int:
    """`shutdown`: ask a domain, or with `-a` all but domain 0, to power off, through its store."""
    if not words and "a" not in options:
        printk(cpu, "You must specify -a or a domain id.")
        printk(cpu, "")
        return FAILURE
    if "a" in options:
        _, infos = await xc_domain_getinfolist(cpu)
        wanted: list[int | None] = [info.domain for info in infos if info.domain]
    else:
        wanted = [await find_domain(cpu, words[0])]
    for domain in wanted:
        if domain is None or await shutdown_domain(cpu, domain):
            return FAILURE
    return SUCCESS


@symbol
async def shutdown_domain(cpu: GuestCpu, domain: int) -> int:
    """Write `control/shutdown` of a domain; the guest takes it when it can. 0, or libxl's error."""
    printk(cpu, f"Shutting down domain {domain}")
    if await domain_exists(cpu, domain):
        error = await xs_write_shutdown(cpu, domain, ShutdownReason.POWEROFF)
        if not error:
            return 0
    printk(cpu, f"shutdown failed (rc={ERROR_FAIL})")
    return ERROR_FAIL


@symbol
async def main_cpu_hotplug(cpu: GuestCpu, words: list[str], options: str) -> int:
    """`cpu-hotplug`: take a physical CPU down or bring it back, in the words of xen-hptool."""
    if words[1] not in HOTPLUG or not words[0].isdecimal():
        return BAD_USAGE
    operation, word = HOTPLUG[words[1]]
    error = await xc_cpu_hotplug(cpu, int(words[0]), operation)
    if error:
        printk(cpu, f"CPU {words[0]} {word} failed (error {-error}: {strerror(error)})")
        return FAILURE
    printk(cpu, f"CPU {words[0]} {word}d successfully")
    return SUCCESS
