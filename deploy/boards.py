"""Boards that stay up: where they lie, which one a command is for, and how to talk to it.

A board's run folder is all that is known of it. Whether it lives is told by the lock of its
supervisor, which goes with that process however it ends.
"""

import os
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import msgspec

from bus.client import Client
from bus.keys import KeyFileError
from bus.runfolder import BOARD, SESSION, STATE, is_held, runs_root
from deploy.containers.engine import COMPOSE_FILE, Project
from deploy.loading import UsageError, code_hash
from deploy.runstate import RunState, write_state
from deploy.session import Session, client_credentials
from proto.board import Board
from proto.codec import Undecodable, decoder
from proto.units import S

T = TypeVar("T")

ALIVE = ("starting", "running")
"""States of a run that has not ended in order."""

LOOK_S = 0.05
"""How often a lock is looked at that nobody announces the end of."""

END_LIMIT_S = 15.0
"""How long a board may take to go down."""


@dataclass(frozen=True, slots=True)
class BoardFolder:
    """The run folder of a board that `torpor up` has started."""

    path: Path
    state: RunState
    board: Board

    @property
    def name(self) -> str:
        """The folder as a user would give it to `--board`."""
        here = Path.cwd()
        return str(self.path.relative_to(here) if self.path.is_relative_to(here) else self.path)

    @property
    def is_up(self) -> bool:
        """Whether its supervisor lives."""
        return is_held(self.path)

    @property
    def is_dead(self) -> bool:
        """Whether it was killed: it has not ended in order, and nobody holds it."""
        return self.state.state in ALIVE and not self.is_up

    @property
    def project(self) -> Project | None:
        """Its containers, if it has some that have not been taken down."""
        return Project(self.path) if (self.path / COMPOSE_FILE).exists() else None

    @property
    def is_of_this_code(self) -> bool:
        """Whether it was started by the code that now runs; the hub takes no other clients in."""
        return self.board.code == code_hash()

    @property
    def journal(self) -> Path:
        """Where its journal lies."""
        return Path(self.state.journal)

    @property
    def board_s(self) -> float:
        """Board time in seconds; 0 before it runs."""
        if self.state.epoch_ns == 0:
            return 0.0
        return (time.monotonic_ns() - self.state.epoch_ns) / self.state.time_scale / S

    def join(self) -> Client:
        """Connect to the board as a client; raises `BoardGone` and `RefusedByBoard`."""
        session = _decode(self.path / SESSION, Session)
        if session is None:
            raise UsageError(f"{self.name} has no session; start a board with `torpor up`")
        try:
            credentials = client_credentials(session, self.path)
        except KeyFileError as error:
            raise UsageError(f"{self.name}: {error}; only the board's owner may join it") from error
        # What this command's code is, not what the board's was: the hub compares them.
        board = msgspec.structs.replace(self.board, code=code_hash())
        is_up = partial(is_held, self.path)
        endpoint, composition = self.state.endpoint, board.composition
        return Client(endpoint, composition, session.token, is_up, credentials)

    def terminate(self) -> None:
        """Ask its supervisor to end; one that has ended meanwhile is fine."""
        if self.is_up and self.state.supervisor:
            os.kill(self.state.supervisor, signal.SIGTERM)

    def wait_for_end(self) -> bool:
        """Wait until its supervisor or its hub is gone; False if that takes too long."""
        if not self.state.supervisor:
            return self._wait_for_hub()
        try:
            supervisor = os.pidfd_open(self.state.supervisor)
        except ProcessLookupError:
            return True
        try:
            return not self.is_up or bool(select.select([supervisor], (), (), END_LIMIT_S)[0])
        finally:
            os.close(supervisor)

    def _wait_for_hub(self) -> bool:
        """The lock goes with the hub, in a container that nobody here can wait for."""
        deadline_s = time.monotonic() + END_LIMIT_S
        while self.is_up and time.monotonic() < deadline_s:
            time.sleep(LOOK_S)
        return not self.is_up

    def note_dead(self) -> None:
        """Say in the folder that this board was killed, so that it is listed no longer."""
        state = msgspec.structs.replace(self.state, state="killed")
        write_state(self.path, state)


def read_folder(path: Path) -> BoardFolder | None:
    """What lies in a run folder; None if it is no board's that stays up."""
    try:
        state = msgspec.json.decode((path / STATE).read_bytes(), type=RunState)
    except (OSError, msgspec.MsgspecError):
        return None
    board = _decode(path / BOARD, Board)
    if board is None or not board.scenario.open:
        return None
    return BoardFolder(path.resolve(), state, board)


def known_boards() -> list[BoardFolder]:
    """Boards under the folder of runs that are up, or have not been put down in order."""
    return [found for found in _folders() if found.is_up or found.is_dead or found.project]


def choose(board: Path | None) -> BoardFolder:
    """The board that a command is for: `--board`, or else the only one there is."""
    if board is not None:
        found = read_folder(board)
        if found is None:
            raise UsageError(f"--board: {board} is no board's folder; `torpor status` lists boards")
        return found
    boards = known_boards()
    up = [found for found in boards if found.is_up] or boards
    if not up:
        raise UsageError(f"no board runs under {runs_root()}; start one with `torpor up`")
    if len(up) > 1:
        names = ", ".join(found.name for found in up)
        raise UsageError(f"there are several boards: {names}; choose one with --board DIR")
    return up[0]


def choose_running(board: Path | None) -> BoardFolder:
    """Like `choose`, and it has to be up."""
    found = choose(board)
    if found.is_dead:
        raise UsageError(
            f"{found.name} is dead: its processes were killed; `torpor down --board {found.name}` "
            "judges what it left, `torpor up` starts another"
        )
    if not found.is_up:
        raise UsageError(f"{found.name} is down ({found.state.state}); `torpor up` starts another")
    return found


def _folders() -> Iterator[BoardFolder]:
    root = runs_root()
    if not root.is_dir():
        return
    for path in sorted(root.iterdir()):
        if not path.is_symlink() and (found := read_folder(path)) is not None:
            yield found


def _decode(path: Path, kind: type[T]) -> T | None:
    try:
        return decoder(kind)(path.read_bytes())
    except (OSError, Undecodable):
        return None
