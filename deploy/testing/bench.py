"""What both fixtures share: from what a test asks for to a board, and files beside the test."""

from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from deploy.loading import Overrides, UsageError, power_model, resolve
from proto.board import Board
from proto.scenario import Finding

BECAUSE = "the test says so"


class Bench:
    """A place to put a board; `here` is the folder of the test, `folder` makes one of its own."""

    def __init__(self, here: Path, folder: Callable[[], Path]) -> None:
        self._here = here
        self._make_folder = folder
        self._folder: Path | None = None
        self._resolved: dict[object, Board] = {}
        self._board: Board | None = None
        self.told: list[str] = []
        """Lines for the report of a test that fails."""

    def scenario(
        self,
        scenario: str | Board,
        *,
        platform: str | None = None,
        profile: str | None = None,
        power: str | None = None,
        seed: int | None = None,
        mutants: Sequence[str] = (),
        expected: Sequence[str] = (),
    ) -> Board:
        """Choose the board that `run` runs; what is left out is up to the scenario.

        `scenario` is a shipped one's name, a file's path, YAML text of several lines, or a `Board`.
        `mutants` are ids of known bugs and patch files; files are looked for beside the test first.
        `expected` names properties whose violation is no failure. Raises `UsageError`.
        """
        wished = (platform, profile, power, seed, tuple(mutants))
        if isinstance(scenario, Board):
            if any(wished):
                raise UsageError("a Board is complete; replace its fields, or name a scenario")
            self._board = _expecting(scenario, expected)
            return self._board
        key = (scenario, *wished, tuple(expected))
        if key not in self._resolved:
            model = None if power is None else power_model(power)
            patches = tuple(self._beside(name) for name in mutants)
            overrides = Overrides(platform, profile, model, seed, patches)
            self._resolved[key] = _expecting(resolve(self._file(scenario), overrides), expected)
        self._board = self._resolved[key]
        return self._board

    @property
    def chosen(self) -> Board:
        """The board that was asked for; raises `UsageError` if none was."""
        if self._board is None:
            raise UsageError("no board yet; say which one with `.scenario(...)`")
        return self._board

    @property
    def folder(self) -> Path:
        """A folder for what a run leaves behind, made when it is first needed."""
        if self._folder is None:
            self._folder = self._make_folder()
        return self._folder

    def _file(self, scenario: str) -> str:
        if "\n" not in scenario:
            return self._beside(scenario)
        path = self.folder / "scenario.yaml"
        path.write_text(scenario, encoding="utf-8")
        return str(path)

    def _beside(self, name: str) -> str:
        """A file beside the test, if there is one of this name."""
        path = self._here / name
        return str(path) if path.suffix in (".py", ".yaml", ".yml") and path.is_file() else name


def _expecting(board: Board, properties: Sequence[str]) -> Board:
    """The board with these properties among its scenario's expected findings."""
    if not properties:
        return board
    known = tuple(Finding(property=name, contains="", because=BECAUSE) for name in properties)
    scenario = board.scenario
    findings = scenario.expected_findings + known
    return msgspec.structs.replace(
        board, scenario=msgspec.structs.replace(scenario, expected_findings=findings)
    )
