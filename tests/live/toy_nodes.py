"""Toy nodes for live tests; the scenario's name says how they behave.

`pe0` sends requests to `pe1` and loads to `dram`, and ends the scenario after `ROUNDS` answers of
each.
"""

import os
import sys
from collections.abc import Sequence

from proto.board import Board
from proto.ids import DRAM, BoardNs, NodeId
from proto.messages import Load, Reply, TlbInvalidate
from proto.node import Node, ProtocolError
from proto.platform import Platform
from proto.scenario import DomainSpec, Profile, Role, Scenario
from proto.traces import Phase, ScenarioEnded
from proto.turn import Effect, Envelope, Send, SetTimer, Trace
from proto.units import MS

PE0, PE1 = NodeId("pe0"), NodeId("pe1")
ROUNDS = 50
CODE = "0" * 64

PROCESSES = {"interconnect": (DRAM,), "left": (PE0,), "right": (PE1,), "monitor": ()}


def toy_board(behaviour: str, time_limit_ms: int = 60_000) -> Board:
    """A board whose toys behave like this."""
    return Board(
        scenario=Scenario(
            name=behaviour,
            domains=(DomainSpec(id=0, role=Role.HARDWARE),),
            steps=(),
            seed=7,
            time_limit_ms=time_limit_ms,
        ),
        platform=Platform(name="toy", clusters=(2,)),
        profile=Profile(
            name="toy",
            title="toy",
            suspend_steps=(),
        ),
        code=CODE,
    )


def code_hash() -> str:
    """The same in every process, unless a test wants one process to be different."""
    return "f" * 64 if os.environ.get("TOY_OTHER_CODE") in sys.argv else CODE


def build_node(board: Board, node: NodeId) -> Node:
    """The toy of this name."""
    if node == PE0:
        return Caller(board.scenario.name)
    return Answerer(node, board.scenario.name)


class Answerer:
    """Answers requests."""

    def __init__(self, node: NodeId, behaviour: str) -> None:
        self.id = node
        self.behaviour = behaviour
        self.count = 0

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        if self.id == PE1 and self.behaviour == "deaf":
            input_that_never_comes()
        return []

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        assert isinstance(envelope.body, Load | TlbInvalidate)
        self.count += 1
        if self.count == ROUNDS // 2 and self.id == PE1 and self.behaviour == "stuck":
            input_that_never_comes()
        if self.count == ROUNDS // 2 and self.id == PE1 and self.behaviour == "protocol-error":
            raise ProtocolError("half way is\nfar enough")
        if self.id == DRAM and self.behaviour == "hub-fault":
            raise ProtocolError("dram is on fire")
        return [Send(envelope.id.src, Reply(envelope.body.tx, self.count))]

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        raise AssertionError(timer)


class Caller:
    """Calls both answerers, in rounds paced by a timer."""

    id = PE0

    def __init__(self, behaviour: str) -> None:
        self.behaviour = behaviour
        self.answers: dict[NodeId, int] = {PE1: 0, DRAM: 0}

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        return [SetTimer("round", now, now + MS), Trace(Phase("S0", "toy_suspend", "begin"))]

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        assert isinstance(envelope.body, Reply)
        self.answers[envelope.id.src] += 1
        if self.behaviour not in ("endless", "stuck") and min(self.answers.values()) == ROUNDS:
            return [Trace(ScenarioEnded("done"))]
        return []

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        again = SetTimer("round", now + MS // 10, now + MS // 5)
        if self.behaviour == "misaddressed":
            return [Send(NodeId("nobody"), Load(0, 0))]
        if self.behaviour == "ill-typed":
            return [Send(PE1, TlbInvalidate("not a number"))]  # type: ignore[arg-type]  # on purpose
        if self.behaviour == "deaf":
            return [again, *(Send(PE1, TlbInvalidate(0)) for _ in range(200))]
        return [again, Send(PE1, TlbInvalidate(0)), Send(DRAM, Load(0, 0))]


def input_that_never_comes() -> None:
    """Block this process as a node must never do."""
    reading, _ = os.pipe()
    os.read(reading, 1)
