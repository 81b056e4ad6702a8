"""The shipped call vectors on real processes, and what becomes of a case whose process dies."""

import os
import signal
from pathlib import Path

import pytest

from bus.runfolder import RunFolder
from deploy.cli.psci import VECTORS
from deploy.composition import processes
from deploy.psci.board import board_for
from deploy.psci.parse import FileCase, read_cases, read_file
from deploy.psci.run import LiveRun, LiveSettings, Status, judge
from deploy.supervisor import LiveEvent, LiveOptions, Supervisor

pytestmark = [pytest.mark.live, pytest.mark.timeout(1200)]

WAITS = """
cases:
  - id: waits
    steps:
      - {wait_ms: 60000}
"""
SETTINGS = LiveSettings(jobs=3)


def test_every_shipped_case_passes_live(tmp_path: Path) -> None:
    """Each on a fresh board of processes, three boards at a time."""
    cases = [found for path in sorted(VECTORS.glob("*.yaml")) for found in read_file(path)]
    results = list(LiveRun(cases, tmp_path, 0, SETTINGS).results())

    assert len(results) == len(cases)
    bad = [result for result in results if result.status is not Status.PASSED]
    assert [(result.found.case.id, result.reason, str(result.journal)) for result in bad] == []


def test_a_case_whose_process_dies_says_nothing(tmp_path: Path) -> None:
    """Neither passed nor failed, and it names the process."""
    ((case, platform),) = read_cases(WAITS, "waits.yaml")
    found = FileCase(Path("waits.yaml"), case, platform)
    board = board_for(found, 0)

    def kill(event: LiveEvent) -> None:
        if event.kind == "started":
            os.kill(event.pids["gicd"], signal.SIGKILL)

    with RunFolder(tmp_path / "run") as folder:
        supervisor = Supervisor(board, folder, processes(board), LiveOptions(), kill)
        result = supervisor.run()
    verdict = judge(found, result.journal, result.died)

    assert verdict.status is Status.DIED
    assert "gicd: killed by SIGKILL" in verdict.reason
