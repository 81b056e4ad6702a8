"""A command at a guest's shell: where its answer begins and ends, and what is wrong with it."""

import pytest

from proto.scenario import XlCommand
from services.operator.shell import Answer, answer_to, complaint, silence


@pytest.mark.parametrize(
    ("lines", "expected"),
    [
        ([], None),
        (["xl list"], None),
        (["xl list", "Name"], None),
        (["xl list", "dom1 [0]#"], None),
        (["xl list", "x dom0 [0]#"], None),
        (["dom0 [0]#"], None),
        (["xl list", "dom0 [0]#"], Answer(0, ())),
        (["xl list", "Name", "Domain-0", "dom0 [3]#", "more"], Answer(3, ("Name", "Domain-0"))),
        (["PM: suspend exit", "dom0 [1]#", "xl list", "dom0 [0]#"], Answer(0, ())),
        (["xl list", "dom0 [0]#", "xl list", "dom0 [1]#"], Answer(0, ())),
    ],
)
def test_an_answer_stands_between_echo_and_prompt(
    lines: list[str], expected: Answer | None
) -> None:
    """Whatever a command before it has left; only the domain's own prompt counts."""
    assert answer_to("xl list", 0, lines) == expected


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({}, ""),
        ({"status": 1}, ""),
        ({"status": 0}, "ended with status 1, expected 0; it said 'no such domain'"),
        ({"any_of": ("such",)}, ""),
        ({"any_of": ("fine", "ok")}, "did not print 'fine' or 'ok'; it said 'no such domain'"),
    ],
)
def test_a_step_may_demand_status_and_output(fields: dict[str, object], expected: str) -> None:
    """What it does not name may be anything."""
    xl = XlCommand(command="pause 7", **fields)  # type: ignore[arg-type]  # named by the test
    wrong = complaint(xl, Answer(1, ("no such domain",)))

    assert wrong.endswith(expected)
    assert bool(wrong) == bool(expected)


@pytest.mark.parametrize(
    ("power", "expected"),
    [
        ("sleeping", "the host is asleep; wake it with `torpor wake rtc`"),
        ("waking", "the host is asleep"),
        ("off", "switched off"),
        ("on", "paused, frozen or asleep; last lines: 'bye'"),
        ("", "last lines: 'bye'"),
    ],
)
def test_silence_is_explained_by_what_can_be_seen(power: str, expected: str) -> None:
    """The LED first, then the console."""
    assert expected in silence(2, power, ["bye"])
