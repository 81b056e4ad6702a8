"""The verdict as a whole: run properties, expected findings, deaths, torn tails, interleavings."""

import pytest
from hand_made import CPU_OFF, Script, board, texts

from proto.scenario import Finding
from proto.traces import AffinityState, IntState, Online, PeHalted, SmcIssued
from services.monitor.properties import PROPERTIES
from services.monitor.verdict import judge

KNOWN = Finding(property="I1", contains="dead-flag-before-cpu-off", because="the flag comes first")


def booted(**scenario: object) -> Script:
    """A booted board."""
    script = Script(board(**scenario))  # type: ignore[arg-type] # fields of Scenario
    script.boot()
    return script


def denied(script: Script) -> None:
    """An attempt that fails by the dead-flag race."""
    script.fall_asleep("S3")
    script.trace("pe1", Online(1, False))
    script.decide("DENIED", "ON", "ON")
    script.trace("el3.pe1", AffinityState(1, "OFF"))
    script.wake_up()


def test_every_property_has_a_name_and_a_clause() -> None:
    """A report without a source convinces nobody."""
    assert len({kind.name for kind in PROPERTIES}) == len(PROPERTIES)
    assert all(len(kind.clause) > 20 for kind in PROPERTIES)


def test_a_panic_is_a_violation() -> None:
    """With the PE and its last words."""
    script = booted()
    script.trace("pe1", PeHalted("CPU1: BUG at cpu.c"))
    script.end()

    assert texts(script.judged(), "no_panic") == ["pe1 halted: CPU1: BUG at cpu.c"]


def test_a_failed_scenario_is_a_violation() -> None:
    """The operator's reason is the text."""
    script = booted()
    script.end("failed", "expected 'up' on dom1")

    assert texts(script.judged(), "scenario") == ["expected 'up' on dom1"]


@pytest.mark.parametrize("text", ["quiescent: nothing more", "time limit: no board time left"])
def test_a_board_that_stops_by_itself_is_a_violation(text: str) -> None:
    """In sim, where the host cannot starve anybody."""
    script = booted()
    script.hub("end", "hub", text)
    verdict = script.judged()

    assert verdict.verdict == "violated"
    assert verdict.properties["scenario"] == "violated"


def test_outcomes_that_the_scenario_does_not_list_are_violations() -> None:
    """Each attempt counts."""
    script = booted(outcomes=("slept",))
    denied(script)

    assert texts(script.judged(), "outcome") == ["attempt 1 was denied, expected slept"]


@pytest.mark.parametrize(
    ("decision", "outcome"),
    [("SUSPEND", "slept"), ("PENDING", "abandoned"), ("DENIED", "denied"), (None, "aborted")],
)
def test_the_outcome_follows_the_decision(decision: str | None, outcome: str) -> None:
    """No decision at all: a step before it failed."""
    script = booted()
    script.fall_asleep()
    if decision is not None:
        script.decide(decision)
    script.wake_up()

    assert [attempt.outcome for attempt in script.judged().attempts] == [outcome]


@pytest.mark.parametrize("kind", ["undeliverable", "undecodable", "stale"])
def test_a_faulty_message_is_a_violation(kind: str) -> None:
    """Also when the run went on."""
    script = booted()
    script.hub(kind, "pe0", "to nobody")
    script.end()

    assert script.judged().properties["bus"] == "violated"


def test_a_stranger_is_no_violation() -> None:
    """Refused and counted."""
    script = booted()
    script.hub("unauthorised", "stranger", "no hello")
    script.end()

    assert script.judged().verdict == "pass"


def test_a_queue_that_overflowed_is_inconclusive() -> None:
    """What was in it is not known."""
    script = booted()
    script.hub("overflow", "dom1", "16384 messages wait")
    script.end()

    assert script.judged().verdict == "inconclusive"


def test_a_known_finding_does_not_make_a_violation() -> None:
    """It is marked, with its reason, and the property stays violated."""
    script = Script(board(expected=(KNOWN,)))
    script.boot()
    denied(script)
    script.end()
    verdict = script.judged()

    assert verdict.verdict == "pass"
    assert verdict.properties["I1"] == "violated"
    assert [(finding.expected, finding.because) for finding in verdict.findings] == [
        (True, "the flag comes first")
    ]


def test_a_new_finding_stands_out_among_known_ones() -> None:
    """One that is not expected is enough."""
    script = Script(board(expected=(KNOWN,)))
    script.boot()
    denied(script)
    script.trace("pe1", PeHalted("BUG"))
    script.end()

    assert script.judged().verdict == "violated"


def test_a_torn_journal_never_passes() -> None:
    """Even if it holds the end of the scenario."""
    script = booted()
    script.cycle()
    script.end()

    assert script.judged(torn=True).verdict == "inconclusive"


def test_a_torn_journal_proves_what_it_holds() -> None:
    """A violation stays one."""
    script = booted()
    script.trace("pe1", PeHalted("BUG"))

    assert script.judged(torn=True).verdict == "violated"


def test_a_process_that_died_makes_the_run_inconclusive() -> None:
    """Its findings are still told."""
    script = booted()
    script.trace("pe1", PeHalted("BUG"))
    script.hub("peer_down", "dom1", "killed by signal 9")
    script.hub("end", "hub", "died: killed by signal 9")
    verdict = script.judged()

    assert verdict.verdict == "inconclusive"
    assert "dom1 went down" in verdict.trouble
    assert texts(verdict, "no_panic")


def test_a_process_that_goes_after_the_end_is_none_of_our_business() -> None:
    """Processes end when the run does."""
    script = booted()
    script.end()
    script.hub("peer_down", "dom1", "terminated")

    assert script.judged().verdict == "pass"


def test_the_caller_may_know_of_trouble() -> None:
    """Real time that ran out decides nothing, but takes no proof away."""
    script = booted()
    fine = judge(script.journal(), "timeout")
    script.trace("pe1", PeHalted("BUG"))

    assert fine.verdict == "inconclusive"
    assert judge(script.journal(), "timeout").verdict == "violated"
    assert judge(script.journal(), "crashed", healthy=False).verdict == "inconclusive"


def test_sometimes_tells_late_from_early_cpu_off() -> None:
    """Whether firmware published OFF before or after a step behind S3, even after the attempt."""
    early, late = booted(), booted()
    early.fall_asleep()
    late.fall_asleep("S3")
    late.trace("pe1", SmcIssued(CPU_OFF, (0, 0, 0), True))
    late.phases("S3", "S4")
    late.wake_up(cpu1=False)
    late.trace("el3.pe1", AffinityState(1, "OFF"))

    key = "cpu_off_completes_{}_later_step"
    assert early.judged().sometimes[key.format("before")]
    assert not early.judged().sometimes[key.format("after")]
    assert late.judged().sometimes[key.format("after")]


def test_sometimes_ignores_an_off_that_is_no_cpu_off() -> None:
    """A power-on that failed falls back to OFF."""
    script = booted()
    script.fall_asleep()
    script.trace("el3.pe1", AffinityState(1, "ON_PENDING"))
    script.trace("el3.pe1", AffinityState(1, "OFF"))

    assert not script.judged().sometimes["cpu_off_completes_after_later_step"]


@pytest.mark.parametrize(("until", "reached"), [("S0", False), ("S3", True), ("S13", False)])
def test_sometimes_sees_interrupts_of_the_window(until: str, reached: bool) -> None:
    """Pending between the freeze and the mask."""
    script = booted()
    script.fall_asleep(until)
    script.trace("gicd", IntState(41, -1, True, False))

    assert script.judged().sometimes["interrupt_between_freeze_and_mask"] is reached


def test_turns_and_messages_are_counted() -> None:
    """For the report."""
    script = Script()
    script.message("pe0", "dram", None)
    verdict = script.judged()

    assert (verdict.turns, verdict.messages) == (2, 1)
