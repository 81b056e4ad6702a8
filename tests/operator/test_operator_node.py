"""The operator: steps in order, expectations met and missed, armed points."""

import pytest
from operator_bench import Bench

from proto.ids import NodeId
from proto.messages import (
    PointReached,
    PointRelease,
    PowerLed,
    RaiseLine,
    Reply,
    RtcAlarm,
    SerialInput,
)
from proto.node import ProtocolError
from proto.scenario import (
    ExpectLine,
    ExpectPoint,
    ExpectPower,
    PointAction,
    Repeat,
    Step,
    TypeLine,
)
from proto.traces import ScenarioEnded, ScenarioStep
from proto.units import MS, US

DONE = ScenarioEnded("done")
PE1 = NodeId("pe1")


def expect(*texts: str, **kwargs: object) -> Step:
    """A step that expects one of these on domain 1."""
    return Step(expect=ExpectLine(any_of=texts, **{"domain": 1, **kwargs}))


def test_steps_are_carried_out_in_order() -> None:
    """Typing, pressing and setting the alarm take no time; each step is traced as it begins."""
    bench = Bench(
        Step(type_line=TypeLine(domain=1, line="work")), Step(irq="tty1"), Step(alarm_ms=30)
    )

    assert bench.sent == [
        ("tty1", SerialInput("work")),
        ("tty1", RaiseLine()),
        ("rtc", RtcAlarm(30 * MS)),
    ]
    assert bench.traces == [
        ScenarioStep(0, "type on dom1: work"),
        ScenarioStep(1, "irq tty1"),
        ScenarioStep(2, "alarm in 30 ms"),
        DONE,
    ]


def test_a_wait_takes_its_time() -> None:
    """The next step begins when board time has passed."""
    bench = Bench(Step(wait_ms=5), Step(irq="rtc"))
    assert bench.sent == []
    assert bench.timers == {"step": 1_000 + 5 * MS}

    bench.fire("step")

    assert bench.sent == [("rtc", RaiseLine())]
    assert bench.ended == [DONE]


def test_repetitions_are_written_out() -> None:
    """Each round is steps of its own."""
    bench = Bench(Step(repeat=Repeat(times=2, steps=(Step(wait_ms=1), Step(irq="rtc")))))
    bench.fire("step")
    bench.fire("step")

    assert [event.index for event in bench.traces if isinstance(event, ScenarioStep)] == [*range(4)]
    assert bench.ended == [DONE]


def test_an_expectation_is_met_by_any_text_on_the_right_console() -> None:
    """Other consoles and other lines do not count; the deadline is forgotten."""
    bench = Bench(expect("ready", "steady", within_ms=10))
    bench.print("tty0", "ready")
    bench.print("uart", "ready")
    bench.print("tty1", "not yet")
    assert bench.ended == []
    assert bench.timers == {"step": 1_000 + 10 * MS}

    bench.print("tty1", "all steady.")

    assert bench.ended == [DONE]
    assert bench.timers == {}


def test_without_a_domain_xen_s_console_is_meant() -> None:
    """Xen prints on the uart."""
    bench = Bench(expect("resumed", domain=None))
    bench.print("uart", "(XEN) resumed")

    assert bench.ended == [DONE]


def test_lines_before_the_step_count_only_if_asked_for() -> None:
    """`since: step` wants a new line, `since: start` takes an old one."""
    bench = Bench(Step(wait_ms=1), expect("up"), expect("up", since="start"))
    bench.print("tty1", "dom1: up")
    bench.fire("step")
    assert bench.ended == []
    assert "step" in bench.timers

    bench.print("tty1", "up again")

    assert bench.ended == [DONE]


def test_a_missed_expectation_fails_and_says_what_was_seen() -> None:
    """The reason names the texts and the last lines of that console; later steps are not begun."""
    bench = Bench(expect("PM: suspend exit", within_ms=10), Step(irq="rtc"))
    for number in range(5):
        bench.print("tty1", f"line {number}")
    bench.fire("step")

    assert bench.ended == [
        ScenarioEnded(
            "failed",
            "step 0: expected 'PM: suspend exit' on dom1 within 10 ms; "
            "last lines: 'line 2'; 'line 3'; 'line 4'",
        )
    ]
    assert bench.sent == []
    bench.print("tty1", "PM: suspend exit")
    assert len(bench.ended) == 1


def test_silence_is_reported_as_such() -> None:
    """A console that never printed anything is a finding of its own."""
    bench = Bench(expect("x", domain=None, within_ms=1))
    bench.fire("step")

    (ended,) = bench.ended
    assert isinstance(ended, ScenarioEnded)
    assert ended.reason.endswith("on Xen's console within 1 ms; last lines: nothing")


def test_an_unarmed_occurrence_goes_on_at_once() -> None:
    """Occurrences are counted by name; only the one that is meant is acted on."""
    action = PointAction(point="S9", occurrence=2, irq="tty0", return_code=-3)
    bench = Bench(Step(wait_ms=1), points=(action,))
    bench.receive("pe1", PointReached(7, "S9"))
    bench.receive("pe1", PointReached(8, "S8"))
    assert bench.sent == [(PE1, PointRelease(7)), (PE1, PointRelease(8))]

    bench.sent.clear()
    bench.receive("pe0", PointReached(9, "S9"))
    assert bench.sent == [("tty0", RaiseLine()), ("pe0", PointRelease(9, -3))]

    bench.sent.clear()
    bench.receive("pe0", PointReached(10, "S9"))
    assert bench.sent == [("pe0", PointRelease(10))]


def test_a_point_is_held_for_its_time_while_the_scenario_goes_on() -> None:
    """The interrupt comes at once, the release after `hold_us`."""
    action = PointAction(point="S9", irq="rtc", hold_us=50)
    bench = Bench(expect("x"), points=(action,))
    bench.receive("pe1", PointReached(7, "S9"))
    assert bench.sent == [("rtc", RaiseLine())]
    bench.print("tty1", "x")
    assert bench.ended == [DONE]

    timer = "point.pe1.7"
    assert bench.timers == {timer: 1_000 + 50 * US}
    bench.fire(timer)

    assert bench.sent[-1] == (PE1, PointRelease(7))


def test_a_point_held_for_good_is_never_released() -> None:
    """The node stands there until the end of the run."""
    bench = Bench(Step(wait_ms=1), points=(PointAction(point="S9", hold=True),))
    bench.receive("pe1", PointReached(7, "S9"))

    assert bench.sent == []
    assert list(bench.timers) == ["step"]


def test_several_actions_at_one_occurrence_all_count() -> None:
    """Two buttons can be pressed at the same point."""
    points = (PointAction(point="S9", irq="rtc"), PointAction(point="S9", irq="tty0", hold_us=5))
    bench = Bench(Step(wait_ms=1), points=points)
    bench.receive("pe1", PointReached(7, "S9"))

    assert bench.sent == [("rtc", RaiseLine()), ("tty0", RaiseLine())]
    bench.fire("point.pe1.7")
    assert bench.sent[-1] == (PE1, PointRelease(7))


def test_a_scenario_without_steps_is_done_at_once() -> None:
    """There is nothing to carry out."""
    assert Bench().ended == [DONE]


def test_what_an_operator_cannot_be_told_stops_the_run() -> None:
    """Misaddressed messages and unknown timers are errors."""
    bench = Bench(Step(wait_ms=1))
    bench.timers["other"] = 5

    with pytest.raises(ProtocolError, match="cannot take"):
        bench.receive("pe0", Reply(1))
    with pytest.raises(ProtocolError, match="no timer other"):
        bench.fire("other")


def test_a_power_state_is_waited_for() -> None:
    """The LED ends the step, also when it showed the state before."""
    bench = Bench(
        Step(power=ExpectPower(state="sleeping")),
        Step(irq="rtc"),
        Step(power=ExpectPower(state="on")),
    )
    assert bench.sent == []
    bench.receive("scp", PowerLed("sleeping"))
    assert bench.sent == [("rtc", RaiseLine())]
    bench.receive("scp", PowerLed("waking"))
    assert bench.ended == []
    bench.receive("scp", PowerLed("on"))
    assert bench.ended == [DONE]


def test_a_power_state_that_does_not_come_is_a_failure() -> None:
    """The reason says what was expected and what the LED shows."""
    bench = Bench(Step(power=ExpectPower(state="sleeping", within_ms=7)))
    bench.receive("scp", PowerLed("off"))
    bench.fire("step")

    assert bench.ended == [
        ScenarioEnded(
            "failed", "step 0: expected power sleeping within 7 ms; the power LED shows off"
        )
    ]


def test_a_point_can_be_waited_for_and_raise_a_line_later() -> None:
    """The step ends when the point is reached; the line rises its time after that."""
    point = PointAction(point="here", irq="tty1", irq_after_us=30)
    bench = Bench(Step(reached=ExpectPoint(point="here")), Step(wait_ms=1), points=(point,))
    bench.receive(PE1, PointReached(5, "here"))

    assert bench.sent == [(PE1, PointRelease(5, 0))]
    assert bench.timers == {"irq.here.1.0": bench.now + 30 * US, "step": bench.now + 1 * MS}
    bench.fire("irq.here.1.0")
    assert bench.sent[-1] == ("tty1", RaiseLine())
    bench.fire("step")
    assert bench.ended == [DONE]


def test_waiting_for_a_point_nobody_stops_at_is_refused() -> None:
    """A scenario that cannot succeed is not begun."""
    with pytest.raises(ValueError, match="nobody stops at 'nowhere'"):
        Bench(Step(reached=ExpectPoint(point="nowhere")))
