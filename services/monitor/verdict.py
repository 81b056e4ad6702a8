"""The judge: one pass over a journal, then a verdict."""

from collections.abc import Sequence

import msgspec

from proto.board import Board
from proto.scenario import Finding as KnownFinding
from proto.traces import InterruptLost, ScenarioEnded
from proto.turn import Turn
from services.monitor.attempts import Attempt, Span
from services.monitor.evidence import Evidence, Feed, HubNote, Links, Moment, Observer, Table
from services.monitor.progress import BoardProgresses
from services.monitor.prop import INCONCLUSIVE, PASS, VIOLATED, Ending, Finding
from services.monitor.properties import PROPERTIES
from services.monitor.run_properties import BusIsClean, ScenarioIsDone
from services.monitor.shadow import Shadow
from services.monitor.sometimes import Sometimes
from services.monitor.starvation import Starvation
from services.monitor.waiting import Wait, who_waits

STUCK = ("quiescent", "time limit")
"""Beginnings of an `end` record of the sim world that mean the board made no progress."""

UNFINISHED = (ScenarioIsDone.name, BoardProgresses.name)
"""Properties whose violation makes people ask who waits for whom."""


class PhaseReport(msgspec.Struct, frozen=True, kw_only=True):
    """One phase; `end_ns` is None if it was under way at the end of the journal."""

    label: str
    name: str
    node: str
    start_ns: int
    end_ns: int | None
    error: int = 0


class AttemptReport(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt to suspend the host; `outcome` is None if the journal does not tell."""

    number: int
    outcome: str | None
    start_ns: int
    end_ns: int | None


class Loss(msgspec.Struct, frozen=True, kw_only=True):
    """An interrupt that a block held when it lost its power, with the journal position."""

    intid: int
    block: str
    position: int


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What a journal proves.

    `verdict` is `pass`, `violated` (by a finding that is not expected) or `inconclusive`, and
    `trouble` says why the journal decides no more. `properties` maps names to `pass`, `violated`,
    `inconclusive` or `not reached`. `lost` lists interrupts that were latched in a block when its
    power was cut. `sometimes` names interleavings and whether they occurred.
    """

    verdict: str
    trouble: str
    properties: dict[str, str]
    findings: tuple[Finding, ...]
    undecided: tuple[str, ...]
    attempts: tuple[AttemptReport, ...]
    phases: tuple[PhaseReport, ...]
    lost: tuple[Loss, ...]
    sometimes: dict[str, bool]
    turns: int
    messages: int
    waits: tuple[Wait, ...] = ()
    """Who waited for whom at the end of a journal whose scenario was not carried out."""


class Judge:
    """Judges a journal record by record, so a growing one can be followed; or watches a world.

    `observers` look at the same turns, after the properties.
    """

    def __init__(self, board: Board, world: str, observers: Sequence[Observer] = ()) -> None:
        links = Links()
        self.shadow = Shadow(board, links)
        is_bare = board.vectors is not None
        self.properties = [kind(self.shadow) for kind in PROPERTIES if kind.bare or not is_bare]
        self._sometimes = Sometimes(self.shadow)
        every: list[Observer] = [self.shadow, *self.properties, self._sometimes, self, *observers]
        self.watch = Feed(links, every)
        """For a world that has this judge watch it, instead of one that feeds it with records."""
        self._known = board.profile.expected_findings + board.scenario.expected_findings
        self._world = world
        self._starvation = Starvation()
        self._notes = 0
        self._lost: list[Loss] = []
        self._now = 0
        self._ended = False
        self._stuck = ""
        self._died = ""

    def feed(self, record: Turn | HubNote) -> None:
        """Look at the next record."""
        if not isinstance(record, Turn):
            self._hub(record)
            return
        self.watch.turn(self._position + 1, record)
        if self._world == "live":
            self._starvation.turn(record)

    @property
    def _position(self) -> int:
        """Of the last record."""
        return self.watch.turns + self._notes - 1

    @property
    def traced(self) -> Table:
        """The scenario's end, and what a block lost with its power."""
        return {ScenarioEnded: self._on_ended, InterruptLost: self._on_lost}

    @property
    def received(self) -> Table:
        """Nothing."""
        return {}

    @property
    def sent(self) -> Table:
        """Nothing."""
        return {}

    def _on_ended(self, moment: Moment, event: ScenarioEnded) -> None:
        self._ended = True

    def _on_lost(self, moment: Moment, event: InterruptLost) -> None:
        loss = Loss(intid=event.intid, block=event.block, position=moment.position)
        self._lost.append(loss)

    def _hub(self, note: HubNote) -> None:
        self._notes += 1
        self._now = max(self._now, note.now_ns)
        for found in self.properties:
            if isinstance(found, BusIsClean):
                found.hub(self._position, note)
        if note.kind == "peer_down" and not self._ended and not self._died:
            self._died = f"{note.who} went down: {note.text}"
        stuck = self._world == "sim" and note.kind == "end" and note.text.startswith(STUCK)
        if stuck and not self._ended:
            self._stuck = f"the board stopped: {note.text}"

    @property
    def findings(self) -> list[Finding]:
        """What has been found so far, expected or not, in the order of the properties."""
        return [self._marked(finding) for found in self.properties for finding in found.findings]

    @property
    def is_surprised(self) -> bool:
        """Whether something has been found that nobody expected."""
        return any(
            not self._marked(finding).expected
            for found in self.properties
            for finding in found.findings
        )

    def conclude(self, torn: bool, trouble: str = "", healthy: bool = True) -> Verdict:
        """The verdict; ends this judge. See `judge`."""
        ending = self._ending(torn, trouble)
        for found in self.properties:
            if isinstance(found, ScenarioIsDone | BoardProgresses) and self._stuck:
                found.stuck = self._stuck
            found.settle(ending)
        properties = {found.name: found.verdict(ending) for found in self.properties}
        findings = tuple(self._told(finding) for finding in self.findings)
        return Verdict(
            verdict=_overall(ending, properties, findings, healthy and not self._died),
            trouble=ending.trouble,
            properties=properties,
            findings=findings,
            undecided=tuple(text for found in self.properties for text in found.undecided),
            attempts=tuple(_attempt(attempt) for attempt in self.shadow.attempts),
            phases=tuple(_phase(span) for span in self.shadow.spans),
            lost=tuple(self._lost),
            sometimes=self._sometimes.reached,
            turns=self.watch.turns,
            messages=self.watch.messages,
        )

    def _ending(self, torn: bool, trouble: str) -> Ending:
        reason = trouble or self._died
        if not reason and torn:
            reason = "the journal is torn: it ends inside a record"
        if not reason and not self._ended and not self._stuck:
            reason = "the journal ends before the scenario"
        return Ending(
            max(self._position, 0),
            max(self._now, self.watch.now),
            complete=not reason,
            trouble=reason,
            starved=self._starvation.text,
        )

    def _told(self, finding: Finding) -> Finding:
        messages = self.watch.window.tell(finding.positions)
        return msgspec.structs.replace(finding, messages=messages)

    def _marked(self, finding: Finding) -> Finding:
        known = next((known for known in self._known if _explains(known, finding)), None)
        if known is None:
            return finding
        return msgspec.structs.replace(finding, expected=True, because=known.because)


def judge(journal: Evidence, trouble: str = "", healthy: bool = True) -> Verdict:
    """The verdict on a whole journal.

    `trouble` says what kept the run from its end, if the caller knows: what is not proven is then
    inconclusive. A run whose processes were not `healthy` proves no violation either.
    """
    its_judge = Judge(journal.header.board, journal.header.world)
    for record in journal.records:
        its_judge.feed(record)
    verdict = its_judge.conclude(journal.torn, trouble, healthy)
    if not any(verdict.properties.get(name) == VIOLATED for name in UNFINISHED):
        return verdict
    waits = who_waits(journal.header.board.platform, journal.records)
    return msgspec.structs.replace(verdict, waits=waits)


def _overall(
    ending: Ending, properties: dict[str, str], findings: Sequence[Finding], healthy: bool
) -> str:
    """A process that died makes every finding doubtful; a torn tail only what is missing."""
    if healthy and any(not finding.expected for finding in findings):
        return VIOLATED
    if not ending.complete or not healthy or INCONCLUSIVE in properties.values():
        return INCONCLUSIVE
    return PASS


def _explains(known: KnownFinding, finding: Finding) -> bool:
    return known.property == finding.property and known.contains in finding.text


def _attempt(attempt: Attempt) -> AttemptReport:
    return AttemptReport(
        number=attempt.number,
        outcome=attempt.outcome,
        start_ns=attempt.start_ns,
        end_ns=attempt.end_ns,
    )


def _phase(span: Span) -> PhaseReport:
    return PhaseReport(
        label=span.label,
        name=span.name,
        node=span.node,
        start_ns=span.start_ns,
        end_ns=span.end_ns,
        error=span.error,
    )
