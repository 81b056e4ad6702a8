"""The compose file: what each container may, what it finds, and in which order all start."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from bus.runfolder import KEYS
from deploy.composition import processes
from deploy.containers import compose_file
from deploy.containers.compose_file import of_run, shipped
from deploy.loading import DEPLOY, Overrides, resolve, standing

SHIPPED = {"quad": "compose.yaml", "dual": "compose-dual.yaml", "octo": "compose-octo.yaml"}
RUN = Path("/somewhere/run")


def file_of(way: str, platform: str = "quad") -> dict[str, Any]:
    """A parsed compose file of one of the two ways."""
    board = standing("board", Overrides(platform=platform))
    text = shipped(board) if way == "shipped" else of_run(board, RUN, "im:1", "7:8", "10.1.2")
    parsed: dict[str, Any] = yaml.safe_load(text)
    return parsed


@pytest.fixture(params=["shipped", "of a run"])
def services(request: pytest.FixtureRequest) -> dict[str, dict[str, Any]]:
    """The services of a compose file, either way."""
    found: dict[str, dict[str, Any]] = file_of(request.param)["services"]
    return found


@pytest.mark.parametrize("platform", SHIPPED)
def test_the_shipped_files_are_what_the_command_writes(platform: str) -> None:
    """Nobody has to keep them up to date by hand."""
    board = standing("board", Overrides(platform=platform))
    assert (DEPLOY / SHIPPED[platform]).read_text(encoding="utf-8") == shipped(board)


def test_every_process_has_a_container(services: dict[str, dict[str, Any]]) -> None:
    """One each, started by the same command under its own name."""
    services.pop("prepare", None)
    assert set(services) == set(processes(resolve("board")))
    for name, service in services.items():
        assert service["command"][-2:] == ["--name", name]


def test_no_container_may_more_than_it_must(services: dict[str, dict[str, Any]]) -> None:
    """No root, no privileges, no writable root, no port to the outside, and limits on all."""
    for service in services.values():
        user = service["user"].split(":")[0]
        assert user not in ("0", "root", "")
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert {"mem_limit", "cpus", "pids_limit"} <= set(service)
        assert not {"privileged", "ports", "cap_add", "devices", "pid", "ipc"} & set(service)
        assert service.get("network_mode", "none") == "none"
        assert service["restart"] == "no"
        assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("way", ["shipped", "of a run"])
def test_addresses_are_fixed_and_unlike(way: str) -> None:
    """Nobody's name has to be looked up; the network leads nowhere else."""
    parsed = file_of(way, "octo")
    addresses = [
        service["networks"]["bus"]["ipv4_address"]
        for service in parsed["services"].values()
        if "networks" in service
    ]
    assert len(set(addresses)) == len(addresses) == 8 + 3 + 6
    assert addresses[0].endswith(".2")
    assert parsed["networks"]["bus"]["internal"] is True


def test_all_start_behind_those_they_speak_to(services: dict[str, dict[str, Any]]) -> None:
    """Health-gated, without a circle: the interconnect first, readers of the journal last."""
    started: list[str] = []
    while len(started) < len(services):
        ready = [
            name
            for name, service in services.items()
            if name not in started and set(service.get("depends_on", ())) <= set(started)
        ]
        assert ready, "a circle"
        started += ready
    order = [name for name in started if name != "prepare"]
    assert order[0] == "interconnect"
    assert set(order[-2:]) == {"operator", "monitor"}
    for name in order:
        assert services[name]["healthcheck"]["test"][0] == "CMD-SHELL"
        for condition in services[name].get("depends_on", {}).values():
            assert condition["condition"] in ("service_healthy", "service_completed_successfully")


def test_nobody_is_given_anothers_key() -> None:
    """In volumes: each mounts its own, read-only; only `prepare` writes them, without a network."""
    services = file_of("shipped")["services"]
    prepare = services.pop("prepare")
    assert prepare["network_mode"] == "none"
    assert sum(volume.startswith("key-") for volume in prepare["volumes"]) == len(services)
    for name, service in services.items():
        keys = [volume for volume in service["volumes"] if volume.startswith("key-")]
        assert keys == [f"key-{name}:/run/secrets:ro"]
        assert "prepare" in service["depends_on"]


def test_nobody_is_given_anothers_secret() -> None:
    """In a run folder: each has its own secret; whoever sees the folder sees no keys in it."""
    parsed = file_of("of a run")
    for name, service in parsed["services"].items():
        assert service["secrets"] == [{"source": f"key-{name}", "target": f"{name}.key"}]
        assert parsed["secrets"][f"key-{name}"] == {"file": str(RUN / KEYS / f"{name}.key")}
        if any(volume.startswith(f"{RUN}:") for volume in service["volumes"]):
            assert any(scratch.startswith(f"{RUN / KEYS}:") for scratch in service["tmpfs"])


@pytest.mark.parametrize(("way", "journals"), [("shipped", "journals:"), ("of a run", f"{RUN}:")])
def test_domains_cannot_read_the_journal(way: str, journals: str) -> None:
    """All memory is in it: the interconnect writes it, operator and monitor may read."""
    modes = {
        name: "ro" if volume.endswith(":ro") else "rw"
        for name, service in file_of(way)["services"].items()
        for volume in service["volumes"]
        if volume.startswith(journals) and name != "prepare"
    }
    assert modes == {"interconnect": "rw", "operator": "ro", "monitor": "ro"}


def test_a_platform_of_ones_own_is_read_from_its_file(tmp_path: Path) -> None:
    """The image does not have it."""
    own = tmp_path / "mine.yaml"
    own.write_text((DEPLOY / "platforms" / "dual.yaml").read_text(), encoding="utf-8")
    board = standing("board", Overrides(platform=str(own)))
    prepare = yaml.safe_load(shipped(board, own))["services"]["prepare"]

    assert f"{own}:/run/platform/mine.yaml:ro" in prepare["volumes"]
    assert prepare["command"][-1] == "/run/platform/mine.yaml"


def test_numbers_that_look_like_times_stay_words() -> None:
    """YAML 1.1 would read some user:group pairs as a number of minutes."""
    board = standing("board", Overrides())
    parsed = yaml.safe_load(of_run(board, RUN, "im:1", "1:30", "10.1.2"))
    assert parsed["services"]["gicd"]["user"] == "1:30"
    assert compose_file.USER == "10001:10001"
