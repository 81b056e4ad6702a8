"""How many messages the simulator delivers, and how many suspend cycles it runs, per second."""

import time
from collections.abc import Sequence

from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import resolve
from proto.ids import BoardNs, NodeId
from proto.messages import Load, Reply
from proto.platform import Latencies
from proto.turn import Effect, Envelope, Send, Turn

ROUNDS = 60_000
SEEDS = 3
CYCLES = 10
"""Suspend cycles in the scenario `ten-cycles`."""


class Ping:
    """Sends a load for every answer, a fixed number of times."""

    id = NodeId("ping")

    def __init__(self, rounds: int) -> None:
        self._left = rounds

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """The first load."""
        return [Send(NodeId("pong"), Load(0, 0))]

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """The next load, until there have been enough."""
        self._left -= 1
        return [Send(NodeId("pong"), Load(self._left, 0))] if self._left else []

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """No timer is set."""
        raise AssertionError(timer)


class Pong(Ping):
    """Answers every load."""

    id = NodeId("pong")

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """Waits."""
        return []

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """The answer."""
        assert isinstance(envelope.body, Load)
        return [Send(envelope.id.src, Reply(envelope.body.tx, 1))]


def ping_pong() -> float:
    """Messages per second between two nodes that do nothing else."""
    turns: list[Turn] = []
    nodes = {node.id: node for node in (Ping(ROUNDS), Pong(ROUNDS))}
    world = World(nodes, Latencies(), RandomStrategy(0), turns.append)
    began = time.perf_counter()
    world.run(1 << 62)
    return 2 * ROUNDS / (time.perf_counter() - began)


def cycles() -> tuple[float, float, float]:
    """Suspend cycles per second, messages per second and messages per cycle of `ten-cycles`."""
    board = resolve("ten-cycles")
    messages = 0
    began = time.perf_counter()
    for seed in range(SEEDS):
        turns: list[Turn] = []
        latencies = board.platform.latencies
        world = World(build_nodes(board), latencies, RandomStrategy(seed), turns.append)
        world.run(board.scenario.time_limit_ms * 1_000_000)
        messages += sum(isinstance(effect, Send) for turn in turns for effect in turn.effects)
    spent = time.perf_counter() - began
    done = SEEDS * CYCLES
    return done / spent, messages / spent, messages / done


def run() -> dict[str, float]:
    """All figures of the simulator."""
    per_second, board_messages, per_cycle = cycles()
    return {
        "sim ping-pong messages/s": ping_pong(),
        "sim board messages/s": board_messages,
        "sim cycles/s": per_second,
        "messages per sim cycle": per_cycle,
    }
