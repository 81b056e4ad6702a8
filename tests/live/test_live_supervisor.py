"""Whole live runs with toy nodes: every way to end, and nothing left behind."""

import json
import os
import select
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy_nodes import PE0, PE1, PROCESSES, ROUNDS, toy_board

from bus.frames import Hello
from bus.journal import HubEvent, Journal, read_journal
from bus.link import HostLink, Limits
from bus.runfolder import STATE, RunFolder
from deploy.supervisor import LiveEvent, LiveOptions, LiveResult, Supervisor
from proto.codec import encode
from proto.ids import DRAM, Incarnation
from proto.turn import Received, Turn

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("toys_on_path")]

TOYS = {"build": "toy_nodes:build_node", "code": "toy_nodes:code_hash"}


def run(folder: RunFolder, behaviour: str, **options: object) -> LiveResult:
    settings = LiveOptions(**TOYS, **options)  # type: ignore[arg-type]  # named by the test
    result = Supervisor(toy_board(behaviour), folder, PROCESSES, settings).run()
    assert_all_gone(result.pids)
    return result


def assert_all_gone(pids: dict[str, int]) -> None:
    for name, pid in pids.items():
        assert not Path(f"/proc/{pid}").exists(), f"{name} ({pid}) is still there"


def hub_events(journal: Journal, kind: str) -> list[HubEvent]:
    return [
        record for record in journal.records if isinstance(record, HubEvent) and record.kind == kind
    ]


@pytest.mark.parametrize("transport", ["ipc", "tcp"])
def test_a_scenario_ends(folder: RunFolder, transport: str) -> None:
    """Both transports: the scenario ends, the journal is whole, and every cause precedes."""
    result = run(folder, "pingpong", transport=transport)

    assert (result.outcome, result.reason) == ("ended", "done")
    assert set(result.pids) == set(PROCESSES)
    journal = read_journal(result.journal)
    assert not journal.torn
    assert journal.header.composition == toy_board("pingpong").composition
    assert {event.who for event in hub_events(journal, "peer_up")} == {"left", "right", "monitor"}
    assert len(hub_events(journal, "end")) == 1
    sent: set[tuple[str, int]] = set()
    for turn in journal.records:
        if isinstance(turn, Turn):
            if isinstance(turn.input, Received):
                assert (turn.input.message.src, turn.input.message.seq) in sent
            sends = sum(type(effect).__name__ == "Send" for effect in turn.effects)
            sent |= {(turn.node, turn.first_seq + index) for index in range(sends)}
    answered = [t for t in journal.records if isinstance(t, Turn) and t.node in (PE1, DRAM)]
    assert len(answered) >= 2 * ROUNDS


def test_a_view_is_told(folder: RunFolder) -> None:
    """A listener hears of the start, of growth and of the end, in this order."""
    events: list[LiveEvent] = []
    settings = LiveOptions(**TOYS)  # type: ignore[arg-type]  # named above
    Supervisor(toy_board("pingpong"), folder, PROCESSES, settings, events.append).run()

    kinds = [event.kind for event in events]
    assert kinds[0] == "started"
    assert kinds[-1] == "ended"
    assert set(kinds[1:-1]) <= {"growing"}
    assert json.loads((folder.path / STATE).read_text())["state"] == "ended"


@pytest.mark.parametrize(
    ("behaviour", "kind", "reason"),
    [
        ("protocol-error", "peer_down", "pe1: ProtocolError: half way is far enough"),
        ("hub-fault", "peer_down", "dram: ProtocolError: dram is on fire"),
        ("misaddressed", "undeliverable", "Load to nobody, which does not exist"),
        ("ill-typed", "undecodable", "Expected `int`, got `str`"),
    ],
)
def test_faults_of_nodes_stop_the_run(
    folder: RunFolder, behaviour: str, kind: str, reason: str
) -> None:
    """A node that raises, or sends what nobody can take, crashes the run with one line."""
    result = run(folder, behaviour)

    assert result.outcome == "crashed"
    assert reason in result.reason
    assert "\n" not in result.reason
    journal = read_journal(result.journal)
    assert len(hub_events(journal, kind)) == 1
    assert not journal.torn


def test_a_crash_leaves_its_traceback_in_the_log(folder: RunFolder) -> None:
    """The process's own log says where its node raised, with run, node and virtual time."""
    run(folder, "protocol-error")

    lines = [json.loads(line) for line in (folder.logs / "right.jsonl").read_text().splitlines()]
    crash = next(line for line in lines if line["event"] == "crashed")
    assert crash["node"] == "pe1"
    assert crash["seed"] == 7
    assert crash["virtual_time"] > 0
    assert "far enough" in crash["exception"]


def test_a_peer_that_does_not_read_overflows(folder: RunFolder) -> None:
    """Queues are bounded: the hub goes on until the bound, then says who does not read."""
    result = run(folder, "deaf", queue_limit=3000, queued_frames=10)

    assert result.outcome == "crashed"
    assert "more than 3000 messages wait" in result.reason
    assert [e.who for e in hub_events(read_journal(result.journal), "overflow")] == ["right"]


def test_other_code_is_refused(folder: RunFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A process whose code has another hash is not taken in, and says why."""
    monkeypatch.setenv("TOY_OTHER_CODE", "right")
    result = run(folder, "pingpong")

    assert result.outcome == "died"
    assert "its composition is" in result.reason
    assert result.died.startswith("right: the hub refuses right")


def test_time_limits_hold(folder: RunFolder) -> None:
    """A scenario that does not end is ended, and its journal is whole."""
    result = run(folder, "endless", time_limit_s=0.3)

    assert result.outcome == "timeout"
    journal = read_journal(result.journal)
    assert not journal.torn
    assert "time limit" in hub_events(journal, "end")[0].text


@pytest.mark.parametrize("victim", ["left", "right", "monitor", "interconnect"])
def test_a_killed_process_ends_the_run(folder: RunFolder, victim: str) -> None:
    """kill -9 of any child is noticed, all is down within 5 s, the journal stays readable."""
    killed_s: list[float] = []
    growths: list[LiveEvent] = []

    def kill(event: LiveEvent) -> None:
        if event.kind != "growing":
            return
        growths.append(event)
        if len(growths) == 3:
            os.kill(event.pids[victim], signal.SIGKILL)
            killed_s.append(time.monotonic())

    settings = LiveOptions(**TOYS)  # type: ignore[arg-type]  # named above
    result = Supervisor(toy_board("endless"), folder, PROCESSES, settings, kill).run()
    took_s = time.monotonic() - killed_s[0]

    assert took_s < 5
    assert result.outcome == "died"
    assert result.died == f"{victim}: killed by SIGKILL after pe0 S0 toy_suspend begin"
    assert_all_gone(result.pids)
    journal = read_journal(result.journal)
    assert any(isinstance(record, Turn) for record in journal.records)
    if victim != "interconnect":
        assert not journal.torn
        lost = hub_events(journal, "peer_down") + hub_events(journal, "undeliverable")
        assert [event.who for event in lost] == [victim]


def test_interrupting_is_clean(folder: RunFolder) -> None:
    """An interrupted run closes its journal and leaves nothing behind."""
    settings = LiveOptions(**TOYS)  # type: ignore[arg-type]  # named above
    supervisor: Supervisor

    def interrupt(event: LiveEvent) -> None:
        if event.kind == "started":
            supervisor.interrupt()

    supervisor = Supervisor(toy_board("endless"), folder, PROCESSES, settings, interrupt)
    result = supervisor.run()

    assert result.outcome == "interrupted"
    assert_all_gone(result.pids)
    assert not read_journal(result.journal).torn


SCRIPT = """
import sys
from pathlib import Path
from toy_nodes import PROCESSES, toy_board
from bus.runfolder import RunFolder
from deploy.supervisor import LiveOptions, Supervisor
options = LiveOptions(build="toy_nodes:build_node", code="toy_nodes:code_hash")
def tell(event):
    if event.kind == "growing":
        print("growing", flush=True)
with RunFolder(Path(sys.argv[1])) as folder:
    result = Supervisor(toy_board("endless"), folder, PROCESSES, options, tell).run()
print(result.outcome, flush=True)
"""


def start_supervisor(path: Path) -> tuple["subprocess.Popen[str]", dict[str, int]]:
    """A supervisor in a process of its own, with its board running."""
    root = Path(__file__).parents[2]
    environment = {**os.environ, "PYTHONPATH": f"{root}{os.pathsep}{Path(__file__).parent}"}
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, str(path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    assert supervisor.stdout is not None
    assert supervisor.stdout.readline() == "growing\n"
    return supervisor, json.loads((path / "state.json").read_text())["pids"]


def test_a_killed_supervisor_leaves_no_process(tmp_path: Path) -> None:
    """kill -9 of the supervisor takes every child with it; the journal stays readable."""
    supervisor, pids = start_supervisor(tmp_path / "run")
    watches = [os.pidfd_open(pid) for pid in pids.values()]
    supervisor.kill()
    supervisor.wait(5)
    assert supervisor.stdout is not None
    supervisor.stdout.close()
    for watch in watches:
        ready, _, _ = select.select([watch], (), (), 5)
        os.close(watch)
        assert ready, "a child has outlived its supervisor"

    assert set(pids) == set(PROCESSES)
    assert read_journal(tmp_path / "run" / "journal").records
    RunFolder(tmp_path / "run").close()  # The lock is free again.


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_end_the_run_cleanly(tmp_path: Path, number: signal.Signals) -> None:
    """Ctrl-C and SIGTERM: outcome interrupted, no process left, no torn journal."""
    supervisor, pids = start_supervisor(tmp_path / "run")
    supervisor.send_signal(number)
    output, _ = supervisor.communicate(timeout=5)

    assert output.splitlines()[-1] == "interrupted"
    assert_all_gone(pids)
    assert not read_journal(tmp_path / "run" / "journal").torn


def test_strangers_are_refused_and_counted(folder: RunFolder) -> None:
    """Without keys the token decides: who does not know it is refused; the run goes on."""
    strangers: list[HostLink] = []
    supervisor: Supervisor

    def intrude(event: LiveEvent) -> None:
        if event.kind == "started":
            for frame in (
                encode(Hello("left", (PE0,), Incarnation(1), "x", "guessed", 1)),
                b"\xc1 junk",
            ):
                link = HostLink(folder.ipc_endpoints()[0], Limits())
                link.send(frame)
                strangers.append(link)
                link.receive(5)
        elif event.kind == "growing" and strangers:
            supervisor.interrupt()

    settings = LiveOptions(**TOYS, curve=False)  # type: ignore[arg-type]  # named above
    supervisor = Supervisor(toy_board("endless"), folder, PROCESSES, settings, intrude)
    result = supervisor.run()
    for link in strangers:
        link.close()

    assert result.outcome == "interrupted"
    refused = hub_events(read_journal(result.journal), "unauthorised")
    assert [event.text for event in refused] == [
        "it does not belong to this run",
        "the first frame is not a hello",
    ]
