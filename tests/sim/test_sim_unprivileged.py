"""The table of unprivileged domains at suspend, row by row, and I12 on pairs of runs."""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from msgspec.structs import replace

from bus.journal import Journal, read_journal
from deploy.loading import Overrides, resolve
from deploy.run_sim import run_sim
from proto.board import Board
from proto.messages import VcpuRun
from proto.platform import TTY_SPI
from proto.psci import Psci, PsciError
from proto.scenario import DomainSpec, ExpectLine, Parking, Role, Step, TypeLine, XlCommand
from proto.traces import (
    DomainShutdown,
    GuestIrq,
    GuestReturned,
    GuestStarted,
    Phase,
    ScenarioStep,
    SuspendPolicy,
    SystemPower,
    VpsciCall,
    VpsciResult,
)
from proto.turn import Received, Send, Trace, Turn
from services.monitor.compare import differences, wakes
from services.monitor.verdict import judge

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]

INITIATOR, RUNNING, WAKER, SLEEPER, PAUSED = range(5)
SYSTEM_SUSPEND = (Psci.SYSTEM_SUSPEND, Psci.SYSTEM_SUSPEND_32)
SEEDS = range(1, 20)

Event = tuple[int, object]
"""Position in the journal, and a trace, or a domain that was entered."""


def slept(of: Board) -> Journal | None:
    """The journal of a run in which the host has slept, or None: a secondary was slow."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "journal"
        run_sim(of, path)
        journal = read_journal(path)
    verdict = judge(journal)
    assert [finding for finding in verdict.findings if not finding.expected] == []
    assert verdict.verdict == "pass", verdict.trouble
    return journal if [a.outcome for a in verdict.attempts] == ["slept"] else None


@cache
def history(scenario: str) -> list[Event]:
    """What happened in a run of the scenario in which the host slept."""
    runs = (slept(resolve(scenario, Overrides(seed=seed))) for seed in SEEDS)
    journal = next(journal for journal in runs if journal is not None)
    entries: dict[tuple[str, int], int] = {}
    found: list[Event] = []
    for position, turn in enumerate(journal.records):
        if isinstance(turn, Turn):
            found += [(position, event) for event in _events(turn, entries)]
    return found


def _events(turn: Turn, entries: dict[tuple[str, int], int]) -> Iterator[object]:
    if isinstance(turn.input, Received):
        message = turn.input.message
        if entries.pop((message.src, message.seq), None) is not None:
            yield f"{turn.node} entered"
    seq = turn.first_seq
    for effect in turn.effects:
        if isinstance(effect, Trace):
            yield effect.event
        elif isinstance(effect, Send):
            if isinstance(effect.body, VcpuRun):
                entries[turn.node, seq] = 0
            seq += 1


def positions(events: list[Event], *wanted: object) -> list[int]:
    """Where these events stand."""
    return [position for position, event in events if event in wanted]


def phase(events: list[Event], label: str, edge: str) -> int:
    """Where a phase begins for the first time, or ends for the last."""
    found = [
        position
        for position, event in events
        if isinstance(event, Phase) and (event.label, event.edge) == (label, edge)
    ]
    return found[0] if edge == "begin" else found[-1]


def entered(events: list[Event], domain: int) -> list[int]:
    """Where a domain was entered."""
    return positions(events, f"dom{domain} entered")


def ends_of_sleep(events: list[Event], domain: int) -> list[int]:
    """Where a domain's vCPU 0 started or went on, after it had asked for its sleep."""
    asked = min(
        position
        for position, event in events
        if isinstance(event, VpsciCall)
        and event.domain == domain
        and event.function in SYSTEM_SUSPEND
    )
    return [
        position
        for position, event in events
        if isinstance(event, GuestStarted | GuestReturned)
        and (event.domain, event.vcpu) == (domain, 0)
        and position > asked
    ]


def woke_by(events: list[Event]) -> int:
    """The INTID that woke the host."""
    return next(
        event.intid
        for _, event in events
        if isinstance(event, SystemPower) and event.state == "waking"
    )


def results(events: list[Event], domain: int) -> list[int]:
    """Answers to a domain's SYSTEM_SUSPENDs."""
    return [
        event.code
        for _, event in events
        if isinstance(event, VpsciResult)
        and event.domain == domain
        and event.function in SYSTEM_SUSPEND
    ]


# -- the 2025-03 series


def test_seed_a_running_domain_is_frozen_and_thawed() -> None:
    """Nothing of it runs between S1 and R8, and it goes on afterwards."""
    events = history("unprivileged-seed")
    frozen, thawed = phase(events, "S1", "end"), phase(events, "R8", "begin")
    runs = entered(events, RUNNING)

    assert [at for at in runs if frozen < at < thawed] == []
    assert [at for at in runs if at < frozen]
    assert [at for at in runs if at > thawed]


def test_seed_a_suspended_domain_stays_suspended() -> None:
    """The host's sleep has come and gone."""
    events = history("unprivileged-seed")

    assert results(events, SLEEPER) == [PsciError.SUCCESS]
    assert ends_of_sleep(events, SLEEPER) == []


def test_seed_a_suspended_domain_whose_interrupt_woke_the_host_wakes() -> None:
    """It is unblocked, runs once it is thawed, and takes its interrupt once."""
    events = history("unprivileged-seed")
    ends = ends_of_sleep(events, WAKER)

    assert woke_by(events) == TTY_SPI + WAKER
    assert len(ends) == 1
    assert ends[0] > phase(events, "R8", "begin")
    # Typing was the first.
    assert len(positions(events, GuestIrq(WAKER, 0, TTY_SPI + WAKER))) == 2


def test_seed_a_paused_domain_stays_paused() -> None:
    """The pause of the toolstack nests with the freeze."""
    events = history("unprivileged-seed")
    unpaused = next(
        position
        for position, event in events
        if isinstance(event, ScenarioStep) and "unpause paused" in event.text
    )
    runs = entered(events, PAUSED)

    assert [at for at in runs if phase(events, "S1", "end") < at < unpaused] == []
    assert [at for at in runs if at > unpaused]


@pytest.mark.parametrize("scenario", ["unprivileged-seed", "unprivileged-v11"])
def test_the_initiator_is_resumed_in_r9(scenario: str) -> None:
    """Always, whatever woke the host; the thaw comes before it."""
    events = history(scenario)
    resumed = phase(events, "R9", "begin")

    assert phase(events, "R8", "end") <= resumed
    assert len([at for at in ends_of_sleep(events, INITIATOR) if at > resumed]) == 1


# -- the 2026-06 series


@pytest.mark.parametrize(
    ("number", "domain"), [(0, RUNNING), (1, PAUSED)], ids=["running", "administratively paused"]
)
def test_v11_a_domain_that_is_awake_forbids_it(number: int, domain: int) -> None:
    """The request is DENIED in place, and the host does nothing at all."""
    events = history("unprivileged-v11")
    decisions = [
        event
        for _, event in events
        if isinstance(event, SuspendPolicy) and event.domain == INITIATOR
    ]

    assert results(events, INITIATOR) == [PsciError.DENIED, PsciError.DENIED, PsciError.SUCCESS]
    assert decisions[number].decision == "denied"
    assert f"dom{domain}" in decisions[number].why
    assert decisions[2].decision == "host"
    returned = positions(events, *(e for _, e in events if isinstance(e, GuestReturned)))
    assert returned[number] < phase(events, "S0", "begin")


def test_v11_a_suspended_domain_stays_suspended() -> None:
    """Its shutdown is taken back by nobody."""
    events = history("unprivileged-v11")

    assert results(events, SLEEPER) == [PsciError.SUCCESS]
    assert ends_of_sleep(events, SLEEPER) == []
    assert positions(events, DomainShutdown(SLEEPER, "none")) == []


def test_v11_a_suspended_domain_whose_interrupt_woke_the_host_waits_for_the_toolstack() -> None:
    """The interrupt is kept until `xl resume`, and taken then."""
    events = history("unprivileged-v11")
    resumed = positions(events, DomainShutdown(WAKER, "none"))
    taken = positions(events, GuestIrq(WAKER, 0, TTY_SPI + WAKER))

    assert woke_by(events) == TTY_SPI + WAKER
    assert len(resumed) == 1
    assert resumed[0] > phase(events, "R9", "end")
    assert len(ends_of_sleep(events, WAKER)) == 1
    assert ends_of_sleep(events, WAKER)[0] > resumed[0]
    assert [at > resumed[0] for at in taken] == [False, True]


# -- I12


def waking_board(profile: str, host_sleeps: bool, irq_after_ms: int, seed: int) -> Board:
    """Domain 1 sleeps; domain 0 asks for the host's sleep, and its Xen has that or has it not."""
    of = resolve("baseline", Overrides(profile=profile, seed=seed))
    shutting = of.profile.parking is Parking.SHUTDOWN
    resume = (Step(xl=XlCommand(command="resume dom1", status=0)),) if shutting else ()
    scenario = replace(
        of.scenario,
        system_suspend=host_sleeps,
        domains=(
            DomainSpec(id=0, role=Role.HARDWARE, tick_us=50_000),
            DomainSpec(id=1, tick_us=50_000),
        ),
        steps=(
            *(
                Step(expect=ExpectLine(domain=domain, any_of=("up,",), since="start"))
                for domain in (0, 1)
            ),
            Step(wait_ms=10),
            Step(type_line=TypeLine(domain=1, line="echo mem > /sys/power/state")),
            Step(wait_ms=10),
            Step(type_line=TypeLine(domain=0, line="rtcwake -m mem -s 1.0")),
            Step(wait_ms=irq_after_ms),
            Step(irq="tty1"),
            Step(wait_ms=1_200),
            *resume,
            Step(wait_ms=1_200),
        ),
        points=(),
        outcomes=(),
        expected_findings=(),
    )
    return replace(of, scenario=scenario)


@pytest.mark.parametrize("irq_after_ms", [0, 150, 500, 1_100])
@pytest.mark.parametrize("profile", ["seed", "v8", "v11", "baseline"])
def test_i12_a_sleeping_host_makes_no_difference(
    profile: str, irq_after_ms: int, tmp_path: Path
) -> None:
    """The guest's interrupt comes while CPUs go, during and after the sleep, or there is none."""
    for seed in (1, 2):
        journals = []
        for host_sleeps in (True, False):
            path = tmp_path / f"{seed}-{host_sleeps}"
            run_sim(waking_board(profile, host_sleeps, irq_after_ms, seed), path)
            journals.append(read_journal(path))
        asleep, awake = journals

        assert judge(asleep).attempts
        assert not judge(awake).attempts
        assert differences(asleep, awake) == []
        woken = wakes(asleep)[1]
        assert (woken.slept, woken.started + woken.returned) == (1, 1)
        assert (woken.taken, woken.kept) == ((TTY_SPI + 1,), ())
