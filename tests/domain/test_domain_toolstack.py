"""What `xl` makes of the numbers that Xen gives it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.hypercall import DomInfo, Errno, ShutdownReason
from services.domain.programs.libxc import DomainInfo, VcpuInfo
from services.domain.programs.xl_info import bitmap, domain_state, vcpu_state
from services.domain.programs.xl_utils import strerror

CPUS = 8


def shut_down(reason: ShutdownReason) -> int:
    """Flags of a domain that is shut down."""
    return DomInfo.SHUTDOWN | reason << DomInfo.SHUTDOWN_SHIFT


@pytest.mark.parametrize(
    ("flags", "letters"),
    [
        (0, "------"),
        (DomInfo.RUNNING, "r-----"),
        (DomInfo.BLOCKED, "-b----"),
        (DomInfo.BLOCKED | DomInfo.PAUSED, "-bp---"),
        (DomInfo.DYING, "-----d"),
        (shut_down(ShutdownReason.POWEROFF), "---s--"),
        (shut_down(ShutdownReason.REBOOT), "---sr-"),
        (shut_down(ShutdownReason.SUSPEND), "---ss-"),
        (shut_down(ShutdownReason.SUSPEND) | DomInfo.PAUSED, "--pss-"),
        (shut_down(ShutdownReason.CRASH), "---sc-"),
        (shut_down(ShutdownReason.WATCHDOG), "---sw-"),
        (shut_down(ShutdownReason.SOFT_RESET), "---sS-"),
        # A reason that is left over from before a resume says nothing.
        (DomInfo.RUNNING | ShutdownReason.CRASH << DomInfo.SHUTDOWN_SHIFT, "r-----"),
    ],
)
def test_the_state_has_a_letter_for_each_thing(flags: int, letters: str) -> None:
    """The fifth letter is the reason of a shutdown."""
    assert domain_state(DomainInfo(1, flags, 1, 0, 32, 0)) == letters


@pytest.mark.parametrize(
    ("vcpu", "text"),
    [
        (VcpuInfo(1, 0, 1, 0, 3, 0), "    3   r--"),
        (VcpuInfo(1, 1, 0, 0, 0, 0), "    0   -b-"),
        (VcpuInfo(1, 0, 0, 0, 2, 0), "    2   ---"),
        (VcpuInfo(0, 1, 0, 0, 2, 0), "    -   --p"),
    ],
)
def test_a_vcpu_that_is_off_has_no_cpu(vcpu: VcpuInfo, text: str) -> None:
    """Running, blocked, neither; offline."""
    assert vcpu_state(vcpu) == text


@pytest.mark.parametrize(
    ("bits", "length", "text"),
    [
        (0b1111, 4, "all"),
        (0b1111, 3, "all"),
        (0b0111, 4, "0-2"),
        (0b1000, 4, "3"),
        (0b1011, 4, "0-1,3"),
        (0b0000, 4, "none"),
        (0b1000, 3, "none"),
    ],
)
def test_cpus_are_printed_as_ranges(bits: int, length: int, text: str) -> None:
    """CPUs behind the last that is online are not looked at."""
    assert bitmap(bits, length) == text


@given(bits=st.integers(0, (1 << CPUS) - 1))
def test_ranges_name_exactly_the_cpus_of_the_map(bits: int) -> None:
    """Whatever the map is, reading the text back gives it."""
    text = bitmap(bits, CPUS)

    words = {"all": f"0-{CPUS - 1}", "none": ""}.get(text, text)
    cpus: set[int] = set()
    for word in filter(None, words.split(",")):
        first, _, last = word.partition("-")
        cpus |= set(range(int(first), int(last or first) + 1))
    assert sum(1 << cpu for cpu in cpus) == bits


def test_every_error_of_xen_has_words() -> None:
    """And any other number is printed."""
    assert not [error for error in Errno if strerror(-error).startswith("Unknown")]
    assert strerror(-99) == "Unknown error 99"
