"""Faults of single containers in the middle of a cycle: killed, paused, cut off the network.

At each of five points one container is struck while a PE stands at the point. docs/COMPOSE.md has
the table of what comes of it.
"""

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from compose_bench import TORPOR, Bench

from bus.journal import HubEvent, Record, read_journal, tail_journal
from proto.messages import PointReached
from proto.traces import SystemPower
from proto.turn import Send, Trace, Turn

MEM = "echo mem > /sys/power/state"
HOLD_US = 1_500_000
STRUCK_S = 4.0
"""How long a container is paused or cut off: longer than a pulse may miss, shorter than a limit."""
LIMIT_S = 60.0
ALL_END_S = 20.0

SCENARIO = """
name: struck
platform: quad
profile: baseline
time_limit_ms: 600000
domains:
  - {{id: 0, vcpus: 2, role: hardware, tick_us: 1000000}}
  - {{id: 1, vcpus: 2, tick_us: 1000000}}
steps:
  - expect: {{domain: 0, any_of: ["dom0: up"], since: start}}
  - expect: {{domain: 1, any_of: ["dom1: up"], since: start}}
points: {points}
"""


@dataclass(frozen=True)
class Place:
    """Where in the cycle a container is struck, and which: `point` is empty while all sleep."""

    label: str
    point: str
    process: str

    @property
    def scenario(self) -> str:
        """A board on which a PE stands for a while at this point."""
        held = [{"point": self.point, "hold_us": HOLD_US}] if self.point else []
        return SCENARIO.format(points=json.dumps(held))


PLACES = (
    Place("freeze_domains", "before S1", "dom1"),
    Place("cpu_off", "el3.CPU_OFF pe2", "pcpu2"),
    Place("last_step", "before S9", "firmware"),
    Place("asleep", "", "gicd"),
    Place("bring_up", "before R7", "pcpu1"),
)


@dataclass
class Struck:
    """A board in a cycle, followed through its journal."""

    bench: Bench
    folder: Path
    place: Place
    container: str
    commands: list["subprocess.Popen[str]"] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def begin(self, *words: str) -> None:
        """A command that may take as long as the fault does."""
        self.commands.append(
            subprocess.Popen(
                [*TORPOR, *words],
                env=self.bench.environment,
                cwd=self.bench.folder,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                text=True,
            )
        )

    def follow(self, seen: Callable[[Record], bool]) -> None:
        """Read the journal until it has this."""
        deadline_s = time.monotonic() + LIMIT_S
        tail = tail_journal(self.folder / "journal")
        try:
            while not any(seen(record) for record in tail.poll()):
                assert time.monotonic() < deadline_s, f"never came to {self.place.label}"
                time.sleep(0.05)
        finally:
            tail.close()

    def strike(self, *words: str) -> None:
        """A docker command on the container."""
        self.bench.engine.docker(*words, self.container)

    @property
    def network(self) -> str:
        """The board's network."""
        [name] = self.bench.engine.docker(
            "network", "ls", "--filter", f"name={self.folder.name}", "--format", "{{.Name}}"
        ).split()
        return name

    def notes(self) -> list[tuple[str, str]]:
        """What the hub has noted, and of whom."""
        records = read_journal(self.folder / "journal").records
        return [(record.kind, record.who) for record in records if isinstance(record, HubEvent)]


def is_asleep(record: Record) -> bool:
    """Whether the system sleeps from here on."""
    return isinstance(record, Turn) and any(
        isinstance(effect, Trace)
        and isinstance(effect.event, SystemPower)
        and effect.event.state == "sleeping"
        for effect in record.effects
    )


def stands_at(point: str) -> Callable[[Record], bool]:
    """Whether a PE has come to a point."""

    def seen(record: Record) -> bool:
        return isinstance(record, Turn) and any(
            isinstance(effect, Send) and effect.body == PointReached(effect.body.tx, point)
            for effect in record.effects
            if isinstance(effect, Send) and isinstance(effect.body, PointReached)
        )

    return seen


@contextmanager
def cycle(bench: Bench, tmp_path: Path, place: Place) -> Iterator[Struck]:
    """A board that has just come to the place in its cycle."""
    path = tmp_path / "struck.yaml"
    path.write_text(place.scenario, encoding="utf-8")
    folder = bench.up(str(path))
    struck = Struck(bench, folder, place, bench.container(folder, place.process))
    try:
        struck.begin("console", "dom0", "--line", MEM)
        if place.point.startswith("before R") or not place.point:
            struck.follow(is_asleep)
        if place.point.startswith("before R"):
            struck.begin("wake", "rtc")
        if place.point:
            struck.follow(stands_at(place.point))
        yield struck
    finally:
        for command in struck.commands:
            command.kill()
            command.wait()


def goes_on(struck: Struck) -> dict[str, Any]:
    """The board sleeps and wakes, or gives up to sleep, and answers; the report of its end."""
    for command in struck.commands:
        command.wait(LIMIT_S)
    if struck.bench.status()[0]["power"] == "sleeping":
        struck.bench.torpor("wake", "rtc")
    assert "Domain-0" in struck.bench.torpor("xl", "list")
    done = struck.bench.try_torpor("down", "--json")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.label)
def test_a_killed_container_ends_the_run(bench: Bench, tmp_path: Path, place: Place) -> None:
    """It is named, all others end by themselves, and the verdict is inconclusive."""
    with cycle(bench, tmp_path, place) as struck:
        struck.strike("kill")
        deadline_s = time.monotonic() + ALL_END_S
        while bench.engine.containers():
            assert time.monotonic() < deadline_s, bench.engine.containers()
            time.sleep(0.2)
        [entry] = bench.status()
        done = bench.try_torpor("down", "--json")

    assert entry["state"] == "dead"
    assert entry["reason"] == f"{place.process}: the process is gone"
    assert done.returncode == 3
    assert json.loads(done.stdout)["verdict"] == "inconclusive"
    assert ("undeliverable", place.process) in struck.notes()


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.label)
def test_a_paused_container_is_named_and_the_board_goes_on(
    bench: Bench, tmp_path: Path, place: Place
) -> None:
    """What it missed may make the verdict inconclusive, never a violation."""
    with cycle(bench, tmp_path, place) as struck:
        struck.strike("pause")
        unwell = seen_unwell(bench)
        struck.strike("unpause")
        report = goes_on(struck)

    assert unwell == {place.process: "paused"}
    assert report["verdict"] in ("pass", "inconclusive")
    assert [note for note in struck.notes() if note[1] == place.process][1:3] == [
        ("peer_paused", place.process),
        ("peer_back", place.process),
    ] or ("peer_slow", place.process) in struck.notes()


@pytest.mark.parametrize("place", PLACES, ids=lambda place: place.label)
def test_a_container_that_was_off_the_network_comes_back(
    bench: Bench, tmp_path: Path, place: Place
) -> None:
    """Its connection outlives the cut, and nothing is lost on it."""
    with cycle(bench, tmp_path, place) as struck:
        address = bench.engine.docker(
            "inspect",
            "--format",
            "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}",
            struck.container,
        ).strip()
        struck.strike("network", "disconnect", struck.network)
        unwell = seen_unwell(bench)
        struck.strike("network", "connect", "--ip", address, struck.network)
        report = goes_on(struck)

    assert unwell == {place.process: "paused"}
    assert report["verdict"] in ("pass", "inconclusive")


def test_a_container_that_stays_off_the_network_ends_the_run(bench: Bench, tmp_path: Path) -> None:
    """It is told from a dead one: its pulse was gone before its connection."""
    with cycle(bench, tmp_path, PLACES[3]) as struck:
        struck.strike("network", "disconnect", struck.network)
        deadline_s = time.monotonic() + LIMIT_S
        while (entry := bench.status()[0])["state"] != "dead":
            assert time.monotonic() < deadline_s
            time.sleep(0.5)

    assert entry["reason"] == "gicd: the network to it is cut"


def test_without_the_hub_all_end(bench: Bench, tmp_path: Path) -> None:
    """They hear nothing any more, and nobody else would end them."""
    with cycle(bench, tmp_path, PLACES[3]) as struck:
        bench.engine.docker("kill", bench.container(struck.folder, "interconnect"))
        deadline_s = time.monotonic() + LIMIT_S
        while bench.engine.containers():
            assert time.monotonic() < deadline_s, bench.engine.containers()
            time.sleep(0.5)
        [entry] = bench.status()
        done = bench.try_torpor("down", "--json")

    assert (entry["state"], done.returncode) == ("dead", 3)


def seen_unwell(bench: Bench) -> dict[str, str]:
    """Who is unwell according to the state file, once somebody is."""
    deadline_s = time.monotonic() + STRUCK_S + 4
    state = (bench.folder / "runs" / "last" / "state.json").resolve()
    while not (unwell := json.loads(state.read_text())["unwell"]):
        assert time.monotonic() < deadline_s, "nobody has noticed"
        time.sleep(0.1)
    return dict(unwell)
