"""One vCPU: what a resume sets and keeps, CPU_ON of one that still runs, its timer, its SPIs."""

from collections.abc import Sequence

import msgspec
import pytest
from xen_bench import Bench, board

from proto.board import Board
from proto.el1 import (
    GPRS,
    PSTATE_ENTRY,
    PSTATE_ENTRY_32,
    PSTATE_T,
    SCTLR_EL1_RESET,
    SYSREG_INDEX,
    SYSREGS,
)
from proto.gic import GICC
from proto.messages import El1State
from proto.platform import GICC_BASE, RTC_SPI
from proto.psci import Psci, PsciError
from proto.scenario import GuestArch, Parking
from proto.timer import ENABLE, IMASK
from proto.units import MS
from services.pcpu.pe import Pe
from services.pcpu.xen.context import (
    ResumeContext,
    apply_reset,
    load_context,
    store_context,
    store_resume_context,
)
from services.pcpu.xen.domain import VPF_DOWN
from services.pcpu.xen.irq import do_irq
from services.pcpu.xen.timer import INACTIVE
from services.pcpu.xen.vpsci import do_vpsci_call
from services.pcpu.xen.vtimer import virt_timer_save

ENTRY, CONTEXT_ID = 0x4000_0000, 0xFFFF_0000_0000_0007
SAVED = El1State(
    pc=0x4100_0000,
    pstate=0x5,
    x=tuple(range(1, GPRS + 1)),
    sysregs=tuple(range(100, 100 + len(SYSREGS))),
    lrs=(0x11, 0x22, 0x33, 0x44),
    vmcr=0xF800_0001,
    apr=0x10,
    cntv_ctl=ENABLE,
    cntv_cval=77,
    cntvoff=5,
)


def resumed(of: Board, entry: int = ENTRY) -> El1State:
    """The state of a vCPU whose resume context has been applied to SAVED."""
    states: list[El1State] = []

    async def program(pe: Pe) -> None:
        vcpu = pe.xen.vcpus[0]
        await store_context(pe, vcpu, SAVED)
        await store_resume_context(pe, vcpu, ResumeContext(entry, CONTEXT_ID))
        await apply_reset(pe, vcpu)
        states.append(await load_context(pe, vcpu))

    assert Bench(program, of=of).halts == []
    return states[0]


def narrow() -> Board:
    """A board whose only domain is 32 bits wide."""
    wide = board()
    domains = (msgspec.structs.replace(wide.scenario.domains[0], arch=GuestArch.AARCH32),)
    scenario = msgspec.structs.replace(wide.scenario, domains=domains)
    return msgspec.structs.replace(wide, scenario=scenario)


@pytest.mark.parametrize(
    ("symbol", "keep"), [("reset_vcpu_state", False), ("reset_vcpu_state_and_keep", True)]
)
def test_the_register_table_of_a_resume(symbol: str, keep: bool) -> None:
    """The series of 2025-03 zeroes the rest of EL1; since 2025-11 it stays as it was saved."""
    state = resumed(board(reset_vcpu_state=symbol))
    named = {"SCTLR_EL1": SCTLR_EL1_RESET, "TTBR0_EL1": 0, "TTBR1_EL1": 0, "TCR_EL1": 0}

    assert (state.pc, state.pstate) == (ENTRY, PSTATE_ENTRY)
    assert state.x == (CONTEXT_ID, *(0,) * (GPRS - 1))
    for name, index in SYSREG_INDEX.items():
        rest = SAVED.sysregs[index] if keep else 0
        assert state.sysregs[index] == named.get(name, rest), name


def test_a_resume_keeps_interrupts_and_the_virtual_timer() -> None:
    """What pends for a suspended guest outlives SYSTEM_SUSPEND, unlike CPU_ON."""
    state = resumed(board())

    assert (state.lrs, state.vmcr, state.apr) == (SAVED.lrs, SAVED.vmcr, SAVED.apr)
    assert (state.cntv_ctl, state.cntv_cval) == (SAVED.cntv_ctl, SAVED.cntv_cval)
    assert state.cntvoff == SAVED.cntvoff


@pytest.mark.parametrize(
    ("entry", "pc", "pstate"),
    [(ENTRY, ENTRY, PSTATE_ENTRY_32), (ENTRY + 1, ENTRY, PSTATE_ENTRY_32 | PSTATE_T)],
)
def test_a_32_bit_resume_moves_the_thumb_bit_to_cpsr(entry: int, pc: int, pstate: int) -> None:
    """Supervisor mode, A, I and F masked; r0 has 32 bits."""
    state = resumed(narrow(), entry)

    assert (state.pc, state.pstate) == (pc, pstate)
    assert state.x[0] == CONTEXT_ID & 0xFFFF_FFFF


def test_cpu_on_waits_for_a_vcpu_that_is_down_and_still_runs() -> None:
    """It would save its old state over the new one."""
    times: dict[str, int] = {}

    async def caller(pe: Pe) -> None:
        target = pe.xen.vcpu[1]
        await pe.store_burst((target.pause_flags, target.is_running), (VPF_DOWN, 1))
        pe.current = pe.xen.vcpus[0]
        code = await do_vpsci_call(pe, pe.current, Psci.CPU_ON, (1, ENTRY, 0))
        assert code == PsciError.SUCCESS
        times["started"] = pe.now

    async def other(pe: Pe) -> None:
        await pe.delay(5 * MS)
        times["descheduled"] = pe.now
        await pe.store(pe.xen.vcpu[1].is_running, 0)

    assert Bench(caller, other, of=board(2, (2,))).halts == []

    assert times["started"] > times["descheduled"]


def test_a_shutdown_that_fails_denies_the_call() -> None:
    """And nothing is attached that a later resume would apply."""
    codes: list[int | None] = []
    attached: list[int] = []

    async def refuse(pe: Pe, domain: int, reason: int) -> int:
        return -16

    async def program(pe: Pe) -> None:
        pe.current = pe.xen.vcpus[1]
        codes.append(await do_vpsci_call(pe, pe.current, Psci.SYSTEM_SUSPEND, (ENTRY, 7, 0)))
        attached.append(await pe.load(pe.xen.domains[pe.current.domain].resume_vcpu))

    of = board(1, (1, 1))
    profile = msgspec.structs.replace(of.profile, parking=Parking.SHUTDOWN)
    of = msgspec.structs.replace(of, profile=profile)
    assert Bench(program, of=of, relinked={"domain_shutdown": refuse}).halts == []

    assert codes == [PsciError.DENIED]
    assert attached == [0]


@pytest.mark.parametrize(
    ("ctl", "expires"), [(ENABLE, 82), (ENABLE | IMASK, INACTIVE), (0, INACTIVE)]
)
def test_a_xen_timer_stands_in_for_an_armed_unmasked_one(ctl: int, expires: int) -> None:
    """At CNTV_CVAL + CNTVOFF; a timer that raises nothing needs no stand-in."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        state = msgspec.structs.replace(SAVED, cntv_ctl=ctl)
        await virt_timer_save(pe, pe.xen.vcpus[0], state)
        seen.append(await pe.load(pe.xen.virt_timer[0].expires))

    Bench(program)

    assert seen == [expires]


@pytest.mark.parametrize(
    ("cval", "cntvoff", "expires"), [((1 << 64) - 1, 40, INACTIVE), (0, 0, INACTIVE + 1)]
)
def test_a_stand_in_knows_never_and_at_once(cval: int, cntvoff: int, expires: int) -> None:
    """The highest compare value does not wrap round, and the lowest is a deadline."""
    seen: list[int] = []

    async def program(pe: Pe) -> None:
        state = msgspec.structs.replace(SAVED, cntv_ctl=ENABLE, cntv_cval=cval, cntvoff=cntvoff)
        await virt_timer_save(pe, pe.xen.vcpus[0], state)
        seen.append(await pe.load(pe.xen.virt_timer[0].expires))

    Bench(program)

    assert seen == [expires]


@pytest.mark.parametrize(
    ("intid", "writes"), [(RTC_SPI, ["EOIR"]), (RTC_SPI + 100, ["EOIR", "DIR"])]
)
def test_xen_drops_the_priority_of_a_guests_interrupt_and_leaves_it_active(
    intid: int, writes: Sequence[str]
) -> None:
    """The guest deactivates it, whenever it runs again; nobody's interrupt is ended at once."""
    injected: list[int] = []

    async def vgic_inject_irq(pe: Pe, vcpu: object, intid: int) -> None:
        injected.append(intid)

    async def program(pe: Pe) -> None:
        await do_irq(pe, intid, intid)
        await pe.barrier()

    log = Bench(program, relinked={"vgic_inject_irq": vgic_inject_irq}).gic.log
    names = {GICC_BASE + GICC.EOIR.offset: "EOIR", GICC_BASE + GICC.DIR.offset: "DIR"}

    assert [names[where] for _, kind, where, _ in log if kind == "write"] == writes
    assert injected == ([intid] if intid == RTC_SPI else [])
