"""What is asked of Docker, and how its answers and failures are understood."""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from deploy.containers import engine
from deploy.containers.engine import COMPOSE_FILE, EngineError, Project, free_subnet, require_image

Answers = Callable[[dict[str, object]], Path]

FAKE = """#!{python}
import json, sys
answers = json.loads({answers!r})
with open({log!r}, "a") as log:
    log.write(" ".join(sys.argv[1:]) + "\\n")
for words, answer in answers.items():
    if " ".join(sys.argv[1:]).startswith(words):
        if isinstance(answer, int):
            print("first line\\nlast line", file=sys.stderr)
            sys.exit(answer)
        print(answer if isinstance(answer, str) else json.dumps(answer))
        sys.exit(0)
sys.exit(64)
"""

ROUTES = """Iface Destination Gateway Flags RefCnt Use Metric Mask MTU Window IRTT
eth0 00000000 010200C0 0003 0 0 0 00000000 0 0 0
br-1 {} 00000000 0001 0 0 0 {} 0 0 0
"""


@pytest.fixture
def docker(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Answers:
    """A docker command with answers by its first words; a number is an exit code."""
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(engine, "ROUTES", tmp_path / "none")
    log = tmp_path / "asked"

    def answer(answers: dict[str, object]) -> Path:
        words = {"python": sys.executable, "answers": json.dumps(answers), "log": str(log)}
        for name in ("docker", "docker-compose"):
            (tmp_path / name).write_text(FAKE.format(**words), encoding="utf-8")
            (tmp_path / name).chmod(0o755)
        return log

    return answer


def networks(*subnets: str) -> dict[str, object]:
    """Answers of an engine that has networks with these addresses."""
    known = [{"IPAM": {"Config": [{"Subnet": subnet}]}} for subnet in subnets]
    without = [{"IPAM": {"Config": None}}, {"Name": "host"}]
    return {"network ls": "a b c", "network inspect a b c": known + without}


def test_the_first_subnet_is_the_shipped_files(docker: Answers) -> None:
    """Nothing is in the way."""
    docker(networks())
    assert free_subnet() == "172.31.77"


def test_networks_of_the_engine_are_not_taken_again(docker: Answers) -> None:
    """Neither the same nor a wider one that has it; IPv6 is another matter."""
    docker(networks("172.31.77.0/24", "172.31.78.0/23", "fd00::/64"))
    assert free_subnet() == "172.31.80"


def test_what_this_machine_reaches_is_not_taken_either(
    docker: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A second engine's bridge has addresses too; the default route has all of them, and none."""
    table = tmp_path / "route"
    as_number = [
        f"{int.from_bytes(bytes(words), sys.byteorder):08X}"
        for words in ((172, 31, 77, 0), (255, 255, 255, 0))
    ]
    table.write_text(ROUTES.format(*as_number), encoding="ascii")
    monkeypatch.setattr(engine, "ROUTES", table)
    docker(networks())
    assert free_subnet() == "172.31.78"


def test_when_all_subnets_are_taken_it_says_so(docker: Answers) -> None:
    """One line."""
    docker(networks("172.31.0.0/16"))
    with pytest.raises(EngineError, match=r"no free network among 172\.31\.77\.0/24"):
        free_subnet()


def test_an_engine_without_networks_has_room(docker: Answers) -> None:
    """There is nothing to inspect then."""
    log = docker({"network ls": ""})
    assert free_subnet() == "172.31.77"
    assert log.read_text() == "network ls --quiet\n"


@pytest.mark.parametrize("labels", [None, {}, {"torpor.code": "c0de", "other": "1"}])
def test_an_image_with_this_code_is_fine(docker: Answers, labels: dict[str, str] | None) -> None:
    """So is one that does not say."""
    log = docker({"images --quiet im:1": "abc", "image inspect": labels})
    require_image("im:1", "c0de")
    assert log.read_text().splitlines()[0] == "images --quiet im:1"


def test_an_image_of_older_code_is_refused(docker: Answers) -> None:
    """Its hub would not take in what is typed here, once all is up."""
    docker({"images": "abc", "image inspect": {"torpor.code": "01d"}})
    with pytest.raises(EngineError, match="im:1 has other code than this; `make image` builds it"):
        require_image("im:1", "c0de")


def test_a_missing_image_says_what_builds_it(docker: Answers) -> None:
    """Before any container is made."""
    docker({"images": ""})
    with pytest.raises(EngineError, match="there is no image im:1; `make image` builds it"):
        require_image("im:1", "c0de")


def test_a_failure_is_its_last_line(docker: Answers) -> None:
    """The rest of what Docker says is of no help."""
    docker({"images": 1})
    with pytest.raises(EngineError, match=r"^last line$"):
        require_image("im:1", "c0de")


def test_without_docker_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both where docker is asked and where compose is."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EngineError, match="there is no docker command; install a Docker engine"):
        require_image("im:1", "c0de")
    with pytest.raises(EngineError, match="there is no docker command; install a Docker engine"):
        Project(tmp_path).up()


@pytest.mark.parametrize(
    ("version", "first"), [("Docker Compose version v2", "compose -p"), (1, "-p")]
)
def test_compose_is_dockers_own_or_the_classic_one(
    docker: Answers, tmp_path: Path, version: str | int, first: str
) -> None:
    """Version 2 if there is one; its name for the board is that of the run folder."""
    run = tmp_path / "Run.1"
    run.mkdir()
    (run / COMPOSE_FILE).touch()
    log = docker({"compose version": version, "compose -p": "", "-p": ""})
    Project(run).up()
    Project(run).down()

    named = f"{first} torpor-run-1 -f {run / COMPOSE_FILE}"
    assert log.read_text().splitlines() == [
        "compose version",
        f"{named} up --detach --no-build",
        "compose version",
        f"{named} down --volumes --remove-orphans",
    ]
    assert not (run / COMPOSE_FILE).exists()


def test_a_board_that_does_not_go_down_keeps_its_file(docker: Answers, tmp_path: Path) -> None:
    """With it, it can be taken down later."""
    (tmp_path / COMPOSE_FILE).touch()
    docker({"compose version": "", "compose -p": 1})
    with pytest.raises(EngineError, match="last line"):
        Project(tmp_path).down()
    assert (tmp_path / COMPOSE_FILE).exists()


def test_without_compose_it_says_what_to_install(docker: Answers, tmp_path: Path) -> None:
    """Docker alone is not enough."""
    docker({"compose version": 1})
    (tmp_path / "docker-compose").unlink()
    with pytest.raises(EngineError, match="neither `docker compose` nor docker-compose"):
        Project(tmp_path).up()
