"""SYSCTL: the machine as a toolstack sees it."""

from typing import Any

import pytest
from xen_bench import Bench, board

from proto.hypercall import (
    DOMAIN_INFO,
    SYSCTL_CPU_HOTPLUG,
    CpuHotplug,
    Errno,
    Hypercall,
    Sysctl,
    XenVersion,
)
from services.pcpu.pe import Pe
from services.pcpu.xen.guest_access import copy_from_guest, copy_to_guest
from services.pcpu.xen.hypercall import do_hypercall

PAGE = 0x4070_0000
BUFFER = PAGE + 0x800
BOARD = board(1, (1, 2, 1))


async def sysctl(pe: Pe, caller: int, *words: int) -> int:
    """Make the call from a domain."""
    vcpu = pe.xen.vcpus_of(caller)[0]
    await copy_to_guest(pe, vcpu, PAGE, words)
    return await do_hypercall(pe, vcpu, Hypercall.SYSCTL, (PAGE, 0, 0, 0, 0))


@pytest.mark.parametrize(
    ("caller", "words", "code"),
    [
        (1, (Sysctl.PHYSINFO, 0, 0, 0, 0), -Errno.EPERM),
        (0, (99,), -Errno.ENOSYS),
        (0, (Sysctl.CPU_HOTPLUG, 9, CpuHotplug.OFFLINE), -Errno.EINVAL),
        (0, (Sysctl.CPU_HOTPLUG, 0, 9), -Errno.EOPNOTSUPP),
    ],
)
def test_refusals(caller: int, words: tuple[int, ...], code: int) -> None:
    """Who must not, what does not exist, what makes no sense."""
    codes: list[int] = []

    async def program(pe: Pe) -> None:
        codes.append(await sysctl(pe, caller, *words))

    Bench(program, of=BOARD)
    assert codes == [code]
    assert len(SYSCTL_CPU_HOTPLUG) == 3


def test_the_list_of_domains_begins_where_it_is_asked_to() -> None:
    """First domain, maximum, and how many there were."""
    rows: list[int] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus_of(0)[0]
        assert await sysctl(pe, 0, Sysctl.GETDOMAININFOLIST, 1, 8, BUFFER, 0) == 0
        (count,) = await copy_from_guest(pe, vcpu, PAGE + 32, 1)
        for row in range(count):
            address = BUFFER + row * 8 * len(DOMAIN_INFO)
            rows.append((await copy_from_guest(pe, vcpu, address, 1))[0])

    Bench(program, of=BOARD)
    assert rows == [1, 2]


def test_the_console_ring_comes_in_words_of_eight_characters() -> None:
    """With the number of characters, and the position behind them."""
    seen: list[Any] = []

    async def read_console_ring(pe: Pe, index: int, count: int) -> tuple[bytes, int]:
        seen.append((index, count))
        return b"(XEN) Brought up", 16

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus_of(0)[0]
        assert await sysctl(pe, 0, Sysctl.READCONSOLE, BUFFER, 4, 0) == 0
        words = await copy_from_guest(pe, vcpu, BUFFER, 2)
        seen.append(b"".join(word.to_bytes(8, "little") for word in words))
        seen.append(await copy_from_guest(pe, vcpu, PAGE + 16, 2))

    Bench(program, of=BOARD, relinked={"read_console_ring": read_console_ring})
    assert seen == [(0, 32), b"(XEN) Brought up", (16, 16)]


def test_physinfo_and_version() -> None:
    """CPUs online, highest CPU, memory; major and minor release."""
    seen: list[Any] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus_of(0)[0]
        await pe.store(pe.xen.system.cpu_online_map, 0b1)
        assert await sysctl(pe, 0, Sysctl.PHYSINFO, 0, 0, 0, 0) == 0
        seen.append(await copy_from_guest(pe, vcpu, PAGE + 8, 4))
        for operation in (XenVersion.VERSION, 7):
            args = (operation, 0, 0, 0, 0)
            seen.append(await do_hypercall(pe, vcpu, Hypercall.XEN_VERSION, args))
        seen.append(await do_hypercall(pe, vcpu, 55, (0, 0, 0, 0, 0)))

    Bench(program, of=BOARD)
    assert seen == [(1, 0, 256, 160), 4 << 16 | 22, -Errno.ENOSYS, -Errno.ENOSYS]
