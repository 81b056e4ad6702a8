"""What watches over domains in domain 0: VIRQ_DOM_EXC, and the logs of xl's daemons.

xenstored binds the virtual interrupt and fires `@releaseDomain`; a daemon of xl for each domain
that was created looks whether its own has shut down, and writes a log (tools/xenstored, tools/xl,
`create_domain`). Domains are preserved: no action is taken.
"""

from proto.hypercall import (
    EVTCHN_BIND_VIRQ,
    WORD,
    DomInfo,
    EvtchnOp,
    Hypercall,
    ShutdownReason,
    Virq,
)
from proto.image import symbol
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.libxc import xc_domain_getinfolist
from services.domain.programs.memory import (
    LOG_WORDS,
    Kernel,
    kernel,
    log_word,
    structure,
)

HARDWARE_DOMAIN = 0
REPORTED = 0
COUNT = 1
FIRST = 2
"""Words of a log: whether the present shutdown is in it, how many are, and their reasons."""


@symbol
async def xenstored_start(cpu: GuestCpu) -> None:
    """Bind VIRQ_DOM_EXC, in the domain that Xen raises it in."""
    if cpu.domain.spec.id != HARDWARE_DOMAIN:
        return
    address = structure(cpu, *(Virq.DOM_EXC if word == "virq" else 0 for word in EVTCHN_BIND_VIRQ))
    error = await cpu.hypercall(Hypercall.EVENT_CHANNEL_OP, EvtchnOp.BIND_VIRQ, address)
    if error:
        printk(cpu, f"xenstored: failed to bind to domain exceptional IRQ: {error}")
        return
    port = cpu.load_word(address + WORD * EVTCHN_BIND_VIRQ.index("port"))
    cpu.store_word(kernel(Kernel.DOM_EXC_PORT), port)


def domains_changed(cpu: GuestCpu) -> bool:
    """Whether a domain may have shut down since the daemons looked last."""
    return bool(cpu.load_word(kernel(Kernel.DOMAINS_CHANGED)))


@symbol
async def xl_daemons(cpu: GuestCpu) -> None:
    """Put every shutdown that is news into its domain's log (domain_death_xswatch_callback)."""
    cpu.store_word(kernel(Kernel.DOMAINS_CHANGED), 0)
    _, infos = await xc_domain_getinfolist(cpu)
    for info in infos:
        shut_down = bool(info.flags & DomInfo.SHUTDOWN)
        if shut_down and not cpu.load_word(log_word(info.domain, REPORTED)):
            count = cpu.load_word(log_word(info.domain, COUNT))
            if FIRST + count < LOG_WORDS:
                reason = info.flags >> DomInfo.SHUTDOWN_SHIFT
                cpu.store_word(log_word(info.domain, FIRST + count), reason)
                cpu.store_word(log_word(info.domain, COUNT), count + 1)
        cpu.store_word(log_word(info.domain, REPORTED), shut_down)


def expect_another_shutdown(cpu: GuestCpu, domain: int) -> None:
    """A domain is resumed: its next shutdown is news."""
    cpu.store_word(log_word(domain, REPORTED), 0)


def log_lines(cpu: GuestCpu, name: str) -> list[str]:
    """The log of the daemon that watches the domain of this name; empty if there is no daemon."""
    found = [domain for domain, known in sorted(cpu.domain.names.items()) if known == name]
    if cpu.domain.spec.id != HARDWARE_DOMAIN or found in ([], [HARDWARE_DOMAIN]):
        return []
    (domain,) = found
    lines = [f"Waiting for domain {name} (domid {domain}) to die"]
    for index in range(cpu.load_word(log_word(domain, COUNT))):
        reason = cpu.load_word(log_word(domain, FIRST + index))
        lines.append(f"Domain {domain} has shut down, reason code {reason} {reason:#x}")
        if reason == ShutdownReason.SUSPEND:
            lines.append("Domain has suspended.")
        else:
            lines.append(f"Action for shutdown reason code {reason} is preserve")
    return lines
