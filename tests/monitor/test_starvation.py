"""A deadline missed because the host starved the board is inconclusive, not a violation."""

import pytest
from hand_made import Script, board, texts

from proto.messages import SerialInput
from proto.units import MS


def missed_expectation(world: str, late_ns: int) -> Script:
    """A scenario that failed, with one message that was on its way for this long."""
    script = Script(world=world)
    script.boot()
    message = script.send("operator", "tty0", SerialInput("work"))
    script.now += late_ns
    script.deliver("tty0", message)
    script.end("failed", "step 3: expected 'intact'")
    return script


def test_a_missed_deadline_on_a_starved_live_board_is_inconclusive() -> None:
    """The verdict says by how much deliveries were late."""
    verdict = missed_expectation("live", 700 * MS).judged()

    assert verdict.verdict == "inconclusive"
    assert verdict.properties["scenario"] == "inconclusive"
    assert verdict.findings == ()
    assert [text for text in verdict.undecided if "late by 695 ms" in text]


@pytest.mark.parametrize(("world", "late_ns"), [("live", 4 * MS), ("sim", 700 * MS)])
def test_a_missed_deadline_is_a_violation_otherwise(world: str, late_ns: int) -> None:
    """On a healthy host, and in virtual time whatever the latencies are."""
    verdict = missed_expectation(world, late_ns).judged()

    assert verdict.verdict == "violated"
    assert texts(verdict, "scenario") == ["step 3: expected 'intact'"]


@pytest.mark.parametrize(("late_ns", "expected"), [(700 * MS, "inconclusive"), (0, "violated")])
def test_an_attempt_given_up_on_a_starved_board_proves_nothing(late_ns: int, expected: str) -> None:
    """Xen's own limits of 100 ms and 1 s are deadlines, too."""
    script = Script(board(outcomes=("slept",)), world="live")
    script.boot()
    message = script.send("operator", "tty0", SerialInput("work"))
    script.now += late_ns
    script.deliver("tty0", message)
    script.fall_asleep()
    script.wake_up()
    script.end()

    assert script.judged().properties["outcome"] == expected
