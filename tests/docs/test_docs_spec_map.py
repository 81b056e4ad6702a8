"""docs/SPEC_MAP.md against the tree: what it names is there, and what must be in it is."""

import re
from pathlib import Path

import pytest

from deploy.psci.parse import read_file
from proto.gic import GICC, GICD, GICH
from proto.psci import Psci
from proto.registers import RegisterMap
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

VECTORS = sorted(
    {
        (path, case)
        for path, cases in re.findall(
            r"`(deploy/vectors/[\w-]+\.yaml)`: ((?:`[\w.-]+`(?:, )?)+)", TEXT
        )
        for case in re.findall(r"`([\w.-]+)`", cases)
    }
)

STEP_LABELS = {f"S{number}" for number in range(14)} | {f"R{number}" for number in range(10)}
INVARIANTS = {f"I{number}" for number in range(1, 13)}
SIMULTANEITY_POINTS = {str(number) for number in range(1, 13)}
FUNCTIONS = {function.name.removesuffix("_32") for function in Psci}
REGISTERS = {
    row.name.rstrip("0123456789") for frame in (GICD, GICC, GICH) for row in RegisterMap(frame).rows
}
POWER_DOWN_CONTEXT = {
    *("x19", "SP_EL2", "DAIF", "TPIDR_EL2", "VBAR_EL2", "SCTLR_EL2", "TCR_EL2", "TTBR0_EL2"),
    *("MAIR_EL2", "HCR_EL2", "CPTR_EL2", "HSTR_EL2", "MDCR_EL2", "VTCR_EL2", "VTTBR_EL2"),
    *("VPIDR_EL2", "VMPIDR_EL2", "CNTHCTL_EL2", "CNTVOFF_EL2", "CNTHP_CTL_EL2", "CNTHP_CVAL_EL2"),
    *("ACTLR_EL2", "GICC", "GICH", "SCTLR_EL1", "ACTLR_EL1", "CPACR_EL1", "TTBR0_EL1", "TTBR1_EL1"),
    *("TCR_EL1", "MAIR_EL1", "AMAIR_EL1", "VBAR_EL1", "CONTEXTIDR_EL1", "TPIDR_EL1", "ESR_EL1"),
    *("FAR_EL1", "AFSR0_EL1", "AFSR1_EL1", "ELR_EL1", "SPSR_EL1", "PAR_EL1", "CNTKCTL_EL1"),
    *("MDSCR_EL1", "CSSELR_EL1", "SP_EL0", "SP_EL1", "TPIDR_EL0", "TPIDRRO_EL0", "CNTV_CTL_EL0"),
    *("CNTV_CVAL_EL0", "CNTP", "V0", "FPCR", "FPSR", "SVE", "PAuth"),
}
"""What a power-down takes from a PE (DDI 0487): each is carried somewhere, or not modelled."""


def section(title: str) -> str:
    """The text under a heading."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    assert found is not None, f"there is no section {title}"
    return found[1]


def first_cells(text: str = TEXT) -> set[str]:
    """The first column of every table."""
    return {line.split("|")[1].strip() for line in text.splitlines() if line.startswith("|")}


def words(cells: set[str]) -> set[str]:
    """What cells name, with and without a number: a cell may name several registers."""
    found = {word for cell in cells for word in re.findall(r"\w+", cell)}
    return found | {word.rstrip("0123456789") for word in found}


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


@pytest.mark.parametrize("path", sorted({path for path, _ in VECTORS}))
def test_named_vectors_exist(path: str) -> None:
    """Cases of a file of vectors."""
    cases = {case.case.id for case in read_file(ROOT / path)}

    assert {case for file, case in VECTORS if file == path} <= cases


def test_every_row_names_code_and_test() -> None:
    """A rule without a test would be a claim."""
    rows = [line for line in TEXT.splitlines() if re.match(r"\|.*`services/", line)]

    assert len(rows) > 60
    assert [row for row in rows if "::" not in row] == []


def test_every_row_has_the_cells_of_its_heading() -> None:
    """A cell too few moves the test under another heading."""
    tables = re.findall(r"(?:^\|.*\n)+", TEXT, re.M)

    assert len(tables) > 20
    for table in tables:
        assert len({line.count("|") for line in table.splitlines()}) == 1, table[:60]


def test_every_step_label_is_mapped() -> None:
    """Steps and their undos, entry and end of resume."""
    labels = {label for step in STEPS.values() for label in (step.label, step.undo_label) if label}

    assert labels <= STEP_LABELS
    assert first_cells() >= STEP_LABELS


def test_every_property_is_mapped() -> None:
    """By the name under which it is reported."""
    assert {kind.name for kind in PROPERTIES} | INVARIANTS <= first_cells(section("Invariants"))


def test_every_function_of_firmware_is_mapped() -> None:
    """Each of PSCI's, by the name without its width."""
    assert first_cells(section("Firmware: functions")) >= FUNCTIONS


def test_every_register_of_the_gic_is_mapped() -> None:
    """Distributor, CPU interface and virtual interface control."""
    assert words(first_cells()) >= REGISTERS


def test_every_register_that_power_takes_is_mapped() -> None:
    """To where it is carried, or among what is not modelled."""
    carried = first_cells(section("Context across power-down"))
    missing = first_cells(section("Not modelled"))

    assert words(carried | missing) >= POWER_DOWN_CONTEXT
    assert words(carried) & words(missing) & POWER_DOWN_CONTEXT == set()


def test_every_simultaneity_point_is_mapped() -> None:
    """And no other is claimed."""
    numbers = first_cells(section("Simultaneity points")) - {"Point", "---"}

    assert numbers == SIMULTANEITY_POINTS


def test_every_known_bug_test_is_mapped() -> None:
    """The firmware's known bugs are named one by one."""
    path = "tests/firmware/test_firmware_known_bugs.py"
    defined = re.findall(r"^def (test_\w+)", (ROOT / path).read_text(encoding="utf-8"), re.M)

    assert {name for file, name in TESTS if file == path} == set(defined)
