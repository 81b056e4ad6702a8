"""How many messages the simulator delivers, and how many suspend cycles it runs, per second.

A second is one of CPU time: the simulator has one thread, so it is a second of one core. Each
figure is the best of several repetitions, because a machine is rarely alone.
"""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from bus.world.sim import Outcome, World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import resolve
from proto.board import Board
from proto.ids import BoardNs, NodeId
from proto.messages import Load, Reply
from proto.permissions import permissions
from proto.platform import Latencies
from proto.traces import Phase
from proto.turn import Effect, Envelope, Send
from services.monitor.evidence import Feed, Links, Moment, Table
from services.monitor.verdict import Judge

ROUNDS = 60_000
SEEDS = 3
REPEATS = 4
CYCLES = 10
"""Suspend cycles in the scenario `ten-cycles`."""

INTERPRETERS = ("python3.12", "python3.13", "python3.14")
"""Names under which an interpreter for `simloom` is looked for, after TORPOR_PYTHON312."""


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
    nodes = {node.id: node for node in (Ping(ROUNDS), Pong(ROUNDS))}
    world = World(nodes, Latencies(), RandomStrategy(0))
    began = time.process_time()
    world.run(1 << 62)
    return 2 * ROUNDS / (time.process_time() - began)


class Stopwatch:
    """Observes when the first freeze begins and when the last resume has ended."""

    def __init__(self, messages: Callable[[], int]) -> None:
        self._messages = messages
        self.begun: tuple[float, int] | None = None
        self.ended: tuple[float, int] | None = None

    @cached_property
    def traced(self) -> Table:
        """Phases of the host's suspend."""
        return {Phase: self._on_phase}

    @property
    def received(self) -> Table:
        """Nothing."""
        return {}

    @property
    def sent(self) -> Table:
        """Nothing."""
        return {}

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        if self.begun is None and (event.label, event.edge) == ("S0", "begin"):
            self.begun = (time.process_time(), self._messages())
        elif (event.label, event.edge) == ("R9", "end"):
            self.ended = (time.process_time(), self._messages())


class Run(NamedTuple):
    """A run of `ten-cycles`: CPU seconds and messages, of all of it and of its cycles alone."""

    whole_s: float
    cycles_s: float
    messages: int
    cycle_messages: int


def run_cycles(board: Board, seed: int, judged: bool) -> Run:
    """Build a board, run it, with all properties or without; it has to end well."""
    began = time.process_time()
    watch = Stopwatch(lambda: world.messages)
    judge = Judge(board, "sim", (watch,)) if judged else None
    world = World(
        build_nodes(board),
        board.platform.latencies,
        RandomStrategy(seed),
        may_send=permissions(board),
        watch=Feed(Links(), (watch,)) if judge is None else judge.watch,
    )
    outcome = world.run(board.scenario.time_limit_ms * 1_000_000)
    assert outcome is Outcome.ENDED
    assert judge is None or judge.conclude(torn=False).verdict == "pass"
    whole_s = time.process_time() - began
    assert watch.begun is not None
    assert watch.ended is not None
    cycles_s = watch.ended[0] - watch.begun[0]
    return Run(whole_s, cycles_s, world.messages, watch.ended[1] - watch.begun[1])


def best_of(board: Board, judged: bool) -> list[Run]:
    """The fastest repetition of each seed."""
    return [min(run_cycles(board, seed, judged) for _ in range(REPEATS)) for seed in range(SEEDS)]


def simloom() -> float | str:
    """Messages per second of the package `simloom`, or why there is no such figure."""
    named = os.environ.get("TORPOR_PYTHON312", "")
    python = named or next(filter(None, map(shutil.which, INTERPRETERS)), "")
    if not python:
        return "not measured: no Python 3.12 or newer on PATH or in TORPOR_PYTHON312"
    script = Path(__file__).with_name("simloom_ping_pong.py")
    with tempfile.TemporaryDirectory() as place:
        theirs = Path(place) / "bin" / "python"
        steps: tuple[Sequence[str | Path], ...] = (
            (python, "-m", "venv", place),
            (theirs, "-m", "pip", "install", "--quiet", "simloom"),
            (theirs, script),
        )
        said = ""
        for step in steps:
            try:
                done = subprocess.run(
                    step, capture_output=True, text=True, timeout=300, check=False
                )
            except (OSError, subprocess.TimeoutExpired) as error:
                return f"not measured: {error}"
            if done.returncode:
                last = (done.stderr.strip().splitlines() or ["no reason given"])[-1]
                return f"not measured: {last}"
            said = done.stdout
    return float(said)


def run() -> dict[str, float | str]:
    """All figures of the simulator."""
    board = resolve("ten-cycles")
    judged, plain = best_of(board, judged=True), best_of(board, judged=False)
    done = SEEDS * CYCLES
    ours, theirs = max(ping_pong() for _ in range(REPEATS)), simloom()
    return {
        "sim ping-pong messages/s": ours,
        "simloom ping-pong messages/s": theirs,
        "sim to simloom ratio": theirs if isinstance(theirs, str) else ours / theirs,
        "sim board messages/s": sum(r.messages for r in plain) / sum(r.whole_s for r in plain),
        "sim cycles/s with properties": done / sum(r.cycles_s for r in judged),
        "sim cycles/s with properties, boot and end counted": done / sum(r.whole_s for r in judged),
        "sim cycles/s": done / sum(r.cycles_s for r in plain),
        "sim cycles/s, boot and end counted": done / sum(r.whole_s for r in plain),
        "messages per sim cycle": sum(r.cycle_messages for r in judged) / done,
        "messages per sim cycle, boot and end counted": sum(r.messages for r in judged) / done,
    }
