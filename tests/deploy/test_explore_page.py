"""The page about a failure: everything that somebody who has never seen the tool needs."""

import re
from pathlib import Path

import pytest
from explore_patches import CRASH, UNEXPECTED, failing

from bus.journal import read_journal
from deploy.explore.explorer import explore
from deploy.explore.failures import LINE_MAX, Kept, keep
from services.monitor.properties import PROPERTIES

CLAUSES = {kind.name: kind.clause for kind in PROPERTIES}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Kept:
    """A violation that is written down."""
    folder = tmp_path_factory.mktemp("found")
    board = failing(folder, UNEXPECTED, "seed")
    progress = explore(board, "random", 50)
    return keep(board, progress.failures[0], folder, progress)


@pytest.fixture(scope="module")
def page(kept: Kept) -> str:
    """Its page."""
    return kept.page.read_text(encoding="utf-8")


def test_the_first_lines_say_what_is_wrong(page: str, kept: Kept) -> None:
    """Scenario and property in the headline, then the finding as a sentence."""
    lines = page.splitlines()
    finding = kept.result.surprises[0]

    assert lines[0].startswith(f"# `baseline`: {finding.property}")
    assert lines[0].endswith("violated")
    assert lines[2] == f"{finding.property}: {finding.text}."


def test_it_tells_the_board_and_the_schedule(page: str, kept: Kept) -> None:
    """Enough to say it in a mail."""
    assert "| board | dual: 2 PEs, 96 INTIDs; Domain-0 with 2 vCPUs, dom1 with 2 vCPUs" in page
    assert "| version | profile seed: " in page
    assert "| patch | my_patch |" in page
    assert "| power model | all-lost |" in page
    assert f"| schedule | number {kept.result.index}, random, seed {kept.result.seed} |" in page


def test_each_finding_has_its_clause_and_its_records(page: str, kept: Kept) -> None:
    """The records are lines of the journal, at the positions of the finding."""
    journal = read_journal(kept.journal)
    for finding in kept.result.surprises:
        assert f"## {finding.property}\n" in page
        assert f"Demanded: {CLAUSES[finding.property]}." in page
        assert f"Found: {finding.text}." in page
        assert all(0 <= position < len(journal.records) for position in finding.positions)
    records = page.split("The records that prove it:\n\n")[1].split("\n\n")[0].splitlines()
    assert len(records) >= len(kept.result.surprises[0].positions) > 0
    assert all(len(line) <= LINE_MAX + len("     ...") for line in records)


def test_it_tells_where_the_board_was(page: str) -> None:
    """Steps by their labels, and none that began after the failure."""
    steps = re.findall(r"^\| ([SR]\d+) \| (\w+)", page, re.MULTILINE)

    assert 0 < len(steps) <= 14
    assert "| step | | began | took |" in page


def test_it_ends_with_commands_that_can_be_copied(page: str, kept: Kept) -> None:
    """To replay, to shrink, to look at it."""
    commands = [line for line in page.splitlines() if line.startswith("    ") and "torpor" in line]

    for verb, path in (
        ("replay", kept.tape),
        ("shrink", kept.tape),
        ("journal cat", kept.journal),
    ):
        assert any(line.endswith(f"{verb} {path}") for line in page.splitlines()), commands


def test_it_is_a_page(page: str) -> None:
    """It can be read in one go: no empty section, no double blank line, no half sentence."""
    assert len(page.splitlines()) < 100
    assert "\n\n\n" not in page
    assert page.endswith("prints every message.\n")
    assert not re.search(r"^## .*\n\n(?=## |\Z)", page, re.MULTILINE)


def test_a_crash_has_a_page_too(tmp_path: Path) -> None:
    """Without a finding, and without a claim about the software under test."""
    board = failing(tmp_path, CRASH)
    progress = explore(board, "random", 1)
    page = keep(board, progress.failures[0], tmp_path, progress).page.read_text(encoding="utf-8")

    assert page.startswith("# `baseline`: a node raised\n")
    assert "A node raised ZeroDivisionError: my mistake." in page
    assert "Demanded" not in page
