"""Steps that wait, as generators, and what resumes them: a small scheduler without a clock."""

from collections.abc import Callable, Generator
from dataclasses import dataclass, field

from proto.turn import CancelTimer, Effect, SetTimer


class StepFailed(Exception):
    """A step did not come out as expected: where it stands, and what came instead."""

    def __init__(self, place: str, text: str) -> None:
        super().__init__(f"{place}: {text}")


@dataclass(frozen=True, slots=True)
class Until:
    """Wait for a condition, or for a board time; the generator is sent whether it was met.

    Without a deadline the condition has to come: it is about waits that have one.
    """

    condition: Callable[[], bool]
    deadline_ns: int | None


Script = Generator[Until, bool, None]


@dataclass(slots=True, eq=False)
class _Thread:
    """A script that is being carried out."""

    number: int
    script: Script
    wait: Until | None = None
    ended: bool = False

    @property
    def timer(self) -> str:
        """The timer of its deadline."""
        return f"thread{self.number}"


@dataclass(slots=True)
class Threads:
    """All scripts that are being carried out; each goes on as far as it can after every event."""

    now: int = 0
    effects: list[Effect] = field(default_factory=list)
    _threads: list[_Thread] = field(default_factory=list)
    _started: int = 0

    def start(self, script: Script) -> Callable[[], bool]:
        """Begin a script now; gives a function that tells whether it has ended."""
        thread = _Thread(self._started, script)
        self._started += 1
        self._threads.append(thread)
        self._resume(thread, None)
        return lambda: thread.ended

    def advance(self) -> None:
        """Something has happened: whose condition is met goes on, in the order of their start."""
        moved = True
        while moved:
            moved = False
            for thread in list(self._threads):
                if thread.wait is not None and thread.wait.condition():
                    self.effects.append(CancelTimer(thread.timer))
                    self._resume(thread, True)
                    moved = True

    def fired(self, timer: str) -> bool:
        """A deadline has come; False if the timer is none of these."""
        for thread in list(self._threads):
            if thread.timer == timer and thread.wait is not None:
                self._resume(thread, thread.wait.condition())
                return True
        return False

    def _resume(self, thread: _Thread, met: bool | None) -> None:
        thread.wait = None
        try:
            wait = next(thread.script) if met is None else thread.script.send(met)
            while wait.condition():
                wait = thread.script.send(True)
        except StopIteration:
            thread.ended = True
            self._threads.remove(thread)
            return
        thread.wait = wait
        if wait.deadline_ns is not None:
            self.effects.append(SetTimer(thread.timer, wait.deadline_ns, wait.deadline_ns))
