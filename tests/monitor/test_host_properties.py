"""I1, I2, I4, I6, I7 on hand-made journals."""

import pytest
from hand_made import SYSTEM_SUSPEND, Script, texts

from proto.gic import GICC, GICD
from proto.ids import GICD_NODE, NodeId
from proto.messages import (
    BlockPowered,
    ExitReason,
    RegWrite,
    Reply,
    VcpuExit,
    VcpuRun,
)
from proto.platform import GICC_BASE, GICD_BASE
from proto.traces import (
    AffinityState,
    CpuMissing,
    IntState,
    Online,
    PauseCount,
    Phase,
    SmcIssued,
    SystemState,
    SystemSuspendDecision,
    Unpredictable,
)
from proto.turn import Received, Send, Trace

HOST = ("I1", "I2", "I4", "I6", "I7")


@pytest.fixture
def script() -> Script:
    """A booted board."""
    booted = Script()
    booted.boot()
    return booted


def test_a_faultless_cycle_passes(script: Script) -> None:
    """Nothing is found where nothing is wrong."""
    script.cycle()
    script.end()
    verdict = script.judged()

    assert verdict.verdict == "pass"
    assert verdict.findings == ()
    assert {name: verdict.properties[name] for name in HOST} == dict.fromkeys(HOST, "pass")
    assert [attempt.outcome for attempt in verdict.attempts] == ["slept"]


def test_without_an_attempt_nothing_is_reached(script: Script) -> None:
    """A property that never applied does not pass."""
    script.end()

    assert {script.judged().properties[name] for name in HOST} == {"not reached"}


def test_a_journal_that_just_stops_is_inconclusive(script: Script) -> None:
    """What is missing might have been wrong."""
    script.cycle()
    verdict = script.judged()

    assert verdict.verdict == "inconclusive"
    assert {verdict.properties[name] for name in HOST} == {"inconclusive"}


# -- I1


def test_i1_accepting_with_a_core_on_is_a_violation(script: Script) -> None:
    """Judged by what firmware had published in that turn."""
    script.fall_asleep()
    script.trace("el3.pe1", AffinityState(1, "ON_PENDING"))
    position = script.decide()
    verdict = script.judged()

    assert texts(verdict, "I1") == [
        "el3.pe0 accepted SYSTEM_SUSPEND with CPU1 ON_PENDING in firmware"
    ]
    assert verdict.findings[0].positions == (position,)


def test_i1_names_the_dead_flag_race(script: Script) -> None:
    """DENIED although Xen regards the core as dead."""
    script.fall_asleep("S3")
    script.trace("pe1", Online(1, False))
    script.decide("DENIED", "ON", "ON")

    assert "dead-flag-before-cpu-off" in texts(script.judged(), "I1")[0]


def test_i1_denied_for_a_core_that_is_online_is_another_fault(script: Script) -> None:
    """Xen itself had not taken the core down."""
    script.fall_asleep("S3")
    script.decide("DENIED", "ON", "ON")
    (text,) = texts(script.judged(), "I1")

    assert "dead-flag" not in text
    assert "still online" in text


def test_i1_an_injected_refusal_saw_no_core(script: Script) -> None:
    """A refusal from outside says nothing of the cores."""
    script.fall_asleep()
    script.trace("el3.pe0", SystemSuspendDecision(0, "DENIED", ()))

    assert texts(script.judged(), "I1") == []


def test_i1_wants_cpu0_and_masked_irqs(script: Script) -> None:
    """Both are properties of the call, not of the answer."""
    script.fall_asleep()
    issued = script.trace("pe1", SmcIssued(SYSTEM_SUSPEND, (0, 0, 0), False))
    decided = script.trace("el3.pe1", SystemSuspendDecision(1, "SUSPEND", ("OFF", "ON")))
    verdict = script.judged()

    assert any("on CPU1, not on CPU0" in text for text in texts(verdict, "I1"))
    assert any("IRQs unmasked on CPU1" in text for text in texts(verdict, "I1"))
    assert (issued, decided) in [finding.positions for finding in verdict.findings]


# -- I2


def test_i2_entering_a_frozen_guest_is_a_violation(script: Script) -> None:
    """Between the end of S1 and the thaw."""
    script.fall_asleep()
    script.message("pe0", "dom1", VcpuRun(0, 1, ()))
    script.decide()
    script.sleep()
    script.wake_up()

    assert texts(script.judged(), "I2") == [
        "domain 1 vCPU 0 was entered although the domain is frozen"
    ]


def test_i2_a_guest_still_running_at_the_end_of_s1_is_a_violation(script: Script) -> None:
    """The freeze has to wait."""
    entered = script.message("pe1", "dom1", VcpuRun(1, 1, ()))
    script.fall_asleep()
    verdict = script.judged()

    assert texts(verdict, "I2") == ["domain 1 vCPU 1 was still executing when S1 ended"]
    assert entered in verdict.findings[0].positions


@pytest.mark.parametrize("entered", ["before", "between", "after", "never"])
def test_i2_counts_from_the_pause_of_each_domain(script: Script, entered: str) -> None:
    """S1 turns to the next domain when the pause of one is complete; the others may still run."""
    script.message("pe1", "dom1", VcpuRun(0, 1, ()))
    if entered == "before":
        script.message("pe1", "dom0", VcpuRun(0, 1, ()))
    script.trace("pe0", SystemState("suspend"))
    script.phase("S1", "begin")
    script.trace("pe0", PauseCount(0, 1))
    if entered == "between":
        script.message("pe1", "dom0", VcpuRun(0, 1, ()))
        script.send("dom0", "pe1", VcpuExit(0, 1, ExitReason.IRQ, (), ()))
    script.trace("pe0", PauseCount(1, 1))
    if entered == "after":
        script.message("pe1", "dom0", VcpuRun(0, 1, ()))
    script.send("dom1", "pe1", VcpuExit(0, 1, ExitReason.IRQ, (), ()))
    script.phase("S1", "end")
    script.end()

    assert (
        texts(script.judged(), "I2")
        == {
            "before": ["domain 0 vCPU 0 was still executing when S1 turned to domain 1"],
            "between": [],
            "after": ["domain 0 vCPU 0 was entered although the domain is frozen"],
            "never": [],
        }[entered]
    )


def test_i2_a_guest_that_left_before_is_fine(script: Script) -> None:
    """Exits count when the domain sends them."""
    script.message("pe1", "dom1", VcpuRun(1, 1, ()))
    script.send("dom1", "pe1", VcpuExit(1, 1, ExitReason.IRQ, (), ()))
    script.cycle()
    script.message("pe1", "dom1", VcpuRun(1, 2, ()))
    script.end()

    assert script.judged().properties["I2"] == "pass"


@pytest.mark.parametrize(("late", "verdict"), [(False, "pass"), (True, "violated")])
def test_i2_the_thaw_counts_when_memory_has_it(script: Script, late: bool, verdict: str) -> None:
    """Another PE may enter a guest before the trace of the thaw, but not before its store."""
    script.fall_asleep()
    script.trace("pe0", SystemState("resume"))
    script.phase("R8", "begin")
    if late:
        script.message("pe1", "dom1", VcpuRun(0, 5, ()))
    reply = script.send("dram", "pe0", Reply(1, 1))
    if not late:
        script.message("pe1", "dom1", VcpuRun(0, 5, ()))
    script.turn("pe0", Trace(PauseCount(1, 0)), answered=Received(reply))
    script.trace("pe0", PauseCount(0, 0), SystemState("active"))
    script.phase("R8", "end")
    script.end()

    assert script.judged().properties["I2"] == verdict


# -- I4


def write(script: Script, offset: int, value: int, src: str = "pe0", secure: bool = False) -> None:
    """A posted register write that arrives at once."""
    address = (GICC_BASE if offset >= 0x1_0000 else GICD_BASE) + (offset & 0xFFFF)
    script.message(src, GICD_NODE, RegWrite(0, address, value, posted=True, secure=secure))


def configure(script: Script, targets: int = 0x01, secure: bool = True) -> None:
    """SPI 34 in group 1, edge, prioritised, targeted and enabled; the interface open."""
    if secure:
        write(script, GICD.IGROUPR.word(34), 0xFFFFFFFF, "el3.pe0", secure=True)
    write(script, GICD.ICFGR.word(34), 0b10 << 4)
    write(script, GICD.IPRIORITYR.word(34), 0xA0 << 16)
    write(script, GICD.ITARGETSR.word(34), targets << 16)
    write(script, GICD.ISENABLER.word(34), 1 << 2)
    write(script, GICD.CTLR.offset, 1)
    write(script, 0x1_0000 + GICC.PMR.offset, 0xFF)
    write(script, 0x1_0000 + GICC.CTLR.offset, GICC.CTLR_ENABLE | GICC.CTLR_EOIMODE)


def lose_power(script: Script) -> None:
    """The GIC loses power, and all its state."""
    for on in (False, True):
        script.turn(GICD_NODE, Send(NodeId("scp"), BlockPowered(GICD_NODE, on)))


def resume_gic(script: Script) -> None:
    """From the wake to the end of R2, with whatever was written between."""
    script.phase("R2", "end")


def test_i4_a_restored_gic_passes(script: Script) -> None:
    """Everything written again, in any order, active bits included."""
    configure(script)
    script.trace(GICD_NODE, IntState(34, -1, False, True))
    script.fall_asleep()
    lose_power(script)
    script.phase("R2", "begin")
    configure(script)
    script.trace(GICD_NODE, IntState(34, -1, False, True))
    resume_gic(script)
    script.wake_up()
    script.end()

    assert script.judged().properties["I4"] == "pass"


@pytest.mark.parametrize(
    ("forgotten", "register"),
    [
        (GICD.ISENABLER.word(34), "GICD_ISENABLER"),
        (GICD.ICFGR.word(34), "GICD_ICFGR"),
        (GICD.IPRIORITYR.word(34), "GICD_IPRIORITYR"),
        (GICD.ITARGETSR.word(34), "GICD_ITARGETSR"),
    ],
)
def test_i4_names_what_was_not_restored(script: Script, forgotten: int, register: str) -> None:
    """Each row of the register table is compared."""
    configure(script)
    script.fall_asleep()
    write(script, forgotten if register != "GICD_ISENABLER" else GICD.ICENABLER.word(34), 4)
    resume_gic(script)

    assert any(text.startswith(register) for text in texts(script.judged(), "I4"))


def test_i4_a_dropped_active_bit_is_a_violation(script: Script) -> None:
    """Bug active-bit-dropped."""
    script.trace(GICD_NODE, IntState(41, -1, False, True))
    script.fall_asleep()
    lose_power(script)
    resume_gic(script)

    assert texts(script.judged(), "I4") == [
        "GICD_ISACTIVER is not as it was before S9: INTID 41: 0x1 before, 0x0 after"
    ]


def test_i4_writes_on_their_way_count_as_made(script: Script) -> None:
    """Both ends of the interval wait for what CPU0 had sent before them."""
    write(script, GICD.IGROUPR.word(34), 0xFFFFFFFF, "el3.pe0", secure=True)
    enable = RegWrite(0, GICD_BASE + GICD.ISENABLER.word(34), 4, posted=True)
    script.fall_asleep("S9")
    early = script.send("pe0", GICD_NODE, enable)
    script.phase("S9", "begin")
    script.deliver(GICD_NODE, early)
    script.phase("S9", "end")
    lose_power(script)
    write(script, GICD.IGROUPR.word(34), 0xFFFFFFFF, "el3.pe0", secure=True)
    late = script.send("pe0", GICD_NODE, enable)
    script.phase("R2", "end")
    script.deliver(GICD_NODE, late)
    script.end()
    verdict = script.judged()

    assert texts(verdict, "I4") == []
    assert verdict.properties["I4"] == "pass"


def test_i4_non_secure_writes_do_not_reach_group_0(script: Script) -> None:
    """Firmware that forgets the groups makes Xen's restore void."""
    configure(script)
    script.fall_asleep()
    lose_power(script)
    configure(script, secure=False)
    resume_gic(script)

    registers = {text.split()[0] for text in texts(script.judged(), "I4")}
    assert {"GICD_IGROUPR", "GICD_ISENABLER", "GICD_ITARGETSR"} <= registers


def test_i4_unpredictable_acts_are_violations(script: Script) -> None:
    """Changing the trigger of an enabled interrupt."""
    script.fall_asleep()
    script.trace(GICD_NODE, Unpredictable("ICFGR of INTID 41", "IHI 0048B, GICD_ICFGRn"))

    assert texts(script.judged(), "I4") == [
        "UNPREDICTABLE between S9 and R2: ICFGR of INTID 41 (IHI 0048B, GICD_ICFGRn)"
    ]


# -- I6 and I7


def test_i6_a_domain_that_was_not_thawed_is_a_violation(script: Script) -> None:
    """Its pause count shows it, and so does the frozen set."""
    script.fall_asleep()
    script.wake_up(thaw=False)
    found = texts(script.judged(), "I6")

    assert "domain 1: pause_count was 0 before S0 and is 1 after R8" in found
    assert "domain 1 was never thawed in R8" in found


def test_i6_a_console_left_synchronous_is_a_violation(script: Script) -> None:
    """Every path takes S4 back."""
    script.fall_asleep()
    script.wake_up(console=False)

    assert texts(script.judged(), "I6") == ["console sync depth was 0 before S0 and is 1 after R8"]


def test_i6_an_attempt_without_an_end_is_a_violation(script: Script) -> None:
    """A run that came to its end has to be active again."""
    script.fall_asleep()
    script.end()

    assert "never came back to active" in texts(script.judged(), "I6")[0]


def test_i7_a_cpu_missing_in_silence_is_a_violation(script: Script) -> None:
    """Unless Xen says so."""
    script.fall_asleep()
    script.wake_up(cpu1=False)

    assert texts(script.judged(), "I7") == [
        "CPU1 was online before S0, is not after R8, and Xen did not report it"
    ]


def test_i7_a_cpu_reported_missing_is_fine(script: Script) -> None:
    """The report is what the invariant asks for."""
    script.fall_asleep()
    script.trace("pe0", CpuMissing(1, -5))
    script.wake_up(cpu1=False)
    script.end()

    assert script.judged().properties["I7"] == "pass"


def test_i7_an_spi_for_offline_cpus_only_is_a_violation(script: Script) -> None:
    """Bug offlined-cpu-still-irq-target."""
    configure(script, targets=0x02)
    script.fall_asleep()
    script.trace("pe0", CpuMissing(1, -5))
    script.wake_up(cpu1=False)

    assert texts(script.judged(), "I7") == ["INTID 34 targets 0x02, of which no CPU is online"]


def test_phases_are_reported_and_cut_by_power(script: Script) -> None:
    """S13 does not end: power does."""
    script.cycle()
    script.trace("pe0", Phase("R9", "domain_resume", "begin"))
    script.end()
    phases = {phase.label: phase for phase in script.judged().phases}

    assert phases["S13"].end_ns is not None
    assert phases["R9"].end_ns is None
    assert phases["S3"].end_ns > phases["S3"].start_ns
