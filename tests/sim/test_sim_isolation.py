"""Nodes share nothing but messages: no mutable object is reachable from two of them."""

import gc
import types
from collections.abc import Iterator, Mapping
from enum import Enum

import msgspec
import pytest
from msgspec.structs import replace

from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import resolve
from proto.ids import NodeId
from proto.messages import PointReached
from proto.node import Node
from proto.scenario import PointAction
from proto.turn import Send, Turn
from proto.units import MS

pytestmark = pytest.mark.sim

CODE = (
    type,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.ModuleType,
    types.CodeType,
    types.GetSetDescriptorType,
)
"""What the program itself consists of, not a node's data."""

ATOMS = (int, str, bytes, float, bool, type(None), range, Enum)


def is_frozen(thing: object) -> bool:
    """Whether an object cannot be changed, whatever it refers to."""
    if isinstance(thing, (tuple, frozenset)):
        return True
    if isinstance(thing, msgspec.Struct):
        return thing.__struct_config__.frozen
    parameters = getattr(thing, "__dataclass_params__", None)
    return bool(parameters and parameters.frozen)


def mutable_objects(root: object) -> Iterator[object]:
    """Every mutable object that can be reached from a node."""
    seen: set[int] = set()
    waiting = [root]
    while waiting:
        thing = waiting.pop()
        if id(thing) in seen or isinstance(thing, CODE + ATOMS):
            continue
        seen.add(id(thing))
        if not is_frozen(thing):
            yield thing
        if isinstance(thing, types.FrameType):
            waiting.extend(thing.f_locals.values())
        else:
            waiting.extend(gc.get_referents(thing))


def shared_objects(nodes: Mapping[NodeId, Node]) -> tuple[list[str], int]:
    """What two nodes share, in words, and how many mutable objects were looked at."""
    owners: dict[int, str] = {}
    kept: list[object] = []
    shared: list[str] = []
    for name, node in nodes.items():
        for thing in mutable_objects(node):
            kept.append(thing)
            owner = owners.setdefault(id(thing), name)
            if owner != name:
                shared.append(f"{owner} and {name} share a {type(thing).__name__}")
    return shared, len(kept)


def suspending_board() -> dict[NodeId, Node]:
    """The nodes of a board in the middle of a suspend, programs under way on every processor."""
    board = resolve("baseline")
    held = PointAction(point="before S9", hold=True)
    scenario = replace(board.scenario, points=(*board.scenario.points, held))
    board = replace(board, scenario=scenario)
    nodes = build_nodes(board)
    turns: list[Turn] = []
    world = World(nodes, board.platform.latencies, RandomStrategy(0), turns.append)
    world.run(100 * MS)
    assert PointReached in {type(e.body) for t in turns for e in t.effects if isinstance(e, Send)}
    assert world.ended is None
    return nodes


def test_no_two_nodes_share_a_mutable_object() -> None:
    """Whatever they have in common travels in messages, which are frozen."""
    shared, looked_at = shared_objects(suspending_board())

    assert shared == []
    assert looked_at > 300


def test_a_shared_object_would_be_found() -> None:
    """The search sees into the frames of programs and through frozen containers."""
    nodes = suspending_board()
    common: list[int] = []
    nodes[NodeId("pe0")].planted = (common,)  # type: ignore[attr-defined]  # the plant
    nodes[NodeId("dom1")].planted = {"deep": (common,)}  # type: ignore[attr-defined]  # its twin

    assert shared_objects(nodes)[0] == ["pe0 and dom1 share a list"]
