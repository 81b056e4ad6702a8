"""SYSTEM_SUSPEND as a guest makes it: as Linux does, and wrong in one respect."""

import pytest
from domain_bench import FakeXen

from proto.el1 import THUMB
from proto.hypercall import Hypercall, SchedOp, ShutdownReason
from proto.psci import Psci, PsciError
from proto.scenario import DomainSpec
from proto.traces import GuestStarted, GuestWork
from services.domain.programs import guest_image

SPEC = DomainSpec(id=1, vcpus=3, context_id=0xC0FFEE)
SUSPENDS = (Psci.SYSTEM_SUSPEND, Psci.SYSTEM_SUSPEND_32)


def booted(spec: DomainSpec = SPEC) -> FakeXen:
    """A guest that is up."""
    xen = FakeXen(spec)
    xen.boot()
    return xen


def suspend_call(line: str, spec: DomainSpec = SPEC) -> tuple[FakeXen, tuple[int, ...]]:
    """The call that a line typed at the shell ends in, refused by Xen."""
    xen = booted(spec)
    xen.suspend_answer = PsciError.DENIED
    xen.run_line(line, "PM: suspend aborted: -3 DENIED")
    xen.run(lambda: bool(xen.statuses[1:]))
    assert xen.statuses == [0, 1]
    calls = [call for call in xen.calls if call[0] in SUSPENDS]
    assert len(calls) == 1
    return xen, calls[0]


def test_linux_calls_with_its_resume_entry_and_its_context_id() -> None:
    """By SMC64, with an entry that is aligned."""
    _, (function, entry, context_id, _) = suspend_call("echo mem > /sys/power/state")

    assert (function, context_id) == (Psci.SYSTEM_SUSPEND, 0xC0FFEE)
    assert entry == guest_image("linux").address("linux_cpu_resume")
    assert not entry & THUMB


def test_an_entry_may_have_bit_0_set() -> None:
    """Which a 64-bit domain is refused for."""
    _, (_, entry, _, _) = suspend_call("suspend-test thumb-entry")

    assert entry & THUMB


def test_an_entry_may_lie_outside_ram() -> None:
    """Nobody looks; a guest that is started there halts."""
    xen = booted()
    xen.type("suspend-test nowhere")
    xen.run(lambda: xen.vcpus[0].parked)
    entry = xen.calls[-1][1]
    xen.resume_at_entry(entry, 0xC0FFEE)
    xen.run(lambda: bool(xen.traced(GuestWork)) and not xen.traced(GuestWork)[-1].intact)

    assert xen.traced(GuestStarted)[-1].entry == entry
    assert xen.traced(GuestWork)[-1].detail == f"halted: no code at {entry:#x}"


def test_other_vcpus_may_be_left_on() -> None:
    """No CPU_OFF comes before the call, and nothing has to be brought back."""
    xen, _ = suspend_call("suspend-test vcpu-on")

    assert Psci.CPU_OFF not in [call[0] for call in xen.calls]
    assert [vcpu.down for vcpu in xen.vcpus] == [False, False, False]


def test_the_32_bit_call_may_come_with_junk_above_its_arguments() -> None:
    """A 64-bit register has room for it; SMCCC says that it does not count."""
    _, (function, entry, context_id, _) = suspend_call("suspend-test junk32")

    junk = 0xDEAD << 32
    assert function == Psci.SYSTEM_SUSPEND_32
    assert entry == guest_image("linux").address("linux_cpu_resume") | junk
    assert context_id == 0xC0FFEE | junk


@pytest.mark.parametrize("vcpu", [1, 2])
def test_any_vcpu_may_be_the_last(vcpu: int) -> None:
    """The others go down for it, vCPU 0 among them."""
    xen = booted()
    xen.suspend_answer = PsciError.DENIED
    xen.run_line(f"suspend-test vcpu {vcpu}", "PM: suspend aborted: -3 DENIED")
    off = {call[0]: call for call in xen.calls}
    assert Psci.SYSTEM_SUSPEND in off
    assert sum(call[0] == Psci.CPU_OFF for call in xen.calls) == 2

    xen.run(lambda: "PM: suspend exit" in xen.lines)
    assert not [work for work in xen.traced(GuestWork) if not work.intact]
    assert not any(vcpu.down for vcpu in xen.vcpus)


@pytest.mark.parametrize("words", ["", "loudly", "vcpu", "vcpu 0", "vcpu 9", "vcpu x"])
def test_what_is_no_way_to_suspend_is_refused(words: str) -> None:
    """Without a call."""
    xen = booted()
    xen.run_line(f"suspend-test {words}", "suspend-test: ")
    xen.run(lambda: bool(xen.statuses[1:]))

    assert xen.statuses == [0, 1]
    assert not [call for call in xen.calls if call[0] in SUSPENDS]


@pytest.mark.parametrize(
    ("answer", "states"), [(PsciError.DENIED, "freeze mem"), (PsciError.NOT_SUPPORTED, "freeze")]
)
def test_sys_power_state_says_what_psci_features_says(answer: int, states: str) -> None:
    """`mem` is there if SYSTEM_SUSPEND is."""
    xen = booted()
    xen.suspend_answer = answer
    xen.run_line("cat /sys/power/state", states)

    assert xen.lines[-1] == states
    assert xen.calls[-1][:2] == (Psci.FEATURES, Psci.SYSTEM_SUSPEND)
    xen.run_line("cat /etc/motd", "cat: /etc/motd: No such file or directory")


def test_affinity_info_is_asked_until_every_vcpu_is_off() -> None:
    """The call comes only after that."""
    xen, _ = suspend_call("echo mem > /sys/power/state")
    functions = [call[0] for call in xen.calls]
    asked = functions[: functions.index(Psci.SYSTEM_SUSPEND)]

    assert asked.count(Psci.CPU_OFF) == 2
    assert asked[-1] == Psci.AFFINITY_INFO
    assert xen.calls[len(asked) - 1][1] == 2


def test_a_guest_may_suspend_by_hypercall() -> None:
    """With every vCPU on; it goes on behind the call."""
    xen = booted()
    xen.run_line("suspend-test hypercall", "xen: resumed: 0")
    xen.run(lambda: bool(xen.statuses[1:]))

    assert xen.lines[-2:] == ["xen: suspending", "xen: resumed: 0"]
    assert xen.hypercalls == [
        (Hypercall.SCHED_OP, SchedOp.SHUTDOWN, (ShutdownReason.SUSPEND, 0, 0))
    ]
    assert xen.statuses == [0, 0]
    assert Psci.CPU_OFF not in [call[0] for call in xen.calls]


def test_a_vcpu_that_never_gets_to_go_off_is_not_started() -> None:
    """The test asks without a pause, and on this bench nobody else runs meanwhile."""
    xen = booted()
    before = len(xen.calls)
    xen.run_line("smp-test 2", "smp-test: CPU1 stays on")

    calls = {call[0] for call in xen.calls[before:]}
    assert Psci.AFFINITY_INFO in calls
    assert Psci.CPU_ON not in calls


@pytest.mark.parametrize("words", ["", "often", "1 2"])
def test_what_is_no_number_of_times_is_refused(words: str) -> None:
    """Without a call."""
    xen = booted()
    before = len(xen.calls)
    xen.run_line(f"smp-test {words}", "smp-test: usage")

    assert len(xen.calls) == before
