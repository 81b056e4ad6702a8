"""The pytest plugin, as somebody uses it whose tests lie elsewhere."""

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from explore_patches import UNEXPECTED
from typer.testing import CliRunner

from deploy.cli.main import app

pytest_plugins = ("pytester",)

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "docs" / "HOWTO_PYTEST.md"
_FILE = re.compile(r"```python\n# (\w+\.py)\n(.*?)```", re.DOTALL)

Run = Callable[..., pytest.RunResult]


def documented() -> dict[str, str]:
    """The files of the document, by name."""
    return dict(_FILE.findall(DOCUMENT.read_text(encoding="utf-8")))


@pytest.fixture
def run(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a test file in a process of its own, with this checkout's plugin."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    known = any(entry.name == "torpor" for entry in entry_points(group="pytest11"))
    loaded = () if known else ("-p", "deploy.pytest_plugin")
    pytester.makefile(".py", my_patch=UNEXPECTED)

    def run(text: str, *options: str) -> pytest.RunResult:
        pytester.makefile(".py", test_mine=text)
        return pytester.runpytest_subprocess(*loaded, "-p", "no:cacheprovider", *options)

    return run


def told(result: pytest.RunResult, label: str) -> str:
    """A line of the report's last section."""
    [line] = [line for line in result.outlines if line.startswith(f"{label}:")]
    return line.partition(":")[2].strip()


@pytest.mark.sim
def test_the_documents_example_runs(run: Run, pytester: pytest.Pytester) -> None:
    """The files as they stand there, patch and test."""
    files = documented()
    pytester.makefile(".py", my_patch=files["my_patch.py"])
    result = run(files["test_my_order.py"], "--schedules", "6")

    result.assert_outcomes(passed=2)


def test_the_document_names_what_there_is() -> None:
    """Its live example is run by a test of real processes; every name it speaks of exists."""
    from deploy.testing.live import LiveBoard
    from deploy.testing.sim import SimWorld

    text = DOCUMENT.read_text(encoding="utf-8")
    assert set(documented()) == {"my_patch.py", "test_my_order.py", "test_live_cycle.py"}
    for kind, name in ((SimWorld, "world"), (LiveBoard, "board")):
        used = set(re.findall(rf"\b{name}\.(\w+)(?=[(.\[`])", text)) - {"yaml", "py"}
        assert used
        assert all(hasattr(kind, attribute) for attribute in used), used


def test_a_violation_fails_at_its_schedule_and_can_be_replayed(run: Run) -> None:
    """Also if the test itself asserts nothing."""
    result = run(
        """
        import pytest

        @pytest.mark.schedules(20, strategy="random", seed=7)
        def test_it(world):
            world.scenario("baseline", platform="dual", profile="seed", mutants=["my_patch.py"])
            world.run()
        """
    )
    result.assert_outcomes(failed=1)
    tape = Path(told(result, "replay").split(" replay ")[1])
    replayed = CliRunner().invoke(app, ["replay", str(tape)], prog_name="torpor")

    assert re.fullmatch(r"\d+ of 20 \(marker's seed 7\), random seed \d+", told(result, "schedule"))
    assert replayed.exit_code == 1, replayed.output
    assert "to the byte" in replayed.stderr
    prop, _, text = told(result, "found").partition(": ")
    assert f"{prop}: {text}" in replayed.stderr


def test_an_assertion_of_the_test_fails_at_its_schedule(run: Run) -> None:
    """And what it looked at is there to be replayed; it passes then, nothing is violated."""
    result = run(
        """
        import pytest

        SEEN = []

        @pytest.mark.schedules(20)
        def test_it(world):
            world.scenario("baseline", platform="dual")
            assert world.run().verdict == "pass"
            SEEN.append(world.choices)
            assert len(set(SEEN)) < 3
        """
    )
    result.assert_outcomes(failed=1)
    tape = Path(told(result, "replay").split(" replay ")[1])

    assert told(result, "schedule").startswith("2 of 20")
    assert not [line for line in result.outlines if line.startswith("found:")]
    assert CliRunner().invoke(app, ["replay", str(tape)], prog_name="torpor").exit_code == 0


def test_what_is_expected_is_no_failure(run: Run) -> None:
    """A test may show a bug, and look at what was seen."""
    result = run(
        """
        import pytest
        from proto.messages import Smc
        from proto.traces import PePower

        @pytest.mark.schedules(3, strategy="pct")
        def test_it(world):
            board = world.scenario(
                "baseline", platform="dual", profile="seed", mutants=["my_patch.py"],
                expected=["I1", "I2", "I3", "I4", "I5", "I6", "I7", "I8", "I9", "I10", "I11"],
            )
            verdict = world.run()
            assert verdict.verdict == "pass"
            assert "violated" in verdict.properties.values()
            assert [finding.because for finding in verdict.findings]
            assert world.scenario(board) is board

        def test_look(world):
            world.scenario("baseline", platform="dual")
            world.run()
            calls = world.journal.messages(Smc, src="pe0", dst="el3.pe0")
            assert calls == [sent for sent in world.journal.messages(Smc) if sent.src == "pe0"]
            assert {seen.node for seen in world.journal.traces(PePower)}
            assert all(t.node == "gicd" for t in world.journal.turns_of("gicd", after_ns=10))
        """
    )

    result.assert_outcomes(passed=2)


def test_a_scenario_may_stand_in_the_test(run: Run) -> None:
    """As YAML text, and a node that raises fails the test."""
    result = run(
        '''
        TEXT = """
        name: mine
        platform: dual
        domains: [{id: 0, role: hardware}]
        steps: [{expect: {any_of: ["Xen is up"], since: start}}]
        """

        def test_text(world):
            assert world.scenario(TEXT).scenario.name == "mine"
            assert world.run().verdict == "pass"

        def test_crash(world, tmp_path):
            patch = tmp_path / "crash.py"
            patch.write_text(
                "from proto.patch import relink_xen\\n@relink_xen\\n"
                "async def stop_cpu(pe): raise ZeroDivisionError('mine')\\n"
            )
            world.scenario("baseline", platform="dual", mutants=[str(patch)])
            world.run()
        '''
    )

    result.assert_outcomes(passed=1, failed=1)
    assert told(result, "found") == "a node raised ZeroDivisionError: mine"
    assert told(result, "schedule").startswith("0, random seed 0")


MISTAKES = {
    "@pytest.mark.schedules(2)\ndef test_0(): ...": "needs Torpor's fixture `world`",
    "@pytest.mark.schedules(2)\ndef test_1(world): ...": "nothing has run yet",
    "def test_2(world): world.run()": "say which one with `.scenario(...)`",
    "def test_3(board): board.run()": "say which one with `.scenario(...)`",
    "def test_4(board): board.xl('list')": "the board is not up",
    "def test_5(world): world.scenario('none')": "there is no scenario 'none'",
    "def test_6(world): world.journal": "call `.run()` first",
    "@pytest.mark.schedules(2, strategy='dfs')\ndef test_7(world): ...": (
        "expected one of random, orders, pct, guided, portfolio, got 'dfs'"
    ),
    "@pytest.mark.schedules(0)\ndef test_8(world): ...": "expected at least 1, got 0",
    "@pytest.mark.schedules(depth=2)\ndef test_9(world): ...": "write @pytest.mark.schedules(",
}


def test_mistakes_are_told(run: Run) -> None:
    """Each in one line that says what to write."""
    result = run("import pytest\n" + "\n".join(MISTAKES), "--tb=short", "-rN")

    result.assert_outcomes(failed=len(MISTAKES))
    _, *reports = re.split(r"^_+ test_\d _+$", result.stdout.str(), flags=re.MULTILINE)
    for report, said in zip(reports, MISTAKES.values(), strict=True):
        assert said in report


def test_ones_own_fixtures_of_these_names_win(run: Run) -> None:
    """The plugin is loaded everywhere; it takes no name away."""
    result = run(
        """
        import pytest

        @pytest.fixture
        def world(): return "mine"

        @pytest.fixture
        def board(): return "mine too"

        def test_it(world, board): assert (world, board) == ("mine", "mine too")
        """
    )

    result.assert_outcomes(passed=1)


def test_loading_the_plugin_imports_nothing_of_torpor() -> None:
    """Whoever has Torpor installed pays nothing for it in other tests."""
    code = (
        "import sys, pytest, deploy.pytest_plugin\n"
        "print(sorted(m for m in sys.modules if m.split('.')[0] in "
        "('proto', 'bus', 'services', 'deploy', 'zmq', 'msgspec')))"
    )
    printed = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )

    assert ast.literal_eval(printed.stdout) == ["deploy", "deploy.pytest_plugin"]


def test_pytest_finds_the_plugin() -> None:
    """By the entry point that the project declares."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

    assert project["entry-points"]["pytest11"] == {"torpor": "deploy.pytest_plugin"}
