"""Patch files: found by id or path, checked before anything runs, carried by the board."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from bus.journal import read_journal
from bus.world.strategies import FifoStrategy
from bus.world.tape import read_tape
from deploy.cli.main import app
from deploy.loading import Overrides, UsageError, resolve
from deploy.patching import image_symbols, locate_patch, mutant_of, read_patch, shipped_mutants
from deploy.run_sim import run_sim
from proto.board import Board
from proto.codec import decoder, encode
from proto.patch import FIRMWARE, XEN, PatchError
from proto.traces import PeEntered
from proto.turn import Trace, Turn
from services.pcpu.node import xen_image

COUNTED = """
from proto.patch import original, relink_xen
from services.pcpu.pe import Pe
from services.pcpu.xen.smpboot import stop_cpu as as_written


@relink_xen
async def stop_cpu(pe: Pe) -> None:
    await pe.delay({delay_ns})
    await original(as_written)(pe)
"""

CRASH = """
from proto.patch import relink_xen

@relink_xen
async def stop_cpu(pe):
    raise ZeroDivisionError("my mistake")
"""


def torpor(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="torpor")


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A patch file that delays the end of a CPU."""
    path = tmp_path / "my_patch.py"
    path.write_text(COUNTED.format(delay_ns=1_000), encoding="utf-8")
    return path


def patched(*mutants: str | Path, platform: str = "dual") -> Board:
    """The baseline with patches."""
    return resolve("baseline", Overrides(platform, mutants=tuple(map(str, mutants))))


def refused(*mutants: str | Path) -> str:
    """The one line with which a patch is refused."""
    with pytest.raises(UsageError) as caught:
        patched(*mutants)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def written(path: Path, text: str) -> Path:
    """A patch file."""
    path.write_text(text, encoding="utf-8")
    return path


def test_a_board_carries_the_text_of_its_patches(mine: Path) -> None:
    """So every process of a run decodes the same ones, whatever becomes of the file."""
    board = patched(mine)
    again = decoder(Board)(encode(board))

    assert [patch.name for patch in again.patches] == ["my_patch"]
    assert again == board
    assert again.composition == board.composition
    mine.write_text("", encoding="utf-8")
    assert set(again.relinked(XEN)) == {"stop_cpu"}


def test_a_patch_changes_the_composition(mine: Path) -> None:
    """A process without it, or with another text, is not let in."""
    plain, one = patched(), patched(mine)
    mine.write_text(COUNTED.format(delay_ns=2_000), encoding="utf-8")

    assert len({plain.composition, one.composition, patched(mine).composition}) == 3


def test_an_image_is_linked_with_the_patch(mine: Path) -> None:
    """Every caller of the symbol gets it; the addresses are the same."""
    board = patched(mine)
    image = xen_image(board.profile.relink, board.relinked(XEN))

    assert image.links["stop_cpu"] is board.relinked(XEN)["stop_cpu"]
    assert image.address("stop_cpu") == xen_image().address("stop_cpu")


def test_a_run_replays_with_the_text_of_its_tape(mine: Path, tmp_path: Path) -> None:
    """The file may have changed, or gone, since."""
    journal = tmp_path / "journal"
    result = run_sim(patched(mine), journal, FifoStrategy(), "fifo")
    mine.unlink()
    replayed = torpor("replay", result.tape)

    assert replayed.exit_code == 0, replayed.output
    assert "to the byte" in replayed.stderr
    assert torpor("replay", journal).exit_code == 0
    assert "await pe.delay(1000)" in read_tape(result.tape).board.patches[0].text


def test_a_patch_takes_part_in_the_run(mine: Path, tmp_path: Path) -> None:
    """The delay is seen in board time."""
    ends = []
    for delay_ns in (0, 3_000_000):
        mine.write_text(COUNTED.format(delay_ns=delay_ns), encoding="utf-8")
        journal = tmp_path / f"{delay_ns}.journal"
        run_sim(patched(mine), journal, FifoStrategy(), "fifo")
        resumed = [
            record.now
            for record in read_journal(journal).records
            if isinstance(record, Turn)
            for effect in record.effects
            if isinstance(effect, Trace) and isinstance(effect.event, PeEntered)
        ]
        ends.append(max(resumed))

    assert ends[1] - ends[0] >= 3_000_000


def test_what_a_patch_raises_ends_the_run_with_its_words(tmp_path: Path) -> None:
    """It is a crash of the emulator, not a finding about Xen."""
    board = patched(written(tmp_path / "crash.py", CRASH))
    result = run_sim(board, tmp_path / "journal", FifoStrategy(), "fifo")

    assert result.crash == "ZeroDivisionError: my mistake"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = (\n", ": line 1: '(' was never closed"),
        ("\nimport nothing_of_this_name\n", ": line 2: ModuleNotFoundError: No module named"),
        (
            "from proto.patch import relink_xen\n@relink_xen\nasync def stop_cpus(pe): ...\n",
            ": Xen's image has no symbol 'stop_cpus'; did you mean stop_cpu",
        ),
        (
            "from proto.patch import relink_firmware\n@relink_firmware\nasync def zz(el3): ...\n",
            ": the firmware's image has no symbol 'zz'",
        ),
        ("MUTANT = 3\n", ": MUTANT: expected a proto.patch.Mutant, got int"),
    ],
)
def test_a_patch_that_cannot_be_used_is_refused_in_one_line(
    tmp_path: Path, text: str, said: str
) -> None:
    """With its file, the line in it, and the nearest names."""
    path = written(tmp_path / "mine.py", text)

    assert refused(path).startswith(f"--mutant: {path}{said}")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "def change_profile(profile): return None\n",
            "mine: PatchError: change_profile: exp",
        ),
        ("def change_platform(platform): return 1 / 0\n", "mine: ZeroDivisionError: division by"),
        (
            "from proto.patch import move_step\n"
            "def change_profile(profile): return move_step(profile, 'time_suspent', None)\n",
            "mine: PatchError: profile baseline has no step 'time_suspent'; it has ",
        ),
    ],
)
def test_a_change_that_fails_is_refused_in_one_line(tmp_path: Path, text: str, said: str) -> None:
    """Before anything runs."""
    assert refused(written(tmp_path / "mine.py", text)).startswith(f"--mutant: {said}")


def test_a_change_is_checked_like_a_file_of_the_users(tmp_path: Path) -> None:
    """A stand-in that does not exist is no surprise at run time."""
    text = (
        "from proto.patch import stand_in\n"
        "def change_profile(profile): return stand_in(profile, 'stop_cpu', 'stop_cpux')\n"
    )

    assert "Xen's image has no symbol 'stop_cpux'" in refused(written(tmp_path / "mine.py", text))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timer-wakes-hosts", "there is no mutant 'timer-wakes-hosts'; did you mean timer-wakes"),
        ("zzz", "there is no mutant 'zzz'; `torpor mutants --list` names them"),
        ("gone.py", "gone.py: cannot be read: No such file or directory; check the path"),
    ],
)
def test_a_patch_that_is_not_there_is_refused(name: str, said: str) -> None:
    """With the nearest ids."""
    assert refused(name).startswith(f"--mutant: {said}")


def test_a_file_that_is_no_text_is_refused(tmp_path: Path) -> None:
    """It is not Python source."""
    path = tmp_path / "mine.py"
    path.write_bytes(b"\xff\xfe\x00")

    assert "expected Python source in UTF-8" in refused(path)


def test_a_command_line_with_a_bad_patch_exits_with_2(tmp_path: Path) -> None:
    """One line on stderr."""
    path = written(tmp_path / "mine.py", "x = (\n")
    for command in (("run", "baseline", "--world", "sim"), ("explore", "baseline")):
        result = torpor(*command, "--mutant", path)

        assert result.exit_code == 2
        assert result.stderr.splitlines() == [
            f"torpor: --mutant: {path}: line 1: '(' was never closed"
        ]


@pytest.mark.parametrize("mutant", shipped_mutants())
def test_a_shipped_mutant_loads_and_links(mutant: str) -> None:
    """Its id is its file's name, and its scenario resolves with it."""
    patch = read_patch(mutant)
    described = mutant_of(patch)

    assert described is not None
    assert described.id == mutant
    assert locate_patch(mutant).exists()
    overrides = Overrides(described.platform, described.profile, described.power, None, (mutant,))
    resolve(described.scenario, overrides)


def test_a_shipped_mutant_with_anothers_id_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It could not be named on the command line."""
    text = locate_patch("timer-wakes-host").read_text(encoding="utf-8")
    written(tmp_path / "other_name.py", text)
    monkeypatch.setattr("deploy.patching.MUTANTS", tmp_path)

    with pytest.raises(PatchError, match="expected 'other-name', got 'timer-wakes-host'"):
        read_patch("other-name")


def test_both_images_have_their_symbols() -> None:
    """The same names that the map of the sources lists."""
    assert {"stop_cpu", "cpu_down"} <= image_symbols(XEN)
    assert "psci_cpu_on_start" in image_symbols(FIRMWARE)
