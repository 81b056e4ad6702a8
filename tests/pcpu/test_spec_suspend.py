"""Single steps of the host suspend, one rule each: what a step leaves behind."""

import pytest
from xen_bench import Bench, board

from proto.gic import PPI_HYP_TIMER
from proto.ids import DomainId
from proto.messages import Clean
from proto.psci import Psci, PsciError
from proto.timer import ENABLE
from proto.traces import PauseCount, Phase, SmcIssued
from proto.turn import Send
from proto.units import MS
from services.pcpu.pe import Pe
from services.pcpu.xen.domain import domain_pause
from services.pcpu.xen.head import hyp_resume
from services.pcpu.xen.memory import EL2_REGISTERS, pa
from services.pcpu.xen.mm import set_init_ttbr
from services.pcpu.xen.psci import call_psci_system_suspend
from services.pcpu.xen.sched import look_at_runqueue, scheduler_disable, scheduler_enable
from services.pcpu.xen.softirq import Softirq
from services.pcpu.xen.suspend import (
    freeze_domains,
    local_irq_restore,
    local_irq_save,
    prepare_resume_ctx,
    restore_context,
    thaw_domains,
)
from services.pcpu.xen.time import time_resume, time_suspend


def cleaned(bench: Bench) -> set[int]:
    """Physical addresses that were cleaned to memory."""
    return {
        address
        for turn in bench.turns
        for effect in turn.effects
        if isinstance(effect, Send) and isinstance(effect.body, Clean)
        for address in effect.body.addresses
    }


def test_s1_freezes_in_the_order_of_ids_and_r8_leaves_other_pauses() -> None:
    """A domain that a toolstack has paused stays paused behind the thaw."""
    counts: list[int] = []

    async def program(pe: Pe) -> None:
        await domain_pause(pe, DomainId(1))
        assert not await freeze_domains(pe)
        await thaw_domains(pe)
        cells = [domain.pause_count for domain in pe.xen.domains.values()]
        counts.extend(await pe.load_burst(cells))

    bench = Bench(program, of=board(1, (1, 2, 1)))
    seen = [(event.domain, event.count) for event in bench.traces(PauseCount)]

    assert seen == [(1, 1), (0, 1), (1, 2), (2, 1), (0, 0), (1, 1), (2, 0)]
    assert counts == [0, 1, 0]


def test_s2_lets_only_the_idle_vcpu_run_until_r8() -> None:
    """And with it the tasklets; R8 asks every CPU that is online to schedule again."""
    idle_only: list[bool] = []
    raised: list[int] = []

    async def program(pe: Pe) -> None:
        await pe.store(pe.xen.system.cpu_online_map, 0b01)
        await scheduler_disable(pe)
        idle_only.append((await look_at_runqueue(pe))[2])
        await scheduler_enable(pe)
        idle_only.append((await look_at_runqueue(pe))[2])
        raised.extend(await pe.load_burst([area.softirq_pending for area in pe.xen.percpu]))

    Bench(program, of=board(2))

    assert idle_only == [True, False]
    assert raised == [1 << Softirq.SCHEDULE, 0]


def test_s7_masks_irqs_and_r4_unmasks_them() -> None:
    """On this CPU; the others are off by then."""
    masked: list[bool] = []

    async def program(pe: Pe) -> None:
        await pe.irq_enable()
        await local_irq_save(pe)
        masked.append(pe.irq_masked)
        await local_irq_restore(pe)
        masked.append(pe.irq_masked)

    Bench(program)

    assert masked == [True, False]


@pytest.mark.parametrize(("suspended", "edges"), [(False, [1, 0]), (True, [])])
def test_s8_silences_the_comparator_and_r3_raises_the_softirq(
    suspended: bool, edges: list[int]
) -> None:
    """A deadline that comes in the sleep raises no line; the softirq finds it afterwards."""
    pending: list[int] = []

    async def program(pe: Pe) -> None:
        pe.set_cnthp(ENABLE, pe.now + MS)
        if suspended:
            await time_suspend(pe)
        await pe.delay(5 * MS)
        if not suspended:
            pe.set_cnthp(0, 0)
        await time_resume(pe)
        pending.append(await pe.load(pe.xen.percpu[0].softirq_pending))

    log = Bench(program).gic.log
    wires = [level for _, kind, intid, level in log if (kind, intid) == ("wire", PPI_HYP_TIMER)]

    assert wires == edges
    assert pending == [1 << Softirq.TIMER]


def test_s10_cleans_init_ttbr_to_memory() -> None:
    """A CPU with its caches off must find it there."""
    where: list[int] = []

    async def program(pe: Pe) -> None:
        await set_init_ttbr(pe)
        assert await pe.load(pe.xen.system.init_ttbr) == pa(pe.xen.page_table.magic)
        where.append(pa(pe.xen.system.init_ttbr))

    bench = Bench(program)

    assert bench.halts == []
    assert set(where) <= cleaned(bench)


def test_s12_saves_what_r0_restores() -> None:
    """Each register of the saved set comes back from memory with its own value."""
    before = {name: 0x100 + index for index, name in enumerate(EL2_REGISTERS)}
    after: list[dict[str, int]] = []
    where: list[int] = []

    async def program(pe: Pe) -> None:
        for name, value in before.items():
            pe.set_register(name, value)
        assert not await prepare_resume_ctx(pe)
        where.extend(pa(cell) for cell in pe.xen.resume_context.registers)
        pe.registers.clear()
        await restore_context(pe)
        after.append(dict(pe.registers))

    bench = Bench(program)

    assert after == [before]
    assert set(where) <= cleaned(bench)


def test_s12_needs_every_register_of_the_set() -> None:
    """One that was never set up would be saved as something UNKNOWN."""

    async def program(pe: Pe) -> None:
        await prepare_resume_ctx(pe)

    assert Bench(program).halts == [f"{EL2_REGISTERS[0]} is UNKNOWN: not written since reset"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (PsciError.SUCCESS, "PSCI system suspend: an interrupt was pending, not suspended"),
        (PsciError.DENIED, "PSCI system suspend failed, err=-3 (DENIED)"),
    ],
)
def test_s13_that_returns_is_logged(answer: PsciError, said: str) -> None:
    """Returning at all means that the machine did not sleep."""
    entry: list[int] = []
    codes: list[int] = []

    async def program(pe: Pe) -> None:
        entry.append(pe.image.address("hyp_resume"))
        await pe.irq_disable()
        codes.append(await call_psci_system_suspend(pe))

    bench = Bench(program, smc=lambda function, args: answer)

    assert bench.traces(SmcIssued) == [
        SmcIssued(Psci.SYSTEM_SUSPEND, (entry[0], 0, 0), irq_masked=True)
    ]
    assert codes == [answer]
    assert said in bench.uart.text


def test_r0_works_from_memory_alone() -> None:
    """MMU with init_ttbr, then the saved set, then the workarounds, and only then the unwinding."""
    log: list[str] = []
    before = dict.fromkeys(EL2_REGISTERS, 5)

    async def reapply_boot_cpu_errata(pe: Pe) -> None:
        assert pe.registers == before
        log.append("errata")

    async def resume_from_power_down(pe: Pe) -> int:
        log.append("unwind")
        return 0

    async def nothing(pe: Pe, *args: object) -> None:
        return

    async def program(pe: Pe) -> None:
        pe.registers.update(before)
        await prepare_resume_ctx(pe)
        await set_init_ttbr(pe)
        pe.registers.clear()
        pe._mmu_on = False
        await hyp_resume(pe, 0)

    links = {
        "reapply_boot_cpu_errata": reapply_boot_cpu_errata,
        "resume_from_power_down": resume_from_power_down,
        "finish_system_suspend": nothing,
        "do_tasklet_after_sleep": nothing,
        "idle_loop": nothing,
    }
    bench = Bench(program, relinked=links)
    phases = [(event.label, event.edge) for event in bench.traces(Phase)]

    assert bench.halts == []
    assert log == ["errata", "unwind"]
    assert phases == [("R0", "begin"), ("R0", "end")]
