"""Child processes of a live run: each with its own logs, watched by pidfd, ended for certain."""

import os
import select
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, slots=True)
class Child:
    """A running process; `stderr` is the file that its stdout and stderr go to."""

    name: str
    popen: "subprocess.Popen[bytes]"
    pidfd: int
    stderr: Path


class Children:
    """All processes of one run.

    `on_end(name, reason, code)` is called from `selector`'s loop when one ends: `code` is its exit
    code, negative for a signal, and `reason` is one line.
    """

    def __init__(
        self,
        selector: selectors.BaseSelector,
        run: Path,
        logs: Path,
        on_end: Callable[[str, str, int], None],
    ) -> None:
        self.pids: dict[str, int] = {}
        self._selector = selector
        self._run = run
        self._logs = logs
        self._on_end = on_end
        self._alive: dict[str, Child] = {}

    def spawn(self, name: str, extra: Sequence[str], pass_fds: Sequence[int] = ()) -> None:
        """Start `python -m deploy.process` under this name."""
        stderr = self._logs / f"{name}.err"
        # -P: a folder named like one of our packages in the user's directory must not be imported.
        command = [sys.executable, "-P", "-m", "deploy.process", "--run", str(self._run)]
        command += ["--name", name, "--parent", str(os.getpid()), *extra]
        path = os.pathsep.join(filter(None, (str(_ROOT), os.environ.get("PYTHONPATH"))))
        with stderr.open("wb") as out:
            popen = subprocess.Popen(  # noqa: S603  # our own interpreter and module
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env={**os.environ, "PYTHONPATH": path},
                pass_fds=pass_fds,
                process_group=0,  # Ctrl-C on the terminal is for the supervisor alone.
            )
        child = Child(name, popen, os.pidfd_open(popen.pid), stderr)
        self.pids[name] = popen.pid
        self._alive[name] = child
        self._selector.register(child.pidfd, selectors.EVENT_READ, lambda: self._ended(child))

    def settle(self, name: str, limit_s: float) -> None:
        """Wait for one process that is known to be ending; `on_end` is called if it does."""
        child = self._alive.get(name)
        if child is not None and select.select([child.pidfd], (), (), limit_s)[0]:
            self._ended(child)

    def terminate(self, name: str) -> None:
        """SIGTERM to one process, if it is still there."""
        if name in self._alive:
            self._alive[name].popen.terminate()

    def end(self, limit_s: float) -> None:
        """SIGTERM to all that are left, then SIGKILL to those still there after the limit."""
        for child in self._alive.values():
            child.popen.terminate()
        deadline_s = time.monotonic() + limit_s
        for child in list(self._alive.values()):
            try:
                child.popen.wait(max(0.0, deadline_s - time.monotonic()))
            except subprocess.TimeoutExpired:
                child.popen.kill()
            self._reap(child)

    def _ended(self, child: Child) -> None:
        if child.name in self._alive:  # An event of this round may have settled it already.
            self._on_end(child.name, *self._reap(child))

    def _reap(self, child: Child) -> tuple[str, int]:
        """Forget a process that has ended, or is about to; returns why and its exit code."""
        code = child.popen.wait()
        self._selector.unregister(child.pidfd)
        os.close(child.pidfd)
        del self._alive[child.name]
        return _reason(child, code), code


def _reason(child: Child, code: int) -> str:
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    lines = child.stderr.read_text(encoding="utf-8", errors="replace").split("\n")
    last = next((line.strip() for line in reversed(lines) if line.strip()), "")
    return last or f"ended with exit code {code}"
