"""A board that stays up: a session, clients that die, two boards, every way to go down."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from bus.journal import HubEvent, read_journal
from proto.ids import is_client
from proto.turn import Turn

pytestmark = [pytest.mark.live, pytest.mark.timeout(180)]

TORPOR = [sys.executable, "-m", "deploy.cli.main"]

ROOT = Path(__file__).parents[2]

NEVER_UP = """
name: never-up
domains: [{id: 0, role: hardware}]
steps:
  - expect: {domain: 0, any_of: ["hello world"], within_ms: 200}
"""


class Bench:
    """A person's shell, with boards of its own."""

    def __init__(self, folder: Path) -> None:
        path = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
        self.environment = os.environ | {"TORPOR_RUNS": str(folder), "PYTHONPATH": path}
        self.folder = folder

    def torpor(self, *arguments: str | Path, code: int = 0) -> str:
        """Run a command; gives what it prints on stdout, and on stderr if it is to fail."""
        ran = subprocess.run(
            [*TORPOR, *map(str, arguments)],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
            env=self.environment,
            cwd=self.folder,
        )
        assert ran.returncode == code, f"{arguments}: {ran.stdout}{ran.stderr}"
        assert "Traceback" not in ran.stderr
        return ran.stderr if code else ran.stdout

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        """Start a command and leave it running."""
        return subprocess.Popen(
            [*TORPOR, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            env=self.environment,
            cwd=self.folder,
        )

    def up(self, *arguments: str) -> Path:
        """Start a board; gives its folder."""
        before = set(self.folders())
        # Slow board time: Xen's own limits must hold on a machine that runs other tests too.
        self.torpor("up", "--time-scale", "4", *arguments)
        (new,) = set(self.folders()) - before
        return new

    def folders(self) -> list[Path]:
        """All run folders."""
        return [path for path in self.folder.iterdir() if not path.is_symlink()]

    def status(self) -> list[dict[str, object]]:
        """What `torpor status` lists."""
        listed: list[dict[str, object]] = json.loads(self.torpor("status", "--json"))
        return listed


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    """A shell; whatever is up at the end is killed, and that is a failure."""
    bench = Bench(tmp_path)
    yield bench
    left = [entry for entry in bench.status() if entry["state"] != "dead"]
    for entry in left:
        os.kill(int(str(entry["supervisor"])), signal.SIGKILL)
    assert left == []


def pids_of(folder: Path) -> list[int]:
    """The supervisor of a board and all its processes."""
    state = json.loads((folder / "state.json").read_text())
    return [state["supervisor"], *state["pids"].values()]


def assert_all_end(pids: list[int]) -> None:
    """Every process ends within a few seconds."""
    for pid in pids:
        try:
            watch = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        ended = select.select([watch], (), (), 10)[0]
        os.close(watch)
        assert ended, f"process {pid} has outlived its board"


def test_a_session(bench: Bench) -> None:
    """A board is started, used, put to sleep, woken, used and taken down; its journal replays."""
    bench.torpor("status")
    introduced = bench.torpor("up", "--time-scale", "4", "--profile", "baseline")
    assert "dom0: up" in introduced
    assert "dom2: up" in introduced
    assert "torpor xl list" in introduced
    (entry,) = bench.status()
    assert (entry["state"], entry["power"]) == ("running", "on")
    processes = entry["processes"]
    assert isinstance(processes, dict)
    assert {"interconnect", "gicd", "pcpu3", "dom2", "operator"} <= set(processes)

    assert re.search(r"^Domain-0 +0 ", bench.torpor("xl", "list"), re.M)
    bench.torpor("xl", "pause", "dom1")
    assert re.search(r"^dom1 .*p---", bench.torpor("xl", "list"), re.M)
    bench.torpor("xl", "unpause", "dom1")
    assert "invalid domain" in bench.torpor("xl", "pause", "nobody", code=1) + bench.torpor(
        "console", "dom0"
    )
    assert "drives 35; there are uart (33)" in bench.torpor("irq", "35", code=2)
    assert "nothing on this board drives 9999" in bench.torpor("irq", "9" * 5000, code=2)
    assert "tty1 (INTID 41)" in bench.torpor("irq", "41")
    assert "rounds, intact" in bench.torpor("console", "dom1", "--line", "work")
    assert "the board is awake" in bench.torpor("wake", "rtc")

    slept = bench.torpor("console", "0", "--line", "echo mem > /sys/power/state")
    assert "PM: suspend entry" in slept
    assert bench.status()[0]["power"] == "sleeping"
    assert "the host is asleep; wake it with `torpor wake rtc`" in bench.torpor(
        "xl", "list", code=3
    )
    woken = bench.torpor("wake", "rtc")
    assert woken.splitlines()[-1] == "PE0 woke, power LED on"
    assert "Domain-0" in bench.torpor("xl", "list")
    assert "PM: suspend exit" in bench.torpor("console", "dom0")
    assert "(XEN)" in bench.torpor("console", "xen")

    (folder,) = bench.folders()
    pids = pids_of(folder)
    report = json.loads(bench.torpor("down", "--json"))
    assert_all_end(pids)
    assert report["verdict"] == "pass"
    assert [attempt["outcome"] for attempt in report["attempts"]] == ["slept"]
    assert bench.status() == []
    clients = {r.node for r in read_journal(folder / "journal").records if isinstance(r, Turn)}
    assert len([node for node in clients if is_client(node)]) > 10
    bench.torpor("replay", folder / "journal")


def test_clients_come_and_go(bench: Bench) -> None:
    """Two at once, and one that is killed while it waits: the board does not mind."""
    folder = bench.up("board", "--seed", "3")
    with bench.start("console", "dom1", "--follow") as follower:
        assert follower.stdout is not None
        assert "dom1: up" in follower.stdout.readline()
        answers: list[str] = []
        threads = [
            threading.Thread(target=lambda: answers.append(bench.torpor("xl", "list")))
            for _ in range(2)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [answer.count("Domain-0") for answer in answers] == [1, 1]
        follower.kill()
    bench.torpor("console", "dom1", "--line", "work")
    bench.torpor("xl", "list")
    bench.torpor("down")

    events = [r for r in read_journal(folder / "journal").records if isinstance(r, HubEvent)]
    downs = {event.who: event.text for event in events if event.kind == "client_down"}
    assert "it is gone" in downs.values()
    assert not [event for event in events if event.kind == "peer_down"]
    bench.torpor("replay", folder / "journal")


def test_a_terminal_can_be_followed_and_typed_at(bench: Bench) -> None:
    """Lines of the keyboard go to the console, its lines come back; Ctrl-C ends it."""
    bench.up()
    keyboard, screen = pty.openpty()
    with subprocess.Popen(
        [*TORPOR, "console", "dom1", "--follow"],
        stdin=screen,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=bench.environment,
        cwd=bench.folder,
    ) as follower:
        assert follower.stdout is not None
        assert "dom1: up" in follower.stdout.readline()
        os.write(keyboard, b"work\n")
        for line in follower.stdout:
            if "rounds, intact" in line:
                break
        follower.send_signal(signal.SIGINT)
        _, complaints = follower.communicate(timeout=20)
    os.close(keyboard)
    os.close(screen)
    bench.torpor("down")

    assert (follower.returncode, complaints) == (0, "")


def test_a_killed_supervisor_leaves_a_dead_board(bench: Bench) -> None:
    """Nothing survives it; every command says so, and `down` judges what was left."""
    folder = bench.up()
    supervisor, *_ = pids = pids_of(folder)
    os.kill(supervisor, signal.SIGKILL)
    assert_all_end(pids)

    assert "is dead: its processes were killed" in bench.torpor("xl", "list", code=2)
    (entry,) = bench.status()
    assert entry["state"] == "dead"
    assert "inconclusive" in bench.torpor("down", code=3)
    assert bench.status() == []


def test_a_killed_process_takes_its_board_down(bench: Bench) -> None:
    """The supervisor notices, and a client that waits is told."""
    folder = bench.up()
    pids = pids_of(folder)
    with bench.start("console", "dom0", "--follow") as follower:
        assert follower.stdout is not None
        follower.stdout.readline()
        os.kill(json.loads((folder / "state.json").read_text())["pids"]["gicd"], signal.SIGKILL)
        follower.communicate(timeout=20)
    assert_all_end(pids)

    assert follower.returncode == 3
    assert "is down (died)" in bench.torpor("xl", "--board", folder, "list", code=2)
    assert "start one with `torpor up`" in bench.torpor("xl", "list", code=2)


def test_two_boards(bench: Bench) -> None:
    """Each has its own folder, and has to be named."""
    one, two = bench.up(), bench.up("cpu-hotplug", "--profile", "v11")
    assert [entry["profile"] for entry in bench.status()] == ["baseline", "v11"]
    assert "there are several boards" in bench.torpor("xl", "list", code=2)
    assert "dom1" in bench.torpor("xl", "--board", one, "list")
    assert "dom1" not in bench.torpor("xl", "--board", two, "list")
    bench.torpor("down", "--board", two)
    assert "dom1" in bench.torpor("xl", "list")
    bench.torpor("down")


def test_a_board_that_does_not_come_up(bench: Bench) -> None:
    """One line that says where to look, and nothing is left."""
    scenario = bench.folder / "never-up.yaml"
    scenario.write_text(NEVER_UP)
    line = bench.torpor("up", "never-up.yaml", code=3)

    assert "did not come up (ended: failed); `torpor check" in line
    assert bench.status() == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_to_the_supervisor_are_clean(bench: Bench, number: signal.Signals) -> None:
    """As if it had been asked; the journal is whole."""
    folder = bench.up()
    supervisor, *_ = pids = pids_of(folder)
    os.kill(supervisor, number)
    assert_all_end(pids)

    assert json.loads((folder / "state.json").read_text())["state"] == "interrupted"
    assert not read_journal(folder / "journal").torn


def test_whoever_interrupts_up_gets_no_board(bench: Bench) -> None:
    """Ctrl-C while the board boots takes it down again."""
    with bench.start("up", "--time-scale", "200") as starting:
        deadline = threading.Event()
        while not any((path / "journal").exists() for path in bench.folders()):
            assert not deadline.wait(0.05)
            assert starting.poll() is None
        starting.send_signal(signal.SIGINT)
        starting.communicate(timeout=20)

    assert starting.returncode == 3
    assert bench.status() == []
