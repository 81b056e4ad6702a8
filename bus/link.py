"""The only importer of zmq: the hub's ROUTER and a process's DEALER, bounded and blocking.

Waiting is one `select` on the socket's descriptor, other descriptors and the process's signals,
with microseconds in its timeout. libzmq signals that descriptor on edges only, so the socket's own
state is asked before every wait.
"""

import select
import signal
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from types import FrameType

import zmq

from bus.frames import Unreachable

# Plain numbers: arithmetic on zmq's flag enums costs as much as a system call.
_EVENTS = zmq.EVENTS
_POLLIN = int(zmq.POLLIN)
_NOBLOCK = int(zmq.NOBLOCK)

READ_AT_ONCE = 64
"""Frames taken off a socket before its user gets to do something else."""


class LinkError(Exception):
    """An endpoint cannot be bound or connected; one line."""


class Terminated(SystemExit):
    """SIGTERM has arrived."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of a link: frames queued per connection, and how long closing may take."""

    queued_frames: int = 4096
    linger_ms: int = 1000


class _Link:
    """What both ends share."""

    def __init__(self, kind: int, limits: Limits, watch: Iterable[int]) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(kind)
        self._socket.setsockopt(zmq.SNDHWM, limits.queued_frames)
        self._socket.setsockopt(zmq.RCVHWM, limits.queued_frames)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._fd = int(self._socket.getsockopt(zmq.FD))
        self._get: Callable[[int], int] = self._socket.getsockopt  # type: ignore[assignment]
        self._watched = [self._fd, *watch]
        self._busy = False
        self._linger_ms = limits.linger_ms

    def wait(self, timeout_s: float | None) -> list[int]:
        """Wait until a frame may be there, or a watched descriptor; returns the latter."""
        self._busy = self._readable()
        ready = select.select(self._watched, (), (), 0 if self._busy else timeout_s)[0]
        if self._fd in ready:
            ready.remove(self._fd)
        return ready

    def _readable(self) -> bool:
        return bool(self._get(_EVENTS) & _POLLIN)

    def _more(self, taken: int) -> bool:
        """Whether to take another frame: only a link that did not have to wait has several."""
        return self._busy and taken < READ_AT_ONCE and self._readable()

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

    def __init__(self, endpoint: str, limits: Limits, watch: Iterable[int] = ()) -> None:
        super().__init__(zmq.ROUTER, limits, watch)
        self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        try:
            self._socket.bind(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise LinkError(f"cannot bind {endpoint}: {error}") from error
        self.endpoint = self._socket.getsockopt_string(zmq.LAST_ENDPOINT)

    def receive(self) -> list[tuple[bytes, bytes]]:
        """Frames that are there, each with its connection; never waits."""
        frames: list[tuple[bytes, bytes]] = []
        receive = self._socket.recv_multipart
        try:
            while True:
                parts = receive(_NOBLOCK)
                # Ours are always one part behind the connection; others must fail to decode.
                frames.append((parts[0], parts[1] if len(parts) == 2 else b""))
                if not self._more(len(frames)):
                    break
        except zmq.Again:
            pass
        return frames

    def send(self, connection: bytes, frame: bytes) -> bool:
        """Send a frame; False if the connection's queue is full. Raises `Unreachable`."""
        try:
            self._socket.send_multipart((connection, frame), _NOBLOCK)
        except zmq.Again:
            return False
        except zmq.ZMQError as error:
            if error.errno == zmq.EHOSTUNREACH:
                raise Unreachable from error
            raise
        return True


class HostLink(_Link):
    """A process's end: one DEALER; waiting and sending end with `Terminated` on SIGTERM."""

    def __init__(self, endpoint: str, limits: Limits, watch: Iterable[int] = ()) -> None:
        super().__init__(zmq.DEALER, limits, watch)
        try:
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise LinkError(f"cannot connect to {endpoint}: {error}") from error

    def receive(self) -> list[bytes]:
        """Frames that are there; never waits."""
        frames: list[bytes] = []
        receive = self._socket.recv
        try:
            while True:
                frames.append(receive(_NOBLOCK))
                if not self._more(len(frames)):
                    break
        except zmq.Again:
            pass
        return frames

    def send(self, frame: bytes) -> None:
        """Send a frame; waits while the hub is too far behind."""
        self._socket.send(frame)


def terminate_on_sigterm() -> int:
    """Make SIGTERM raise `Terminated`; returns a descriptor for links to watch.

    Without the descriptor a signal that comes right before a wait would be noticed only after it.
    """

    def terminated(_signal: int, _frame: FrameType | None) -> None:
        raise Terminated(0)

    reading, writing = socket.socketpair()
    writing.setblocking(False)
    signal.set_wakeup_fd(writing.detach(), warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, terminated)
    return reading.detach()
