"""The advisory monitor: judges a journal while it grows and says what it finds at once.

The verdict that counts is the check of the finished journal; this one is for people who watch.
"""

from collections.abc import Sequence
from typing import Protocol

from proto.board import Board
from proto.turn import Turn
from services.monitor.evidence import HubNote
from services.monitor.verdict import Judge


class Log(Protocol):
    """A structured logger, such as structlog's."""

    def info(self, event: str, **values: object) -> object:
        """Something to know."""

    def warning(self, event: str, **values: object) -> object:
        """Something to look at."""


class Follower:
    """Feeds records to a judge and logs each finding and each attempt's outcome once."""

    def __init__(self, board: Board, world: str, log: Log) -> None:
        self._judge = Judge(board, world)
        self._log = log
        self._logged = 0
        self._attempts = 0

    def feed(self, records: Sequence[Turn | HubNote]) -> None:
        """Look at the next records."""
        for record in records:
            self._judge.feed(record)
        self._log_findings()
        self._log_attempts()
        # Phases are for reports of whole journals; a board may run for days.
        self._judge.shadow.spans.clear()

    def _log_findings(self) -> None:
        """Findings stand in the order of the properties, so new ones may stand between old ones."""
        findings = sorted(self._judge.findings, key=lambda finding: max(finding.positions))
        for finding in findings[self._logged :]:
            say = self._log.info if finding.expected else self._log.warning
            say(
                "finding",
                property=finding.property,
                text=finding.text,
                positions=finding.positions,
                expected=finding.expected,
            )
        self._logged = len(findings)

    def _log_attempts(self) -> None:
        over = [attempt for attempt in self._judge.shadow.attempts if attempt.over]
        for attempt in over[self._attempts :]:
            self._log.info(
                "attempt",
                number=attempt.number,
                outcome=attempt.outcome,
                start_ns=attempt.start_ns,
                end_ns=attempt.end_ns,
            )
        self._attempts = len(over)
