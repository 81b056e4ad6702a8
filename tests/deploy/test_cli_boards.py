"""`torpor up` and what is typed at a board: nonsense, no board, several boards, dead boards."""

import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import msgspec
import pytest
from typer.testing import CliRunner, Result

from bus.client import Client, RefusedByBoard
from bus.journal import Header, HubEvent, JournalWriter
from bus.runfolder import BOARD, RunFolder, is_held
from deploy.boards import BoardFolder, choose, known_boards
from deploy.cli.main import app
from deploy.loading import UsageError, resolve
from deploy.runstate import RunState, write_state
from proto.board import Board
from proto.codec import encode


def torpor(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="torpor")


def refused(*arguments: str | Path) -> str:
    """The one line of a usage error."""
    result = torpor(*arguments)

    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    return line


@pytest.fixture(autouse=True)
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where boards are looked for."""
    root = tmp_path / "runs"
    monkeypatch.setenv("TORPOR_RUNS", str(root))
    monkeypatch.chdir(tmp_path)
    return root


@pytest.fixture(scope="module")
def open_board() -> Board:
    """The board that `torpor up` starts."""
    board = resolve("board")
    opened = msgspec.structs.replace(board.scenario, open=True)
    return msgspec.structs.replace(board, scenario=opened)


class Boards:
    """Run folders as boards leave them; a live one is held by this test."""

    def __init__(self, root: Path, board: Board) -> None:
        self._root = root
        self._board = board
        self._held = ExitStack()

    def add(self, name: str, state: str = "running", held: bool = True) -> Path:
        path = self._root / name
        folder = RunFolder(path)
        self._held.callback(folder.close)
        folder.board.write_bytes(encode(self._board))
        written = RunState(
            state=state,
            journal=str(folder.journal),
            composition=self._board.composition,
            supervisor=1,
            started_s=0.0,
            time_scale=1.0,
            pids={"gicd": 2},
            endpoint=f"ipc://{path}/nobody",
        )
        write_state(path, written)
        header = Header(
            world="live", seed=0, composition=self._board.composition, board=self._board
        )
        with JournalWriter(folder.journal, header) as writer:
            writer.append(HubEvent("peer_up", "gicd", "pid 2", 0))
        if not held:
            folder.close()
        return path

    def close(self) -> None:
        self._held.close()


@pytest.fixture
def boards(runs: Path, open_board: Board) -> Iterator[Boards]:
    """A place to put boards."""
    made = Boards(runs, open_board)
    yield made
    made.close()


# -- nonsense


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("up", "nope"), "there is no scenario 'nope'"),
        (("up", "board", "baseline"), "unexpected extra argument"),
        (("up", "--profile", "v99"), "no profile 'v99'"),
        (("up", "--platform", "cray"), "no platform 'cray'"),
        (("up", "--power", "off"), "--power: expected one of all-lost"),
        (("up", "--power", "fridge=lost"), "--power: expected one of gicd, uart, iommu"),
        (("up", "--power", "gicd=cold"), "--power: at 'gicd': expected one of lost, retained"),
        (("up", "--time-scale", "0"), "--time-scale"),
        (("up", "--transport", "pigeon"), "--transport"),
        (("up", "--run-folder", "/proc/self"), "/proc/self"),
        (("xl",), "Missing argument 'ARGS'"),
        (("xl", ""), "expected one line of text"),
        (("xl", "list\n"), "expected one line of text"),
        (("xl", "x" * 300), "longer than 200 bytes"),
        (("xl", "--from", "mars", "list"), "--from"),
        (("xl", "--timeout", "0", "list"), "--timeout"),
        (("irq",), "Missing argument 'INTID|DEVICE'"),
        (("wake",), "Missing argument 'DEVICE|INTID'"),
        (("wake", "rtc", "--timeout", "nan"), "--timeout"),
        (("console",), "Missing argument 'DOM|xen'"),
        (("console", "mars"), "there is no console 'mars'"),
        (("console", "dom99"), "there is no console 'dom99'"),
        (("console", "xen", "--line", "help"), "Xen's console has no shell"),
        (("console", "dom0", "--line", "a\x1bb"), "is not one line"),
        (("console", "dom0", "--lines", "0"), "--lines"),
        (("status", "all"), "unexpected extra argument"),
        (("down", "--board", "/nowhere"), "/nowhere is no board's folder"),
        (("xl", "--board", "/tmp", "list"), "/tmp is no board's folder"),
    ],
)
def test_nonsense_gives_one_line_and_exit_code_2(arguments: tuple[str, ...], expected: str) -> None:
    """Before anything is started or asked."""
    assert expected in refused(*arguments)


@pytest.mark.parametrize(
    "arguments",
    [("xl", "list"), ("irq", "rtc"), ("wake", "rtc"), ("console", "dom0"), ("down",)],
)
def test_without_a_board_there_is_one_to_start(arguments: tuple[str, ...]) -> None:
    """The line says how."""
    assert "start one with `torpor up`" in refused(*arguments)


@pytest.mark.parametrize("world", ["sim", "live"])
def test_an_open_scenario_is_not_run(world: str, tmp_path: Path) -> None:
    """It would not end by itself."""
    path = tmp_path / "mine.yaml"
    path.write_text("name: x\nopen: true\ndomains: [{id: 0, role: hardware}]\nsteps: []\n")

    assert f"stays open; start it with `torpor up {path}`" in refused("run", path, "--world", world)


# -- choosing


def test_the_only_board_is_meant(boards: Boards) -> None:
    """Folders of ended boards, and of ordinary runs, are not boards."""
    boards.add("old", state="ended", held=False)
    path = boards.add("new")
    (path.parent / "20260101-run").mkdir()
    (path.parent / "last").symlink_to(path)

    assert choose(None).path == path
    assert [found.path for found in known_boards()] == [path]


def test_one_of_several_has_to_be_chosen(boards: Boards) -> None:
    """The line names them all."""
    boards.add("a")
    path = boards.add("b")

    assert refused("xl", "list") == (
        "torpor: there are several boards: runs/a, runs/b; choose one with --board DIR"
    )
    assert choose(path).path == path


def test_a_living_board_goes_before_a_dead_one(boards: Boards) -> None:
    """Nobody means the dead one without saying so."""
    boards.add("dead", held=False)
    path = boards.add("alive")

    assert choose(None).path == path
    assert [found.is_dead for found in known_boards()] == [False, True]


def test_a_board_that_has_ended_is_not_spoken_to(boards: Boards) -> None:
    """Nor put down twice."""
    path = boards.add("old", state="ended", held=False)

    assert "is down (ended); `torpor up` starts another" in refused("xl", "--board", path, "list")
    assert "is down already (ended); `torpor check" in refused("down", "--board", path)


def test_a_board_of_other_code_is_not_spoken_to(
    runs: Path, open_board: Board, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hub takes no client of other code in; the user hears what that means."""

    def refuse(self: BoardFolder) -> Client:
        raise RefusedByBoard("its composition is another than the hub's")

    monkeypatch.setattr(BoardFolder, "join", refuse)
    made = Boards(runs, open_board)
    with closing(made):
        made.add("same")
        assert refused("xl", "list").endswith("its composition is another than the hub's")
    other = Boards(runs, msgspec.structs.replace(open_board, code="of yesterday"))
    with closing(other):
        other.add("other")
        assert "was started before the code was changed" in refused("irq", "rtc")


# -- dead boards


def test_a_dead_board_is_recognised(boards: Boards) -> None:
    """Its state says running, and nobody holds it."""
    boards.add("dead", held=False)

    assert "runs/dead is dead: its processes were killed" in refused("xl", "list")
    listed = torpor("status")
    assert listed.exit_code == 0
    assert "runs/dead: dead" in listed.stdout
    (entry,) = json.loads(torpor("status", "--json").stdout)
    assert (entry["state"], entry["power"], entry["processes"]) == ("dead", "unknown", {})


def test_a_dead_board_is_put_down_by_its_journal(boards: Boards) -> None:
    """Inconclusive, and no longer listed."""
    boards.add("dead", held=False)
    result = torpor("down", "--json")
    report = json.loads(result.stdout)

    assert result.exit_code == 3
    assert report["verdict"] == "inconclusive"
    assert "were killed" in report["trouble"]
    assert torpor("status").stdout == "no board runs here; start one with `torpor up`\n"
    assert "start one" in refused("down")


def test_a_dead_board_without_a_journal_is_inconclusive_too(boards: Boards) -> None:
    """There is nothing to judge."""
    path = boards.add("dead", held=False)
    (path / "journal").unlink()

    assert torpor("down").exit_code == 3


def test_half_written_folders_are_no_boards(boards: Boards) -> None:
    """Whatever lies in them."""
    path = boards.add("torn", held=False)
    (path / BOARD).write_bytes(b"\xc1")
    (boards.add("junk", held=False) / "state.json").write_text("[]")

    assert known_boards() == []
    with pytest.raises(UsageError, match="no board's folder"):
        choose(path)


# -- the lock


def test_looking_at_a_lock_does_not_take_it(tmp_path: Path) -> None:
    """Free, held, free again."""
    path = tmp_path / "folder"
    assert not is_held(path)
    with RunFolder(path):
        assert is_held(path)
        assert is_held(path)
    assert not is_held(path)
    RunFolder(path).close()
