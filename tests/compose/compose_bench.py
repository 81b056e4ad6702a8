"""A real Docker engine of the tests' own, and boards in its containers.

Where it cannot be had the tests fail: a board in containers has to be seen running.
"""

import ctypes
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent
TORPOR = [sys.executable, "-m", "deploy.cli.main"]
PACKAGES = {
    "dockerd": "docker.io",
    "docker": "docker.io",
    "docker-compose": "docker-compose",
    "debootstrap": "debootstrap",
    "iptables": "iptables",
    "ip": "iproute2",
}
"""Commands that are needed, and the Debian packages that have them."""

START_LIMIT_S = 60
PR_SET_PDEATHSIG = 1


def run(*words: str | Path, **options: Any) -> subprocess.CompletedProcess[str]:
    """Run a command to its end; its output is text."""
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, **options)


def die_with_parent() -> None:
    """The engine's script is told to end when the tests are killed."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGTERM)


class Engine:
    """A running engine; `docker` and `compose` speak to it."""

    def __init__(self, root: Path, process: "subprocess.Popen[bytes]") -> None:
        self.environment = {**os.environ, "DOCKER_HOST": f"unix://{root}/docker.sock"}
        self._root = root
        self._process = process

    def wait(self) -> None:
        """Wait until it answers; fails with the end of its log if it does not."""
        deadline_s = time.monotonic() + START_LIMIT_S
        while run("docker", "version", env=self.environment).returncode != 0:
            if self._process.poll() is not None or time.monotonic() > deadline_s:
                log = (self._root / "log").read_text() if (self._root / "log").exists() else ""
                pytest.fail(f"the Docker engine does not start:\n{log[-3000:]}")
            time.sleep(0.2)

    def docker(self, *words: str) -> str:
        """What a docker command prints; it has to succeed."""
        done = run("docker", *words, env=self.environment)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def containers(self, *options: str) -> list[str]:
        """Names of the containers there are."""
        return self.docker("ps", *options, "--format", "{{.Names}}").split()


def install_packages() -> None:
    """What is missing comes from Debian, in CI; elsewhere nobody's machine is changed."""
    missing = sorted({package for name, package in PACKAGES.items() if shutil.which(name) is None})
    if not missing:
        return
    if not os.environ.get("CI"):
        pytest.fail(f"needs {', '.join(missing)}; install them, or leave tests/compose out")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (("update",), ("install", "--yes", "--no-install-recommends", *missing)):
        done = run("apt-get", "-qq", *words, env=quiet)
        assert done.returncode == 0, done.stderr


class Bench:
    """A shell in a folder of its own, with `torpor` and `docker`."""

    def __init__(self, engine: Engine, folder: Path) -> None:
        self.engine = engine
        self.folder = folder
        self.environment = {
            **engine.environment,
            "TORPOR_RUNS": str(folder / "runs"),
            "PYTHONPATH": str(ROOT),
        }

    def torpor(self, *words: str, code: int = 0) -> str:
        """What a command prints; it has to end with this code."""
        done = self.try_torpor(*words)
        assert done.returncode == code, f"{words}: {done.stdout}\n{done.stderr}"
        return done.stdout

    def try_torpor(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command that may do what it likes."""
        return run(*TORPOR, *words, env=self.environment, cwd=self.folder)

    def up(self, *words: str) -> Path:
        """Start a board in containers; gives its run folder."""
        # Slow board time: Xen's own limits must hold on a small machine.
        self.torpor("up", "--compose", "--time-scale", "4", *words)
        return (self.folder / "runs" / "last").resolve()

    def status(self) -> list[dict[str, Any]]:
        """What `torpor status` lists."""
        listed: list[dict[str, Any]] = json.loads(self.torpor("status", "--json"))
        return listed

    def container(self, run_folder: Path, process: str) -> str:
        """Name of a process's container."""
        project = f"torpor-{run_folder.name}"
        [name] = [
            name for name in self.engine.containers("-a") if project in name and process in name
        ]
        return name
