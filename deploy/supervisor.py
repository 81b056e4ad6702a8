"""Runs one live board: starts its processes, watches them, and leaves none behind.

Everything is an event of one selector: a child's end (pidfd), a word of the hub, a signal, a
deadline. Children die with their supervisor (PR_SET_PDEATHSIG), even when it is killed.
"""

import math
import os
import selectors
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Literal, NamedTuple

import msgspec

from bus.hub import Over
from bus.interconnect import Command, Control, Listening, Report, Running, Signs
from bus.journal import JournalError, read_journal
from bus.runfolder import RunFolder
from deploy.children import Children
from deploy.process import EXIT_FAULT
from deploy.runstate import RunState, write_state
from deploy.session import INTERCONNECT, Session, issue_keys, new_token, write_session
from proto.board import Board
from proto.ids import NodeId
from proto.traces import Phase
from proto.turn import Trace, Turn

START_LIMIT_S = 60.0
"""All processes must have said hello by then."""
MARGIN_S = 5.0
"""Real time a run gets on top of its scaled board time."""
HUB_LIMIT_S = 1.5
"""How long the hub may take to close the journal."""
TERM_LIMIT_S = 1.5
"""How long processes may take to end after SIGTERM, before SIGKILL."""
LONGEST_WAIT_S = 3600.0
"""A selector takes no endless times; waking up once an hour costs nothing."""
GROWTH_TICK_S = 0.1
"""How often a listener is told that the journal has grown."""

TCP_ENDPOINTS = ("tcp://127.0.0.1:0", "tcp://127.0.0.1:0")

Outcome = Literal["ended", "died", "timeout", "crashed", "interrupted"]


class LiveEvent(NamedTuple):
    """Something a view may want to know: `started`, `growing` (the journal) or `ended`."""

    kind: Literal["started", "growing", "ended"]
    journal: Path
    pids: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class LiveResult:
    """How a live run went.

    `ended`: the scenario has. `crashed`: a node raised or sent what the hub stops at. `died`: a
    process was lost; `died` then names it, why, and how far the board had come. `timeout`: real
    time ran out. `interrupted`: Ctrl-C or SIGTERM. `reason` is one line.
    """

    outcome: Outcome
    reason: str
    died: str
    journal: Path
    folder: Path
    pids: dict[str, int]


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveOptions:
    """Settings of a live run that do not change what the board does.

    `time_limit_s` is real time; None takes the scenario's limit, scaled, and a margin, or no limit
    for a scenario that is open. Without `curve` the bus is neither encrypted nor authenticated.
    `build` and `code` are `module:function`, `queue_limit` and `queued_frames` bounds (see
    `Session`).
    """

    time_scale: float = 1.0
    transport: Literal["ipc", "tcp"] = "ipc"
    curve: bool = True
    time_limit_s: float | None = None
    journal: Path | None = None
    build: str = "deploy.composition:build_node"
    code: str = "deploy.loading:code_hash"
    queue_limit: int = 16_384
    queued_frames: int = 4_096
    tell_growth: bool = True
    """Whether a listener hears when the journal has grown."""


@dataclass(frozen=True, slots=True)
class _Ending:
    """What the run has come to."""

    outcome: Outcome
    reason: str
    process: str = ""


class Supervisor:
    """One live run of a board, in a run folder that this process holds.

    `processes` maps each process to the nodes it hosts and includes `interconnect`. Call `run`
    once, from a thread that lives as long as the run: children die with the thread that started
    them.
    """

    def __init__(
        self,
        board: Board,
        folder: RunFolder,
        processes: Mapping[str, tuple[NodeId, ...]],
        options: LiveOptions | None = None,
        on_event: Callable[[LiveEvent], None] | None = None,
    ) -> None:
        assert INTERCONNECT in processes, "a board needs its interconnect"
        self.options = options or LiveOptions()
        self.journal = (self.options.journal or folder.journal).absolute()
        self._board = board
        self._state = RunState(
            journal=str(self.journal),
            composition=board.composition,
            supervisor=os.getpid(),
            started_s=time.time(),
            time_scale=self.options.time_scale,
        )
        self._folder = folder
        self._processes = dict(processes)
        self._on_event = on_event
        self._ending: _Ending | None = None
        self._hub_done = False
        self._running = False
        self._deadline_s = 0.0
        self._journal_bytes = 0
        self._selector = selectors.DefaultSelector()
        self._children = Children(self._selector, folder.path, folder.logs, self._child_ended)
        self._wake, self._waker = socket.socketpair()
        self._waker.setblocking(False)

    @property
    def pids(self) -> Mapping[str, int]:
        """Process name to pid, as far as started."""
        return self._children.pids

    @property
    def endpoint(self) -> str:
        """Where the hub listens for turns, once it does."""
        return self._state.endpoint

    def interrupt(self) -> None:
        """End the run early; may be called from any thread."""
        self._conclude("interrupted", "interrupted")
        with suppress(BlockingIOError):  # Full of wake-ups already.
            self._waker.send(b"\0")

    def run(self) -> LiveResult:
        """Run the board to its end, whatever that is; leaves no process behind."""
        self._write_session()
        ours, theirs = socket.socketpair()
        self._control = Control(ours)
        with ExitStack() as stack:
            for end in (ours, theirs, self._wake, self._waker, self._selector):
                stack.callback(end.close)
            stack.enter_context(self._signals())
            stack.callback(self._children.end, TERM_LIMIT_S)
            self._selector.register(ours, selectors.EVENT_READ, self._listen)
            self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
            self._deadline_s = time.monotonic() + START_LIMIT_S
            self._children.spawn(
                INTERCONNECT, ("--control-fd", str(theirs.fileno())), (theirs.fileno(),)
            )
            theirs.close()
            ending = self._follow()
            self._let_hub_finish(ending)
        result = self._result(ending)
        self._state = msgspec.structs.replace(self._state, reason=ending.reason)
        self._write_state(ending.outcome)
        self._tell("ended")
        return result

    # -- the loop

    def _follow(self) -> _Ending:
        """Serve events until the run has come to an end."""
        while self._ending is None:
            self._serve(self._deadline_s)
            if time.monotonic() >= self._deadline_s:
                self._conclude("timeout", self._overdue())
        return self._ending

    def _let_hub_finish(self, ending: _Ending) -> None:
        """Let the hub write why the run ends, and close the journal."""
        kind: Literal["lost", "stop"] = "lost" if ending.process else "stop"
        self._control.send(Command(kind, ending.reason, ending.process))
        self._children.terminate(INTERCONNECT)
        deadline_s = time.monotonic() + HUB_LIMIT_S
        while not self._hub_done and time.monotonic() < deadline_s:
            self._serve(deadline_s)

    def _serve(self, deadline_s: float) -> None:
        timeout_s = min(max(0.0, deadline_s - time.monotonic()), LONGEST_WAIT_S)
        following = self._on_event is not None and self.options.tell_growth and self._running
        if following:
            timeout_s = min(timeout_s, GROWTH_TICK_S)
        for key, _ in self._selector.select(timeout_s):
            key.data()
        if following:
            size = self.journal.stat().st_size
            if size > self._journal_bytes:
                self._journal_bytes = size
                self._tell("growing")

    def _conclude(self, outcome: Outcome, reason: str, process: str = "") -> None:
        """The first ending counts; what follows from it is not news."""
        if self._ending is None:
            self._ending = _Ending(outcome, reason, process)

    # -- events

    def _listen(self) -> None:
        """The hub has said something, or hung up."""
        for line in self._control.receive():
            match msgspec.json.decode(line, type=Report):
                case Listening(endpoint, pulse):
                    self._state = msgspec.structs.replace(self._state, endpoint=endpoint)
                    self._spawn_others(endpoint, pulse)
                case Running(epoch_ns):
                    self._state = msgspec.structs.replace(self._state, epoch_ns=epoch_ns)
                    self._started()
                case Signs(unwell):
                    self._state = msgspec.structs.replace(self._state, unwell=unwell)
                    self._write_state(self._state.state)
                case Over("ended", reason):
                    self._hub_done = True
                    self._conclude("ended", reason)
                case Over(outcome, reason, process):
                    self._hub_done = True
                    if outcome == "died":  # How it died is known better here than there.
                        self._children.settle(process, HUB_LIMIT_S)
                    self._conclude("died" if outcome == "died" else "crashed", reason, process)
        if self._control.closed:
            self._selector.unregister(self._control)

    def _spawn_others(self, endpoint: str, pulse: str) -> None:
        for name in self._processes:
            if name != INTERCONNECT:
                self._children.spawn(name, ("--endpoint", endpoint, "--pulse", pulse))
        self._write_state("starting")

    def _started(self) -> None:
        limit_s = self.options.time_limit_s
        if limit_s is None and self._board.scenario.open:
            limit_s = math.inf
        elif limit_s is None:
            board_s = self._board.scenario.time_limit_ms / 1000
            limit_s = board_s * self.options.time_scale + MARGIN_S
        self._deadline_s = time.monotonic() + limit_s
        self._running = True
        self._write_state("running")
        self._tell("started")

    def _child_ended(self, name: str, reason: str, code: int) -> None:
        if name == INTERCONNECT:
            self._hub_done = True
        outcome: Outcome = "crashed" if code == EXIT_FAULT else "died"
        self._conclude(outcome, f"{name}: {reason}", name)

    def _woken(self) -> None:
        self._wake.recv(4096)

    def _overdue(self) -> str:
        if self._running:
            return "the scenario has not ended within its time limit"
        return f"not all processes were there within {START_LIMIT_S:.0f} s"

    # -- signals

    @contextmanager
    def _signals(self) -> Iterator[None]:
        """Ctrl-C and SIGTERM end the run; only the main thread can ask for that."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def interrupted(_signal: int, _frame: FrameType | None) -> None:
            self._conclude("interrupted", "interrupted")

        wakeup = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        previous = [
            (number, signal.signal(number, interrupted))
            for number in (signal.SIGINT, signal.SIGTERM)
        ]
        try:
            yield
        finally:
            for number, handler in previous:
                signal.signal(number, handler)
            signal.set_wakeup_fd(wakeup)

    # -- files and reports

    def _write_session(self) -> None:
        options, folder = self.options, self._folder
        ring = None
        if options.curve:
            ring = issue_keys(self._processes, folder.keys)
        session = Session(
            run=folder.path.name,
            token=new_token(),
            endpoints=TCP_ENDPOINTS if options.transport == "tcp" else folder.ipc_endpoints(),
            journal=str(self.journal),
            time_scale=options.time_scale,
            processes=self._processes,
            build=options.build,
            code=options.code,
            queue_limit=options.queue_limit,
            queued_frames=options.queued_frames,
            ring=ring,
        )
        write_session(folder.path, self._board, session)

    def _write_state(self, state: str) -> None:
        self._state = msgspec.structs.replace(self._state, state=state, pids=dict(self.pids))
        write_state(self._folder.path, self._state)

    def _tell(self, kind: Literal["started", "growing", "ended"]) -> None:
        if self._on_event is not None:
            self._on_event(LiveEvent(kind, self.journal, self.pids))

    def _result(self, ending: _Ending) -> LiveResult:
        died = ""
        if ending.outcome == "died":
            died = f"{ending.reason} {self._phase_text()}"
        return LiveResult(
            ending.outcome, ending.reason, died, self.journal, self._folder.path, dict(self.pids)
        )

    def _phase_text(self) -> str:
        """How far the board had come, as the journal says."""
        if not self._running:
            return "before all processes were there"
        try:
            records = read_journal(self.journal).records
        except JournalError:
            return "while running"
        for record in reversed(records):
            if isinstance(record, Turn):
                for effect in reversed(record.effects):
                    if isinstance(effect, Trace) and isinstance(effect.event, Phase):
                        phase = effect.event
                        return f"after {record.node} {phase.label} {phase.name} {phase.edge}"
        return "while running, before the first phase"
