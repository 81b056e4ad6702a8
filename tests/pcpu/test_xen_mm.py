"""Addresses with the MMU off and on, the page-table record, and resume without it."""

import pytest
from xen_bench import Bench, board

from proto.cells import Cell
from proto.messages import TlbInvalidate
from proto.traces import Unpredictable
from proto.turn import Send
from services.pcpu.pe import Pe
from services.pcpu.xen.cpuerrata import check_local_cpu_errata, reapply_boot_cpu_errata
from services.pcpu.xen.memory import XEN_VIRT_OFFSET, pa
from services.pcpu.xen.mm import (
    create_page_tables,
    set_init_ttbr,
    setup_virt_paging_one,
    update_identity_mapping,
)
from services.pcpu.xen.traps import init_traps


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


@pytest.mark.parametrize(
    "address", [0x1_0000_0000, XEN_VIRT_OFFSET - 8, XEN_VIRT_OFFSET + (1 << 32)]
)
def test_what_nothing_maps_faults(address: int) -> None:
    """Between physical memory and Xen's own addresses, and behind them."""

    async def program(pe: Pe) -> None:
        await pe.load(Cell(address))

    assert Bench(program).halts == [f"translation fault at {address:#x}: not mapped"]


def test_a_mapped_address_at_which_nothing_answers_aborts() -> None:
    """The translation is there, the device is not."""

    async def program(pe: Pe) -> None:
        await pe.read(XEN_VIRT_OFFSET + 0x100)

    assert Bench(program).halts == ["nothing answers at 0x100"]


def test_taking_the_identity_mapping_away_reaches_every_pe() -> None:
    """TLBI is broadcast: another PE may still hold the mapping it came up with."""
    seen: list[int] = []

    async def boot(pe: Pe) -> None:
        await pe.delay(5_000)
        await update_identity_mapping(pe, False)
        await pe.store(pe.xen.system.smp_up_cpu, 1)

    async def secondary(pe: Pe) -> None:
        cell = pe.xen.system.cpu_is_dead
        seen.append(await pe.load(pa(cell)))
        await pe.wfe(pe.xen.system.smp_up_cpu, 0)
        await pe.load(pa(cell))

    bench = Bench(boot, secondary)

    assert seen == [0]
    assert [halt.partition(" at ")[0] for halt in bench.halts] == ["translation fault"]


def test_a_new_mapping_is_not_broadcast() -> None:
    """No TLB holds what is not mapped."""

    async def boot(pe: Pe) -> None:
        await update_identity_mapping(pe, True)

    async def secondary(pe: Pe) -> None:
        return

    bench = Bench(boot, secondary)
    bodies = [
        effect.body for turn in bench.turns for effect in turn.effects if isinstance(effect, Send)
    ]

    assert not any(isinstance(body, TlbInvalidate) for body in bodies)


@pytest.mark.parametrize(
    ("symbol", "missing"),
    [("setup_virt_paging_one", []), ("setup_virt_paging_one_at_boot_only", [1])],
)
def test_every_cpu_sets_stage_2_up(symbol: str, missing: list[int]) -> None:
    """Bug missing-vtcr-on-hotplug: a CPU that came later would run guests without."""
    without: list[int] = []

    async def program(pe: Pe) -> None:
        await init_traps(pe)
        await setup_virt_paging_one(pe)
        if "VTCR_EL2" not in pe.registers:
            without.append(pe.cpu)

    Bench(program, program, of=board(2, setup_virt_paging_one=symbol))

    assert without == missing


@pytest.mark.parametrize(
    ("symbol", "found"),
    [("reapply_boot_cpu_errata", []), ("reapply_boot_cpu_errata_skipped", [0])],
)
def test_guests_on_a_cpu_without_its_workarounds_are_reported_once(
    symbol: str, found: list[int]
) -> None:
    """Bug boot-cpu-errata-skipped: the sleep takes them, and R0 must bring them back."""

    async def program(pe: Pe) -> None:
        await init_traps(pe)
        await setup_virt_paging_one(pe)
        pe.set_register("CNTHCTL_EL2", 0)
        await check_local_cpu_errata(pe)
        pe.registers.pop("CPUACTLR_EL1")
        await reapply_boot_cpu_errata(pe)
        pe.loaded = pe.xen.vcpus[0]
        for _ in range(2):
            pe.run_vcpu()

    bench = Bench(program, of=board(1, reapply_boot_cpu_errata=symbol))
    said = [event.what for event in bench.traces(Unpredictable)]

    assert said == [
        f"a guest runs on CPU{cpu} without the workarounds for its errata" for cpu in found
    ]
