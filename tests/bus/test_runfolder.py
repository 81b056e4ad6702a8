"""The run folder: private, exclusive, and its sockets fit."""

import os
from pathlib import Path

import pytest

from bus.runfolder import IPC_PATH_MAX, STATE, RunFolder, RunFolderError, hold, is_held


def test_fresh_folders_are_private_and_distinct(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a path each run gets a folder of its own under $TORPOR_RUNS."""
    monkeypatch.setenv("TORPOR_RUNS", str(tmp_path / "runs"))
    with RunFolder() as one, RunFolder() as two:
        assert one.path != two.path
        assert one.path.parent == tmp_path / "runs"
        assert one.path.stat().st_mode & 0o777 == 0o700
        assert one.logs.is_dir()


def test_without_a_setting_runs_lie_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default root is ./runs."""
    monkeypatch.delenv("TORPOR_RUNS", raising=False)
    monkeypatch.chdir(tmp_path)
    with RunFolder() as folder:
        assert folder.path.parent == tmp_path / "runs"


def test_last_leads_to_the_newest_fresh_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A link that is replaced, and nothing else is left beside it; given folders do not count."""
    monkeypatch.setenv("TORPOR_RUNS", str(tmp_path))
    with RunFolder() as one:
        assert (tmp_path / "last").resolve() == one.path
    with RunFolder() as two, RunFolder(tmp_path / "given"):
        assert (tmp_path / "last").resolve() == two.path
        names = {"last", "given", one.path.name, two.path.name}
        assert {path.name for path in tmp_path.iterdir()} == names


def test_something_else_named_last_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be somebody's run folder."""
    monkeypatch.setenv("TORPOR_RUNS", str(tmp_path))
    with RunFolder(tmp_path / "last"), RunFolder() as fresh:
        assert not (tmp_path / "last").is_symlink()
        assert {path.name for path in tmp_path.iterdir()} == {"last", fresh.path.name}


def test_a_file_system_without_links_stops_no_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The link is a convenience."""

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setenv("TORPOR_RUNS", str(tmp_path))
    monkeypatch.setattr(Path, "symlink_to", refuse)
    with RunFolder() as folder:
        assert [path.name for path in tmp_path.iterdir()] == [folder.path.name]


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    """Two runs never share a folder; when the first has ended it is free."""
    with RunFolder(tmp_path / "r"):
        with pytest.raises(RunFolderError, match="is in use by another run") as refusal:
            RunFolder(tmp_path / "r")
        assert "\n" not in str(refusal.value)
    RunFolder(tmp_path / "r").close()


def test_what_an_earlier_run_left_is_cleared(tmp_path: Path) -> None:
    """An old journal or state is not taken for the new run's."""
    with RunFolder(tmp_path / "r") as folder:
        (folder.path / STATE).write_text("old")
        (folder.keys / "pcpu0.key").write_text("old")
        folder.journal.write_bytes(b"old")
        (folder.logs / "pcpu0.err").write_text("old")
    with RunFolder(tmp_path / "r") as folder:
        assert not folder.journal.exists()
        assert not (folder.path / STATE).exists()
        assert not list(folder.keys.iterdir())
        assert not list(folder.logs.iterdir())


@pytest.mark.parametrize("kind", ["foreign", "file"])
def test_other_places_are_refused(tmp_path: Path, kind: str) -> None:
    """A folder with something else in it, or a file, is left alone."""
    place = tmp_path / "place"
    if kind == "file":
        place.write_text("mine")
    else:
        place.mkdir()
        (place / "thesis.tex").write_text("mine")

    with pytest.raises(RunFolderError, match="choose another"):
        RunFolder(place)


def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    """An error of the file system is one line."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunFolderError, match="cannot use run folder"):
        RunFolder(tmp_path / "file" / "r")


def test_keys_are_their_owners_alone(tmp_path: Path) -> None:
    """The folder of the private keys is nobody else's to read."""
    with RunFolder(tmp_path / "r") as folder:
        assert folder.keys.stat().st_mode & 0o777 == 0o700


def test_a_folder_made_by_another_is_held(tmp_path: Path) -> None:
    """As long as the descriptor is open; it must be there, and free."""
    with pytest.raises(RunFolderError, match="cannot use run folder"):
        hold(tmp_path / "none")
    RunFolder(tmp_path / "r").close()
    lock = hold(tmp_path / "r")
    assert is_held(tmp_path / "r")
    with pytest.raises(RunFolderError, match="in use"):
        hold(tmp_path / "r")
    os.close(lock)
    assert not is_held(tmp_path / "r")


def test_long_paths_get_a_short_private_socket(tmp_path: Path) -> None:
    """An ipc path is at most 107 bytes; the substitute is private and goes with the run."""
    with RunFolder(tmp_path / ("x" * 90) / ("y" * 90)) as folder:
        endpoints = folder.ipc_endpoints()
        [socket_folder] = {Path(endpoint.removeprefix("ipc://")).parent for endpoint in endpoints}
        for endpoint in endpoints:
            assert len(os.fsencode(endpoint.removeprefix("ipc://"))) <= IPC_PATH_MAX
        assert endpoints == folder.ipc_endpoints()
        assert socket_folder.stat().st_mode & 0o777 == 0o700
    assert not socket_folder.exists()
