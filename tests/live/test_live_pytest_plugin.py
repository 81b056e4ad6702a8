"""The document's live example: the fixture `board`, on real processes."""

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

pytest_plugins = ("pytester",)
pytestmark = pytest.mark.live

ROOT = Path(__file__).resolve().parents[2]
_EXAMPLE = re.compile(r"```python\n# test_live_cycle\.py\n(.*?)```", re.DOTALL)


def test_the_documents_live_example_runs(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One run to the end, one board driven by hand; and one that is forgotten is taken down."""
    text = (ROOT / "docs" / "HOWTO_PYTEST.md").read_text(encoding="utf-8")
    [example] = _EXAMPLE.findall(text)
    forgotten = """
def test_it_is_forgotten(board):
    board.scenario("board", platform="dual")
    board.up()
    with open("where", "w") as file:
        file.write(str(board.folder))
"""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    pytester.makefile(".py", test_live_cycle=f"{example}\n{forgotten}")
    known = any(entry.name == "torpor" for entry in entry_points(group="pytest11"))
    loaded = () if known else ("-p", "deploy.pytest_plugin")
    result = pytester.runpytest_subprocess(*loaded, "-p", "no:cacheprovider")

    result.assert_outcomes(passed=3)
    from bus.runfolder import is_held

    folder = Path((pytester.path / "where").read_text(encoding="utf-8"))
    assert not is_held(folder / "run-1")
