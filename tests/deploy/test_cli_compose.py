"""`torpor compose` and `torpor prepare`: a compose file, and what its first container makes."""

from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner, Result

from bus.keys import read_key
from bus.runfolder import BOARD, SESSION
from deploy.cli.main import app
from deploy.composition import processes
from deploy.loading import DEPLOY, Overrides, standing
from deploy.session import client_credentials, credentials, own_keys, read_session
from proto.ids import CLIENT


def torpor(*arguments: str | Path) -> Result:
    """Run the command line in this process."""
    return CliRunner().invoke(app, [str(argument) for argument in arguments], prog_name="torpor")


def refused(*arguments: str | Path) -> str:
    """The one line of a usage error."""
    result = torpor(*arguments)

    assert result.exit_code == 2, result.output
    (line,) = result.stderr.splitlines()
    return line


class Volumes:
    """Folders in place of the volumes that `prepare` finds."""

    def __init__(self, root: Path) -> None:
        self.board, self.runs, self.keys = (root / name for name in ("board", "runs", "keys"))
        for folder in (self.board, self.runs, self.keys):
            folder.mkdir()
        self.names = tuple(processes(standing("board", Overrides())))
        for name in self.names:
            (self.keys / name).mkdir()

    def prepare(self, *more: str) -> tuple[str | Path, ...]:
        """Words of the command."""
        folders = ("--board", self.board, "--runs", self.runs, "--keys", self.keys)
        return ("prepare", "--address", "10.1.2.2", *folders, *more)


@pytest.fixture
def volumes(tmp_path: Path) -> Volumes:
    """Empty ones."""
    return Volumes(tmp_path)


def test_the_file_goes_to_stdout_or_where_it_is_wanted(tmp_path: Path) -> None:
    """The same text; without a platform it is the shipped one."""
    target = tmp_path / "c.yaml"
    written = torpor("compose", "dual", "-o", target)

    assert written.stdout == f"wrote {target}: 2 PEs, 3 domains\n"
    assert target.read_text() == torpor("compose", "dual").stdout
    assert torpor("compose").stdout == (DEPLOY / "compose.yaml").read_text()


@pytest.mark.parametrize("cpus", [1, 3, 6])
def test_any_platform_has_a_file(tmp_path: Path, cpus: int) -> None:
    """One container for each of its PEs."""
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump({"name": "own", "clusters": [1] * cpus}), encoding="utf-8")
    services = yaml.safe_load(torpor("compose", own).stdout)["services"]

    assert [name for name in services if name.startswith("pcpu")] == [
        f"pcpu{cpu}" for cpu in range(cpus)
    ]


def test_a_platform_that_is_not_known_is_one_line() -> None:
    """As for every command."""
    assert "nonsense" in refused("compose", "nonsense")


def test_a_file_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    """And it says why."""
    assert refused("compose", "-o", tmp_path) == (
        f"torpor: cannot write {tmp_path}: Is a directory"
    )


def test_each_container_is_given_its_own_key_alone(volumes: Volumes) -> None:
    """The operator's has the client's too; the run folder keeps none."""
    done = torpor(*volumes.prepare())

    assert done.exit_code == 0, done.stderr
    for name in volumes.names:
        held = {path.name for path in (volumes.keys / name).iterdir()}
        assert held == {f"{name}.key"} | ({f"{CLIENT}.key"} if name == "operator" else set())
    [run] = [path for path in volumes.runs.iterdir() if not path.is_symlink()]
    assert list((run / "keys").iterdir()) == []
    assert done.stdout == f"prepared {run.name}: journal {run / 'journal'}\n"


def test_what_all_read_fits_the_keys_and_tells_none(
    volumes: Volumes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Addresses, public keys and settings; a process and a client can join with what they have."""
    torpor(*volumes.prepare("--profile", "v11", "--seed", "7", "--time-scale", "4"))
    board, session = read_session(volumes.board)
    monkeypatch.setenv("TORPOR_KEYS", str(volumes.keys / "operator"))

    assert (board.profile.name, board.scenario.seed, session.time_scale) == ("v11", 7, 4.0)
    assert session.endpoints == ("tcp://10.1.2.2:7700", "tcp://10.1.2.2:7701")
    assert session.ring is not None
    hub = own_keys(session, volumes.keys / "interconnect", "interconnect")
    domain = credentials(session, volumes.keys / "dom1", "dom1")
    client = client_credentials(session, volumes.runs / "last")
    assert hub is not None
    assert domain is not None
    assert client is not None
    assert domain.hub == client.hub == hub.public
    assert session.ring.owner(domain.own.public) == "dom1"
    assert session.ring.owner(client.own.public) == CLIENT
    told = (volumes.board / SESSION).read_bytes() + (volumes.board / BOARD).read_bytes()
    for name in volumes.names:
        assert read_key(volumes.keys / name, name).secret.encode() not in told


def test_each_start_has_keys_and_a_folder_of_its_own(volumes: Volumes) -> None:
    """Earlier keys are of no use any more; earlier journals stay."""
    torpor(*volumes.prepare())
    before = read_key(volumes.keys / "gicd", "gicd")
    (volumes.runs / "last" / "journal").write_text("older")
    again = torpor(*volumes.prepare())

    assert again.exit_code == 0, again.stderr
    assert read_key(volumes.keys / "gicd", "gicd").secret != before.secret
    folders = [path for path in volumes.runs.iterdir() if not path.is_symlink()]
    assert len(folders) == 2
    assert any((folder / "journal").exists() for folder in folders)


def test_a_missing_volume_is_one_line(volumes: Volumes) -> None:
    """Whoever has changed the compose file learns what it lacks."""
    (volumes.keys / "gicd").rmdir()
    assert "cannot prepare the board" in refused(*volumes.prepare())
    volumes.board.rmdir()
    assert refused(*volumes.prepare()) == (
        f"torpor: {volumes.board} is no folder; mount a volume there"
    )
