"""Progress: no deadlock, no livelock, and no sleep that nobody carries out."""

from dataclasses import dataclass

from proto.gic import SGI_COUNT
from proto.scenario import Parking, Trigger
from proto.traces import DomainShutdown, IntState, Phase, SystemPower
from proto.units import MS, S
from services.monitor.attempts import Attempt
from services.monitor.evidence import Moment, Table
from services.monitor.prop import EVENTUALLY, Ending, Property
from services.monitor.shadow import Shadow, Stopwatch

PER_PE_NS = 2 * S
"""Board time that an attempt may spend on each PE: Xen waits a second for it twice."""

STORM = 1_000
STORM_NS = 10 * MS
"""How often one interrupt may become active in how much board time."""


@dataclass(slots=True)
class Storm:
    """How often an interrupt has become active since a board time."""

    since_ns: int
    position: int
    times: int = 0
    told: bool = False


class BoardProgresses(Property):
    """Judged at the end of a run that stopped by itself, and on attempts and interrupts.

    Time asleep does not count, nor does what the bench holds up. Who waits for whom is read from
    the whole journal afterwards (`waiting.py`).
    """

    name = "progress"
    kind = EVENTUALLY
    bare = True
    clause = (
        "No deadlock: the board never stops before the scenario is done, an attempt to suspend "
        "ends, and the last control domain to sleep begins one; no livelock: no interrupt comes "
        "over and over (Xen, system_suspend; v11 12/13, suspend lock)"
    )

    def __init__(self, shadow: Shadow) -> None:
        super().__init__(shadow)
        board = shadow.board
        self.stuck: str | None = None
        """Why the board stopped by itself before the scenario was finished."""
        self.reached = True
        self._patience_ns = PER_PE_NS * board.platform.pes
        self._awake = Stopwatch()
        self._begun_ns: tuple[int, int] | None = None
        """`unheld_ns` and time awake when the attempt began."""
        self._storms: dict[tuple[int, int], Storm] = {}
        self._active: set[tuple[int, int]] = set()
        waits = board.profile.trigger is Trigger.CONTROL and (
            board.profile.parking is Parking.SHUTDOWN
        )
        self._control = {spec.id for spec in board.scenario.domains if spec.is_control and waits}
        self._all_asleep: tuple[int, int, int] | None = None
        """Position, board time and `unheld_ns` since which every control domain sleeps."""

    @property
    def traced(self) -> Table:
        """Attempts, sleep of the system and of domains, interrupts."""
        return {
            Phase: self._on_phase,
            SystemPower: self._on_system_power,
            DomainShutdown: self._on_shutdown,
            IntState: self._on_int_state,
        }

    # -- attempts

    def _on_phase(self, moment: Moment, event: Phase) -> None:
        if event.edge == "begin" and self.shadow.attempt is not None and self._begun_ns is None:
            now = moment.now
            self._begun_ns = (self.shadow.unheld_ns(now), self._awake.read(now))
            self._all_asleep = None

    def _on_system_power(self, moment: Moment, event: SystemPower) -> None:
        self._awake.run(moment.now, event.state == "on")

    def attempt_over(self, moment: Moment, attempt: Attempt) -> None:
        """It has ended, but perhaps late."""
        self._judge_attempt(attempt, moment.position, moment.now, "took")
        self._begun_ns = None

    def _judge_attempt(self, attempt: Attempt, position: int, now: int, how: str) -> None:
        if self._begun_ns is None:
            return
        unheld_ns, awake_ns = self._begun_ns
        spent_ns = min(self.shadow.unheld_ns(now) - unheld_ns, self._awake.read(now) - awake_ns)
        if spent_ns > self._patience_ns:
            text = f"attempt {attempt.number} {how} {spent_ns // MS} ms of time awake"
            self.miss(text, attempt.position, position)

    # -- control domains

    def _on_shutdown(self, moment: Moment, event: DomainShutdown) -> None:
        shut = self.shadow.shutdown
        asleep = bool(self._control) and all(shut.get(one) == "suspend" for one in self._control)
        if not asleep:
            self._all_asleep = None
        elif self._all_asleep is None and self.shadow.attempt is None:
            now = moment.now
            self._all_asleep = (moment.position, now, self.shadow.unheld_ns(now))

    # -- interrupts

    def _on_int_state(self, moment: Moment, event: IntState) -> None:
        key = (event.cpu, event.intid)
        if not event.active:
            self._active.discard(key)
            return
        if key in self._active or event.intid < SGI_COUNT:
            return
        self._active.add(key)
        storm = self._storms.get(key)
        if storm is None or moment.now - storm.since_ns > STORM_NS:
            self._storms[key] = Storm(moment.now, moment.position)
            return
        storm.times += 1
        if storm.times > STORM and not storm.told:
            storm.told = True
            text = f"INTID {event.intid} became active {STORM} times within {STORM_NS // MS} ms"
            self.miss(text, storm.position, moment.position)

    def finish(self, ending: Ending) -> None:
        """A board that stopped by itself, an attempt without end, a sleep without a host's."""
        if self.stuck is not None:
            self.find(f"deadlock: {self.stuck}", ending.position)
        attempt = self.shadow.attempt
        if attempt is not None and ending.complete:
            self._judge_attempt(attempt, ending.position, ending.now, "had not ended after")
        if self._all_asleep is not None:
            position, now, unheld_ns = self._all_asleep
            text = "every control domain sleeps, but no attempt to suspend the host has begun"
            self.owed(ending, text, now, unheld_ns, position)
