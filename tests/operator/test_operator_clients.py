"""Clients of the operator: steps beside the scenario, consoles, and the end of an open board."""

import pytest
from operator_bench import Bench

from proto.messages import (
    AwaitSteps,
    Body,
    EndScenario,
    Operate,
    OperateResult,
    PowerLed,
    RaiseLine,
    ReadConsole,
    Reply,
    SerialInput,
)
from proto.node import ProtocolError
from proto.scenario import ExpectLine, Repeat, Step, TypeLine, Wake, XlCommand
from proto.traces import ClientStep, ScenarioEnded
from proto.units import MS

ANN, BOB = "client1", "client2"
LIST = XlCommand(command="list", within_ms=100)


@pytest.fixture
def bench() -> Bench:
    """An open board without steps."""
    return Bench(is_open=True)


def xl(tx: int = 0, command: XlCommand = LIST) -> Operate:
    """A client's xl command."""
    return Operate(tx, Step(xl=command))


def run_in_shell(bench: Bench, line: str, *output: str, status: int = 0) -> None:
    """Domain 0's shell takes a line and answers."""
    for printed in (line, *output, f"dom0 [{status}]#"):
        bench.print("tty0", printed)


def test_an_open_board_does_not_end_with_its_steps() -> None:
    """It ends when a client says so."""
    bench = Bench(Step(wait_ms=1), is_open=True)
    bench.fire("step")
    assert bench.ended == []
    bench.ask(ANN, EndScenario(0))

    assert bench.ended == [ScenarioEnded("done")]
    assert bench.answers(ANN) == []


def test_steps_are_not_cut_short() -> None:
    """Whoever wants the end before it is told so."""
    bench = Bench(Step(wait_ms=1), is_open=True)
    bench.ask(ANN, EndScenario(4))

    (answer,) = bench.answers(ANN)
    assert (answer.tx, answer.refused, bench.ended) == (4, True, [])


def test_a_failed_step_ends_an_open_board_too() -> None:
    """It did not come up."""
    bench = Bench(Step(expect=ExpectLine(any_of=("up",), domain=1)), is_open=True)
    bench.ask(ANN, AwaitSteps(0))
    bench.fire("step")

    (ended,) = bench.ended
    assert isinstance(ended, ScenarioEnded)
    assert ended.outcome == "failed"
    assert bench.answers(ANN) == []


def test_whoever_waits_for_the_steps_is_told(bench: Bench) -> None:
    """At once if they are carried out, else when they are."""
    bench.ask(ANN, AwaitSteps(1))
    assert bench.answers(ANN) == [OperateResult(1, True, power="on")]
    slow = Bench(Step(wait_ms=1), is_open=True)
    slow.ask(ANN, AwaitSteps(1))
    slow.ask(BOB, AwaitSteps(1))
    assert slow.answers(ANN) == []
    slow.fire("step")

    assert slow.answers(ANN) == slow.answers(BOB) == [OperateResult(1, True, power="on")]


def test_a_command_is_typed_and_answered_by_its_prompt(bench: Bench) -> None:
    """Lines, exit status, and a trace of who wanted it."""
    bench.ask(ANN, xl(tx=7))
    assert bench.sent == [("tty0", SerialInput("xl list"))]
    assert bench.traces == [ClientStep(ANN, "dom0: xl list")]
    run_in_shell(bench, "xl list", "Name", status=3)

    assert bench.answers(ANN) == [OperateResult(7, True, ("Name",), 3, "", "on")]
    assert bench.timers == {}


def test_two_commands_at_one_console_wait_for_each_other(bench: Bench) -> None:
    """A console has one keyboard; the second is typed when the first has its prompt."""
    bench.ask(ANN, xl(command=XlCommand(command="info")))
    bench.ask(BOB, xl())
    assert bench.sent == [("tty0", SerialInput("xl info"))]
    run_in_shell(bench, "xl info", "nr_cpus")
    assert bench.sent[-1] == ("tty0", SerialInput("xl list"))
    run_in_shell(bench, "xl list", "Name")

    assert [answer.lines for answer in bench.answers(ANN)] == [("nr_cpus",)]
    assert [answer.lines for answer in bench.answers(BOB)] == [("Name",)]


def test_commands_at_two_consoles_do_not_wait(bench: Bench) -> None:
    """Each domain has its own."""
    bench.ask(ANN, xl())
    bench.ask(BOB, xl(command=XlCommand(command="list", from_domain=1)))

    assert [dst for dst, _ in bench.sent] == ["tty0", "tty1"]


def test_a_silent_domain_gives_its_keyboard_back(bench: Bench) -> None:
    """The client hears why, and what had been printed; the next one may type."""
    bench.ask(ANN, xl())
    bench.ask(BOB, xl())
    bench.print("tty0", "xl list")
    bench.print("tty0", "Name")
    bench.fire(f"{ANN}.0")

    (answer,) = bench.answers(ANN)
    assert (answer.ok, answer.status, answer.refused) == (False, -1, False)
    assert "dom0 does not answer" in answer.reason
    assert answer.lines == ("xl list", "Name")
    assert [body for _, body in bench.sent].count(SerialInput("xl list")) == 2


def test_nothing_is_typed_to_a_board_that_sleeps(bench: Bench) -> None:
    """A key would wake it, which is not what was asked for."""
    bench.receive("scp", PowerLed("sleeping"))
    bench.ask(ANN, xl())

    (answer,) = bench.answers(ANN)
    assert "the host is asleep; wake it with `torpor wake rtc`" in answer.reason
    assert answer.power == "sleeping"
    assert bench.sent == [(ANN, answer)]


def test_waking_is_told_by_the_led(bench: Bench) -> None:
    """Pressed, and answered when the board is on."""
    bench.receive("scp", PowerLed("sleeping"))
    bench.ask(ANN, Operate(0, Step(wake="rtc")))
    assert bench.sent == [("rtc", RaiseLine())]
    bench.receive("scp", PowerLed("waking"))
    assert bench.answers(ANN) == []
    bench.receive("scp", PowerLed("on"))

    (answer,) = bench.answers(ANN)
    assert answer.lines == (
        "raised the line of rtc (INTID 34)",
        "power LED: waking",
        "power LED: on",
        "PE0 woke, power LED on",
    )


def test_waking_who_is_awake_says_so(bench: Bench) -> None:
    """The line is raised all the same."""
    bench.ask(ANN, Operate(0, Step(wake=41)))

    assert bench.sent[0] == ("tty1", RaiseLine())
    assert bench.answers(ANN)[0].lines[-1] == "the board is awake, power LED on"


def test_a_board_that_is_off_is_not_woken(bench: Bench) -> None:
    """No button of a device switches it on again."""
    bench.receive("scp", PowerLed("off"))
    bench.ask(ANN, Operate(0, Step(wake="rtc")))

    (answer,) = bench.answers(ANN)
    assert "switched off" in answer.reason
    assert bench.sent == [(ANN, answer)]
    assert bench.timers == {}


def test_a_source_that_wakes_nobody_is_missed(bench: Bench) -> None:
    """Within its own limit."""
    bench.receive("scp", PowerLed("sleeping"))
    bench.ask(ANN, Operate(0, Step(wake=Wake(source="uart", within_ms=5))))
    assert bench.timers == {f"{ANN}.0": bench.now + 5 * MS}
    bench.fire(f"{ANN}.0")

    (answer,) = bench.answers(ANN)
    assert not answer.ok
    assert answer.reason == (
        "uart did not wake the board within 5 ms; the power LED shows sleeping"
    )


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (
            Operate(0, Step(irq=35)),
            "nothing on this board drives 35; there are uart (33), rtc",
        ),
        (Operate(0, Step(irq="toaster")), "drives toaster"),
        (Operate(0, Step(wake="tty9")), "drives tty9"),
        (Operate(0, Step(wake=Wake(source="rtc", within_ms=-1))), "no time of a day"),
        (Operate(0, Step(wait_ms=1 << 60)), "no time of a day"),
        (Operate(0, Step(alarm_ms=-5)), "no time of a day"),
        (Operate(0, Step(type_line=TypeLine(domain=7, line="x"))), "no domain 7; there are 0, 1"),
        (xl(command=XlCommand(command="list", from_domain=9)), "no domain 9"),
        (Operate(0, Step(repeat=Repeat(times=2, steps=()))), "one step at a time"),
        (ReadConsole(0, 5, 0), "no domain 5"),
        (ReadConsole(0, 0, 0, -1), "no time of a day"),
    ],
)
def test_what_cannot_be_done_is_refused_at_once(bench: Bench, body: Body, reason: str) -> None:
    """Nothing is sent to the board."""
    bench.ask(ANN, body)

    (answer,) = bench.answers(ANN)
    assert (answer.ok, answer.refused) == (False, True)
    assert reason in answer.reason
    assert len(bench.sent) == 1
    assert bench.timers == {}


def test_a_transaction_is_used_once_at_a_time(bench: Bench) -> None:
    """A client that asks twice under one number is refused the second time."""
    bench.ask(ANN, xl(tx=1))
    bench.ask(ANN, xl(tx=1))
    bench.ask(BOB, xl(tx=1))

    (answer,) = bench.answers(ANN)
    assert answer.refused
    assert bench.answers(BOB) == []


def test_consoles_are_read_from_a_line_on_or_from_the_end(bench: Bench) -> None:
    """Lines are numbered from 0."""
    for number in range(4):
        bench.print("tty1", f"line {number}")
    bench.ask(ANN, ReadConsole(0, 1, 2))
    bench.ask(ANN, ReadConsole(1, 1, -1))
    bench.ask(ANN, ReadConsole(2, -1, -9))

    assert bench.answers(ANN) == [
        OperateResult(0, True, ("line 2", "line 3"), power="on", next_line=4),
        OperateResult(1, True, ("line 3",), power="on", next_line=4),
        OperateResult(2, True, (), power="on", next_line=0),
    ]


def test_a_reader_waits_for_a_line_the_led_or_its_time(bench: Bench) -> None:
    """Whatever comes first ends its waiting."""
    for tx in range(3):
        bench.ask(ANN, ReadConsole(tx, 0, tx, 10))
    bench.print("tty0", "first")
    assert [answer.tx for answer in bench.answers(ANN)] == [0]
    bench.fire(f"{ANN}.1")
    assert [answer.tx for answer in bench.answers(ANN)] == [0, 1]
    bench.receive("scp", PowerLed("sleeping"))

    assert [(a.tx, a.power) for a in bench.answers(ANN)][-1] == (2, "sleeping")
    assert bench.timers == {}


def test_a_client_step_does_not_disturb_the_scenario() -> None:
    """Both wait for the same line, each with its own limit."""
    expect = ExpectLine(any_of=("ready",), domain=1)
    bench = Bench(Step(expect=expect))
    bench.ask(ANN, Operate(0, Step(expect=expect)))
    assert set(bench.timers) == {"step", f"{ANN}.0"}
    bench.print("tty1", "ready")

    assert bench.ended == [ScenarioEnded("done")]
    assert bench.answers(ANN)[0].lines == ("ready",)


@pytest.mark.parametrize("source", ["pe0", "dom1", "clients", "client"])
def test_only_clients_are_clients(bench: Bench, source: str) -> None:
    """A node of the board that asks is out of order; so is a client that answers."""
    with pytest.raises(ProtocolError, match="cannot take"):
        bench.receive(source, AwaitSteps(0))
    with pytest.raises(ProtocolError, match="cannot take"):
        bench.receive(ANN, Reply(0))


def test_an_xl_step_of_a_scenario_demands_its_status() -> None:
    """Like an expectation: met, or the reason of the failure."""
    step = Step(xl=XlCommand(command="pause 1", status=0))
    good, bad, asleep = Bench(step), Bench(step), Bench(Step(wait_ms=1), step)
    run_in_shell(good, "xl pause 1")
    run_in_shell(bad, "xl pause 1", "no", status=1)
    asleep.receive("scp", PowerLed("sleeping"))
    asleep.fire("step")

    assert good.ended == [ScenarioEnded("done")]
    assert bad.ended == [
        ScenarioEnded(
            "failed", "step 0: `xl pause 1` on dom0 ended with status 1, expected 0; it said 'no'"
        )
    ]
    (ended,) = asleep.ended
    assert isinstance(ended, ScenarioEnded)
    assert ended.reason.startswith("step 1: dom0 does not answer: the host is asleep")
