"""What `torpor shrink` leaves: scenario, tape, journal, test, diagram and one page."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec
import yaml

from bus.journal import Journal, read_journal
from bus.world.delays import DelayStrategy
from deploy.cli.report import command
from deploy.explore.failures import CLAUSES
from deploy.run_sim import run_sim
from deploy.shrink.decisive import Pair, slower
from deploy.shrink.diagram import mermaid, svg
from deploy.shrink.essence import Row, essence
from deploy.shrink.trial import Case, Lab, reason_of
from proto.board import Board
from proto.patch import load_patch
from proto.turn import Turn
from proto.units import US
from services.monitor.prop import Finding
from services.monitor.verdict import judge


@dataclass(frozen=True, slots=True)
class Shrunk:
    """A minimal case, what it came from, and its files."""

    case: Case
    finding: Finding
    pair: Pair | None
    choices_before: int
    delays_before: int
    tries: int
    minimal: bool
    folder: Path

    @property
    def tape(self) -> Path:
        """The tape of the smallest run."""
        return self.folder / "journal.tape"

    @property
    def share(self) -> float:
        """Choices that are not the calmest, as a share of all choices of the run it came from."""
        return len(self.case.delays) / max(1, self.choices_before)


def write(shrunk: Shrunk, lab: Lab) -> list[Row]:
    """Write all files into the folder; gives the rows of the diagram."""
    case, folder = shrunk.case, shrunk.folder
    strategy = DelayStrategy(case.delays, case.windows)
    run_sim(case.board, folder / "journal", strategy, "shrunk", limit_ns=lab.patience_ns)
    journal = read_journal(folder / "journal")
    proof = next(
        (found for found in judge(journal).findings if reason_of(found) == lab.reason),
        shrunk.finding,
    )
    rows = essence(journal, proof.positions, shrunk.pair)
    board = case.board
    _dump(folder / "scenario.yaml", board.scenario)
    _dump(folder / "platform.yaml", board.platform)
    (folder / "board.json").write_bytes(msgspec.json.encode(board))
    for patch in board.patches:
        (folder / f"{patch.name}.py").write_text(patch.text, encoding="utf-8")
    (folder / "diagram.mmd").write_text(mermaid(rows), encoding="utf-8")
    title = f"{proof.property}: {proof.text}"
    (folder / "diagram.svg").write_text(svg(rows, title), encoding="utf-8")
    name = f"test_{_identifier(board.scenario.name)}_{_identifier(proof.property)}.py"
    (folder / name).write_text("\n".join(_test(shrunk, name)), encoding="utf-8")
    page = "\n".join(_page(shrunk, proof, rows, journal, name))
    (folder / "report.md").write_text(page + "\n", encoding="utf-8")
    return rows


def _dump(path: Path, value: msgspec.Struct) -> None:
    text = yaml.safe_dump(plain(value), sort_keys=False, allow_unicode=True, width=100)
    path.write_text(text, encoding="utf-8")


def plain(value: object) -> object:
    """A struct as what a user would write: without the fields that have their default."""
    if isinstance(value, msgspec.Struct):
        shown: dict[str, object] = {}
        for field in msgspec.structs.fields(value):
            item = getattr(value, field.name)
            if field.default is not msgspec.NODEFAULT and item == field.default:
                continue
            shown[field.encode_name] = plain(item)
        return shown
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return msgspec.to_builtins(value)


def _identifier(text: str) -> str:
    return re.sub(r"\W+", "_", text).strip("_").lower()


def _test(shrunk: Shrunk, name: str) -> Iterator[str]:
    case = shrunk.case
    clause = CLAUSES[shrunk.finding.property]
    patches = "".join(
        f'    # To try another version of it, add: patches={{"{patch.name}": HERE / "mine.py"}}\n'
        for patch in case.board.patches[:1]
    )
    yield f'"""{shrunk.finding.property} must hold: {clause}.'
    yield ""
    yield f"Found as: {shrunk.finding.text}"
    yield '"""'
    yield ""
    yield "from pathlib import Path"
    yield ""
    yield "from deploy.shrink.again import rerun"
    yield ""
    yield "HERE = Path(__file__).parent"
    yield ""
    yield "DELAYS = {"
    for delay, extra in sorted(case.delays.items()):
        yield f"    {delay!r}: {extra},"
    yield "}"
    yield '"""What is slower than it has to be, in nanoseconds: source, destination, number."""'
    yield ""
    yield ""
    yield f"def {name.removesuffix('.py')}() -> None:"
    yield '    """The smallest schedule that failed passes."""'
    if patches:
        yield patches.rstrip("\n")
    yield f'    verdict = rerun(HERE / "board.json", DELAYS, windows={case.windows})'
    yield "    assert not [found for found in verdict.findings if not found.expected]"
    yield ""


def _page(
    shrunk: Shrunk, proof: Finding, rows: list[Row], journal: Journal, test: str
) -> Iterator[str]:
    case, board = shrunk.case, shrunk.case.board
    yield f"# {proof.property}: {proof.text}"
    yield ""
    yield f"Demanded: {CLAUSES[proof.property]}."
    yield ""
    yield from _board(board)
    yield "## The schedule"
    yield ""
    if case.delays:
        nodes = {record.node for record in journal.records if isinstance(record, Turn)}
        yield (
            "Every access takes its least time and events come in the order in which they were "
            f"caused, but for {len(case.delays)} of {shrunk.choices_before} choices:"
        )
        yield ""
        for delay, extra in sorted(case.delays.items()):
            yield f"- {slower(delay, extra, nodes)}"
    else:
        yield "No order has to be chosen: the calmest schedule fails."
    yield ""
    yield "## The decisive pair"
    yield ""
    yield from _pair(shrunk, rows)
    yield "## What happens"
    yield ""
    yield "![The essential messages](diagram.svg)"
    yield ""
    yield "```mermaid"
    yield mermaid(rows).rstrip()
    yield "```"
    yield ""
    yield "## Again"
    yield ""
    yield f"    {command('replay', str(shrunk.tape))}"
    yield f"    pytest {shrunk.folder / test}"


def _board(board: Board) -> Iterator[str]:
    scenario, platform = board.scenario, board.platform
    yield "## The smallest board"
    yield ""
    domains = ", ".join(f"{spec.title} ({spec.vcpus} vCPUs)" for spec in scenario.domains)
    yield f"{platform.pes} PEs in clusters of {', '.join(map(str, platform.clusters))}; {domains};"
    yield f"profile {board.profile.name}, power model {scenario.power_model}."
    for patch in board.patches:
        mutant = load_patch(patch).mutant
        yield f"Patch: {patch.name}{'' if mutant is None else f', {mutant.title}'}."
    yield ""
    yield "```yaml"
    yield yaml.safe_dump(plain(scenario), sort_keys=False, allow_unicode=True, width=96).rstrip()
    yield "```"
    yield ""


def _pair(shrunk: Shrunk, rows: list[Row]) -> Iterator[str]:
    pair = shrunk.pair
    if pair is None:
        yield "None was found: no schedule that was tried passes, or no order at one node differs."
        yield ""
        return
    first, second = (next(row for row in rows if row.mark == mark) for mark in (1, 2))
    yield f"At `{pair.node}`:"
    yield ""
    for number, row in ((1, first), (2, second)):
        yield f"{number}. `{row.label}` from `{row.src or row.node}` at {row.now / US:.2f} us"
    yield ""
    yield f"In this order the board fails. It passes with 2 before 1: when {pair.text}."
    yield ""
