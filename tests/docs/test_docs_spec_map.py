"""docs/SPEC_MAP.md against the tree: what it names is there, and what must be in it is."""

import re
from pathlib import Path

import pytest

from services.monitor.properties import PROPERTIES
from services.pcpu.xen.suspend import STEPS

ROOT = Path(__file__).parent.parent.parent
DOCUMENT = ROOT / "docs" / "SPEC_MAP.md"
TEXT = DOCUMENT.read_text(encoding="utf-8")

PACKAGES = "proto|bus|services|deploy|tests|docs"
FILES = sorted(set(re.findall(rf"`((?:{PACKAGES})/[\w./-]+)(?:::\w+)?`", TEXT)))
TESTS = sorted(set(re.findall(r"`(tests/[\w./]+)::(\w+)`", TEXT)))
SYMBOLS = sorted(
    {
        (path, name)
        for path, names in re.findall(rf"`((?:{PACKAGES})/[\w./]+\.py)`: ((?:`\w+`(?:, )?)+)", TEXT)
        for name in re.findall(r"`(\w+)`", names)
    }
)


def first_cells() -> set[str]:
    """The first column of every table."""
    return {line.split("|")[1].strip() for line in TEXT.splitlines() if line.startswith("|")}


def defines(path: str, name: str) -> bool:
    """Whether a Python file defines a function, a class or a constant of this name."""
    source = (ROOT / path).read_text(encoding="utf-8")
    return bool(re.search(rf"^(?:async def|def|class) {name}\b|^{name}\b.* = ", source, re.M))


@pytest.mark.parametrize("path", FILES)
def test_named_files_exist(path: str) -> None:
    """So that a rename is noticed here."""
    assert (ROOT / path).exists()


@pytest.mark.parametrize(("path", "name"), TESTS)
def test_named_tests_exist(path: str, name: str) -> None:
    """A test file and a function in it."""
    assert defines(path, name)


@pytest.mark.parametrize(("path", "name"), SYMBOLS)
def test_named_symbols_exist(path: str, name: str) -> None:
    """A name of ours in the file before it."""
    assert defines(path, name)


def test_every_row_names_code_and_test() -> None:
    """A rule without a test would be a claim."""
    rows = [line for line in TEXT.splitlines() if re.match(r"\|.*`services/", line)]

    assert len(rows) > 60
    assert [row for row in rows if "::" not in row] == []


def test_every_step_label_is_mapped() -> None:
    """Steps and their undos, entry and end of resume."""
    labels = {label for step in STEPS.values() for label in (step.label, step.undo_label) if label}

    assert labels | {"R0", "R9"} <= first_cells()


def test_every_property_is_mapped() -> None:
    """By the name under which it is reported."""
    assert {kind.name for kind in PROPERTIES} <= first_cells()


def test_every_known_bug_test_is_mapped() -> None:
    """The firmware's known bugs are named one by one."""
    path = "tests/firmware/test_firmware_known_bugs.py"
    defined = re.findall(r"^def (test_\w+)", (ROOT / path).read_text(encoding="utf-8"), re.M)

    assert {name for file, name in TESTS if file == path} == set(defined)
