"""What a property is: a sentence with its source, and the journal positions that decide it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import msgspec

from proto.units import S
from services.monitor.attempts import Attempt
from services.monitor.evidence import Moment, Table
from services.monitor.shadow import Shadow

PASS = "pass"  # noqa: S105 - a verdict, not a secret
VIOLATED = "violated"
INCONCLUSIVE = "inconclusive"
NOT_REACHED = "not reached"

ALWAYS = "always"
"""Nothing bad ever happens: one record may prove a violation."""

EVENTUALLY = "eventually"
"""Something good happens in its time, counted while no scenario holds anything up."""

SOMETIMES = "sometimes"
"""Some run of a set gets there: an interleaving, reported when it is never reached."""

PATIENCE_NS = 1 * S
"""Board time after which something that is owed counts as missing."""


class Finding(msgspec.Struct, frozen=True, kw_only=True):
    """A violation, with the journal positions that prove it.

    `expected` findings are known to come from the published design; `because` says how. `kind` and
    `clause` are the property's. `messages` has a line for each position whose turn is known.
    """

    property: str
    text: str
    positions: tuple[int, ...]
    expected: bool = False
    because: str = ""
    kind: str = ""
    clause: str = ""
    messages: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Ending:
    """How the journal ends.

    `complete` means that the run came to its own end and every record of it can be read; `trouble`
    says why not. `starved` says so if the host kept the board waiting.
    """

    position: int
    now: int
    complete: bool
    trouble: str = ""
    starved: str = ""


class Property:
    """Base: a property observes turns, notes findings, and may owe a decision at the end."""

    name: ClassVar[str]
    kind: ClassVar[str] = ALWAYS
    """`always` or `eventually`; an `always` property may owe something in its time besides."""
    clause: ClassVar[str]
    """The statement, with where it comes from: an invariant, or a document and a clause's title."""
    bare: ClassVar[bool] = False
    """Whether it also speaks about a board without Xen."""

    def __init__(self, shadow: Shadow) -> None:
        self.shadow = shadow
        self.findings: list[Finding] = []
        self.reached = False
        self.undecided: list[str] = []
        self._missed: list[Finding] = []
        shadow.attempt_listeners.append(self.attempt_over)

    @property
    def traced(self) -> Table:
        """Handlers by class of trace."""
        return {}

    @property
    def received(self) -> Table:
        """Handlers by class of body, on arrival."""
        return {}

    @property
    def sent(self) -> Table:
        """Handlers by class of body, on sending."""
        return {}

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """A suspend attempt has just ended."""

    def finish(self, ending: Ending) -> None:
        """The journal has ended."""

    def find(self, text: str, *positions: int) -> None:
        """Note a violation."""
        self.findings.append(self._finding(text, positions))

    def miss(self, text: str, *positions: int) -> None:
        """Note a missed deadline: a violation, unless the host starved the board."""
        self._missed.append(self._finding(text, positions))

    def is_late(self, now: int, unheld_ns: int) -> bool:
        """Whether the bench has held nobody up for `PATIENCE_NS` since an `unheld_ns`."""
        return self.shadow.unheld_ns(now) - unheld_ns > PATIENCE_NS

    def owed(self, ending: Ending, text: str, now: int, unheld_ns: int, *positions: int) -> None:
        """Something is still owed at the end, since a board time and the `unheld_ns` of then.

        It is missed after `PATIENCE_NS` in which the bench held nobody up, and undecided before.
        While the bench has a hand in it nothing is owed.
        """
        if ending.complete and self.is_late(ending.now, unheld_ns):
            self.miss(f"{text}, {PATIENCE_NS // S} s after it was due", *positions, ending.position)
        elif not self.shadow.held_since(now):
            self.undecided.append(text)

    def settle(self, ending: Ending) -> None:
        """The journal has ended: decide what `finish` and `miss` left open."""
        self.finish(ending)
        for finding in self._missed:
            if ending.starved:
                self.undecided.append(f"{finding.text} ({ending.starved})")
            else:
                self.findings.append(finding)

    def _finding(self, text: str, positions: Sequence[int]) -> Finding:
        return Finding(
            property=self.name,
            text=text,
            positions=tuple(sorted(set(positions))),
            kind=self.kind,
            clause=self.clause,
        )

    def verdict(self, ending: Ending) -> str:
        """`pass`, `violated`, `inconclusive` or `not reached`."""
        if self.findings:
            return VIOLATED
        if self.undecided or not ending.complete:
            return INCONCLUSIVE
        return PASS if self.reached else NOT_REACHED


def names(items: Sequence[object]) -> str:
    """A list for people."""
    return ", ".join(str(item) for item in items)
