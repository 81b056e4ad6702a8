"""The Linux-like guest on a fake Xen: boot, shell, suspend with every outcome, its own checks."""

import pytest
from domain_bench import FakeXen

from proto.el1 import SYSREGS
from proto.gic import GICD
from proto.ids import pe_node
from proto.messages import ExitReason, VcpuPut, VcpuState
from proto.platform import RTC_SPI, TTY_SPI
from proto.psci import Psci, PsciError
from proto.scenario import DomainSpec, Role
from proto.traces import GuestIrq, GuestReturned, GuestStarted, GuestWork
from proto.units import MS, S
from services.domain.programs.memory import Kernel, PerCpu, kernel, pattern_word, per_cpu
from services.domain.programs.memory import saved_register as saved

SUSPEND = "echo mem > /sys/power/state"
DOM0 = DomainSpec(id=0, role=Role.HARDWARE, vcpus=3)
DOM1 = DomainSpec(id=1, vcpus=2, context_id=0xC0FFEE)


def booted(spec: DomainSpec = DOM1) -> FakeXen:
    """A guest that has said that it is up."""
    xen = FakeXen(spec)
    xen.boot()
    return xen


def word(xen: FakeXen, address: int) -> int:
    """A word of guest RAM."""
    return xen.node._domain.ram.get(address, 0)


def poke(xen: FakeXen, address: int, value: int) -> None:
    """Damage a word of guest RAM."""
    xen.node._domain.ram[address] = value


def suspended(xen: FakeXen, line: str = SUSPEND) -> tuple[int, int]:
    """Type the command and run to SYSTEM_SUSPEND; gives its entry and context id."""
    xen.suspend_answer = None
    xen.type(line)
    xen.run(lambda: xen.vcpus[0].parked)
    function, entry, context_id, _ = xen.calls[-1]
    assert function == Psci.SYSTEM_SUSPEND
    return entry, context_id


def resumed(xen: FakeXen, x0: int | None = None) -> None:
    """Start a suspended guest at its resume entry and run until it is back."""
    entry, context_id = xen.calls[-1][1:3]
    count = xen.lines.count("PM: suspend exit")
    xen.resume_at_entry(entry, context_id if x0 is None else x0)
    xen.run(lambda: xen.lines.count("PM: suspend exit") > count)


def damaged(xen: FakeXen) -> list[str]:
    """What the guest found wrong."""
    return [event.detail for event in xen.traced(GuestWork) if not event.intact]


# -- boot


def test_boot_brings_up_every_vcpu_and_says_so() -> None:
    """CPU_ON for each secondary, the interrupts it needs, one line on the console."""
    xen = booted(DOM0)

    assert xen.lines == ["dom0: up, 3 vCPUs"]
    assert [(f, cpu, context) for f, cpu, _, context in xen.calls] == [
        (Psci.CPU_ON, 1, 1),
        (Psci.CPU_ON, 2, 2),
    ]
    enables = [(1 << TTY_SPI - 32) | (1 << RTC_SPI - 32), 0x8800_FFFF]
    assert xen.gicd_writes[:3] == [
        (GICD.CTLR.offset, 1),
        (GICD.ISENABLER.word(TTY_SPI), enables[0]),
        (GICD.ISENABLER.word(0), enables[1]),
    ]
    assert [event.vcpu for event in xen.traced(GuestStarted)] == [0, 1, 2]


def test_a_secondary_that_does_not_start_is_reported() -> None:
    """The guest goes on with the vCPUs it has."""
    xen = FakeXen(DOM1)
    xen.cpu_on_answer = PsciError.INTERNAL_FAILURE
    xen.boot()

    assert xen.lines == ["CPU1: failed to boot: -6 INTERNAL_FAILURE", "dom1: up, 1 vCPUs"]


def test_a_secondary_that_never_comes_online_is_given_up() -> None:
    """The wait is bounded."""
    xen = FakeXen(DOM1)
    xen.vcpus[1].parked = True
    xen.boot()

    assert xen.lines == ["CPU1: failed to come online", "dom1: up, 1 vCPUs"]


def test_the_workload_runs_one_round_a_tick_on_every_vcpu() -> None:
    """The tick is the guest's own virtual timer."""
    xen = booted()
    start = xen.now
    xen.run(lambda: xen.now >= start + 400 * MS)

    for vcpu in range(2):
        assert 98 <= word(xen, per_cpu(vcpu, PerCpu.ROUNDS)) <= 101
    assert word(xen, kernel(Kernel.NEXT_TICKET)) >= 196
    assert {event.intact for event in xen.traced(GuestWork)} == {True}
    assert {event.intid for event in xen.traced(GuestIrq)} == {27}


def test_the_workload_reports_nothing_before_its_first_round() -> None:
    """A verdict on no work at all would be no evidence."""
    xen = booted()
    xen.run_line("work", "work: 0 rounds")
    assert xen.traced(GuestWork) == []

    xen.run(lambda: bool(xen.traced(GuestWork)))

    assert xen.traced(GuestWork)[0].rounds == 1


def test_a_tick_costs_few_exits() -> None:
    """One interrupt and one WFI for each tick, and one exit for the timer."""
    xen = booted()
    start, exits = xen.now, len(xen.exits)
    xen.run(lambda: xen.now >= start + 400 * MS)

    assert len(xen.exits) - exits <= 2 * 2 * 101


# -- shell


def test_the_shell_echoes_and_answers() -> None:
    """Lines are echoed plainly; what is not a command is not found."""
    xen = booted(DOM0)
    xen.run_line("echo  hello   world", "hello world")
    xen.run_line("frobnicate --now", "not found")
    xen.run_line("work", "work: ")

    assert xen.lines[1:-1] == [
        "echo  hello   world",
        "hello world",
        "frobnicate --now",
        "sh: frobnicate: not found",
        "work",
    ]
    assert xen.lines[-1].endswith("rounds, intact")


def test_xen_hptool_is_a_hypercall() -> None:
    """HVC #0xEA1, x16 = 35 (sysctl), and a structure: operation, CPU and its action."""
    xen = booted(DOM0)
    xen.hypercalls.clear()
    xen.run_line("xen-hptool cpu-offline 3", "cpu 3 offline: 0")
    xen.run_line("xen-hptool cpu-online 3", "cpu 3 online: 0")
    xen.run_line("xen-hptool cpu-melt 3", "usage")

    assert xen.hypercalls == [(35, None, (14, 3, 1)), (35, None, (14, 3, 0))]


@pytest.mark.parametrize("line", ["xen-hptool cpu-offline 3", "rtcwake -m mem -s 1"])
def test_the_toolstack_and_the_clock_are_domain_0_s(line: str) -> None:
    """Other domains do not have these commands."""
    xen = booted()

    xen.run_line(line, f"sh: {line.split()[0]}: not found")

    assert xen.hypercalls == []
    assert xen.rtc_alarm is None


@pytest.mark.parametrize(
    "words", ["", "-m mem -s", "-m mem -s soon", "-m off -s 1", "-m mem -s -1"]
)
def test_rtcwake_wants_a_time(words: str) -> None:
    """Anything else prints the usage and does nothing."""
    xen = booted(DOM0)
    xen.run_line(f"rtcwake {words}", "rtcwake: usage")

    assert xen.rtc_alarm is None


def test_poweroff_calls_system_off() -> None:
    """The machine says goodbye first."""
    xen = booted()
    xen.run_line("poweroff", "reboot: Power down")
    xen.run(lambda: xen.vcpus[0].down)

    assert xen.calls[-1][0] == Psci.SYSTEM_OFF


def test_a_guest_runs_its_own_commands_after_boot() -> None:
    """`DomainSpec.commands` are its start-up file."""
    xen = FakeXen(DomainSpec(id=1, commands=("echo one", "echo two")))
    xen.run(lambda: "two" in xen.lines)

    assert xen.lines == ["dom1: up, 1 vCPUs", "echo one", "one", "echo two", "two"]


def test_more_input_than_the_buffer_holds_is_dropped() -> None:
    """An endless line is cut; the shell goes on."""
    xen = booted()
    xen.run_line("x" * 3_000, "not found")
    xen.run_line("echo alive", "alive")

    assert len(xen.lines[1]) == 1024


# -- suspend


@pytest.mark.parametrize(
    ("answer", "text"),
    [(PsciError.DENIED, "-3 DENIED"), (PsciError.SUCCESS, "0 SUCCESS"), (-9, "-9 INVALID_ADDRESS")],
)
def test_a_suspend_that_returns_in_place_is_undone(answer: int, text: str) -> None:
    """Secondaries went OFF before the call and are back after it; the workload goes on."""
    xen = booted(DOM0)
    xen.suspend_answer = answer
    xen.calls.clear()
    xen.run_line(SUSPEND, "PM: suspend exit")

    assert xen.lines[1:] == [
        SUSPEND,
        "PM: suspend entry (deep)",
        f"PM: suspend aborted: {text}",
        "PM: suspend exit",
    ]
    functions = [call[0] for call in xen.calls]
    at = functions.index(Psci.SYSTEM_SUSPEND)
    assert functions[:at].count(Psci.CPU_OFF) == 2
    assert functions[:at].count(Psci.AFFINITY_INFO) >= 2
    assert functions[at + 1 :] == [Psci.CPU_ON, Psci.CPU_ON]
    assert xen.traced(GuestReturned) == [GuestReturned(0, 0, answer & (1 << 64) - 1)]
    start = xen.now
    xen.run(lambda: xen.now > start + 100 * MS)
    assert damaged(xen) == []


def test_the_call_is_made_with_interrupts_masked_and_the_timer_off() -> None:
    """PSTATE.I is set, CNTV is disabled, the secondaries are OFF."""
    xen = booted()
    entry, context_id = suspended(xen)
    xen._put(0)
    state = xen.vcpus[0].state

    assert (state.pstate & 0x80, state.cntv_ctl) == (0x80, 0)
    assert xen.vcpus[1].down
    assert (entry % 4, context_id) == (0, 0xC0FFEE)
    assert xen.timers == {}


def test_a_resume_at_the_entry_goes_on_with_what_is_in_ram() -> None:
    """Fresh registers, a fresh program, secondaries up again, counters and console as before."""
    xen = booted()
    xen.run(lambda: xen.now > 200 * MS)
    entry, context_id = suspended(xen)
    rounds = word(xen, per_cpu(1, PerCpu.ROUNDS))
    xen.now += 10 * S
    resumed(xen)
    start = xen.now
    xen.run(lambda: xen.now > start + 100 * MS)

    assert xen.lines[-1] == "PM: suspend exit"
    started = xen.traced(GuestStarted)[-2:]
    assert [(event.vcpu, event.x[0]) for event in started] == [(0, context_id), (1, 1)]
    assert started[0].entry == entry
    assert word(xen, per_cpu(1, PerCpu.ROUNDS)) > rounds + 20
    assert xen.traced(GuestReturned) == []
    assert damaged(xen) == []
    xen.run_line("echo back", "back")


def test_suspend_can_be_repeated_with_both_outcomes() -> None:
    """Nothing is left behind that would disturb the next attempt."""
    xen = booted(DOM0)
    for _ in range(3):
        suspended(xen)
        resumed(xen)
        xen.suspend_answer = PsciError.DENIED
        xen.run_line(SUSPEND, "PM: suspend exit")

    assert damaged(xen) == []
    assert xen.lines.count("PM: suspend exit") == 6


def test_rtcwake_sets_the_alarm_and_its_interrupt_is_taken_after_the_resume() -> None:
    """The alarm lies the asked time ahead of the RTC's count; the IRQ is handled once."""
    xen = booted(DOM0)
    xen.now = 5 * S
    typed = xen.now
    suspended(xen, "rtcwake -m mem -s 2.5")
    assert xen.rtc_alarm is not None
    assert typed + 2.5 * S <= xen.rtc_alarm <= typed + 2.6 * S
    xen.now = xen.rtc_alarm
    xen.ring_rtc()
    resumed(xen)

    assert [event.intid for event in xen.traced(GuestIrq) if event.intid != 27].count(RTC_SPI) == 1
    assert xen.deactivated.count(RTC_SPI) == 1


def test_a_secondary_that_stays_on_aborts_the_suspend() -> None:
    """SYSTEM_SUSPEND is not called; everything is undone."""
    xen = booted()
    xen.vcpus[1].parked = True
    xen.run_line(SUSPEND, "PM: suspend exit")

    assert "CPU1: may not have shut down cleanly" in xen.lines
    assert "PM: suspend aborted: -16 EBUSY" in xen.lines
    assert Psci.SYSTEM_SUSPEND not in [call[0] for call in xen.calls]


def test_a_wrong_context_id_is_printed() -> None:
    """Registers are judged from the journal; the guest only says what it saw."""
    xen = booted()
    suspended(xen)
    resumed(xen, x0=7)

    assert "PM: resumed with x0 0x7, not 0xc0ffee" in xen.lines
    assert damaged(xen) == []


# -- what the workload notices


def test_damage_to_the_saved_context_is_noticed() -> None:
    """A word of the saved set that changed while the guest was suspended."""
    xen = booted()
    suspended(xen)
    poke(xen, saved("TCR_EL1"), 1)
    resumed(xen)

    assert damaged(xen)[0] == "the saved context changed while the guest was suspended"


def test_a_resume_without_a_suspend_is_noticed() -> None:
    """The resume entry entered a second time has no context to restore."""
    xen = booted()
    suspended(xen)
    poke(xen, kernel(Kernel.SUSPEND_MAGIC), 0)
    entry, context_id = xen.calls[-1][1:3]
    xen.resume_at_entry(entry, context_id)
    xen.run(lambda: bool(damaged(xen)))

    assert damaged(xen)[0] == "the resume entry was entered without a saved context"


def test_damage_to_a_pattern_page_is_noticed() -> None:
    """A flipped bit in RAM is reported by the vCPU that owns the page."""
    xen = booted()
    poke(xen, pattern_word(1, 3), word(xen, pattern_word(1, 3)) ^ 1)
    xen.run(lambda: bool(damaged(xen)))

    assert damaged(xen)[0] == "word 3 of the pattern page changed"
    xen.run_line("work", "NOT intact, 1 violations")


def test_damage_to_the_ticket_counter_is_noticed() -> None:
    """A ticket that is drawn twice does not follow what is in its slot."""
    xen = booted()
    xen.run(lambda: word(xen, kernel(Kernel.NEXT_TICKET)) > 70)
    poke(xen, kernel(Kernel.NEXT_TICKET), 68)
    xen.run(lambda: bool(damaged(xen)))

    assert damaged(xen)[0].startswith("ticket 68 follows")


def test_a_count_that_goes_back_is_noticed() -> None:
    """CNTVOFF restored wrongly makes virtual time jump."""
    xen = booted()
    poke(xen, per_cpu(0, PerCpu.LAST_COUNT), xen.now + 10 * S)
    xen.run(lambda: bool(damaged(xen)))

    assert damaged(xen)[0].startswith("CNTVCT went back")


def test_a_changed_register_is_noticed() -> None:
    """A context switch that mixes up EL1 registers is reported."""
    xen = booted()
    xen.run(lambda: xen.vcpus[0].blocked)
    xen._put(0)
    state = xen.vcpus[0].state
    sysregs = list(state.sysregs)
    sysregs[SYSREGS.index("TTBR0_EL1")] = 0
    xen.vcpus[0].state = type(state)(
        *(
            tuple(sysregs) if name == "sysregs" else getattr(state, name)
            for name in state.__struct_fields__
        )
    )
    xen.vcpus[0].blocked = False
    xen.inject(0, 27)
    xen.run(lambda: bool(damaged(xen)), limit_ns=1 * S)

    assert damaged(xen)[0].startswith("TTBR0_EL1 is 0x0")


# -- freezing


def test_kicks_at_every_await_change_nothing_the_guest_can_see() -> None:
    """A guest that is interrupted at each access and each computation prints the same."""
    outputs = []
    for kicks in (False, True):
        xen = FakeXen(DOM0)
        xen.kicks = kicks
        xen.boot()
        xen.suspend_answer = PsciError.DENIED
        xen.run_line(SUSPEND, "PM: suspend exit")
        suspended(xen)
        resumed(xen)
        xen.run_line("echo done", "done")
        outputs.append(xen.lines)
        assert damaged(xen) == []
        assert any(exit_.reason is ExitReason.IRQ for exit_ in xen.exits) == kicks

    assert outputs[0] == outputs[1]


def test_a_frozen_guest_stands_still() -> None:
    """Put back by Xen at any moment, it neither computes nor prints, and then goes on."""
    xen = booted()
    xen.run(lambda: xen.vcpus[0].blocked and xen.vcpus[1].blocked)
    for number in range(2):
        (answer,) = [
            body
            for body in xen.send(pe_node(number), VcpuPut(9, number, 0))
            if isinstance(body, VcpuState)
        ]
        xen.vcpus[number].state, xen.vcpus[number].loaded = answer.state, False
    xen._inbox.clear()
    rounds = [word(xen, per_cpu(vcpu, PerCpu.ROUNDS)) for vcpu in range(2)]

    assert xen.timers == {}

    xen.now += 5 * S
    for vcpu in xen.vcpus:
        vcpu.blocked, vcpu.timer_line = False, False
    start = xen.now
    xen.run(lambda: xen.now > start + 40 * MS)

    for vcpu, before in enumerate(rounds):
        # Missed ticks are not made up for.
        assert before + 8 <= word(xen, per_cpu(vcpu, PerCpu.ROUNDS)) <= before + 12
    assert damaged(xen) == []
