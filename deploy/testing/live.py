"""The fixture `board`: a board on real processes, for one run or to be driven by hand."""

from dataclasses import dataclass
from pathlib import Path

import msgspec

from bus.journal import read_journal
from bus.runfolder import RunFolder
from deploy.boards import BoardFolder
from deploy.cli.down import end
from deploy.cli.report import command, replay_command
from deploy.cli.talk import NoAnswer, joined, operate
from deploy.cli.up import start
from deploy.daemon import Order
from deploy.loading import UsageError
from deploy.run_live import run_live
from deploy.supervisor import LiveOptions
from deploy.testing.bench import Bench
from deploy.testing.seen import Seen
from proto.messages import OperateResult
from proto.scenario import ExpectPower, Step, TypeLine, Wake, XlCommand
from proto.turn import Turn
from services.monitor.verdict import Verdict, judge


@dataclass(frozen=True, slots=True)
class Answer:
    """What a command printed, and its exit status; 0 where there is none."""

    status: int
    lines: tuple[str, ...]


class LiveBoard(Bench):
    """Runs the chosen board on processes of its own, in a folder of its own.

    Either `run`, or `up`, commands, and `down`. A board that is still up when the test ends is
    taken down. Times are milliseconds of board time.
    """

    _runs = 0
    _up: BoardFolder | None = None
    _journal: Path | None = None

    # -- one run

    def run(self, *, time_scale: float = 1.0, timeout_s: float | None = None) -> Verdict:
        """Run the scenario to its end and judge its journal."""
        board = self.chosen
        if board.scenario.open:
            raise UsageError(f"scenario {board.scenario.name} stays open; use `.up()`")
        options = LiveOptions(time_scale=time_scale, time_limit_s=timeout_s)
        with RunFolder(self._place()) as folder:
            self._tell(folder.journal)
            result = run_live(board, folder, options, lambda records: None)
        trouble = "" if result.outcome == "ended" else f"{result.outcome}: {result.reason}"
        healthy = result.outcome not in ("died", "crashed")
        return judge(read_journal(result.journal), trouble, healthy)

    # -- a board that stays up

    def up(self, *, time_scale: float = 1.0) -> None:
        """Start the board; comes back when the scenario's steps have been carried out."""
        if self._up is not None:
            raise UsageError("the board is up already; `.down()` ends it")
        board = self.chosen
        opened = msgspec.structs.replace(
            board, scenario=msgspec.structs.replace(board.scenario, open=True)
        )
        order = Order(
            board=opened,
            folder=str(self._place()),
            time_scale=time_scale,
            transport="ipc",
            curve=True,
        )
        self._up = start(order)
        self._tell(self._up.journal)

    def xl(self, command: str, *, from_domain: int = 0, within_ms: int = 10_000) -> Answer:
        """Type `xl COMMAND` and wait for the prompt; raises `NoAnswer` if none comes."""
        wanted = XlCommand(command=command, from_domain=from_domain, within_ms=within_ms)
        answer = self._do(Step(xl=wanted), within_ms)
        if answer.status < 0:
            raise NoAnswer(answer.reason)
        return Answer(answer.status, answer.lines)

    def type_line(self, domain: int, line: str) -> None:
        """Type a line on a domain's console, and do not wait for what it prints."""
        self._do(Step(type_line=TypeLine(domain=domain, line=line)), 0)

    def irq(self, source: str | int) -> None:
        """Raise the line of a device, named or by its INTID."""
        self._do(Step(irq=source), 0)

    def wake(self, source: str | int, *, within_ms: int = 10_000) -> None:
        """Press a wake source and wait until the board is awake; raises `NoAnswer` if it sleeps."""
        answer = self._do(Step(wake=Wake(source=source, within_ms=within_ms)), within_ms)
        if not answer.ok:
            raise NoAnswer(answer.reason)

    def wait_for_power(self, state: str, *, within_ms: int = 10_000) -> None:
        """Wait until the power LED shows a state; raises `NoAnswer` if it does not."""
        wanted = ExpectPower(state=state, within_ms=within_ms)
        answer = self._do(Step(power=wanted), within_ms)
        if not answer.ok:
            raise NoAnswer(answer.reason)

    def down(self) -> Verdict:
        """End the board and judge what it has written."""
        found = self._running()
        self._up = None
        trouble = end(found)
        return judge(read_journal(found.journal), trouble, healthy=not trouble)

    # -- afterwards

    @property
    def journal(self) -> Seen:
        """Traces and messages of the last run, as far as they have been written."""
        if self._journal is None:
            raise UsageError("nothing has run yet; call `.run()` or `.up()` first")
        records = read_journal(self._journal).records
        return Seen(record for record in records if isinstance(record, Turn))

    def close(self) -> None:
        """Leave nothing behind."""
        if self._up is not None:
            self.down()

    def _do(self, step: Step, limit_ms: int) -> OperateResult:
        found = self._running()
        with joined(found) as client:
            return operate(found, client, step, limit_ms)

    def _running(self) -> BoardFolder:
        if self._up is None:
            raise UsageError("the board is not up; call `.up()` first")
        return self._up

    def _place(self) -> Path:
        self._runs += 1
        return self.folder / f"run-{self._runs}"

    def _tell(self, journal: Path) -> None:
        self._journal = journal
        self.told = [
            f"journal:  {journal}",
            f"check:    {command('check', str(journal))}",
            f"replay:   {replay_command(journal)}",
        ]
