"""What `xl`'s commands share: exit statuses, domains by name or id, messages (tools/xl/xl_utils.c).

libxl's messages name file, line and function of their source; here the line is left out, because it
differs from release to release.
"""

from proto.hypercall import Errno
from proto.image import symbol
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.libxc import DomainInfo, xc_domain_getinfolist

SUCCESS = 0
FAILURE = 1
"""EXIT_SUCCESS and EXIT_FAILURE."""
BAD_USAGE = 2
"""What xl ends with when options or arguments are wrong."""

ERROR_FAIL = -3
ERROR_INVAL = -6
"""Codes of libxl."""

ERRORS = {
    Errno.EPERM: "Operation not permitted",
    Errno.ENOENT: "No such file or directory",
    Errno.ESRCH: "No such process",
    Errno.EIO: "Input/output error",
    Errno.ENOMEM: "Cannot allocate memory",
    Errno.EFAULT: "Bad address",
    Errno.EBUSY: "Device or resource busy",
    Errno.EEXIST: "File exists",
    Errno.EINVAL: "Invalid argument",
    Errno.ENOSPC: "No space left on device",
    Errno.ENOSYS: "Function not implemented",
    Errno.EOPNOTSUPP: "Operation not supported",
    Errno.ETIMEDOUT: "Connection timed out",
}
"""What strerror says of each error number."""


def strerror(error: int) -> str:
    """The words of a negative error number."""
    known = [text for number, text in ERRORS.items() if number == -error]
    return known[0] if known else f"Unknown error {-error}"


def libxl_error(cpu: GuestCpu, place: str, text: str) -> None:
    """A line of libxl's log; `place` is file and function."""
    printk(cpu, f"libxl: error: {place}: {text}")


@symbol
async def find_domain(cpu: GuestCpu, word: str) -> int | None:
    """Id of the domain meant; None, and a complaint, for a name that no domain has.

    A number is taken as it stands, whether there is such a domain or not
    (libxl_domain_qualifier_to_domid).
    """
    if word.isascii() and word.isdecimal():
        return int(word)
    _, infos = await xc_domain_getinfolist(cpu)
    for info in infos:
        if word == cpu.domain.names[info.domain]:
            return info.domain
    printk(cpu, f"{word} is an invalid domain identifier (rc={ERROR_INVAL})")
    return None


async def domain_info(cpu: GuestCpu, domain: int) -> DomainInfo | None:
    """What Xen says of a domain, or None if there is none with this id."""
    _, infos = await xc_domain_getinfolist(cpu)
    return next((info for info in infos if info.domain == domain), None)


async def domain_exists(cpu: GuestCpu, domain: int) -> bool:
    """Whether a domain has a type (libxl__domain_type); complains if it does not."""
    if await domain_info(cpu, domain) is not None:
        return True
    place = "libxl_dom.c:libxl__domain_type"
    libxl_error(cpu, place, f"unable to get domain type for domid={domain}")
    return False
