"""The shipped vectors in the simulator, what they cover, and that wrong firmware fails them."""

import re
from pathlib import Path

import pytest
from vector_bench import play_on_firmware
from wrong_firmware import MUTANTS, Mutant

from deploy.cli.psci import VECTORS
from deploy.psci.names import CODES, FUNCTIONS, FUNCTIONS_32
from deploy.psci.parse import FileCase, read_file
from deploy.psci.run import Status, run_in_sim
from proto.traces import ScenarioEnded
from proto.vectors import Call, Invocation, Poll, every_step

FILES = sorted(VECTORS.glob("*.yaml"))
CASES = [found for path in FILES for found in read_file(path)]


def invocations(cases: list[FileCase]) -> list[Invocation]:
    """Every call and poll of these cases."""
    return [
        step.invocation
        for found in cases
        for step in every_step(found.case.steps)
        if isinstance(step, Call | Poll)
    ]


@pytest.mark.sim
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_every_shipped_case_passes(path: Path, seed: int, tmp_path: Path) -> None:
    """On fresh boards, under several interleavings."""
    results = run_in_sim(read_file(path), tmp_path, seed)

    assert [result for result in results if result.status is not Status.PASSED] == []


def test_there_are_enough_of_them() -> None:
    """And no id stands twice, in whatever file."""
    assert len(CASES) >= 120
    assert len({found.case.id for found in CASES}) == len(CASES)


def test_every_case_names_its_source() -> None:
    """A document with the title of a clause."""
    for found in CASES:
        assert re.match(r"(DEN00|DDI0|IHI0)\S*( [A-F]\.[a-z])?, \S", found.case.source), (
            found.case.id
        )


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_is_called_in_each_form(name: str) -> None:
    """By its name or its number; and PSCI_FEATURES is asked about most of them elsewhere."""
    called = {invocation.function for invocation in invocations(CASES)}

    assert {FUNCTIONS[name], FUNCTIONS_32[name]} & called == {FUNCTIONS[name], FUNCTIONS_32[name]}


NEVER = {"INTERNAL_FAILURE", "NOT_PRESENT", "DISABLED"}
"""Codes without an occasion here: failing hardware, a Trusted OS, affinities that are disabled."""


@pytest.mark.parametrize("code", sorted(CODES.keys() - NEVER))
def test_every_code_is_expected_somewhere(code: str) -> None:
    """By its name."""
    text = "".join(path.read_text(encoding="utf-8") for path in FILES)

    assert re.search(rf"expect(_count)?: [^\n]*\b{code}\b", text)


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.name)
def test_wrong_firmware_fails_a_vector(mutant: Mutant) -> None:
    """One that right firmware passes."""
    (found,) = (found for found in CASES if found.case.id == mutant.case)
    done = ScenarioEnded("done")

    assert play_on_firmware(found, {}) == done
    ends = [play_on_firmware(found, mutant.relinked, seed) for seed in range(mutant.seeds)]
    assert any(end != done for end in ends)
