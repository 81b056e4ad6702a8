"""What live tests share: a run folder of their own, and toys that processes can import."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.runfolder import RunFolder


@pytest.fixture
def toys_on_path(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes find the module of the toys."""
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[RunFolder]:
    """A run folder of its own."""
    with RunFolder(tmp_path / "run") as run_folder:
        yield run_folder
