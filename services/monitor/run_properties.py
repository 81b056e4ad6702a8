"""Properties of the run itself: no panic, the scenario carried out, a clean bus."""

from proto.traces import PeHalted, ScenarioEnded
from services.monitor.attempts import Attempt
from services.monitor.evidence import HubNote, Moment, Table
from services.monitor.prop import EVENTUALLY, Ending, Property, names
from services.monitor.shadow import Shadow


class NoPanic(Property):
    """A panic or an abort that nobody handled."""

    name = "no_panic"
    clause = "No PE stops for good: no panic, no unhandled abort (Xen panic, do_unexpected_trap)"

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self.reached = True

    @property
    def traced(self) -> Table:
        """Halts."""
        return {PeHalted: self._on_halted}

    def _on_halted(self, moment: Moment, event: PeHalted) -> None:
        self.find(f"{moment.node} halted: {event.message}", moment.position)


class ScenarioIsDone(Property):
    """The operator's own account, or the reason why there is none."""

    name = "scenario"
    kind = EVENTUALLY
    clause = "Every step of the scenario is carried out and every expectation met in its time"
    bare = True

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self.stuck: str | None = None
        """Why the board stopped by itself before the scenario was finished."""
        self.reached = True
        self._ended: ScenarioEnded | None = None

    @property
    def traced(self) -> Table:
        """The end of the scenario."""
        return {ScenarioEnded: self._on_ended}

    def _on_ended(self, moment: Moment, event: ScenarioEnded) -> None:
        self._ended = event
        if event.outcome != "done":
            self.miss(event.reason or f"the scenario {event.outcome}", moment.position)

    def finish(self, ending: Ending) -> None:
        """A board that stops by itself has not made progress."""
        if self._ended is not None:
            return
        if self.stuck is not None:
            self.find(f"the scenario was not finished: {self.stuck}", ending.position)
        else:
            self.undecided.append("the journal ends before the scenario")


class OutcomesAreAllowed(Property):
    """Each attempt against the scenario's list."""

    name = "outcome"
    clause = "Each attempt to suspend the host ends in one of the scenario's outcomes"

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """Look the outcome up."""
        self.reached = True
        allowed = self.shadow.board.scenario.outcomes
        if allowed and attempt.outcome not in allowed:
            text = f"attempt {attempt.number} was {attempt.outcome}, expected {names(allowed)}"
            # Every limit of Xen on the way is a deadline: a starved board may give up early.
            self.miss(text, attempt.position, moment.position)


class BusIsClean(Property):
    """What the hub itself saw."""

    name = "bus"
    clause = "Every message of a node is decodable, in sequence and deliverable"
    bare = True
    FAULTS = ("undeliverable", "undecodable", "stale")

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        self.reached = True

    def hub(self, position: int, note: HubNote) -> None:
        """A record of the hub."""
        if note.kind in self.FAULTS:
            self.find(f"{note.kind}: {note.who}: {note.text}", position)
        elif note.kind == "overflow":
            self.undecided.append(f"the queue of {note.who} overflowed: {note.text}")
