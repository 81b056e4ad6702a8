"""32-bit guests: entry state, registers of 32 bits, SMC32 calls, hypercalls by r12."""

import pytest
from domain_bench import LRS, FakeXen, Wires
from entry_bench import IDLE, PE0, entered, exits
from hypothesis import given
from hypothesis import strategies as st

from proto.el1 import PSTATE_ENTRY_32, PSTATE_T, THUMB, reset_state
from proto.hypercall import XEN_HYPERCALL, Hypercall
from proto.messages import ExitReason, VcpuLoad, VcpuRun
from proto.platform import GUEST_TEXT
from proto.psci import MASK_32, SMC64, Psci, PsciError, to_register
from proto.scenario import DomainSpec, GuestArch
from proto.traces import GuestStarted, GuestWork
from services.domain.guest_cpu import GuestCpu

SPEC = DomainSpec(id=1, program="idle", arch=GuestArch.AARCH32)
LINUX = DomainSpec(id=1, vcpus=2, context_id=0x32, arch=GuestArch.AARCH32)


async def caller(cpu: GuestCpu, x0: int) -> None:
    """Makes an SMCCC call with more than fits, then reports the answer."""
    seen = await cpu.hvc(0, Psci.CPU_ON_32, 0x1_0000_0002, -1)
    await cpu.hvc(0, seen)


async def hypercaller(cpu: GuestCpu, x0: int) -> None:
    """Makes a hypercall and reports its answer as an argument of the next."""
    error = await cpu.hypercall(Hypercall.SYSCTL, 0x4070_0000)
    await cpu.hypercall(Hypercall.SCHED_OP, -error)


@pytest.mark.parametrize(("entry_bits", "pstate"), [(0, 0x1D3), (THUMB, 0x1D3 | 1 << 5)])
def test_a_32_bit_vcpu_starts_in_supervisor_mode(entry_bits: int, pstate: int) -> None:
    """A, I and F are masked; the Thumb bit of the entry has moved to CPSR.T."""
    wires = Wires(SPEC)
    entry = GUEST_TEXT | entry_bits
    wires.send(PE0, VcpuLoad(1, 0, 0, reset_state(entry, 7, LRS, 0, GuestArch.AARCH32)))
    wires.send(PE0, VcpuRun(0, 1, IDLE))

    [started] = wires.traced(GuestStarted)
    assert (started.entry, started.pstate, started.x[0]) == (GUEST_TEXT, pstate, 7)


@given(entry=st.integers(0, MASK_32), context_id=st.integers(0, (1 << 64) - 1))
def test_the_reset_state_of_32_bits_fits_into_32_bits(entry: int, context_id: int) -> None:
    """Bit 0 of the entry is Thumb state and no part of PC; r0 is the low half."""
    state = reset_state(entry, context_id, LRS, 0, GuestArch.AARCH32)

    assert state.pc == entry & ~THUMB
    assert state.pstate == PSTATE_ENTRY_32 | (PSTATE_T if entry & THUMB else 0)
    assert state.x == (context_id & MASK_32, *([0] * 30))


def test_a_64_bit_vcpu_keeps_bit_0_of_its_entry() -> None:
    """Xen refuses such an entry; it is not silently made a good one."""
    assert reset_state(GUEST_TEXT | THUMB, 0, LRS, 0).pc == GUEST_TEXT | THUMB


def test_registers_of_a_32_bit_guest_hold_32_bits() -> None:
    """Arguments and answers alike."""
    wires = entered(caller, SPEC)
    assert exits(wires)[0].args == (Psci.CPU_ON_32, 2, MASK_32, 0, 0)

    wires.send(PE0, VcpuRun(0, 2, IDLE, to_register(PsciError.DENIED)))
    assert exits(wires)[1].args[0] == PsciError.DENIED & MASK_32


def test_a_32_bit_guest_names_a_hypercall_in_r12() -> None:
    """And sees a negative error as a signed value."""
    wires = entered(hypercaller, SPEC)
    first = exits(wires)[0]
    assert (first.reason, first.immediate) == (ExitReason.HVC, XEN_HYPERCALL)
    assert first.number == Hypercall.SYSCTL

    wires.send(PE0, VcpuRun(0, 2, IDLE, to_register(-1)))
    second = exits(wires)[1]
    assert (second.number, second.args[0]) == (Hypercall.SCHED_OP, 1)


def test_a_32_bit_kernel_calls_by_smc32_only() -> None:
    """Boot, suspend and resume; AArch32 has no SMC64."""
    xen = FakeXen(LINUX)
    xen.boot()
    xen.type("echo mem > /sys/power/state")
    xen.run(lambda: xen.vcpus[0].parked)
    function, entry, context_id, _ = xen.calls[-1]
    assert (function, context_id) == (Psci.SYSTEM_SUSPEND_32, 0x32)

    xen.resume_at_entry(entry, context_id)
    xen.run(lambda: "PM: suspend exit" in xen.lines)
    assert not [call for call in xen.calls if call[0] & SMC64]
    assert [start.pstate for start in xen.traced(GuestStarted)] == [PSTATE_ENTRY_32] * 4
    assert not [work for work in xen.traced(GuestWork) if not work.intact]


def test_a_32_bit_kernel_may_ask_for_thumb_state() -> None:
    """The entry has bit 0 set, and the resume entry is executed in Thumb state."""
    xen = FakeXen(LINUX)
    xen.boot()
    xen.type("suspend-test thumb-entry")
    xen.run(lambda: xen.vcpus[0].parked)
    entry = xen.calls[-1][1]
    assert entry & THUMB

    xen.resume_at_entry(entry, 0x32)
    xen.run(lambda: "PM: suspend exit" in xen.lines)
    assert PSTATE_ENTRY_32 | PSTATE_T in [start.pstate for start in xen.traced(GuestStarted)]
