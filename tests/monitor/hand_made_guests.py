"""Guests in hand-made journals: their calls and their starts."""

from hand_made import SYSTEM_SUSPEND, Script

from proto.board import Board
from proto.traces import GuestStarted, VpsciCall, VpsciResult

ENTRY, CONTEXT = 0x4000_0100, 0x77
CPU_ON = 0xC4000003
RTC = 34
TTY1 = 41
ZEROS = (0,) * 30


def booted_with_guests(of: Board | None = None) -> Script:
    """A booted board whose guests have started."""
    booted = Script(of)
    booted.boot()
    booted.trace("dom0", started(entry=0x4000_0000, x0=0))
    booted.trace("dom1", started(domain=1, entry=0x4000_0000, x0=0))
    return booted


def started(entry: int = ENTRY, x0: int = CONTEXT, **changes: int) -> GuestStarted:
    """Domain 0 vCPU 0 starts as it should, but for the changes."""
    others = list(ZEROS)
    if "x7" in changes:
        others[6] = changes.pop("x7")
    fields = {"pstate": 0x3C5, "sctlr": 0x00C50078, **changes}
    domain, vcpu = fields.pop("domain", 0), fields.pop("vcpu", 0)
    return GuestStarted(domain, vcpu, entry, (x0, *others), **fields)


def call(
    script: Script, code: int = 0, function: int = SYSTEM_SUSPEND, upper: int = 0, domain: int = 0
) -> None:
    """SYSTEM_SUSPEND of a domain's vCPU 0 with its result."""
    script.trace("pe0", VpsciCall(domain, 0, function, (ENTRY | upper, CONTEXT | upper, 0)))
    script.trace("pe0", VpsciResult(domain, 0, function, code))


def cpu_on(script: Script, code: int = 0) -> None:
    """CPU_ON of domain 1 vCPU 1 by vCPU 0, with its result."""
    script.trace("pe0", VpsciCall(1, 0, CPU_ON, (1, ENTRY, CONTEXT)))
    script.trace("pe0", VpsciResult(1, 0, CPU_ON, code))
