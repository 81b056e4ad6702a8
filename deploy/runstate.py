"""What `state.json` in a run folder says, and who writes it when nobody supervises the run."""

import os
import time
from pathlib import Path

import msgspec

from bus.hub import Over
from bus.interconnect import Listening, Report, Running, Signs
from bus.runfolder import STATE, hold
from deploy.session import Session
from proto.board import Board


class RunState(msgspec.Struct, frozen=True, kw_only=True):
    """For people, and for whoever wants to join the run.

    `state` is `starting`, `running`, or how the run has ended. Board time 0 was at `epoch_ns` of
    CLOCK_MONOTONIC; `started_s` is seconds since 1970. A run in containers has no `supervisor` (0)
    and no pids.
    """

    state: str = "starting"
    journal: str
    composition: str
    pids: dict[str, int] = {}
    supervisor: int
    started_s: float
    time_scale: float
    endpoint: str = ""
    epoch_ns: int = 0
    unwell: dict[str, str] = {}
    """Processes that are `slow` or `paused`."""
    reason: str = ""
    """Why a run has ended."""


def write_state(folder: Path, state: RunState) -> None:
    """Replace the state file of a run in one step."""
    new = (folder / STATE).with_suffix(".new")
    new.write_bytes(msgspec.json.format(msgspec.json.encode(state)) + b"\n")
    new.replace(folder / STATE)


class RunLog:
    """Holds the run folder for the hub of an unattended run, and keeps its state file.

    The folder is the one that the journal lies in. Raises `RunFolderError`.
    """

    unattended = True

    def __init__(self, board: Board, session: Session) -> None:
        self._folder = Path(session.journal).parent
        self._lock = hold(self._folder)
        self._state = RunState(
            journal=session.journal,
            composition=board.composition,
            supervisor=0,
            started_s=time.time(),
            time_scale=session.time_scale,
        )

    def send(self, message: Report) -> None:
        """Note how the run goes; at its end the folder is given back."""
        match message:
            case Listening(endpoint):
                self._note(endpoint=endpoint)
            case Running(epoch_ns):
                self._note(state="running", epoch_ns=epoch_ns)
            case Signs(unwell):
                self._note(unwell=unwell)
            case Over(outcome, reason):
                self._note(state=outcome, reason=reason)
                os.close(self._lock)

    def receive(self) -> list[bytes]:
        """Nobody has commands; SIGTERM says it all."""
        return []

    def _note(self, **changes: object) -> None:
        self._state = msgspec.structs.replace(self._state, **changes)
        write_state(self._folder, self._state)
