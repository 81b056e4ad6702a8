"""Hosts nodes in a process: waits for envelopes and timers, runs turns, sends each as one frame."""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from bus.clock import BoardClock
from bus.frames import Crash, Deliver, Go, Hello, Refused, decode_to_host
from bus.link import HostLink, Limits, Termination
from bus.runner import NodeCrash, Runner
from proto.codec import encode
from proto.ids import Incarnation, NodeId
from proto.node import Node

FIRST_LIFE = Incarnation(1)

TIMERS_AT_ONCE = 64
"""Timers fired before messages get a turn again."""


class RefusedByHub(Exception):
    """The hub does not take this process in; the text says why."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a process says of itself in its hello."""

    process: str
    composition: str
    token: str
    incarnation: Incarnation = FIRST_LIFE


class Host:
    """The nodes of one process on the bus; a process without nodes only says hello and stays.

    `seed` seeds the draws of timers inside their windows. `on_crash` is called before the hub
    hears of a crash: once it has, the process is terminated like all others.
    """

    def __init__(
        self,
        identity: Identity,
        nodes: Mapping[NodeId, Node],
        endpoint: str,
        seed: int,
        limits: Limits | None = None,
        termination: Termination | None = None,
        on_crash: Callable[[NodeCrash], None] | None = None,
    ) -> None:
        self._link = HostLink(endpoint, limits or Limits(), termination)
        self._identity = identity
        self._on_crash = on_crash
        self._runner = Runner(nodes, identity.incarnation, f"{seed}/{identity.process}")
        self._clock: BoardClock | None = None

    @property
    def clock(self) -> BoardClock | None:
        """Board time, once the hub has said go."""
        return self._clock

    def run(self) -> None:
        """Serve until the process is terminated.

        Raises `NodeCrash` when a handler has raised (the hub has been told), `RefusedByHub`, and
        `Undecodable` for a frame that no hub of ours sends.
        """
        crashed = False
        try:
            self._greet()
            while True:
                self._serve_once()
        except NodeCrash as crash:
            crashed = True
            if self._on_crash is not None:
                self._on_crash(crash)
            self._link.send(encode(Crash(crash.node, crash.reason)))
            raise
        finally:
            self._link.close(flush=crashed)

    def _greet(self) -> None:
        who = self._identity
        hello = Hello(
            who.process,
            tuple(self._runner.nodes),
            who.incarnation,
            who.composition,
            who.token,
            os.getpid(),
        )
        self._link.send(encode(hello))

    def _serve_once(self) -> None:
        clock = self._clock
        deadline_ns = self._runner.next_deadline_ns()
        timeout_s = (
            None if clock is None or deadline_ns is None else clock.seconds_until(deadline_ns)
        )
        for data in self._link.receive(timeout_s):
            frame = decode_to_host(data)
            if type(frame) is Deliver:
                self._deliver(frame)
            elif type(frame) is Go:
                self._start(frame)
            elif type(frame) is Refused:
                raise RefusedByHub(f"the hub refuses {self._identity.process}: {frame.reason}")
        self._fire()

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
