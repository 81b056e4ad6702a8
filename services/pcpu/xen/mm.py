"""Page-table record, identity mapping and init_ttbr (xen/arch/arm/mm.c, arm64/mm.c)."""

from proto.ids import BOOT_CPU
from proto.image import symbol
from services.pcpu.pe import PAGE_TABLE_MAGIC, Pe
from services.pcpu.xen.memory import XEN_VIRT_OFFSET, pa


@symbol
async def create_page_tables(pe: Pe) -> int:
    """Build the page-table record with the MMU off, identity mapping included (head.S)."""
    table = pe.xen.page_table
    await pe.store_burst(
        (pa(table.magic), pa(table.offset), pa(table.identity)),
        (PAGE_TABLE_MAGIC, XEN_VIRT_OFFSET, 1),
    )
    return pa(table.magic)


VTCR_EL2 = 0x8002_3558
"""Stage 2 control: page size, sizes of input and output addresses."""


@symbol
async def setup_virt_paging_one(pe: Pe) -> None:
    """Set up stage 2 on this CPU (xen/arch/arm/p2m.c); each CPU has to."""
    pe.set_register("VTCR_EL2", VTCR_EL2)


@symbol
async def setup_virt_paging_one_at_boot_only(pe: Pe) -> None:
    """Before 2116030345 (2018) a CPU that came later was forgotten."""
    if pe.cpu == BOOT_CPU:
        pe.set_register("VTCR_EL2", VTCR_EL2)


@symbol
async def update_identity_mapping(pe: Pe, on: bool) -> None:
    """Map Xen's text at its physical address too, or take that mapping away."""
    await pe.store(pe.xen.page_table.identity, int(on))
    # The walker reads the entry from memory (write_pte).
    await pe.dsb_ishst()
    await pe.flush_tlb()


@symbol
async def set_init_ttbr(pe: Pe) -> int:
    """Leave the address of the page table where a CPU with its MMU off finds it (S10)."""
    cell = pe.xen.system.init_ttbr
    await pe.store(cell, pa(pe.xen.page_table.magic))
    await pe.clean(cell)
    return 0
