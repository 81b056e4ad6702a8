"""The distributor that guests see: registers by table, each with what reads and writes it.

Source: xen/arch/arm/vgic-v2.c. Pending and active bits cannot be read through it, and clearing them
is ignored, as in Xen. What no row covers, or with a width that a register does not take, is no
register: the guest is crashed for it.
"""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from proto.cells import Cell
from proto.gic import GICD, PPI_FIRST, SGI_COUNT, SGIR, SPI_FIRST
from proto.ids import CpuIndex
from proto.image import symbol
from proto.messages import AtomicOp
from proto.platform import GICD_BASE
from proto.registers import PerIntid, Word
from services.pcpu.pe import Pe
from services.pcpu.xen.gic import GICD_VA
from services.pcpu.xen.gic_v2 import gic_route_irq, gicv2_disable_irq
from services.pcpu.xen.memory import WORD_BITS, Vcpu
from services.pcpu.xen.vgic import (
    FIELD_BITS,
    FIELDS,
    field_of,
    guest_of,
    vgic_get_target_vcpu,
    vgic_inject_irq,
    vgic_inject_sgi,
    vgic_migrate_irq,
)

IIDR = 0x43B
SGIS_CFG = 0xAAAA_AAAA
"""GICD_ICFGR0: SGIs are edge-triggered."""
WORD_BYTES = 4


NEXT_ARRAY = 1024
"""Interrupts from GICD_ISENABLER's first to GICD_ICENABLER's first."""


class Access(NamedTuple):
    """One trapped access: by whom, which offset, how wide, and the value of a write."""

    vcpu: Vcpu
    offset: int
    width: int
    value: int


@symbol
async def vgic_v2_distr_mmio(
    pe: Pe, vcpu: Vcpu, address: int, width: int, is_write: bool, value: int
) -> int | None:
    """Emulate a guest's access to its distributor; None if no register is there.

    A write gives 0. Interrupts beyond those of the platform read as zero and ignore writes.
    """
    access = Access(vcpu, address - GICD_BASE, width, value)
    for row in ROWS:
        if not row.register.covers(access.offset):
            continue
        if width not in row.widths:
            return None
        if isinstance(row.register, PerIntid):
            first = row.register.first_intid(access.offset)
            if first >= pe.board.platform.intids:
                return 0
        handler = row.write if is_write else row.read
        return await handler(pe, access)
    return None


async def zero(pe: Pe, access: Access) -> int:
    """Reads as zero, writes ignored."""
    return 0


async def refused(pe: Pe, access: Access) -> int | None:
    """A write that Xen does not carry out; of zero it is none."""
    return None if access.value else 0


async def read_ctlr(pe: Pe, access: Access) -> int:
    """GICD_CTLR."""
    return await pe.load(pe.xen.domains[access.vcpu.domain].vgic_ctlr)


async def write_ctlr(pe: Pe, access: Access) -> int:
    """GICD_CTLR: only the enable bit is kept."""
    cell = pe.xen.domains[access.vcpu.domain].vgic_ctlr
    await pe.store(cell, access.value & GICD.CTLR_ENABLE)
    return 0


async def read_typer(pe: Pe, access: Access) -> int:
    """GICD_TYPER: CPUs and interrupt lines of the domain."""
    vcpus = len(pe.xen.vcpus_of(access.vcpu.domain))
    return (vcpus - 1) << 5 | (pe.board.platform.intids // 32 - 1)


async def read_iidr(pe: Pe, access: Access) -> int:
    """GICD_IIDR."""
    return IIDR


# -- enables


def _enabled_cell(pe: Pe, vcpu: Vcpu, first: int) -> tuple[Cell, int]:
    """Where the enables of 32 interrupts stand: the cell, and how far up."""
    if first < SPI_FIRST:
        return pe.xen.vcpu[vcpu.index].vgic_enabled, 0
    word, shift = divmod(first, WORD_BITS)
    return pe.xen.domains[vcpu.domain].spi_enabled[word], shift


async def read_enabled(pe: Pe, access: Access) -> int:
    """GICD_ISENABLER, GICD_ICENABLER."""
    first = GICD.ISENABLER.first_intid(access.offset) % NEXT_ARRAY
    cell, shift = _enabled_cell(pe, access.vcpu, first)
    return await pe.load(cell) >> shift & 0xFFFF_FFFF


async def write_isenabler(pe: Pe, access: Access) -> int:
    """GICD_ISENABLER: what changes is passed on to the hardware if it is the guest's."""
    first = GICD.ISENABLER.first_intid(access.offset)
    cell, shift = _enabled_cell(pe, access.vcpu, first)
    before = await pe.atomic(AtomicOp.SET, cell, access.value << shift)
    for intid in _hardware(pe, access.vcpu, first, access.value & ~(before >> shift)):
        target = await vgic_get_target_vcpu(pe, access.vcpu.domain, intid)
        await vgic_enable_irq(pe, target, intid)
    return 0


async def write_icenabler(pe: Pe, access: Access) -> int:
    """GICD_ICENABLER: likewise."""
    first = GICD.ICENABLER.first_intid(access.offset)
    cell, shift = _enabled_cell(pe, access.vcpu, first)
    before = await pe.atomic(AtomicOp.CLEAR, cell, access.value << shift)
    for intid in _hardware(pe, access.vcpu, first, access.value & before >> shift):
        await vgic_disable_irq(pe, access.vcpu, intid)
    return 0


def _hardware(pe: Pe, vcpu: Vcpu, first: int, bits: int) -> list[int]:
    """The hardware interrupts of a vCPU's domain among 32."""
    return [
        first + bit
        for bit in range(32)
        if bits >> bit & 1 and guest_of(pe.xen, first + bit) == vcpu.domain
    ]


@symbol
async def vgic_enable_irq(pe: Pe, vcpu: Vcpu, intid: int) -> None:
    """Enable a guest's hardware interrupt, routed to where its vCPU runs (vgic_enable_irqs).

    Triggers are as the device tree says; the hardware domain may choose an edge itself.
    """
    processor = await pe.load(pe.xen.vcpu[vcpu.index].processor)
    config = await pe.load(pe.xen.domains[vcpu.domain].spi_config[intid // WORD_BITS])
    chosen = vcpu.is_hardware and bool(config >> intid % WORD_BITS & 1)
    edge = chosen or intid in pe.board.platform.edge_spis
    await gic_route_irq(pe, intid, CpuIndex(processor), edge)


@symbol
async def vgic_disable_irq(pe: Pe, vcpu: Vcpu, intid: int) -> None:
    """Disable a guest's hardware interrupt (vgic_disable_irqs)."""
    await gicv2_disable_irq(pe, intid)


# -- pending


async def write_ispendr(pe: Pe, access: Access) -> int:
    """GICD_ISPENDR: inject what is written, SGIs excepted (vgic_set_irqs_pending).

    The guest's hardware interrupts become pending in the hardware and come from there: the guest's
    deactivation must find them active.
    """
    first = GICD.ISPENDR.first_intid(access.offset)
    hardware = _hardware(pe, access.vcpu, first, access.value)
    for intid in hardware:
        await pe.write(GICD_VA + GICD.ISPENDR.word(intid), 1 << intid % 32)
    for bit in range(32):
        intid = first + bit
        if not access.value >> bit & 1 or intid < SGI_COUNT or intid in hardware:
            continue
        target = access.vcpu
        if intid >= SPI_FIRST:
            target = await vgic_get_target_vcpu(pe, access.vcpu.domain, intid)
        await vgic_inject_irq(pe, target, intid)
    return 0


# -- bytes: priorities and targets


def _priority_cell(pe: Pe, vcpu: Vcpu, intid: int) -> Cell:
    if intid < SPI_FIRST:
        return pe.xen.vcpu[vcpu.index].private_priority[intid // FIELDS]
    return pe.xen.domains[vcpu.domain].spi_priority[intid // FIELDS]


async def _write_bytes(pe: Pe, cell: Cell, intid: int, width: int, value: int) -> None:
    """Replace fields of a cell, whatever others do to its neighbours meanwhile."""
    shift = intid % FIELDS * FIELD_BITS
    mask = (1 << width * FIELD_BITS) - 1
    seen = await pe.load(cell)
    while True:
        wanted = seen & ~(mask << shift) | (value & mask) << shift
        before = await pe.compare_and_swap(cell, seen, wanted)
        if before == seen:
            return
        seen = before


async def read_ipriorityr(pe: Pe, access: Access) -> int:
    """GICD_IPRIORITYR: as written."""
    intid = GICD.IPRIORITYR.first_intid(access.offset)
    word = await pe.load(_priority_cell(pe, access.vcpu, intid))
    return word >> intid % FIELDS * FIELD_BITS & (1 << access.width * FIELD_BITS) - 1


async def write_ipriorityr(pe: Pe, access: Access) -> int:
    """GICD_IPRIORITYR: counts from the next injection on."""
    intid = GICD.IPRIORITYR.first_intid(access.offset)
    cell = _priority_cell(pe, access.vcpu, intid)
    await _write_bytes(pe, cell, intid, access.width, access.value)
    return 0


async def read_itargetsr(pe: Pe, access: Access) -> int:
    """GICD_ITARGETSR: private interrupts go to the reader, an SPI to one vCPU."""
    first = GICD.ITARGETSR.first_intid(access.offset)
    targets = await pe.load_burst(pe.xen.domains[access.vcpu.domain].spi_target)
    value = 0
    for byte in range(access.width):
        intid = first + byte
        number = access.vcpu.number if intid < SPI_FIRST else field_of(targets, intid)
        value |= 1 << number << byte * FIELD_BITS
    return value


async def write_itargetsr(pe: Pe, access: Access) -> int:
    """GICD_ITARGETSR: an SPI goes to the lowest vCPU named; naming none is ignored."""
    first = GICD.ITARGETSR.first_intid(access.offset)
    siblings = pe.xen.vcpus_of(access.vcpu.domain)
    cells = pe.xen.domains[access.vcpu.domain].spi_target
    for byte in range(access.width):
        intid = first + byte
        named = access.value >> byte * FIELD_BITS & (1 << len(siblings)) - 1
        if intid < SPI_FIRST or not named:
            continue
        old = await vgic_get_target_vcpu(pe, access.vcpu.domain, intid)
        new = siblings[(named & -named).bit_length() - 1]
        if new is not old:
            await _write_bytes(pe, cells[intid // FIELDS], intid, 1, new.number)
            await vgic_migrate_irq(pe, old, new, intid)
    return 0


# -- triggers


async def read_icfgr(pe: Pe, access: Access) -> int:
    """GICD_ICFGR: SGIs edge, PPIs level, SPIs as written."""
    first = GICD.ICFGR.first_intid(access.offset)
    if first < SPI_FIRST:
        return SGIS_CFG if first < PPI_FIRST else 0
    config = await pe.load(pe.xen.domains[access.vcpu.domain].spi_config[first // WORD_BITS])
    bits = config >> first % WORD_BITS
    return sum(0b10 << 2 * at for at in range(16) if bits >> at & 1)


async def write_icfgr(pe: Pe, access: Access) -> int:
    """GICD_ICFGR: kept for SPIs; the hardware learns it when the interrupt is enabled."""
    first = GICD.ICFGR.first_intid(access.offset)
    if first < SPI_FIRST:
        return 0
    cell = pe.xen.domains[access.vcpu.domain].spi_config[first // WORD_BITS]
    edges = sum(1 << at for at in range(16) if access.value >> 2 * at + 1 & 1)
    await pe.atomic(AtomicOp.SET, cell, edges << first % WORD_BITS)
    await pe.atomic(AtomicOp.CLEAR, cell, (edges ^ 0xFFFF) << first % WORD_BITS)
    return 0


# -- software generated


async def write_sgir(pe: Pe, access: Access) -> int:
    """GICD_SGIR."""
    await vgic_to_sgi(pe, access.vcpu, access.value)
    return 0


@symbol
async def vgic_to_sgi(pe: Pe, vcpu: Vcpu, sgir: int) -> None:
    """A guest's write to GICD_SGIR: make the SGI pending at the vCPUs it names."""
    siblings = pe.xen.vcpus_of(vcpu.domain)
    match SGIR.TARGET_FILTER.get(sgir):
        case SGIR.TO_LIST:
            targets = [v for v in siblings if SGIR.TARGETS.get(sgir) >> v.number & 1]
        case SGIR.TO_OTHERS:
            targets = [v for v in siblings if v is not vcpu]
        case _:
            targets = [vcpu]
    for target in targets:
        await vgic_inject_sgi(pe, target, SGIR.INTID.get(sgir), vcpu)


Handler = Callable[[Pe, Access], Awaitable[int | None]]


class Row(NamedTuple):
    """A register: what it is, what reads and writes it, and how wide accesses may be."""

    register: Word | PerIntid
    read: Handler
    write: Handler
    widths: tuple[int, ...] = (WORD_BYTES,)


BYTES_TOO = (1, WORD_BYTES)

ROWS: tuple[Row, ...] = (
    Row(GICD.CTLR, read_ctlr, write_ctlr),
    Row(GICD.TYPER, read_typer, zero),
    Row(GICD.IIDR, read_iidr, zero),
    Row(GICD.IGROUPR, zero, zero),
    Row(GICD.ISENABLER, read_enabled, write_isenabler),
    Row(GICD.ICENABLER, read_enabled, write_icenabler),
    Row(GICD.ISPENDR, zero, write_ispendr),
    Row(GICD.ICPENDR, zero, zero),
    Row(GICD.ISACTIVER, zero, refused),
    Row(GICD.ICACTIVER, zero, zero),
    Row(GICD.IPRIORITYR, read_ipriorityr, write_ipriorityr, BYTES_TOO),
    Row(GICD.ITARGETSR, read_itargetsr, write_itargetsr, BYTES_TOO),
    Row(GICD.ICFGR, read_icfgr, write_icfgr),
    Row(GICD.SGIR, zero, write_sgir),
)
"""Every register of the guest's distributor."""
