"""`torpor check JOURNAL OTHER`: I12 on the command line."""

import pytest
from rich.console import Console

from bus.journal import Header, Journal
from deploy.cli.check import compare
from deploy.loading import resolve
from proto.ids import Incarnation, NodeId
from proto.traces import GuestStarted, TraceBody, VpsciResult
from proto.turn import Start, Trace, Turn

SYSTEM_SUSPEND = 0xC400000E
ASLEEP = VpsciResult(1, 0, SYSTEM_SUSPEND, 0)
AWAKE = GuestStarted(1, 0, 0x4000_0000, (0,) * 31, 0x3C5, 0)


def journal(*events: TraceBody) -> Journal:
    """One turn of a board with three domains."""
    board = resolve("baseline")
    traces = tuple(Trace(event) for event in events)
    turn = Turn(NodeId("pe0"), Incarnation(1), 0, Start(), 0, 0, traces)
    header = Header(world="sim", seed=0, composition=board.composition, board=board)
    return Journal(header, [turn], torn=False)


@pytest.mark.parametrize(
    ("other", "code", "said"),
    [
        ((ASLEEP, AWAKE), 0, ["I12: pass: Whether Xen sleeps or not"]),
        (
            (ASLEEP,),
            1,
            ["I12: domain 1: started is 1 in one and 0 in other", "I12: violated: Whether Xen"],
        ),
    ],
)
def test_two_journals_are_compared(
    other: tuple[TraceBody, ...], code: int, said: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Each difference is a line, and the last one is the verdict."""
    console = Console(stderr=True, width=200)

    assert compare(journal(ASLEEP, AWAKE), journal(*other), console) == code

    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == len(said)
    assert all(line.startswith(start) for line, start in zip(lines, said, strict=True))
