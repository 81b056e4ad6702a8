"""The only importer of zmq: the hub's ROUTER and a process's DEALER, bounded and blocking.

A link with nothing else to wait for blocks inside libzmq, which is the shortest way from a frame to
its reader. Before a deadline it waits with `select`, whose timeouts are microseconds; libzmq
signals the socket's descriptor on edges only, so the socket's own state is asked before.
"""

import select
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

import zmq

from bus.frames import Unreachable

# Plain numbers: arithmetic on zmq's flag enums costs as much as a system call.
_EVENTS = zmq.EVENTS
_POLLIN = int(zmq.POLLIN)
_NOBLOCK = int(zmq.NOBLOCK)
_FIRST_PART = int(zmq.NOBLOCK | zmq.SNDMORE)

READ_AT_ONCE = 64
"""Frames taken off a socket before its user gets to do something else."""

HEARTBEAT_MS = 1000
"""Longest wait: a SIGTERM that comes right before a wait begins is noticed after it."""


class LinkError(Exception):
    """An endpoint cannot be bound or connected; one line."""


class Terminated(SystemExit):
    """SIGTERM has arrived."""


class Termination:
    """SIGTERM as an exception, raised only while a link waits: nothing is left half done."""

    def __init__(self) -> None:
        self.waiting = False
        self._requested = False

    def install(self) -> None:
        """Take SIGTERM from now on; main thread only."""
        signal.signal(signal.SIGTERM, self._terminate)

    def begin_wait(self) -> None:
        """From here to the end of the wait SIGTERM raises `Terminated`."""
        self.waiting = True
        if self._requested:
            raise Terminated(0)

    def _terminate(self, _signal: int, _frame: FrameType | None) -> None:
        self._requested = True
        if self.waiting:
            raise Terminated(0)


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a link: frames queued per connection, and how long closing may take."""

    queued_frames: int = 4096
    linger_ms: int = 1000


_Frame = TypeVar("_Frame")


class _Link:
    """What both ends share."""

    def __init__(self, kind: int, limits: Limits, termination: Termination | None) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(kind)
        self._socket.setsockopt(zmq.SNDHWM, limits.queued_frames)
        self._socket.setsockopt(zmq.RCVHWM, limits.queued_frames)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.RCVTIMEO, HEARTBEAT_MS)
        self._get: Callable[[int], int] = self._socket.getsockopt  # type: ignore[assignment]
        self._fd = self._get(zmq.FD)
        self._part: Callable[[int], bytes] = self._socket.recv
        self._linger_ms = limits.linger_ms
        self._termination = termination or Termination()

    def _receive(self, timeout_s: float | None, take: Callable[[int], _Frame]) -> list[_Frame]:
        """Wait for frames; `take` takes one, with zmq's flags."""
        termination = self._termination
        termination.begin_wait()
        frames: list[_Frame] = []
        try:
            if timeout_s is None or timeout_s >= HEARTBEAT_MS / 1000:
                frames.append(take(0))
                return frames
            if not self._readable_within(timeout_s):
                return frames
            frames.append(take(_NOBLOCK))
            while len(frames) < READ_AT_ONCE and self._readable():
                frames.append(take(_NOBLOCK))
        except zmq.Again:
            pass
        finally:
            termination.waiting = False
        return frames

    def _readable_within(self, timeout_s: float) -> bool:
        """Whether a frame is there or comes; the descriptor also signals what brings no frame."""
        deadline_s = time.monotonic() + timeout_s
        while not self._readable():
            left_s = deadline_s - time.monotonic()
            if left_s <= 0 or not select.select((self._fd,), (), (), left_s)[0]:
                return self._readable()
        return True

    def _readable(self) -> bool:
        return bool(self._get(_EVENTS) & _POLLIN)

    def close(self, *, flush: bool = False) -> None:
        """Close; with `flush`, frames on their way get up to `linger_ms` to leave."""
        if not self._socket.closed:
            self._socket.close(self._linger_ms if flush else 0)
            self._context.term()


class HubLink(_Link):
    """The hub's end: one ROUTER on one endpoint.

    `endpoint` is `ipc://PATH` or `tcp://ADDRESS:PORT`, port 0 for any; after construction it is the
    one really bound. Raises `LinkError`.
    """

    def __init__(
        self, endpoint: str, limits: Limits, termination: Termination | None = None
    ) -> None:
        super().__init__(zmq.ROUTER, limits, termination)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise LinkError(f"cannot bind {endpoint}: {error}") from error
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def receive(self, timeout_s: float | None) -> list[tuple[bytes, bytes]]:
        """Frames that come within a time, each with its connection; maybe none.

        A message that is not one frame comes from a stranger and is given as an empty one.
        """
        return self._receive(timeout_s, self._take)

    def _take(self, flags: int) -> tuple[bytes, bytes]:
        # Part by part: recv_multipart takes three times as long.
        connection, frame = self._part(flags), self._part(_NOBLOCK)
        if self._get(zmq.RCVMORE):
            while self._get(zmq.RCVMORE):
                self._part(_NOBLOCK)
            frame = b""
        return connection, frame

    def send(self, connection: bytes, frame: bytes) -> bool:
        """Send a frame; False if the connection's queue is full. Raises `Unreachable`."""
        try:
            self._socket.send(connection, _FIRST_PART)
            self._socket.send(frame, _NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                raise Unreachable from error
            raise
        return True


class HostLink(_Link):
    """A process's end: one DEALER; waiting ends with `Terminated` on SIGTERM."""

    def __init__(
        self, endpoint: str, limits: Limits, termination: Termination | None = None
    ) -> None:
        super().__init__(zmq.DEALER, limits, termination)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise LinkError(f"cannot connect to {endpoint}: {error}") from error

    def receive(self, timeout_s: float | None) -> list[bytes]:
        """Frames that come within a time; maybe none."""
        return self._receive(timeout_s, self._part)

    def send(self, frame: bytes) -> None:
        """Send a frame; waits while the hub is too far behind."""
        self._socket.send(frame)
