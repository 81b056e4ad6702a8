"""Signs of life on real processes: one that is stopped, one that is busy, one that comes back."""

import json
import os
import signal
import threading
import time
from contextlib import suppress

import pytest
from toy_nodes import PROCESSES, toy_board

from bus.journal import HubEvent, JournalTail, tail_journal
from bus.runfolder import STATE, RunFolder
from deploy.supervisor import LiveEvent, LiveOptions, Supervisor

pytestmark = [pytest.mark.live, pytest.mark.usefixtures("toys_on_path")]

TOYS = {"build": "toy_nodes:build_node", "code": "toy_nodes:code_hash"}
LIMIT_S = 30.0


class Watched:
    """A toy board in a thread that owns its processes, followed through its journal."""

    def __init__(self, folder: RunFolder, behaviour: str) -> None:
        self.folder = folder
        self.started = threading.Event()
        self.pids: dict[str, int] = {}
        settings = LiveOptions(**TOYS, tell_growth=False)  # type: ignore[arg-type]  # named above
        self._supervisor = Supervisor(
            toy_board(behaviour), folder, PROCESSES, settings, self._on_event
        )
        self._thread = threading.Thread(target=self._supervisor.run)
        self._tail: JournalTail | None = None
        self.notes: list[tuple[str, str]] = []

    def __enter__(self) -> "Watched":
        self._thread.start()
        assert self.started.wait(LIMIT_S)
        self._tail = tail_journal(self.folder.journal)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(ProcessLookupError):
            os.kill(self.pids["monitor"], signal.SIGCONT)
        self._supervisor.interrupt()
        self._thread.join()
        assert self._tail is not None
        self._tail.close()

    def _on_event(self, event: LiveEvent) -> None:
        if event.kind == "started":
            self.pids = dict(event.pids)
            self.started.set()

    def until(self, kind: str, who: str) -> None:
        """Follow the journal until the hub has noted this."""
        assert self._tail is not None
        deadline_s = time.monotonic() + LIMIT_S
        while (kind, who) not in self.notes:
            for record in self._tail.poll():
                if isinstance(record, HubEvent):
                    self.notes.append((record.kind, record.who))
            assert time.monotonic() < deadline_s, self.notes
            time.sleep(0.05)

    def unwell(self) -> dict[str, str]:
        """What the state file says of the processes."""
        state: dict[str, dict[str, str]] = json.loads((self.folder.path / STATE).read_text())
        return state["unwell"]


def wait_for(watched: Watched, unwell: dict[str, str]) -> None:
    """The state file follows the journal."""
    deadline_s = time.monotonic() + LIMIT_S
    while watched.unwell() != unwell:
        assert time.monotonic() < deadline_s, watched.unwell()
        time.sleep(0.05)


def test_a_stopped_process_is_paused_and_comes_back(folder: RunFolder) -> None:
    """Its own kernel thread keeps the connection; nothing of the process runs."""
    with Watched(folder, "endless") as watched:
        # Nobody has messages for the monitor, so no queue overflows meanwhile.
        os.kill(watched.pids["monitor"], signal.SIGSTOP)
        watched.until("peer_paused", "monitor")
        wait_for(watched, {"monitor": "paused"})
        os.kill(watched.pids["monitor"], signal.SIGCONT)
        watched.until("peer_back", "monitor")
        wait_for(watched, {})
    assert ("peer_down", "monitor") not in watched.notes


def test_a_busy_process_is_slow_and_not_paused(folder: RunFolder) -> None:
    """Its main loop is stuck in a node, and the rest of it lives."""
    with Watched(folder, "stuck") as watched:
        watched.until("peer_slow", "right")
        wait_for(watched, {"right": "slow"})
    assert ("peer_paused", "right") not in watched.notes
