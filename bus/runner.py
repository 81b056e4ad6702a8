"""Runs the nodes of one process: calls handlers, numbers turns, keeps timers; owns no I/O.

Effects are performed after the handler has finished: sends ride in the turn, timers stay here. A
timer fires at its earliest time plus a seeded draw inside its window; that choice belongs to the
world, so no node has a generator.
"""

import heapq
import random
from collections.abc import Callable, Mapping, Sequence

from proto.ids import BoardNs, Incarnation, NodeId
from proto.node import Node
from proto.turn import (
    CancelTimer,
    Effect,
    Envelope,
    Fired,
    Input,
    MessageId,
    Received,
    Send,
    SetTimer,
    Start,
    Turn,
)


class NodeCrash(Exception):
    """A node's handler raised; `node` names it and `reason` is one line."""

    def __init__(self, node: NodeId, reason: str, now: int, cause: MessageId | None) -> None:
        super().__init__(f"{node}: {reason}")
        self.node = node
        self.reason = reason
        self.now = now
        self.cause = cause


class Runner:
    """The nodes of one process, all in the same incarnation.

    `seed` seeds the draws of the timers: the same seed, nodes and inputs give the same turns.
    """

    def __init__(self, nodes: Mapping[NodeId, Node], incarnation: Incarnation, seed: str) -> None:
        self.nodes = dict(nodes)
        self.incarnation = incarnation
        self._draw = random.Random(seed).random
        self._numbers = dict.fromkeys(self.nodes, 0)
        self._seqs = dict.fromkeys(self.nodes, 0)
        self._due: list[tuple[int, int, NodeId, str]] = []
        self._set: dict[tuple[NodeId, str], int] = {}
        self._order = 0

    def start(self, node: NodeId, now: BoardNs) -> Turn:
        """A node's first turn."""
        target = self.nodes[node]
        return self._turn(node, Start(), now, None, lambda: target.on_start(now))

    def deliver(self, envelope: Envelope, now: BoardNs) -> Turn:
        """The turn in which a node answers a message."""
        node, cause = envelope.dst, envelope.id
        target = self.nodes[node]
        return self._turn(
            node, Received(cause), now, cause, lambda: target.on_message(now, envelope)
        )

    def fire(self, now: BoardNs) -> Turn | None:
        """The turn of the timer that is due first, or None if none is due at `now`."""
        deadline = self.next_deadline_ns()
        if deadline is None or deadline > now:
            return None
        _, _, node, timer = heapq.heappop(self._due)
        del self._set[node, timer]
        target = self.nodes[node]
        return self._turn(node, Fired(timer), now, None, lambda: target.on_timer(now, timer))

    def next_deadline_ns(self) -> int | None:
        """Board time of the next timer, or None."""
        due = self._due
        while due:
            at, order, node, timer = due[0]
            if self._set.get((node, timer)) == order:
                return at
            heapq.heappop(due)
        return None

    def _turn(
        self,
        node: NodeId,
        answered: Input,
        now: BoardNs,
        cause: MessageId | None,
        handler: Callable[[], Sequence[Effect]],
    ) -> Turn:
        try:
            effects = handler()
        except Exception as error:
            reason = " ".join(f"{type(error).__name__}: {error}".split())
            raise NodeCrash(node, reason, now, cause) from error
        number, first = self._numbers[node], self._seqs[node]
        seq = first
        for effect in effects:
            kind = type(effect)
            if kind is Send:
                seq += 1
            elif isinstance(effect, SetTimer):
                self._arm(node, effect)
            elif isinstance(effect, CancelTimer):
                self._set.pop((node, effect.timer), None)
        self._numbers[node] = number + 1
        self._seqs[node] = seq
        return Turn(node, self.incarnation, number, answered, now, first, tuple(effects))

    def _arm(self, node: NodeId, timer: SetTimer) -> None:
        due = timer.earliest_ns
        if timer.latest_ns > due:
            due += int(self._draw() * (timer.latest_ns - due + 1))
        self._order += 1
        self._set[node, timer.timer] = self._order
        heapq.heappush(self._due, (due, self._order, node, timer.timer))
        if len(self._due) > 2 * len(self._set) + 64:
            self._forget_replaced()

    def _forget_replaced(self) -> None:
        """Drop replaced and cancelled timers, so that the heap stays bounded."""
        self._due = [entry for entry in self._due if self._set.get(entry[2:]) == entry[1]]
        heapq.heapify(self._due)
