"""The only importer of zmq: the hub's ROUTER and a process's DEALER, bounded and blocking.

With keys, everything is encrypted and authenticated by CURVE, and the hub's gate decides who may
connect. Beside the connection for turns each process has one that carries nothing: its *pulse*,
kept up by libzmq's own thread, tells a process that runs from one that does not.

A link with nothing else to wait for blocks inside libzmq, which is the shortest way from a frame to
its reader. Before a deadline it waits with `select`, whose timeouts are microseconds; libzmq
signals the socket's descriptor on edges only, so the socket's own state is asked before.
"""

import secrets
import select
import signal
import time
from collections.abc import Callable, Container
from contextlib import suppress
from dataclasses import dataclass
from types import FrameType
from typing import TypeVar

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from bus.frames import Unreachable
from bus.gate import Door, Gate
from bus.keys import Credentials, KeyPair

# Plain numbers: arithmetic on zmq's flag enums costs as much as a system call.
_EVENTS = zmq.EVENTS
_POLLIN = int(zmq.POLLIN)
_NOBLOCK = int(zmq.NOBLOCK)
_FIRST_PART = int(zmq.NOBLOCK | zmq.SNDMORE)

READ_AT_ONCE = 64
"""Frames taken off a socket before its user gets to do something else."""

HEARTBEAT_MS = 1000
"""Longest wait: a SIGTERM that comes right before a wait begins is noticed after it."""


UNANSWERED_MS = 10_000
"""How long the host of a peer may leave data unacknowledged (tcp) before the connection is lost."""

PULSE_MS = 500
"""Time between two beats of a pulse, asked for by libzmq's thread at the hub."""

PULSE_LOST_MS = 2000
"""A pulse that is not answered for longer is lost: its connection is closed until it is back."""


CURVE_BYTES = 64
"""What encryption may add to a frame."""


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
    """Bounds of a link: frames queued per connection, their size, and how long closing may take."""

    queued_frames: int = 4096
    linger_ms: int = 1000
    frame_bytes: int = 1 << 20


@dataclass(frozen=True, slots=True)
class Lock:
    """What the hub's end proves itself with, and who decides about those who connect."""

    own: KeyPair
    gate: Gate


def new_keys() -> KeyPair:
    """A fresh CURVE key pair."""
    public, secret = zmq.curve_keypair()
    return KeyPair(public.decode(), secret.decode())


_Frame = TypeVar("_Frame")


class _Link:
    """What both ends share."""

    def __init__(self, kind: int, limits: Limits, termination: Termination | None) -> None:
        self._context = zmq.Context()
        self._limits = limits
        self._socket = self._bounded(kind)
        self._socket.setsockopt(zmq.RCVTIMEO, HEARTBEAT_MS)
        self._get: Callable[[int], int] = self._socket.getsockopt  # type: ignore[assignment]
        self._fd = self._get(zmq.FD)
        self._part: Callable[[int], bytes] = self._socket.recv
        self._linger_ms = limits.linger_ms
        self._termination = termination or Termination()

    def _bounded(self, kind: int) -> "zmq.Socket[bytes]":
        """A socket that keeps to the limits and gives up a peer whose host does not answer."""
        limits = self._limits
        socket = self._context.socket(kind)
        socket.setsockopt(zmq.SNDHWM, limits.queued_frames)
        socket.setsockopt(zmq.RCVHWM, limits.queued_frames)
        socket.setsockopt(zmq.MAXMSGSIZE, limits.frame_bytes + CURVE_BYTES)
        socket.setsockopt(zmq.TCP_MAXRT, UNANSWERED_MS)
        socket.setsockopt(zmq.LINGER, 0)
        return socket

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
    """The hub's end: one ROUTER for turns and one for pulses.

    An endpoint is `ipc://PATH` or `tcp://ADDRESS:PORT`, port 0 for any; after construction it is
    the one really bound. With a lock only those come in whom its gate admits. Raises `LinkError`.
    """

    def __init__(
        self,
        endpoint: str,
        pulse: str,
        limits: Limits,
        termination: Termination | None = None,
        lock: Lock | None = None,
    ) -> None:
        super().__init__(zmq.ROUTER, limits, termination)
        self._pulse = self._bounded(zmq.ROUTER)
        self._pulse.setsockopt(zmq.HEARTBEAT_IVL, PULSE_MS)
        self._pulse.setsockopt(zmq.HEARTBEAT_TIMEOUT, PULSE_LOST_MS)
        self._authenticator: ThreadAuthenticator | None = None
        self._monitor: zmq.Socket[bytes] = self._socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL
        )
        try:
            if lock is not None:
                self._authenticator = _authenticator(self._context, lock.gate)
            self.endpoint = self._bind(self._socket, endpoint, "turns", lock)
            self.pulse = self._bind(self._pulse, pulse, "pulse", lock)
        except LinkError:
            self.close()
            raise

    def receive(
        self, timeout_s: float | None, known: Container[bytes] = ()
    ) -> list[tuple[bytes, bytes, str]]:
        """Frames that come within a time, each with its connection and that one's public key.

        The key is only told for connections that are not `known`, and empty without a lock. A
        message that is not one frame comes from a stranger and is given as an empty one.
        """
        return self._receive(timeout_s, lambda flags: self._take(flags, known))

    def _take(self, flags: int, known: Container[bytes]) -> tuple[bytes, bytes, str]:
        # Part by part: recv_multipart takes three times as long.
        connection, key = self._part(flags), ""
        if connection in known:
            frame = self._part(_NOBLOCK)
        else:
            message = self._socket.recv(_NOBLOCK, copy=False)
            frame = message.bytes
            with suppress(zmq.ZMQError):  # Without a lock nobody is anybody.
                key = str(message.get("User-Id"))
        if self._get(zmq.RCVMORE):
            while self._get(zmq.RCVMORE):
                self._part(_NOBLOCK)
            frame = b""
        return connection, frame, key

    def send(self, connection: bytes, frame: bytes) -> bool:
        """Send a frame; False if the connection's queue is full. Raises `Unreachable`."""
        return _send(self._socket, connection, frame)

    def feel(self, pulse: bytes) -> bool:
        """Whether a process's pulse can be felt."""
        with suppress(zmq.Again):  # Nobody says anything there; reading reaps what has gone.
            while True:
                self._pulse.recv(_NOBLOCK)
        try:
            _send(self._pulse, pulse, b"")
        except Unreachable:
            return False
        return True

    def failed_handshakes(self) -> int:
        """How many connections have failed to prove anything, since last asked."""
        count = 0
        with suppress(zmq.Again):
            while True:
                recv_monitor_message(self._monitor, _NOBLOCK)
                count += 1
        return count

    def close(self, *, flush: bool = False) -> None:
        """Close; with `flush`, frames on their way get up to `linger_ms` to leave."""
        if self._authenticator is not None:
            self._authenticator.stop()
            self._authenticator = None
        if not self._socket.closed:
            self._socket.disable_monitor()
            self._monitor.close(0)
            self._pulse.close(0)
        super().close(flush=flush)

    def _bind(
        self, socket: "zmq.Socket[bytes]", endpoint: str, door: Door, lock: Lock | None
    ) -> str:
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        if lock is not None:
            socket.setsockopt(zmq.CURVE_SERVER, 1)
            socket.setsockopt(zmq.CURVE_SECRETKEY, lock.own.secret.encode())
            socket.setsockopt(zmq.ZAP_DOMAIN, door.encode())
        try:
            socket.bind(endpoint)
        except zmq.ZMQError as error:
            raise LinkError(f"cannot bind {endpoint}: {error}") from error
        return str(socket.getsockopt_string(zmq.LAST_ENDPOINT))


class HostLink(_Link):
    """A process's end: one DEALER for turns, one for its pulse.

    A link without a `pulse` endpoint is a client's. Waiting ends with `Terminated` on SIGTERM.
    Raises `LinkError`.
    """

    def __init__(
        self,
        endpoint: str,
        limits: Limits,
        termination: Termination | None = None,
        credentials: Credentials | None = None,
        pulse: str = "",
    ) -> None:
        super().__init__(zmq.DEALER, limits, termination)
        self.pulse_id = b""
        self._pulse: zmq.Socket[bytes] | None = None
        try:
            self._connect(self._socket, endpoint, credentials)
            if pulse:
                self.pulse_id = b"pulse" + secrets.token_bytes(16)
                self._pulse = self._bounded(zmq.DEALER)
                self._pulse.setsockopt(zmq.ROUTING_ID, self.pulse_id)
                self._connect(self._pulse, pulse, credentials)
        except LinkError:
            self.close()
            raise

    def receive(self, timeout_s: float | None) -> list[bytes]:
        """Frames that come within a time; maybe none."""
        return self._receive(timeout_s, self._part)

    def send(self, frame: bytes) -> None:
        """Send a frame; waits while the hub is too far behind. Raises `LinkError` if too large."""
        if len(frame) > self._limits.frame_bytes:
            limit = self._limits.frame_bytes
            raise LinkError(f"a frame of {len(frame)} bytes; the hub takes at most {limit}")
        self._socket.send(frame)

    def drain_pulse(self) -> None:
        """Throw away what the hub has sent to feel the pulse."""
        if self._pulse is not None:
            with suppress(zmq.Again):
                while True:
                    self._pulse.recv(_NOBLOCK)

    def close(self, *, flush: bool = False) -> None:
        """Close; with `flush`, frames on their way get up to `linger_ms` to leave."""
        if self._pulse is not None:
            self._pulse.close(0)
        super().close(flush=flush)

    @staticmethod
    def _connect(
        socket: "zmq.Socket[bytes]", endpoint: str, credentials: Credentials | None
    ) -> None:
        if credentials is not None:
            socket.setsockopt(zmq.CURVE_SERVERKEY, credentials.hub.encode())
            socket.setsockopt(zmq.CURVE_PUBLICKEY, credentials.own.public.encode())
            socket.setsockopt(zmq.CURVE_SECRETKEY, credentials.own.secret.encode())
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise LinkError(f"cannot connect to {endpoint}: {error}") from error


def _send(socket: "zmq.Socket[bytes]", connection: bytes, frame: bytes) -> bool:
    try:
        socket.send(connection, _FIRST_PART)
        socket.send(frame, _NOBLOCK)
    except zmq.Again:
        return False
    except zmq.ZMQError as error:
        if error.errno == zmq.EHOSTUNREACH:
            raise Unreachable from error
        raise
    return True


class _Asked:
    """What the library's authenticator asks about a key."""

    def __init__(self, door: Door, gate: Gate) -> None:
        self._door = door
        self._gate = gate

    def callback(self, _domain: str, key: bytes) -> bool:
        """Whether this key may open a connection at this door."""
        return self._gate.admits(self._door, key.decode())


def _authenticator(context: "zmq.Context[zmq.Socket[bytes]]", gate: Gate) -> ThreadAuthenticator:
    """The library's thread that answers handshakes, with our gate behind it."""
    authenticator = ThreadAuthenticator(context)
    doors: tuple[Door, ...] = ("turns", "pulse")
    for door in doors:
        authenticator.configure_curve_callback(door, _Asked(door, gate))
    authenticator.start()
    return authenticator
