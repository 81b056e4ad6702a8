"""Boards in containers, as a person launches them: with compose alone, and with `torpor up`."""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from compose_bench import ROOT, Bench, Engine, run

UP_LIMIT_S = 30
PROJECT = "plain"
JUDGE = ("run", "--rm", "--no-deps", "-T", "monitor", "torpor", "check")
MEM = "echo mem > /sys/power/state"

Compose = Callable[..., str]


@pytest.fixture
def compose(engine: Engine) -> Iterator[Compose]:
    """The shipped compose file, driven by docker-compose alone; all of it is gone afterwards."""

    def compose(*words: str) -> str:
        done = run(
            "docker-compose",
            *("-f", ROOT / "deploy" / "compose.yaml", "-p", PROJECT),
            *words,
            env={**engine.environment, "TORPOR_TIME_SCALE": "4"},
        )
        assert done.returncode == 0, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    yield compose
    compose("down", "--volumes")
    assert engine.containers("-a") == []


def test_docker_compose_up_suspend_resume_down(engine: Engine, compose: Compose) -> None:
    """What the README says: up in half a minute, a cycle that is judged, and `down` tidies up."""
    began_s = time.monotonic()
    compose("up", "-d")
    in_operator = ("exec", "-T", "operator", "torpor")
    listed = compose(*in_operator, "xl", "list")
    took_s = time.monotonic() - began_s
    compose(*in_operator, "console", "dom0", "--line", MEM)
    compose(*in_operator, "wake", "rtc")
    after = compose(*in_operator, "xl", "list")
    journal = compose(*in_operator, "status", "--json")
    with pytest.raises(AssertionError):  # The operator's container ends with the board.
        compose(*in_operator, "down")
    compose("stop")
    report = json.loads(compose(*JUDGE, "/var/lib/torpor/last/journal", "--json"))
    compose("down")

    assert "Domain-0" in listed
    assert "Domain-0" in after
    assert took_s < UP_LIMIT_S, f"it took {took_s:.0f} s"
    [entry] = json.loads(journal)
    assert entry["state"] == "running"
    assert report["verdict"] == "pass"
    assert [attempt["outcome"] for attempt in report["attempts"]] == ["slept"]
    assert engine.containers("-a") == []
    assert PROJECT not in engine.docker("network", "ls")
    assert f"{PROJECT}_journals" in engine.docker("volume", "ls", "--quiet").split()


def test_every_command_works_as_on_a_local_board(bench: Bench) -> None:
    """Up, status, xl, irq, wake, console, down: the journal is judged like any other."""
    folder = bench.up()
    [entry] = bench.status()
    assert (entry["state"], entry["power"], entry["unwell"]) == ("running", "on", {})
    assert entry["containers"] == f"torpor-{folder.name}"
    assert "Domain-0" in bench.torpor("xl", "list")
    bench.torpor("irq", "tty1")
    bench.torpor("xl", "cpu-hotplug", "2", "off")
    bench.torpor("xl", "cpu-hotplug", "2", "on")
    asleep = bench.torpor("console", "dom0", "--line", MEM)
    bench.torpor("wake", "rtc")
    bench.torpor("xl", "list")
    report = json.loads(bench.torpor("down", "--json"))

    assert "PM: suspend entry" in asleep
    assert report["verdict"] == "pass"
    assert [attempt["outcome"] for attempt in report["attempts"]] == ["slept"]
    assert bench.engine.containers("-a") == []
    assert bench.status() == []


def test_containers_are_confined(bench: Bench) -> None:
    """What the engine says of each: nobody is root, and no root file system can be written."""
    folder = bench.up()
    names = bench.engine.containers()
    inspected: list[dict[str, Any]] = json.loads(bench.engine.docker("inspect", *names))
    for container in inspected:
        host = container["HostConfig"]
        assert container["Config"]["User"].split(":")[0] not in ("", "0", "root")
        assert host["ReadonlyRootfs"] is True
        assert host["Privileged"] is False
        assert host["CapDrop"] == ["ALL"]
        assert host["PortBindings"] in ({}, None)
        assert host["Memory"] > 0
    domain = bench.container(folder, "dom1")
    for what in ("touch /x", f"cat {folder}/journal", "cat /run/secrets/firmware.key"):
        with pytest.raises(AssertionError):
            bench.engine.docker("exec", domain, "sh", "-c", what)


def test_without_an_image_there_is_one_line(bench: Bench) -> None:
    """What is missing and what to do, before anything is started."""
    done = bench.try_torpor("up", "--compose", "--image", "nothing:here")

    assert done.returncode == 2
    assert done.stderr == "torpor: there is no image nothing:here; `make image` builds it\n"


def test_without_an_engine_there_is_one_line(tmp_path: Path, bench: Bench) -> None:
    """The same for the engine itself."""
    bench.environment["DOCKER_HOST"] = f"unix://{tmp_path}/nobody"
    done: subprocess.CompletedProcess[str] = bench.try_torpor("up", "--compose")
    bench.environment["DOCKER_HOST"] = bench.engine.environment["DOCKER_HOST"]

    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert "Docker" in done.stderr or "docker" in done.stderr
