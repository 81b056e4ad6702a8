"""The `torpor` command: exit codes, one-line errors, JSON, examples."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bus.journal import Header, HubEvent, Journal, JournalWriter, read_journal
from bus.runfolder import RunFolder
from deploy.cli.main import app
from deploy.cli.report import replay_command
from proto.messages import RegWrite
from proto.platform import XEN_DATA
from proto.traces import PeHalted
from proto.turn import Send, Trace, Turn
from services.monitor.properties import PROPERTIES

COMMANDS = (
    ("run",),
    ("check",),
    ("replay",),
    ("schema",),
    ("journal", "cat"),
    ("up",),
    ("status",),
    ("down",),
    ("xl",),
    ("irq",),
    ("wake",),
    ("console",),
)


def torpor(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="torpor")


def refused(*arguments: str | Path) -> str:
    """The one line of a usage error."""
    result = torpor(*arguments)

    assert result.exit_code == 2, result.output
    assert isinstance(result.exception, SystemExit)
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    return lines[0]


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the journal and the tape of one sim run of the baseline."""
    folder = tmp_path_factory.mktemp("run") / "run"
    result = torpor("run", "baseline", "--world", "sim", "--run-folder", folder, "--seed", "3")
    assert result.exit_code == 0, result.stderr
    return folder


@pytest.fixture(scope="module")
def journal(run_folder: Path) -> Path:
    """The journal of that run."""
    return run_folder / "journal"


def rewritten(path: Path, source: Journal, keep: int, *more: object) -> Path:
    """A journal with the first records of another, then some of our own."""
    with JournalWriter(path, source.header) as writer:
        for record in [*source.records[:keep], *more]:
            writer.append(record)  # type: ignore[arg-type] # tests give records
    return path


# -- help


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(command: tuple[str, ...]) -> None:
    """One line to copy."""
    result = torpor(*command, "--help")

    assert result.exit_code == 0
    assert f"torpor {' '.join(command)}" in result.stdout.split("Example:")[1]


@pytest.mark.parametrize("group", [(), ("journal",)])
def test_a_group_by_itself_is_help(group: tuple[str, ...]) -> None:
    """No error: whoever types it wants to know."""
    result = torpor(*group)

    assert result.exit_code == 0
    assert result.stderr == ""
    assert f"Usage: {' '.join(('torpor', *group))}" in result.stdout


@pytest.mark.parametrize(
    ("command", "usage"),
    [
        (("run",), "torpor run [OPTIONS] SCENARIO"),
        (("check",), "torpor check [OPTIONS] JOURNAL [OTHER]"),
        (("replay",), "torpor replay [OPTIONS] TAPE|JOURNAL"),
        (("schema",), "torpor schema [OPTIONS] [KIND]"),
        (("journal", "cat"), "torpor journal cat [OPTIONS] JOURNAL"),
        (("up",), "torpor up [OPTIONS] [SCENARIO]"),
        (("xl",), "torpor xl [OPTIONS] ARGS..."),
        (("irq",), "torpor irq [OPTIONS] INTID|DEVICE"),
        (("wake",), "torpor wake [OPTIONS] DEVICE|INTID"),
        (("console",), "torpor console [OPTIONS] DOM|xen"),
    ],
)
def test_usage_names_what_to_give(command: tuple[str, ...], usage: str) -> None:
    """In capitals, and in brackets only what may be left out."""
    lines = [line.strip() for line in torpor(*command, "--help").stdout.splitlines()]

    assert f"Usage: {usage}" in lines


# -- usage errors


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("fly",), "No such command"),
        (("run",), "Missing argument 'SCENARIO'"),
        (("run", "seed.yaml"), "there is no file seed.yaml; did you mean `seed`?"),
        (("run", "nope"), "there is no scenario 'nope'"),
        (("run", "/nonexistent/x.yaml"), "cannot be read"),
        (("run", "baseline", "--bogus"), "No such option"),
        (("run", "baseline", "--seed", "x"), "--seed"),
        (("run", "baseline", "--seed", "-1"), "--seed"),
        (("run", "baseline", "--world", "mars"), "'--world': 'mars' is not one of"),
        (("run", "baseline", "--power", "off"), "torpor: --power: expected one of all-lost"),
        (("run", "baseline", "--time-scale", "nan"), "--time-scale"),
        (("run", "baseline", "--timeout", "inf"), "--timeout"),
        (("run", "baseline", "--transport", "pigeon"), "--transport"),
        (("run", "baseline", "--profile", "v99"), "no profile 'v99'"),
        (("run", "baseline", "--twice"), "add --world sim"),
        (("run", "baseline", "--world", "sim", "--time-scale", "2"), "no meaning in the sim"),
        (("run", "baseline", "--world", "sim", "--transport", "tcp"), "no meaning in the sim"),
        (("schema", "house"), "there is no schema 'house'"),
        (("check", "nowhere"), "cannot read journal"),
        (("replay", "nowhere"), "cannot be read"),
        (("journal", "cat", "nowhere"), "cannot read journal"),
    ],
)
def test_bad_usage_gives_one_line_and_exit_code_2(
    arguments: tuple[str, ...], expected: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Never a traceback."""
    monkeypatch.setenv("TORPOR_RUNS", str(tmp_path / "runs"))

    assert expected in refused(*arguments)


@pytest.mark.parametrize("command", [("check",), ("replay",), ("journal", "cat")])
@pytest.mark.parametrize("data", [b"", b"\x00\xff\x93junk" * 99, b"name: baseline\n", None])
def test_files_that_are_no_evidence_are_refused(
    command: tuple[str, ...], data: bytes | None, tmp_path: Path
) -> None:
    """Empty, binary junk, text, and a folder."""
    path = tmp_path / "evidence"
    if data is None:
        path.mkdir()
    else:
        path.write_bytes(data)

    assert str(path) in refused(*command, path)


@pytest.mark.parametrize("command", [("check",), ("replay",), ("journal", "cat")])
def test_a_run_folder_in_place_of_its_journal_is_understood(
    command: tuple[str, ...], run_folder: Path
) -> None:
    """The line says what to give."""
    line = refused(*command, run_folder)

    assert line == f"torpor: {run_folder} is a folder; give {run_folder / 'journal'}"


@pytest.mark.parametrize("command", [("check",), ("journal", "cat")])
def test_a_tape_in_place_of_a_journal_is_understood(
    command: tuple[str, ...], run_folder: Path
) -> None:
    """The line says what a tape is good for."""
    tape = run_folder / "journal.tape"
    line = refused(*command, tape)

    assert line == f"torpor: {tape} is a tape, not a journal; use `{replay_command(tape)}`"


def test_a_regular_expression_that_is_none_is_refused(journal: Path) -> None:
    """With the reason."""
    assert "unterminated" in refused("journal", "cat", journal, "--grep", "(")


def test_a_run_folder_in_use_is_refused(tmp_path: Path) -> None:
    """A second run would take the first one's sockets."""
    with RunFolder(tmp_path / "mine"):
        line = refused("run", "baseline", "--world", "sim", "--run-folder", tmp_path / "mine")

    assert "in use by another run" in line


@pytest.mark.parametrize("place", ["folder", "nowhere"])
def test_a_journal_without_a_place_is_refused(place: str, tmp_path: Path) -> None:
    """Before anything runs."""
    target = tmp_path if place == "folder" else tmp_path / "no" / "journal"
    where = ("--run-folder", tmp_path / "run", "--journal", target)

    assert "--journal" in refused("run", "baseline", "--world", "sim", *where)


@pytest.mark.parametrize("command", ["check", "replay"])
def test_a_journal_of_other_code_is_refused(command: str, journal: Path, tmp_path: Path) -> None:
    """It would be judged by rules it was not made by."""
    header = read_journal(journal).header
    fields = {name: getattr(header.board, name) for name in ("scenario", "platform", "profile")}
    board = type(header.board)(code="0" * 64, **fields)
    other = Header(world="sim", seed=0, composition=board.composition, board=board)
    with JournalWriter(tmp_path / "journal", other):
        pass

    assert "was made by code 000000000000" in refused(command, tmp_path / "journal")


def test_a_journal_whose_board_was_altered_is_refused(journal: Path, tmp_path: Path) -> None:
    """The composition is the hash of the board."""
    board = read_journal(journal).header.board
    header = Header(world="sim", seed=0, composition="0" * 16, board=board)
    with JournalWriter(tmp_path / "journal", header):
        pass

    assert "it was altered" in refused("check", tmp_path / "journal")


# -- running and judging


def test_a_run_reports_itself_as_json(tmp_path: Path) -> None:
    """JSON alone on stdout; everything else on stderr."""
    where = ("--run-folder", tmp_path / "run")
    result = torpor("run", "baseline", "--world", "sim", "--seed", "5", *where, "--json")
    report = json.loads(result.stdout)

    assert result.exit_code == 0
    assert (report["world"], report["profile"], report["seed"]) == ("sim", "baseline", 5)
    assert report["verdict"] == "pass"
    assert report["properties"]["I1"] == "pass"
    assert [attempt["outcome"] for attempt in report["attempts"]] == ["slept"]
    assert report["phases"][0]["label"] == "S0"
    assert report["replay"] == replay_command(tmp_path / "run" / "journal")
    assert report["turns"] > 1000
    assert report["messages"] > 1000
    assert report["configuration"]["scenario"]["seed"] == 5
    assert {"findings", "processes", "composition", "journal", "sometimes"} <= report.keys()


def test_a_sim_run_twice_gives_the_same_journal(tmp_path: Path) -> None:
    """To the byte."""
    where = ("--run-folder", tmp_path / "run")
    result = torpor("run", "baseline", "--world", "sim", "--twice", *where)

    assert result.exit_code == 0
    assert "the same journal to the byte" in result.stderr


def test_a_report_names_the_run_that_last_leads_to(run_folder: Path, tmp_path: Path) -> None:
    """Tomorrow the link leads to another."""
    (tmp_path / "last").symlink_to(run_folder)
    report = json.loads(torpor("check", tmp_path / "last" / "journal", "--json").stdout)

    assert report["journal"] == str(run_folder / "journal")
    assert report["replay"] == replay_command(run_folder / "journal")


@pytest.mark.parametrize("columns", [60, 80, 300])
def test_the_properties_say_what_they_mean(
    columns: int, journal: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line each: its kind, and as much of the clause as there is room for."""
    monkeypatch.setenv("COLUMNS", str(columns))
    lines = torpor("check", journal).stderr.splitlines()
    rows = {
        words[1]: line
        for line in lines
        if len(words := line.split()) > 5 and words[1] in {kind.name for kind in PROPERTIES}
    }

    assert len(rows) == len(PROPERTIES)
    assert all(len(row) <= columns for row in rows.values())
    widest = max(len(kind.name) for kind in PROPERTIES)
    room = columns - 13 - widest - len("eventually") - len("not reached")
    for kind in PROPERTIES:
        cells = [cell.strip() for cell in rows[kind.name].strip("│").split("│")]
        assert cells[1] == kind.kind
        assert cells[2] in ("pass", "not reached")
        assert cells[3].startswith(kind.clause[:15])
        assert ("…" in cells[3]) == (len(kind.clause) > room)


def test_a_run_without_a_suspend_says_so(tmp_path: Path) -> None:
    """That is why the properties of the suspend are not reached."""
    where = ("--run-folder", tmp_path / "run")
    result = torpor("run", "cpu-hotplug", "--world", "sim", *where)

    assert result.exit_code == 0
    assert "no attempt to suspend the host" in result.stderr.splitlines()


def test_check_judges_like_the_run(journal: Path) -> None:
    """The journal is the only evidence."""
    report = json.loads(torpor("check", journal, "--json").stdout)

    assert report["verdict"] == "pass"
    assert report["seed"] == 3


def test_a_violation_exits_1_and_ends_with_its_replay(journal: Path, tmp_path: Path) -> None:
    """The last line is the one command."""
    read = read_journal(journal)
    last = read.records[-2]
    assert isinstance(last, Turn)
    halted = Turn(
        last.node,
        last.incarnation,
        last.number + 1,
        last.input,
        last.now,
        last.first_seq,
        (Trace(PeHalted("BUG")),),
    )
    path = rewritten(tmp_path / "journal", read, len(read.records), halted)
    result = torpor("check", path)

    assert result.exit_code == 1
    assert "BUG" in result.stderr
    assert result.stderr.splitlines()[-1] == f"replay:  {replay_command(path)}"


def test_a_journal_that_stops_early_exits_3(journal: Path, tmp_path: Path) -> None:
    """Inconclusive, never pass."""
    path = rewritten(tmp_path / "journal", read_journal(journal), 2000)

    assert torpor("check", path).exit_code == 3


def test_a_torn_journal_exits_3(journal: Path, tmp_path: Path) -> None:
    """Every record before the tear is judged."""
    path = tmp_path / "journal"
    path.write_bytes(journal.read_bytes()[:-9])

    assert torpor("check", path).exit_code == 3


def test_a_process_that_died_exits_3(journal: Path, tmp_path: Path) -> None:
    """The hub noted it."""
    died = HubEvent("peer_down", "dom1", "killed by signal 9", 0)
    path = rewritten(tmp_path / "journal", read_journal(journal), 2000, died)
    result = torpor("check", path)

    assert result.exit_code == 3
    assert "dom1 went down" in result.stderr


def test_real_time_that_runs_out_exits_3(tmp_path: Path) -> None:
    """The host was too slow to tell."""
    where = ("--run-folder", tmp_path / "run")
    result = torpor("run", "ten-cycles", "--world", "sim", "--timeout", "0.1", *where)

    assert result.exit_code == 3
    assert "real time ran out" in result.stderr


def test_a_node_that_raises_exits_3_and_replays_from_the_tape(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal ends before the turn that raised; the choices lead to it."""

    def broken(self: object, now: int) -> None:
        raise ZeroDivisionError("rail 0")

    monkeypatch.setattr("services.firmware.scp.Scp.on_start", broken)
    where = ("--run-folder", tmp_path / "run")
    result = torpor("run", "baseline", "--world", "sim", *where)
    tape = tmp_path / "run" / "journal.tape"

    assert result.exit_code == 3
    assert "ZeroDivisionError: rail 0" in result.stderr
    assert result.stderr.splitlines()[-1] == f"replay:  {replay_command(tape)}"
    assert "ZeroDivisionError: rail 0" in torpor("replay", tape).stderr


# -- replay


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """An installation's `torpor`, as a file that can be run."""
    path = tmp_path / "bin" / "torpor"
    path.parent.mkdir()
    path.write_text("#!/bin/sh\n")
    path.chmod(0o755)
    return path


def test_the_replay_command_is_short_where_the_shell_finds_it(
    installed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its name, with the path quoted."""
    monkeypatch.setenv("PATH", str(installed.parent))
    monkeypatch.setattr(sys, "argv", [str(installed), "run"])

    assert replay_command(Path("a b/journal")) == "torpor replay 'a b/journal'"


@pytest.mark.parametrize("path", ["/nonexistent", "other"])
def test_the_replay_command_is_as_it_was_called_elsewhere(
    installed: Path, path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without `torpor` in PATH, and with one of another installation, whose code differs."""
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "torpor").write_text("#!/bin/sh\n")
    (tmp_path / "other" / "torpor").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / path))
    monkeypatch.setattr(sys, "argv", [".venv/bin/torpor", "run"])

    assert replay_command(Path("j")) == ".venv/bin/torpor replay j"


def test_the_replay_command_of_a_module_is_python(monkeypatch: pytest.MonkeyPatch) -> None:
    """`python -m deploy.cli.main`, with this Python."""
    monkeypatch.setenv("PATH", "/nonexistent")
    monkeypatch.setattr(sys, "argv", ["/x/deploy/cli/main.py", "run"])

    assert replay_command(Path("j")) == f"{sys.executable} -m deploy.cli.main replay j"


@pytest.mark.parametrize("name", ["journal", "journal.tape"])
def test_a_run_replays_from_its_journal_and_from_its_tape(run_folder: Path, name: str) -> None:
    """With the same verdict."""
    result = torpor("replay", run_folder / name, "--json")

    assert result.exit_code == 0, result.stderr
    assert json.loads(result.stdout)["verdict"] == "pass"


def test_a_replay_that_differs_says_where(journal: Path, tmp_path: Path) -> None:
    """Node, turn, expected, got."""
    read = read_journal(journal)
    position, turn = next(
        (position, record)
        for position, record in enumerate(read.records)
        if isinstance(record, Turn)
        and any(isinstance(e, Send) and isinstance(e.body, RegWrite) for e in record.effects)
    )
    forged = Turn(
        turn.node, turn.incarnation, turn.number, turn.input, turn.now, turn.first_seq, ()
    )
    path = rewritten(tmp_path / "journal", read, position, forged)
    result = torpor("replay", path)

    assert result.exit_code == 1
    assert f"record {position}, turn {turn.number} of {turn.node}" in result.stderr


# -- looking


def test_journal_cat_prints_records_that_match(journal: Path) -> None:
    """One line each, beginning with its position."""
    lines = torpor("journal", "cat", journal, "--grep", "Phase").stdout.splitlines()

    assert lines
    assert all("Phase" in line for line in lines)
    assert lines[0].split()[0].isdigit()


def test_journal_cat_names_what_lies_at_an_address(journal: Path) -> None:
    """Cells of Xen and of the firmware, registers of devices; in hexadecimal."""
    text = torpor("journal", "cat", journal).stdout

    assert "Load(tx=1, address=0x" in text
    assert f"address={XEN_DATA:#x} <xen.system_state>, attributes=NORMAL_WB" in text
    assert re.search(r"address=0xfffc\w+ <el3\.cpu\[3\]\.aff_info_state>", text)
    assert "addresses=(0x" in text
    assert "address=0xf9010104 <gicd+0x104 GICD_ISENABLER>" in text
    assert "<gicc+0xc GICC_IAR>" in text
    assert "FifoWrite(address=0xff00000c <uart+0xc SCFTDR>" in text
    assert "Smc(tx=" in text
    assert "function=0xc400000e" in text
    assert "op=ADD" in text
    assert not re.search(r"address(es)?=\(?\d{4}", text)


def test_journal_cat_does_not_name_cells_of_other_code(journal: Path, tmp_path: Path) -> None:
    """They may lie elsewhere there; a wrong name is worse than none."""
    read = read_journal(journal)
    fields = {
        name: getattr(read.header.board, name) for name in ("scenario", "platform", "profile")
    }
    board = type(read.header.board)(code="0" * 64, **fields)
    header = Header(world="sim", seed=3, composition=board.composition, board=board)
    with JournalWriter(tmp_path / "journal", header) as writer:
        for record in read.records:
            writer.append(record)
    result = torpor("journal", "cat", tmp_path / "journal")

    assert result.exit_code == 0
    assert "made by other code" in result.stderr
    assert "xen.system_state" not in result.stdout
    assert f"address={XEN_DATA:#x}, attributes=NORMAL_WB" in result.stdout
    assert "<gicc+0xc GICC_IAR>" in result.stdout


def test_journal_cat_prints_json(journal: Path) -> None:
    """One object per line, fields by name."""
    lines = torpor("journal", "cat", journal, "--json").stdout.splitlines()
    first, last = json.loads(lines[0]), json.loads(lines[-1])

    assert first["position"] == 0
    assert first["record"]["type"] == "Turn"
    assert last["record"]["type"] == "HubEvent"


def test_schema_prints_json() -> None:
    """For editors."""
    assert "$defs" in json.loads(torpor("schema").stdout)


# -- as a process


def subprocess_run(*arguments: str, **options: object) -> subprocess.CompletedProcess[str]:
    """The installed command."""
    return subprocess.run(  # type: ignore[call-overload,no-any-return] # options vary
        [sys.executable, "-m", "deploy.cli.main", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        **options,
    )


def test_a_mistake_in_a_real_process_has_no_traceback() -> None:
    """As a user sees it."""
    done = subprocess_run("run", "nope")

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr.startswith("torpor: there is no scenario 'nope'")
    assert done.stderr.count("\n") == 1


def test_a_reader_that_has_seen_enough_is_no_error(journal: Path) -> None:
    """`torpor journal cat X | head`."""
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "w") as closed:
        done = subprocess.run(
            [sys.executable, "-m", "deploy.cli.main", "journal", "cat", str(journal)],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
            check=False,
        )

    assert done.stderr == ""
    assert done.returncode == 0
