"""Running the cases of vector files, each on a fresh board, in sim or live."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from threading import Lock

from bus.journal import Journal, JournalError, read_journal
from bus.runfolder import RunFolder
from bus.world.sim import Outcome
from deploy.composition import processes
from deploy.psci.board import board_for
from deploy.psci.parse import FileCase
from deploy.run_sim import run_sim
from deploy.supervisor import LiveOptions, Supervisor
from proto.traces import ScenarioEnded
from proto.turn import Trace, Turn


class Status(StrEnum):
    """What came of a case."""

    PASSED = "passed"
    FAILED = "failed"
    DIED = "died"
    """A process or a node was lost: the case says nothing."""


@dataclass(frozen=True, slots=True)
class CaseResult:
    """One case: the failing step with what came instead, and where it is in which journal."""

    found: FileCase
    status: Status
    reason: str
    position: int
    journal: Path
    board_ns: int

    @property
    def name(self) -> str:
        """The file and the case."""
        return f"{self.found.file}: {self.found.case.id}"


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveSettings:
    """How live boards run: how many at a time, and how long board time takes."""

    jobs: int = 2
    time_scale: float = 1.0


def run_in_sim(cases: Sequence[FileCase], folder: Path, seed: int) -> Iterator[CaseResult]:
    """Run cases one after the other in the simulator."""
    for number, found in enumerate(cases):
        journal = folder / f"{number:03}-{_file_name(found.case.id)}.journal"
        result = run_sim(board_for(found, seed), journal)
        trouble = result.crash
        if not trouble and result.outcome is not Outcome.ENDED:
            trouble = f"the driver did not come to an end: {result.outcome}"
        yield judge(found, journal, trouble)


class LiveRun:
    """Runs cases on real processes, several boards at a time; `interrupt` ends all of them."""

    def __init__(
        self, cases: Sequence[FileCase], folder: Path, seed: int, settings: LiveSettings
    ) -> None:
        self._cases = cases
        self._folder = folder
        self._seed = seed
        self._settings = settings
        self._lock = Lock()
        self._running: set[Supervisor] = set()
        self._interrupted = False

    def results(self) -> Iterator[CaseResult]:
        """The results as the cases end. Leaves no process behind, however it is left."""
        with ThreadPoolExecutor(self._settings.jobs) as pool:
            futures = [
                pool.submit(self._run, number, found) for number, found in enumerate(self._cases)
            ]
            try:
                for future in as_completed(futures):
                    yield future.result()
            except BaseException:
                self.interrupt()
                for future in futures:
                    future.cancel()
                raise

    def interrupt(self) -> None:
        """End what is running; nothing more begins."""
        with self._lock:
            self._interrupted = True
            for supervisor in self._running:
                supervisor.interrupt()

    def _run(self, number: int, found: FileCase) -> CaseResult:
        board = board_for(found, self._seed)
        path = self._folder / f"{number:03}-{_file_name(found.case.id)}"
        with RunFolder(path) as folder:
            options = LiveOptions(time_scale=self._settings.time_scale, tell_growth=False)
            supervisor = Supervisor(board, folder, processes(board), options)
            with self._lock:
                if self._interrupted:
                    return CaseResult(found, Status.DIED, "interrupted", -1, folder.journal, 0)
                self._running.add(supervisor)
            try:
                result = supervisor.run()
            finally:
                with self._lock:
                    self._running.discard(supervisor)
        trouble = "" if result.outcome == "ended" else result.died or result.reason
        return judge(found, result.journal, trouble)


def judge(found: FileCase, journal: Path, trouble: str) -> CaseResult:
    """What the journal of a case says; `trouble` is why its board did not come to an end."""
    try:
        read = read_journal(journal)
    except JournalError as error:
        return CaseResult(found, Status.DIED, f"{trouble}; {error}", -1, journal, 0)
    position, ended, now = _ending(read)
    if ended is None:
        return CaseResult(found, Status.DIED, trouble, position, journal, now)
    status = Status.PASSED if ended.outcome == "done" else Status.FAILED
    return CaseResult(found, status, ended.reason, position, journal, now)


def _ending(journal: Journal) -> tuple[int, ScenarioEnded | None, int]:
    """Position, verdict and board time of the turn that decided the case, or of the last one."""
    last, now = -1, 0
    for position, record in enumerate(journal.records):
        if not isinstance(record, Turn):
            continue
        last, now = position, record.now
        for effect in record.effects:
            if isinstance(effect, Trace) and isinstance(effect.event, ScenarioEnded):
                return position, effect.event, now
    return last, None, now


def _file_name(case: str) -> str:
    return "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in case)[:60]
