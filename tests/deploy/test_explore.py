"""Explorations: the same for any number of workers, honest about what failed and what did not."""

import json
from pathlib import Path

import pytest
from explore_patches import CRASH, UNEXPECTED, UNSTEADY, failing, plain
from typer.testing import CliRunner, Result

from bus.world.guided import Corpus
from bus.world.tape import read_tape
from deploy.cli.explore import NAMES
from deploy.cli.main import app
from deploy.explore.explorer import CHECKED, ROUND, Progress, explore
from deploy.explore.failures import distinct, keep, kind_of, summary
from deploy.explore.plan import BOUNDED, PORTFOLIO, plan
from deploy.loading import Overrides, locate, resolve
from proto.board import Board
from proto.scenario import Scenario


def torpor(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="torpor")


def everything(board: Board, strategy: str, schedules: int, jobs: int = 1) -> Progress:
    """An exploration that stops at nothing."""
    return explore(board, strategy, schedules, jobs=jobs, stop=lambda result: False)


def essence(progress: Progress) -> object:
    """What an exploration found, without how long it took."""
    failures = [
        (result.index, result.strategy, result.seed, list(result.choices), summary(result))
        for result in progress.failures
    ]
    return progress.done, progress.states, progress.strategies, progress.sometimes, failures


@pytest.fixture
def patch(tmp_path: Path) -> Path:
    """Where `failing` puts its patch."""
    return tmp_path / "my_patch.py"


def test_two_workers_find_what_one_finds(tmp_path: Path) -> None:
    """Branches depend on rounds, not on who was first."""
    board = failing(tmp_path, UNEXPECTED, "seed")

    assert essence(everything(board, "portfolio", 26)) == essence(
        everything(board, "portfolio", 26, jobs=2)
    )


def test_another_seed_is_another_exploration() -> None:
    """And the same seed the same."""
    seeds = [
        [plan("portfolio", seed, index, Corpus(), 100).seed for index in range(20)]
        for seed in (0, 0, 1)
    ]

    assert seeds[0] == seeds[1]
    assert not set(seeds[0]) & set(seeds[2])


def test_it_stops_at_the_first_failure(tmp_path: Path) -> None:
    """Nothing behind it is counted."""
    progress = explore(failing(tmp_path, UNEXPECTED, "seed"), "random", 50)

    assert progress.done == progress.failures[-1].index + 1
    assert len(progress.failures) == 1
    assert progress.done < 50


def test_a_failure_is_judged_again_from_its_choices(tmp_path: Path) -> None:
    """The tape that is kept fails for the same reason."""
    board = failing(tmp_path, UNEXPECTED, "seed")
    progress = explore(board, "pct", 50)
    kept = keep(board, progress.failures[0], tmp_path, progress)
    replayed = torpor("replay", kept.tape, "--json")
    findings = [found for found in json.loads(replayed.stdout)["findings"] if not found["expected"]]

    assert replayed.exit_code == 1
    assert f"{findings[0]['property']}: {findings[0]['text']}" == summary(progress.failures[0])


@pytest.mark.parametrize("strategy", NAMES)
def test_the_baseline_passes_under_every_strategy(strategy: str) -> None:
    """A few schedules each; what a strategy is called is what it did."""
    progress = everything(plain(), strategy, 4)

    assert (progress.done, progress.failures) == (4, [])
    assert 0 < sum(progress.strategies.values()) <= 4
    assert progress.states > 0


def test_a_portfolio_does_everything_in_turns() -> None:
    """Each of its strategies, and branches as soon as something is known."""
    progress = everything(plain(), "portfolio", ROUND + len(PORTFOLIO))

    assert set(PORTFOLIO) == set(progress.strategies)


@pytest.mark.parametrize("strategy", ["random", "orders", BOUNDED])
def test_a_node_that_remembers_another_run_is_noticed(tmp_path: Path, strategy: str) -> None:
    """The first schedules are run twice, and compared turn by turn."""
    board = failing(tmp_path, UNSTEADY)
    progress = explore(board, strategy, CHECKED + 1)

    assert [result.index for result in progress.failures] == [0]
    assert summary(progress.failures[0]).startswith("a node is not deterministic")
    page = keep(board, progress.failures[0], tmp_path, progress).page.read_text(encoding="utf-8")
    assert "# `baseline`: a run that does not repeat" in page


def test_runs_that_do_not_repeat_are_one_kind(tmp_path: Path) -> None:
    """Where they part is chance."""
    progress = everything(failing(tmp_path, UNSTEADY), "random", CHECKED)

    assert len(progress.failures) == CHECKED
    assert list(distinct(progress.failures)) == ["differs"]


def test_failures_of_one_kind_differ_in_numbers_only(tmp_path: Path) -> None:
    """Of each kind the first is kept."""
    board = failing(tmp_path, UNEXPECTED, "seed")
    progress = everything(board, "portfolio", 24)
    kinds = distinct(progress.failures)

    assert sum(map(len, kinds.values())) == len(progress.failures)
    for kind, failures in kinds.items():
        assert {kind_of(failure) for failure in failures} == {kind}
        assert failures[0].index == min(failure.index for failure in failures)


# -- the command


def test_a_violation_exits_with_1_and_all_keeps_one_of_each_kind(
    tmp_path: Path, patch: Path
) -> None:
    """With a tape, a journal and a page for each."""
    failing(tmp_path, UNEXPECTED, "seed")
    folder = tmp_path / "found"
    result = torpor(
        *("explore", "baseline", "--profile", "seed", "--platform", "dual", "--mutant", patch),
        *("--seeds", 12, "--jobs", 1, "--all", "--json", "--run-folder", folder),
    )
    report = json.loads(result.stdout)

    assert result.exit_code == 1, result.output
    assert report["schedules"] == 12
    assert report["patches"] == ["my_patch"]
    failures = report["failures"]
    assert sum(failure["times"] for failure in failures) <= 12
    assert len({failure["summary"] for failure in failures}) == len(failures)
    for failure in failures:
        assert all(Path(failure[name]).is_file() for name in ("tape", "journal", "report"))
        assert failure["replay"].endswith(f"replay {failure['tape']}")
        assert failure["replay"] in result.stderr


def test_a_crash_exits_with_3(tmp_path: Path, patch: Path) -> None:
    """Only the emulator is at fault then, and it says so."""
    failing(tmp_path, CRASH)
    result = torpor(
        *("explore", "baseline", "--platform", "dual", "--mutant", patch, "--seeds", 5),
        *("--jobs", 1, "--json", "--run-folder", tmp_path / "found"),
    )
    [failure] = json.loads(result.stdout)["failures"]

    assert result.exit_code == 3, result.output
    assert failure["summary"] == "a node raised ZeroDivisionError: my mistake"
    assert failure["findings"] == []
    assert torpor("replay", failure["tape"]).exit_code == 3


def test_nothing_found_exits_with_0(tmp_path: Path) -> None:
    """And the folder holds nothing of a failure."""
    result = torpor(
        *("explore", "baseline", "--platform", "dual", "--seeds", 3, "--jobs", 1, "--seed", 5),
        *("--json", "--run-folder", tmp_path / "found"),
    )
    report = json.loads(result.stdout)

    assert result.exit_code == 0, result.output
    assert (report["schedules"], report["seed"], report["failures"]) == (3, 5, [])
    assert "nothing found" in result.stderr
    assert not list((tmp_path / "found").glob("schedule-*"))


def test_expected_findings_are_counted_and_are_no_failure() -> None:
    """The 2025-03 series is known for what it does."""
    progress = everything(resolve("baseline", Overrides("dual", "seed")), "random", 3)

    assert progress.failures == []
    assert sum(progress.expected.values()) >= 3


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("baseline", "--strategy", "dfs"), "--strategy: expected one of random, orders, pct"),
        (("baseline", "--seeds", "0"), "Input should be greater than or equal to 1"),
        (("baselin",), "there is no scenario 'baselin'"),
        (("baseline", "--mutant", "none"), "--mutant: there is no mutant 'none'"),
    ],
)
def test_bad_usage_is_one_line(options: tuple[str, ...], said: str) -> None:
    """And exit code 2, before anything runs."""
    result = torpor("explore", *options)

    assert result.exit_code == 2
    [line] = result.stderr.splitlines()
    assert said in line


def test_a_board_that_stays_open_is_not_explored(tmp_path: Path) -> None:
    """None of its schedules would have an end."""
    shipped = locate(Scenario, "baseline").read_text(encoding="utf-8")
    path = tmp_path / "mine.yaml"
    path.write_text(f"{shipped}open: true\n", encoding="utf-8")
    result = torpor("explore", path)

    assert result.exit_code == 2
    assert f"scenario {path} stays open; start it with `torpor up {path}`" in result.stderr


def test_a_tape_says_how_it_came_about(tmp_path: Path) -> None:
    """Its strategy, the orders it picks, and where it was stopped."""
    board = failing(tmp_path, UNEXPECTED, "seed")
    for strategy in ("orders", "pct"):
        progress = explore(board, strategy, 50)
        found = progress.failures[0]
        tape = read_tape(keep(board, found, tmp_path, progress).tape)

        assert tape.strategy == f"{found.strategy} seed {found.seed}"
        assert tape.windows is (strategy == "orders")
        assert tape.stopped_ns == found.stopped_ns
        assert list(tape.choices) == list(found.choices)
