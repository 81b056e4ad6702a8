"""The session in docs/TUTORIAL.md, typed at a live board."""

import re
from pathlib import Path

import pytest
from tutorial import DOCUMENT, Shell, Typed, fits, session

pytestmark = pytest.mark.live

SESSION = session(DOCUMENT.read_text(encoding="utf-8"))


@pytest.mark.timeout(300)
def test_the_session_prints_what_the_document_says(tmp_path: Path) -> None:
    """Command by command, in its order; the last one takes the board down."""
    shell = Shell(tmp_path)
    differences: list[tuple[Typed, list[str]]] = []
    for typed in SESSION:
        printed = shell.run(typed.command)
        if not fits(typed.output, printed):
            differences.append((typed, printed))

    assert differences == []
    assert "no board runs here" in shell.run("torpor status")[0]


def test_the_session_is_long_enough() -> None:
    """At least fifteen commands of those that are typed at a running board."""
    at_a_board = re.compile(r"torpor (?:xl|irq|wake) ")

    assert sum(at_a_board.match(typed.command) is not None for typed in SESSION) >= 15


@pytest.mark.parametrize(
    ("expected", "printed", "fit"),
    [
        (["a"], ["a"], True),
        (["a"], ["b"], False),
        (["a"], [], False),
        ([], ["a"], False),
        (["a", "...", "z"], ["a", "z"], True),
        (["a", "...", "z"], ["a", "b", "c", "z"], True),
        (["a", "...", "z"], ["a", "b", "c"], False),
        (["up 3.4 s"], ["up 17.0 s"], True),
        (["gicd 123  pcpu0 124"], ["gicd 9123  pcpu0 9124"], True),
        (["dom1  1  32  2  -b----  0.1"], ["dom1  1  32  2  r-----  0.4"], True),
        (["dom1  1  32  2  -b----  0.1"], ["dom1  1  32  2  ---ss-  0.1"], False),
        (["runs/20260101-000000-abcdefgh: x"], ["runs/20261122-221122-k_3j4k5l: x"], True),
    ],
)
def test_only_what_varies_may_differ(expected: list[str], printed: list[str], fit: bool) -> None:
    """Times, names of folders, process ids."""
    assert fits(expected, printed) is fit
