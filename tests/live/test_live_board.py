"""The whole board on real processes: the main job, ten cycles, kills in mid-suspend."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bus.journal import Record, read_journal
from bus.runfolder import RunFolder
from deploy.loading import resolve
from deploy.run_live import run_live
from deploy.supervisor import LiveOptions, LiveResult
from proto.traces import Phase
from proto.turn import Send, Trace, Turn

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

PROCESSES = {
    "interconnect",
    "firmware",
    "gicd",
    *(f"pcpu{cpu}" for cpu in range(4)),
    *(f"dom{domain}" for domain in range(3)),
    "devices",
    "operator",
    "monitor",
}

GROWTH_MAX_KIB = {"monitor": 4096}
"""Over seven cycles, 1024 for all others; the allocator's arenas come in steps of this size.

The monitor decodes the journal in whatever pieces it finds, so its peaks depend on the host.
"""

HELD_AT_S9 = """
name: held
profile: baseline
time_limit_ms: 60000
domains:
  - {id: 0, vcpus: 2, role: hardware}
  - {id: 1, vcpus: 2}
  - {id: 2, vcpus: 1}
steps:
  - expect: {domain: 0, any_of: ["dom0: up"], since: start}
  - type: {domain: 0, line: "echo mem > /sys/power/state"}
  - expect: {domain: 0, any_of: ["PM: suspend exit"], within_ms: 50000}
points:
  - {point: "before S9", hold: true}
"""


def torpor(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line as a user does."""
    command = [sys.executable, "-m", "deploy.cli.main", *arguments]
    environment = os.environ | {"TORPOR_RUNS": str(folder)}
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, check=False, env=environment
    )


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def test_the_main_job_on_real_processes(tmp_path: Path) -> None:
    """`torpor run seed --json` tells what happened; its journal is checked and replayed."""
    ran = torpor("run", "deploy/scenarios/seed.yaml", "--json", folder=tmp_path)
    report = json.loads(ran.stdout)

    assert ran.returncode == 0, ran.stderr
    assert report["world"] == "live"
    assert report["profile"] == "seed"
    assert report["verdict"] == "pass"
    assert all(finding["expected"] for finding in report["findings"])
    assert {"S1", "S3", "S13", "R7", "R8", "R9"} <= {phase["label"] for phase in report["phases"]}
    assert all(phase["start_ns"] <= phase["end_ns"] for phase in report["phases"])
    assert report["messages"] > 1000
    assert report["turns"] > 1000
    assert set(report["processes"]) == PROCESSES
    assert len(set(report["processes"].values())) == len(PROCESSES)
    assert not [pid for pid in report["processes"].values() if is_alive(pid)]
    assert len(report["composition"]) == 16

    checked = torpor("check", report["journal"], "--json", folder=tmp_path)
    assert checked.returncode == 0, checked.stderr
    assert json.loads(checked.stdout)["properties"] == report["properties"]
    command = shlex.split(report["replay"])
    replayed = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert replayed.returncode == 0, replayed.stderr


def test_over_tcp(tmp_path: Path) -> None:
    """The same over tcp."""
    ran = torpor("run", "guest-suspend", "--transport", "tcp", "--json", folder=tmp_path)

    assert ran.returncode == 0, ran.stderr
    assert json.loads(ran.stdout)["verdict"] == "pass"


class Watcher:
    """Looks at the processes at the end of each suspend cycle."""

    def __init__(self) -> None:
        self.pids: dict[str, int] = {}
        self.files: list[dict[str, int]] = []
        self.memory_kib: list[dict[str, int]] = []

    def started(self, pids: dict[str, int]) -> None:
        self.pids = pids

    def records(self, records: Sequence[Record]) -> None:
        for record in records:
            if isinstance(record, Turn) and any(
                isinstance(effect, Trace) and effect.event == Phase("R9", "domain_resume", "end")
                for effect in record.effects
            ):
                self.look()

    def look(self) -> None:
        assert [name for name, pid in self.pids.items() if not is_alive(pid)] == []
        self.files.append(
            {name: len(list(Path(f"/proc/{pid}/fd").iterdir())) for name, pid in self.pids.items()}
        )
        self.memory_kib.append({name: resident_kib(pid) for name, pid in self.pids.items()})


def resident_kib(pid: int) -> int:
    """Anonymous resident memory of a process: what it allocated, not what it mapped."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("RssAnon:")[2].split()[0])


def kept(samples: list[dict[str, int]], name: str) -> int:
    """How much more a process holds late in the run than early: what comes and goes does not count.

    The last sample is left out: the board may be closing already.
    """
    return min(sample[name] for sample in samples[-4:-1]) - max(
        sample[name] for sample in samples[:3]
    )


def test_ten_cycles_grow_nothing(tmp_path: Path) -> None:
    """Every process lives, files and memory settle after three cycles, and the journal replays."""
    board = resolve("ten-cycles")
    watcher = Watcher()
    with RunFolder(tmp_path / "run") as folder:
        # Slow board time: Xen's own limits must hold on a machine that runs other tests too.
        options = LiveOptions(time_scale=4.0)
        result = run_live(board, folder, options, watcher.records, watcher.started)

    assert result.outcome == "ended", result.reason
    assert len(watcher.files) == 10
    for name in PROCESSES:
        assert kept(watcher.files, name) <= 0, f"{name} opened files and kept them"
        growth_kib = kept(watcher.memory_kib, name)
        assert growth_kib < GROWTH_MAX_KIB.get(name, 1024), f"{name} grew by {growth_kib} KiB"
    replayed = torpor("replay", str(result.journal), folder=tmp_path)
    assert replayed.returncode == 0, replayed.stderr


class Killer:
    """Kills one process as soon as the board stands inside the suspend."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.pids: dict[str, int] = {}
        self.killed_at_s = 0.0

    def started(self, pids: dict[str, int]) -> None:
        self.pids = pids

    def records(self, records: Sequence[Record]) -> None:
        for record in records:
            if not isinstance(record, Turn) or self.killed_at_s:
                continue
            if any(
                isinstance(effect, Send) and getattr(effect.body, "point", "") == "before S9"
                for effect in record.effects
            ):
                os.kill(self.pids[self.name], signal.SIGKILL)
                self.killed_at_s = time.monotonic()


def run_and_kill(name: str, folder: Path) -> tuple[LiveResult, Killer, float]:
    scenario = folder / "held.yaml"
    scenario.write_text(HELD_AT_S9)
    killer = Killer(name)
    with RunFolder(folder / "run") as run:
        result = run_live(
            resolve(str(scenario)), run, LiveOptions(), killer.records, killer.started
        )
    return result, killer, time.monotonic() - killer.killed_at_s


@pytest.mark.parametrize(
    "name",
    [
        "interconnect",
        "firmware",
        "gicd",
        "pcpu0",
        "pcpu2",
        "dom1",
        "devices",
        "operator",
        "monitor",
    ],
)
def test_a_killed_process_ends_the_run(name: str, tmp_path: Path) -> None:
    """Within five seconds the run is over, says who died and where, and leaves nothing."""
    result, killer, seconds = run_and_kill(name, tmp_path)

    assert killer.killed_at_s > 0
    assert seconds < 5
    assert result.outcome == "died"
    assert result.died.startswith(name)
    assert "S7" in result.died
    assert [pid for pid in result.pids.values() if is_alive(pid)] == []
    journal = read_journal(result.journal)
    assert sum(isinstance(record, Turn) for record in journal.records) > 1000


def test_a_dead_process_is_exit_code_3(tmp_path: Path) -> None:
    """The command line says so in words and by its exit code."""
    scenario = tmp_path / "held.yaml"
    scenario.write_text(HELD_AT_S9)
    command = [sys.executable, "-m", "deploy.cli.main", "run", str(scenario)]
    environment = os.environ | {"TORPOR_RUNS": str(tmp_path)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as running:
        assert running.stderr is not None
        for line in running.stderr:
            if "local_irq_save end" in line:
                break
        state = json.loads(next(tmp_path.glob("*/state.json")).read_text())
        os.kill(state["pids"]["gicd"], signal.SIGKILL)
        rest = running.stderr.read()

    assert running.returncode == 3
    assert "gicd" in rest
    assert "Traceback" not in rest
