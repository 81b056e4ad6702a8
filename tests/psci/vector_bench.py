"""Runs vectors given as text, each on a fresh simulated board."""

from collections.abc import Mapping
from pathlib import Path

from bus.world.sim import Outcome, World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.psci.board import board_for
from deploy.psci.parse import FileCase, read_cases
from deploy.psci.run import CaseResult, run_in_sim
from proto.ids import el3_node
from proto.image import Program
from proto.node import ProtocolError
from proto.traces import ScenarioEnded
from proto.units import MS
from services.firmware.node import El3

FILE = "file.yaml"


def cases_of(text: str) -> list[FileCase]:
    """The cases of a text, as if it stood in a file."""
    return [FileCase(Path(FILE), case, platform) for case, platform in read_cases(text, FILE)]


def case_text(steps: str, platform: str = "") -> str:
    """A file with one case, from its steps as YAML lines `- {...}`."""
    lines = "".join(f"      {line}\n" for line in steps.strip().splitlines())
    top = f"platform: {platform}\n" if platform else ""
    return f"{top}cases:\n  - id: one\n    steps:\n{lines}"


def play(steps: str, folder: Path, platform: str = "", seed: int = 0) -> CaseResult:
    """What comes of one case."""
    (result,) = run_in_sim(cases_of(case_text(steps, platform)), folder, seed)
    return result


def play_on_firmware(
    found: FileCase, relinked: Mapping[str, Program], seed: int = 0
) -> ScenarioEnded | str:
    """How a case ends on firmware that has other programs in places, or why a node raised."""
    board = board_for(found, seed)
    nodes = build_nodes(board)
    for cpu in board.platform.cpus:
        nodes[el3_node(cpu)] = El3(board, cpu, relinked)
    world = World(nodes, board.platform.latencies, RandomStrategy(seed), lambda turn: None)
    try:
        outcome = world.run(board.scenario.time_limit_ms * MS)
    except ProtocolError as error:
        return str(error)
    assert outcome is Outcome.ENDED
    assert world.ended is not None
    return world.ended
