"""Addresses with the MMU off and on, the page-table record, and resume without it."""

from xen_bench import Bench

from proto.cells import Cell
from services.pcpu.pe import Pe
from services.pcpu.xen.memory import pa
from services.pcpu.xen.mm import create_page_tables, set_init_ttbr, update_identity_mapping


async def load(pe: Pe, cell: Cell) -> None:
    await pe.load(cell)


def test_with_the_mmu_on_only_mapped_addresses_work() -> None:
    """Physical addresses work through the identity mapping, and no longer without it."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        cell = pe.xen.system.cpu_is_dead
        await pe.store(cell, 7)
        seen.append(await pe.load(pa(cell)))
        await update_identity_mapping(pe, False)
        await pe.load(pa(cell))

    bench = Bench(program)

    assert seen == [7]
    assert bench.halts[0].startswith("translation fault at 0x804")


def restart(pe: Pe) -> Pe:
    """The MMU as it is after reset."""
    pe._mmu_on = False
    return pe


def test_with_the_mmu_off_virtual_addresses_abort() -> None:
    """hyp_resume may use physical addresses only."""

    async def program(pe: Pe) -> None:
        await load(restart(pe), pe.xen.system.init_ttbr)

    assert Bench(program).halts[0].endswith("used with the MMU off")


def test_the_mmu_needs_a_page_table_and_an_identity_mapping() -> None:
    """Without init_ttbr there is no table; without the mapping there is no next instruction."""

    async def no_ttbr(pe: Pe) -> None:
        ttbr = await pe.load(pe.xen.system.init_ttbr)
        await restart(pe).enable_mmu(ttbr)

    async def no_mapping(pe: Pe) -> None:
        await set_init_ttbr(pe)
        ttbr = await pe.load(pe.xen.system.init_ttbr)
        await update_identity_mapping(pe, False)
        await restart(pe).enable_mmu(ttbr)

    async def complete(pe: Pe) -> None:
        await restart(pe).enable_mmu(await create_page_tables(pe))

    assert Bench(no_ttbr).halts == ["TTBR0_EL2 is 0x0: there is no page table"]
    assert Bench(no_mapping).halts == [
        "instruction abort: the code that enables the MMU is not mapped"
    ]
    assert Bench(complete).halts == []


def test_a_register_nobody_wrote_is_unknown() -> None:
    """Reset values that the architecture leaves open are not invented."""

    async def program(pe: Pe) -> None:
        pe.register("HCR_EL2")

    assert Bench(program).halts == ["HCR_EL2 is UNKNOWN: not written since reset"]
