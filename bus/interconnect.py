"""The hub's loop: one blocking wait for frames, timers of its own nodes, and the supervisor."""

import socket
import time
from collections.abc import Callable
from typing import Literal, Protocol

import msgspec

from bus.clock import BoardClock
from bus.frames import Go
from bus.hub import Hub, Over, Plan
from bus.journal import JournalWriter
from bus.link import HubLink, Limits, Lock, Terminated, Termination
from bus.runner import Runner
from bus.vitals import BEAT_S

RETRY_S = 0.005
"""How long the hub waits at most while a process that does not read has messages queued."""


class Listening(msgspec.Struct, frozen=True, tag="listening"):
    """Hub to supervisor: processes may connect, for turns and with their pulse."""

    endpoint: str
    pulse: str


class Running(msgspec.Struct, frozen=True, tag="running"):
    """Hub to supervisor: all processes are there, board time runs."""

    epoch_ns: int


class Signs(msgspec.Struct, frozen=True, tag="signs"):
    """Hub to supervisor: which processes are not well, and how: `slow` or `paused`."""

    unwell: dict[str, str]


class Command(msgspec.Struct, frozen=True, tag="command"):
    """Supervisor to hub: end the run, because of `reason`, or because `process` is gone.

    The hub looks for it when SIGTERM comes; until then it has only frames to wait for.
    """

    kind: Literal["stop", "lost"]
    reason: str
    process: str = ""


Report = Listening | Running | Signs | Over


class Control:
    """One end of the socket pair between supervisor and hub: JSON lines, never blocking long."""

    unattended = False

    def __init__(self, end: socket.socket) -> None:
        self._end = end
        self._rest = b""
        self.closed = False

    def fileno(self) -> int:
        """Descriptor to wait for."""
        return self._end.fileno()

    def send(self, message: Report | Command) -> None:
        """Say something; a dead listener is noticed by reading, not here."""
        try:
            self._end.sendall(msgspec.json.encode(message) + b"\n")
        except (BrokenPipeError, ConnectionResetError):
            self.closed = True

    def receive(self) -> list[bytes]:
        """The complete lines that are there; sets `closed` when the other end is gone."""
        try:
            data = self._end.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return []
        except ConnectionResetError:
            data = b""
        if not data:
            self.closed = True
            return []
        *lines, self._rest = (self._rest + data).split(b"\n")
        return lines

    def close(self) -> None:
        """Hang up."""
        self._end.close()


class Overseer(Protocol):
    """Whom the hub tells how the run goes, and who may end it."""

    unattended: bool
    """Whether nobody ends the processes when the run is over: then the hub tells them."""

    def send(self, message: Report) -> None:
        """Hear how the run goes."""

    def receive(self) -> list[bytes]:
        """Commands, asked for when SIGTERM has come."""


class Interconnect:
    """Runs a hub until it is over, then closes the journal and tells the overseer.

    `endpoints` are those for turns and for pulses. `on_beat` is called about once a second.
    """

    def __init__(
        self,
        plan: Plan,
        endpoints: tuple[str, str],
        journal: JournalWriter,
        local: Runner,
        clock: BoardClock,
        control: Overseer,
        limits: Limits | None = None,
        termination: Termination | None = None,
        lock: Lock | None = None,
        on_beat: Callable[[], None] | None = None,
    ) -> None:
        self._link = HubLink(*endpoints, limits or Limits(), termination, lock)
        self._journal = journal
        self._local = local
        self._clock = clock
        self._control = control
        self._clear = True
        self._on_beat = on_beat
        self._next_beat_s = 0.0
        self._unwell: dict[str, str] = {}
        gate = None if lock is None else lock.gate
        self.hub = Hub(plan, journal, local, clock.now, self._link.send, gate)

    def run(self) -> Over:
        """Serve until the hub is over; leaves the journal closed, also when interrupted."""
        hub = self.hub
        try:
            self._control.send(Listening(self._link.endpoint, self._link.pulse))
            try:
                while hub.over is None:
                    self._serve_once()
            except Terminated:
                self._obey()
                hub.stop("terminated")
            assert hub.over is not None
            self._journal.close()
            self._control.send(hub.over)
            if self._control.unattended:
                hub.farewell()
            return hub.over
        finally:
            self._journal.close()
            self._link.close(flush=True)

    def _serve_once(self) -> None:
        hub = self.hub
        for connection, frame, key in self._link.receive(self._timeout_s(), hub.connections):
            hub.feed(connection, frame, key)
        self._clear = hub.flush()
        if not hub.running and hub.complete and hub.over is None:
            self._go()
        if hub.fire():
            self._clear = hub.flush()
        if time.monotonic() >= self._next_beat_s:
            self._beat()
        # After the frames have left: the file is behind them by less than one turn of this loop.
        self._journal.flush()

    def _beat(self) -> None:
        self._next_beat_s = time.monotonic() + BEAT_S
        if self.hub.over is None:
            self.hub.beat(self._link.feel, self._link.failed_handshakes())
            if self.hub.unwell != self._unwell:
                self._unwell = self.hub.unwell
                self._control.send(Signs(self._unwell))
        if self._on_beat is not None:
            self._on_beat()

    def _go(self) -> None:
        epoch_ns = self._clock.start()
        self.hub.start(Go(epoch_ns, self._clock.time_scale))
        self._control.send(Running(epoch_ns))

    def _timeout_s(self) -> float | None:
        deadline_ns = self._local.next_deadline_ns()
        timeout_s = None if deadline_ns is None else self._clock.seconds_until(deadline_ns)
        if self._clear:
            return timeout_s
        return RETRY_S if timeout_s is None else min(RETRY_S, timeout_s)

    def _obey(self) -> None:
        for line in self._control.receive():
            command = msgspec.json.decode(line, type=Command)
            if command.kind == "lost":
                self.hub.lose(command.process, command.reason)
            else:
                self.hub.stop(command.reason)
