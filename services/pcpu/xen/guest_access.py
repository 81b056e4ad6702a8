"""Copying to and from guest memory (xen/arch/arm/guestcopy.c)."""

from collections.abc import Sequence

from proto.hypercall import WORD
from proto.image import symbol
from proto.messages import GuestLoad, GuestStore
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import Vcpu


def _addresses(address: int, words: int) -> tuple[int, ...]:
    return tuple(address + WORD * index for index in range(words))


@symbol
async def copy_from_guest(pe: Pe, vcpu: Vcpu, address: int, words: int) -> tuple[int, ...]:
    """Read a structure of this many words from the memory of a vCPU's domain."""
    addresses = _addresses(address, words)
    values: tuple[int, ...] = await pe.transact(vcpu.node, lambda tx: GuestLoad(tx, addresses))
    return values


@symbol
async def copy_to_guest(pe: Pe, vcpu: Vcpu, address: int, values: Sequence[int]) -> None:
    """Write words into the memory of a vCPU's domain, from an address on."""
    addresses = _addresses(address, len(values))
    await pe.transact(vcpu.node, lambda tx: GuestStore(tx, addresses, tuple(values)))
