"""What a run of vectors ends with: a line for each case, JSON, JUnit XML."""

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import msgspec

from deploy.cli.report import command
from deploy.psci.run import CaseResult, Status

EXIT_CODES = {Status.PASSED: 0, Status.FAILED: 1, Status.DIED: 3}
STYLES = {Status.PASSED: "green", Status.FAILED: "red", Status.DIED: "yellow"}
_XML_MIN = " "


class CaseReport(msgspec.Struct, frozen=True, kw_only=True):
    """One case: `reason` is the failing step with what came instead, and `position` is where that
    is in the journal; `repeat` is the command that runs it again."""

    file: str
    id: str
    source: str
    status: str
    reason: str
    position: int
    journal: str
    board_ms: float
    repeat: str


class VectorReport(msgspec.Struct, frozen=True, kw_only=True):
    """The `--json` object."""

    world: str
    seed: int
    passed: int
    failed: int
    died: int
    cases: tuple[CaseReport, ...]


def case_report(result: CaseResult, world: str, seed: int) -> CaseReport:
    """One case for machines."""
    found = result.found
    words = ("psci", str(found.file), "--case", found.case.id, "--world", world)
    return CaseReport(
        file=str(found.file),
        id=found.case.id,
        source=found.case.source,
        status=result.status.value,
        reason=result.reason,
        position=result.position,
        journal=str(result.journal),
        board_ms=result.board_ns / 1e6,
        repeat=command(*words, "--seed", str(seed)),
    )


def vector_report(cases: Sequence[CaseReport], world: str, seed: int) -> VectorReport:
    """All cases for machines."""
    count = {status: sum(case.status == status.value for case in cases) for status in Status}
    return VectorReport(
        world=world,
        seed=seed,
        passed=count[Status.PASSED],
        failed=count[Status.FAILED],
        died=count[Status.DIED],
        cases=tuple(cases),
    )


def lines(case: CaseReport) -> list[str]:
    """One case for people: one line, and if it has not passed, where to look and how to repeat."""
    mark = {"passed": "ok", "failed": "FAILED", "died": "DIED"}[case.status]
    about = f" ({case.source})" if case.source else ""
    if case.status == Status.PASSED.value:
        return [f"{mark:6} {case.id}{about}"]
    return [
        f"{mark:6} {case.id}{about}: {case.reason}",
        f"       {case.file}; position {case.position} of {case.journal}",
        f"       again:  {case.repeat}",
    ]


def exit_code(results: Sequence[CaseReport]) -> int:
    """3 if a process died, else 1 if a case failed, else 0."""
    return max((EXIT_CODES[Status(case.status)] for case in results), default=0)


def junit(report: VectorReport) -> bytes:
    """The report as JUnit XML: one suite for each file."""
    root = ElementTree.Element("testsuites", name=f"torpor psci ({report.world})")
    for file in dict.fromkeys(case.file for case in report.cases):
        inside = [case for case in report.cases if case.file == file]
        suite = ElementTree.SubElement(
            root,
            "testsuite",
            name=Path(file).stem,
            tests=str(len(inside)),
            failures=str(sum(case.status == Status.FAILED.value for case in inside)),
            errors=str(sum(case.status == Status.DIED.value for case in inside)),
        )
        for case in inside:
            element = ElementTree.SubElement(
                suite,
                "testcase",
                classname=Path(file).stem,
                name=case.id,
                time=f"{case.board_ms / 1e3:.6f}",
            )
            if case.status != Status.PASSED.value:
                kind = "failure" if case.status == Status.FAILED.value else "error"
                text = f"{case.journal}, position {case.position}\n{case.repeat}"
                trouble = ElementTree.SubElement(element, kind, message=_printable(case.reason))
                trouble.text = _printable(text)
    ElementTree.indent(root)
    data: bytes = ElementTree.tostring(root, encoding="utf-8", xml_declaration=True)
    return data + b"\n"


def _printable(text: str) -> str:
    """What XML cannot hold is left out."""
    return "".join(letter for letter in text if letter >= _XML_MIN or letter == "\n")
