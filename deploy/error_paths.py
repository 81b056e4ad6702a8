"""What comes of each failure of host suspend, profile by profile: `docs/ERROR_PATHS.md`.

Every row is a run in the sim world with one thing made to fail. `python -m deploy.error_paths`
writes the page again; a test makes the same runs and compares.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from bus.journal import HubEvent
from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import DEPLOY, Overrides, resolve
from deploy.run_sim import ENDINGS
from proto.board import Board
from proto.ids import GICD_NODE, HUB, BoardNs, NodeId, pe_node
from proto.image import Program, defined_in
from proto.messages import Abort, Barrier, PowerLed, RegRead, RegWrite, VcpuRun
from proto.node import Node
from proto.psci import PsciError, error_name, from_register
from proto.scenario import (
    DomainSpec,
    ExpectLine,
    ExpectPoint,
    Parking,
    PointAction,
    Role,
    Step,
    TypeLine,
)
from proto.traces import GuestReturned, GuestStarted, Online, PeHalted, VpsciResult
from proto.turn import Effect, Envelope, Received, Send, Trace, Turn
from proto.units import MS, S
from services.monitor.guest_calls import SYSTEM_SUSPEND
from services.monitor.verdict import Judge, Verdict
from services.pcpu.node import XEN_PACKAGE, PeNode
from services.pcpu.pe import Pe
from services.pcpu.xen.state import SystemState, set_system_state
from services.pcpu.xen.suspend import STEPS

COMMITTED = DEPLOY.parent / "docs" / "ERROR_PATHS.md"
PROFILES = ("seed", "v8", "v11", "baseline")
SEEDS = range(1, 20)
LIVELY_NS = 400 * MS
"""A guest that has been entered this close to the end of a run runs."""

EBUSY, ENOMEM = -16, -12
SLOW_US = 500_000
"""Far beyond the 100 ms that Xen waits at most, so that nothing hangs on its polls."""
RACE = "dead-flag-before-cpu-off"


@dataclass(frozen=True, slots=True)
class Failure:
    """One thing that fails, at a step or an undo of host suspend.

    `points` are armed; `mute` is a device that answers no access of Xen's once the board has slept;
    `relinked` are programs of Xen's image that others stand in for. `races` says that a CPU that is
    slow inside CPU_OFF is what the row is about, not an accident.
    """

    step: str
    what: str
    points: tuple[PointAction, ...] = ()
    mute: str = ""
    needs: str = ""
    """Only for profiles with this row of the step table."""
    relinked: Mapping[str, Program] = field(default_factory=dict)
    races: bool = False

    def fits(self, board: Board) -> bool:
        """Whether the step exists in the profile."""
        steps = [STEPS[name] for name in board.profile.suspend_steps]
        labels = {"R0", "R9"} | {step.label for step in steps} | {step.undo_label for step in steps}
        wanted = not self.needs or self.needs in board.profile.suspend_steps
        return wanted and self.step in labels


def _fails(step: str, what: str = "gives -EBUSY", error: int = EBUSY) -> Failure:
    return Failure(step, what, (PointAction(point=f"before {step}", return_code=error),))


def _held(step: str, what: str) -> Failure:
    return Failure(step, what, (PointAction(point=f"before {step}", hold=True),))


async def _never_ends(pe: Pe, *args: object) -> None:
    """Stand still for longer than any run."""
    await pe.delay(1000 * S)


async def _not_active(pe: Pe) -> int:
    """system_state_suspend while somebody else resumes the system."""
    await set_system_state(pe, SystemState.RESUME)
    error: int = await defined_in(XEN_PACKAGE)["system_state_suspend"](pe)
    return error


def _at(step: str, what: str, point: str, **action: int | str | bool) -> Failure:
    values: dict[str, object] = {"point": point, **action}
    return Failure(step, what, (msgspec.convert(values, PointAction),))


FAILURES = (
    Failure("S0", "the system is not active", relinked={"system_state_suspend": _not_active}),
    _fails("S1"),
    _fails("S2"),
    Failure(
        "S2",
        "the host cannot suspend, found out late: -ENOSYS",
        (PointAction(point="before S2", occurrence=2, return_code=-38),),
        needs="check_host_suspend",
    ),
    _fails("S3", "gives -ENOMEM before the first CPU", ENOMEM),
    _at("S3", "a notifier vetoes CPU2: -ENOMEM", "CPU_DOWN_PREPARE pe2", return_code=ENOMEM),
    _at("S3", "a notifier vetoes CPU2: -EBUSY", "CPU_DOWN_PREPARE pe2", return_code=EBUSY),
    _at("S3", "CPU_DYING fails on CPU2", "CPU_DYING pe2", return_code=ENOMEM),
    _at("S3", "firmware refuses CPU_OFF of CPU2", "el3.CPU_OFF pe2", return_code=-3),
    Failure(
        "S3",
        "CPU3 is slow inside CPU_OFF",
        (PointAction(point="el3.CPU_OFF pe3", hold_us=SLOW_US),),
        races=True,
    ),
    _fails("S4"),
    _fails("S5"),
    _fails("S6"),
    _fails("S7"),
    _fails("S8"),
    _fails("S9", "an interrupt is active: -EBUSY"),
    _fails("S10"),
    _fails("S11"),
    _fails("S12"),
    _fails("S13", "is not called: -EBUSY"),
    _at("S13", "firmware answers DENIED", "el3.SYSTEM_SUSPEND", return_code=-3),
    _at("S13", "firmware answers INVALID_ADDRESS", "el3.SYSTEM_SUSPEND", return_code=-9),
    _at("S13", "an interrupt is pending", "before S13", irq="rtc", hold_us=100),
    Failure("R0", "hyp_resume never ends", relinked={"hyp_resume": _never_ends}),
    _held("R1", "never begins"),
    Failure("R2", "the GIC does not answer", mute=GICD_NODE),
    _held("R3", "never begins"),
    Failure("R4", "the UART does not answer", mute="uart"),
    Failure("R5", "the IOMMU does not answer", mute="iommu"),
    _held("R6", "never begins"),
    _at("R7", "CPU_UP_PREPARE of CPU3 fails", "CPU_UP_PREPARE pe3", occurrence=2, return_code=-12),
    _at("R7", "CPU3 gets no power", "el3.CPU_ON pe3", occurrence=2, return_code=-6),
    _at("R7", "CPU3 does not come back", "el3.warm_boot pe3", occurrence=2, hold=True),
    _held("R8", "never begins"),
    Failure("R9", "never ends", relinked={"resume_initiator": _never_ends}),
)
"""Every failure, in the order of the page; one whose step a profile lacks is left out there."""


class Mute:
    """A node whose registers do not answer Xen any more, once the board has slept."""

    def __init__(self, node: Node, slept: list[bool]) -> None:
        self.id = node.id
        self._node = node
        self._slept = slept

    def on_start(self, now: BoardNs) -> Sequence[Effect]:
        """As the node itself."""
        return self._node.on_start(now)

    def on_timer(self, now: BoardNs, timer: str) -> Sequence[Effect]:
        """As the node itself."""
        return self._node.on_timer(now, timer)

    def on_message(self, now: BoardNs, envelope: Envelope) -> Sequence[Effect]:
        """As the node itself, but Xen's accesses abort."""
        src, body = envelope.id.src, envelope.body
        if self._slept and src == pe_node(0) and isinstance(body, RegRead | RegWrite | Barrier):
            if isinstance(body, RegWrite) and body.posted:
                # The SError is taken at the barrier.
                return []
            return [Send(src, Abort(body.tx, f"{self.id} does not answer"))]
        return self._node.on_message(now, envelope)


def board_of(profile: str, failure: Failure | None, seed: int = 1) -> Board:
    """Three guests; those sleep that have to, then domain 0 suspends the host for half a second."""
    base = resolve("baseline", Overrides(profile=profile, seed=seed))
    shutting = base.profile.parking is Parking.SHUTDOWN
    sleepers = (
        (1, 2) if shutting and "check_host_suspend" not in base.profile.suspend_steps else (2,)
    )
    points = tuple(f"vpsci.SYSTEM_SUSPEND d{domain}" for domain in sleepers)
    steps = [
        Step(expect=ExpectLine(domain=domain, any_of=(f"dom{domain}: up",), since="start"))
        for domain in range(3)
    ]
    for domain, point in zip(sleepers, points, strict=True):
        line = TypeLine(domain=domain, line="echo mem > /sys/power/state")
        steps += [Step(type_line=line), Step(reached=ExpectPoint(point=point))]
    steps += [
        Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 0.5")),
        Step(wait_ms=2_500),
    ]
    scenario = msgspec.structs.replace(
        base.scenario,
        name="error-path",
        domains=tuple(
            DomainSpec(
                id=domain, vcpus=2, role=Role.GUEST if domain else Role.HARDWARE, tick_us=100_000
            )
            for domain in range(3)
        ),
        steps=tuple(steps),
        points=(
            *(PointAction(point=point) for point in points),
            *(failure.points if failure is not None else ()),
        ),
        outcomes=(),
        expected_findings=(),
    )
    return msgspec.structs.replace(base, scenario=scenario)


@dataclass(slots=True)
class Observed:
    """What one run showed, collected turn by turn."""

    now: int = 0
    offline: set[int] = field(default_factory=set)
    halted: dict[str, str] = field(default_factory=dict)
    results: dict[int, int] = field(default_factory=dict)
    """Domain to vPSCI's result of its SYSTEM_SUSPEND."""
    end: str = ""
    """How the call of the guest that asked ended."""
    asleep: set[int] = field(default_factory=set)
    """Domains that sleep by their own wish."""
    entered: dict[str, int] = field(default_factory=dict)
    """Domain node to when it was entered last."""
    sent: dict[tuple[str, int], type] = field(default_factory=dict)

    def turn(self, turn: Turn) -> None:
        """Look at a turn."""
        self.now = max(self.now, turn.now)
        if isinstance(turn.input, Received):
            message = turn.input.message
            if self.sent.pop((message.src, message.seq), None) is VcpuRun:
                self.entered[turn.node] = turn.now
        seq = turn.first_seq
        for effect in turn.effects:
            if isinstance(effect, Send):
                self.sent[turn.node, seq] = type(effect.body)
                seq += 1
            elif isinstance(effect, Trace):
                self._trace(turn.node, effect.event)

    def _trace(self, node: str, event: object) -> None:
        match event:
            case Online(cpu, online):
                (self.offline.discard if online else self.offline.add)(cpu)
            case PeHalted(message):
                self.halted[node] = message
            case VpsciResult(domain, _, function, code) if function in SYSTEM_SUSPEND:
                self.results[domain] = code
                if code == PsciError.SUCCESS:
                    self.asleep.add(domain)
            case GuestStarted(domain, _, _, x):
                if domain in self.asleep and not domain:
                    self.end = f"starts at its entry, x0 = {from_register(x[0])}"
                self.asleep.discard(domain)
            case GuestReturned(domain, _, x0):
                if not domain:
                    self.end = f"goes on behind its call, x0 = {from_register(x0)}"
                self.asleep.discard(domain)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the page."""

    failure: Failure
    attempt: str
    asker: str
    others: str
    undone: str
    off: str
    verdict: str

    @property
    def cells(self) -> tuple[str, ...]:
        """The line's cells."""
        it = self.failure
        return (
            it.step, it.what, self.attempt, self.asker, self.others, self.undone, self.off,
            self.verdict,
        )  # fmt: skip


INTRODUCTION = """\
# What comes of each failure

Host suspend can fail at each of its steps S0 to S13, and each step of the resume, R0 to R9, too. \
For each of them there is a run here that makes it fail, in each profile that has the step. The \
page is written by `python -m deploy.error_paths`, and `tests/sim/test_sim_error_paths.py` makes \
the same runs and compares.

The board has four PEs and three domains with two vCPUs each. Domain 2 sleeps by itself already, \
under `v11` domain 1 too, because the policy wants it so. Then domain 0 asks with context id 0, \
and the RTC would wake the host after half a second. Where a step has no failure of its own, its \
error is injected at the point before it. A resume step without one never begins or never ends. \
A device that does not answer aborts every access of Xen's once the board has slept.

| Column | Says |
| --- | --- |
| Attempt | `slept`, `abandoned`, `denied`, `aborted`; `not over` if Xen never came back to active |
| The guest that asked | what domain 0 sees of its SYSTEM_SUSPEND |
| Other guests | run, sleep by their own wish, or stand still |
| Taken back | the undos that began, in their order; R4 and R8 stand for several |
| Stays off | CPUs that are offline at the end, or the PE that stopped the machine, with its word |
| Verdict | of the judge, with the properties that are violated; `known` are expected findings |
"""

HEAD = (
    "Step",
    "What fails",
    "Attempt",
    "The guest that asked",
    "Other guests",
    "Taken back",
    "Stays off",
    "Verdict",
)


def run(board: Board, failure: Failure | None) -> tuple[Verdict, Observed]:
    """A run in the sim world: its verdict and what it showed."""
    nodes: dict[NodeId, Node] = dict(build_nodes(board))
    judge, seen, slept = Judge(board, "sim"), Observed(), list[bool]()
    if failure is not None and failure.relinked:
        for cpu in board.platform.cpus:
            nodes[pe_node(cpu)] = PeNode(board, cpu, relinked=failure.relinked)
    if failure is not None and failure.mute:
        nodes[NodeId(failure.mute)] = Mute(nodes[NodeId(failure.mute)], slept)

    def record(turn: Turn) -> None:
        judge.feed(turn)
        seen.turn(turn)
        if any(
            isinstance(effect, Send) and effect.body == PowerLed("sleeping")
            for effect in turn.effects
        ):
            slept.append(True)

    world = World(nodes, board.platform.latencies, RandomStrategy(board.scenario.seed), record)
    outcome = world.run(board.scenario.time_limit_ms * MS)
    judge.feed(HubEvent("end", HUB, ENDINGS[outcome], world.now))
    return judge.conclude(torn=False), seen


def row(profile: str, failure: Failure) -> Row:
    """Make the run and put what came of it into words.

    With the first seed for which no CPU happens to be slow inside CPU_OFF: that race, which the
    published versions lose, has a row of its own.
    """
    for seed in SEEDS:
        board = board_of(profile, failure, seed)
        verdict, seen = run(board, failure)
        if failure.races or not any(RACE in finding.text for finding in verdict.findings):
            return _row(board, failure, verdict, seen)
    raise AssertionError(f"{profile}: {RACE} with each of the seeds {SEEDS}")


def _row(board: Board, failure: Failure, verdict: Verdict, seen: Observed) -> Row:
    undone = [phase.label for phase in verdict.phases if phase.label.startswith("R")]
    return Row(
        failure,
        (verdict.attempts[0].outcome or "not over") if verdict.attempts else "none",
        seen.end or _unanswered(seen),
        _others(board, seen),
        " ".join(dict.fromkeys(undone)) or "nothing",
        _off(seen),
        _verdict(verdict),
    )


def _unanswered(seen: Observed) -> str:
    code = seen.results.get(0)
    return f"gets {error_name(code)}" if code else "hears no more"


def _others(board: Board, seen: Observed) -> str:
    doing: dict[str, list[str]] = {}
    for spec in board.scenario.domains:
        node = f"dom{spec.id}"
        if not spec.id:
            continue
        if seen.now - seen.entered.get(node, 0) < LIVELY_NS:
            verb = "run"
        else:
            verb = "sleep" if spec.id in seen.asleep else "stand still"
        doing.setdefault(verb, []).append(node)
    return ", ".join(_clause(names, verb) for verb, names in doing.items())


def _clause(names: list[str], verb: str) -> str:
    if len(names) > 1:
        return f"{' and '.join(names)} {verb}"
    return f"{names[0]} {verb.replace('stand', 'stands') if ' ' in verb else verb + 's'}"


def _off(seen: Observed) -> str:
    if seen.halted:
        return "; ".join(f"{node}: {message}" for node, message in sorted(seen.halted.items()))
    return ", ".join(f"CPU{cpu}" for cpu in sorted(seen.offline)) or "nothing"


def _verdict(verdict: Verdict) -> str:
    unexpected = dict.fromkeys(f.property for f in verdict.findings if not f.expected)
    expected = dict.fromkeys(f.property for f in verdict.findings if f.expected)
    text = f"{verdict.verdict}: {', '.join(unexpected)}" if unexpected else verdict.verdict
    return f"{text} (known: {', '.join(expected)})" if expected else text


def failures(profile: str) -> list[Failure]:
    """What can fail in a profile."""
    board = board_of(profile, None)
    return [failure for failure in FAILURES if failure.fits(board)]


def line(cells: Sequence[str]) -> str:
    """A line of a table of the page."""
    return f"| {' | '.join(cells)} |"


def page() -> str:
    """The whole page, after all its runs."""
    parts = [INTRODUCTION]
    for profile in PROFILES:
        parts.append(f"\n## {profile}\n\n{line(HEAD)}\n{line(['---'] * len(HEAD))}\n")
        parts += [f"{line(row(profile, failure).cells)}\n" for failure in failures(profile)]
    return "".join(parts)


if __name__ == "__main__":
    COMMITTED.write_text(page())
