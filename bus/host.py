"""Hosts nodes in a process: waits for envelopes and timers, runs turns, sends each as one frame."""

import os
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bus.clock import BoardClock
from bus.frames import (
    Bye,
    Crash,
    Deliver,
    Ended,
    Go,
    Hello,
    Ping,
    Pong,
    Refused,
    decode_to_host,
)
from bus.keys import Credentials
from bus.link import HostLink, Limits, Terminated, Termination
from bus.runner import NodeCrash, Runner
from bus.vitals import BEAT_S, SILENCE_BEATS
from proto.codec import encode
from proto.ids import Incarnation, NodeId
from proto.node import Node

FIRST_LIFE = Incarnation(1)

TIMERS_AT_ONCE = 64
"""Timers fired before messages get a turn again."""


class HubIsSilent(Exception):
    """The hub has not been heard of for too long; one line."""


class RefusedByHub(Exception):
    """The hub does not take this process in; the text says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process says of itself in its hello, and the keys that prove it."""

    process: str
    composition: str
    token: str
    incarnation: Incarnation = FIRST_LIFE
    credentials: Credentials | None = None


@dataclass(frozen=True, slots=True)
class Watch:
    """Who looks after a process.

    An `unattended` one is ended by nobody: it says goodbye when it is terminated, and leaves when
    the hub says that the run is over, or nothing for too long. `on_beat` is called whenever the
    hub has asked for a sign of life and got it.
    """

    unattended: bool = False
    on_beat: Callable[[], None] | None = None


class Host:
    """The nodes of one process on the bus; a process without nodes only says hello and stays.

    `endpoints` are the hub's, for turns and for the pulse. `seed` seeds the draws of timers inside
    their windows. `on_crash` is called before the hub hears of a crash: once it has, the process is
    terminated like all others.
    """

    def __init__(
        self,
        identity: Identity,
        nodes: Mapping[NodeId, Node],
        endpoints: tuple[str, str],
        seed: int,
        limits: Limits | None = None,
        termination: Termination | None = None,
        on_crash: Callable[[NodeCrash], None] | None = None,
        watch: Watch | None = None,
    ) -> None:
        turns, pulse = endpoints
        self._link = HostLink(turns, limits or Limits(), termination, identity.credentials, pulse)
        self._watch = watch or Watch()
        self._heard_s = time.monotonic()
        self._over = False
        self._identity = identity
        self._on_crash = on_crash
        self._runner = Runner(nodes, identity.incarnation, f"{seed}/{identity.process}")
        self._clock: BoardClock | None = None

    @property
    def clock(self) -> BoardClock | None:
        """Board time, once the hub has said go."""
        return self._clock

    def run(self) -> None:
        """Serve until the process is terminated, or the hub says that the run is over.

        Raises `NodeCrash` when a handler has raised (the hub has been told), `RefusedByHub`,
        `HubIsSilent`, and `Undecodable` for a frame that no hub of ours sends.
        """
        last_words = False
        try:
            self._greet()
            while not self._over:
                self._serve_once()
        except Terminated:
            if self._watch.unattended:
                last_words = True
                self._link.send(encode(Bye()))
            raise
        except NodeCrash as crash:
            last_words = True
            if self._on_crash is not None:
                self._on_crash(crash)
            self._link.send(encode(Crash(crash.node, crash.reason)))
            raise
        finally:
            self._link.close(flush=last_words)

    def _greet(self) -> None:
        who = self._identity
        hello = Hello(
            who.process,
            tuple(self._runner.nodes),
            who.incarnation,
            who.composition,
            who.token,
            os.getpid(),
            pulse=self._link.pulse_id,
        )
        self._link.send(encode(hello))

    def _serve_once(self) -> None:
        clock = self._clock
        deadline_ns = self._runner.next_deadline_ns()
        timeout_s = (
            None if clock is None or deadline_ns is None else clock.seconds_until(deadline_ns)
        )
        frames = self._link.receive(timeout_s)
        for data in frames:
            frame = decode_to_host(data)
            if type(frame) is Deliver:
                self._deliver(frame)
            elif type(frame) is Ping:
                self._answer(frame)
            elif type(frame) is Go:
                self._start(frame)
            elif type(frame) is Ended:
                self._over = True
                return
            elif type(frame) is Refused:
                raise RefusedByHub(f"the hub refuses {self._identity.process}: {frame.reason}")
        self._fire()
        if not frames and self._watch.unattended:
            self._listen()

    def _answer(self, ping: Ping) -> None:
        """A sign of life: this loop turns."""
        self._heard_s = time.monotonic()
        self._link.send(encode(Pong(ping.number)))
        self._link.drain_pulse()
        if self._watch.on_beat is not None:
            self._watch.on_beat()

    def _listen(self) -> None:
        """Nothing has come: is anybody there?"""
        limit_s = SILENCE_BEATS * BEAT_S
        if time.monotonic() - self._heard_s > limit_s:
            raise HubIsSilent(f"the hub has not been heard of for {limit_s:.0f} s")

    def _start(self, go: Go) -> None:
        self._clock = clock = BoardClock(go.time_scale)
        clock.start(go.epoch_ns)
        for node in self._runner.nodes:
            self._link.send(encode(self._runner.start(node, clock.now())))

    def _deliver(self, frame: Deliver) -> None:
        clock, runner, send = self._clock, self._runner, self._link.send
        assert clock is not None, "the hub delivers only after its go"
        for envelope in frame.envelopes:
            send(encode(runner.deliver(envelope, clock.now())))

    def _fire(self) -> None:
        clock = self._clock
        if clock is None:
            return
        for _ in range(TIMERS_AT_ONCE):
            turn = self._runner.fire(clock.now())
            if turn is None:
                return
            self._link.send(encode(turn))
