"""Progress, on hand-made journals: boards that stop, attempts without end, storms."""

import msgspec
import pytest
from hand_made import Script, board, texts

from proto.board import Board
from proto.ids import DomainId
from proto.scenario import DomainSpec, Parking, Role, Trigger
from proto.traces import DomainShutdown, IntState, SystemPower
from proto.units import MS, S


def controlled() -> Board:
    """A board with one control domain, in the manner of 2026-06."""
    of = board(parking=Parking.SHUTDOWN)
    domains = (
        DomainSpec(id=DomainId(0), role=Role.HARDWARE, control=False),
        DomainSpec(id=DomainId(1), control=True),
    )
    profile = msgspec.structs.replace(of.profile, trigger=Trigger.CONTROL)
    scenario = msgspec.structs.replace(of.scenario, domains=domains)
    return msgspec.structs.replace(of, profile=profile, scenario=scenario)


def booted(of: Board | None = None) -> Script:
    """Both PEs up."""
    script = Script(of)
    script.boot()
    return script


def found(script: Script) -> list[str]:
    """What the property says."""
    return texts(script.judged(), "progress")


@pytest.mark.parametrize("how", ["quiescent: nothing", "time limit: board time has run out"])
def test_a_board_that_stops_by_itself_is_a_deadlock(how: str) -> None:
    """The world has nothing more to do, and the scenario waits."""
    script = booted()
    script.hub("end", "hub", how)

    assert found(script) == [f"deadlock: the board stopped: {how}"]


def test_an_attempt_without_end_is_a_violation() -> None:
    """It has got two seconds for each PE."""
    script = booted()
    script.fall_asleep("S3")
    script.now += 5 * S
    script.end("failed", "step 1")

    assert found(script) == ["attempt 1 had not ended after 5000 ms of time awake"]


def test_an_attempt_that_ends_late_is_a_violation() -> None:
    """Also if all is well in the end."""
    script = booted()
    script.fall_asleep()
    script.decide()
    script.now += 5 * S
    script.sleep()
    script.wake_up()
    script.end()

    assert found(script) == ["attempt 1 took 5000 ms of time awake"]


def test_time_asleep_does_not_count() -> None:
    """A board may sleep for years."""
    script = booted()
    script.fall_asleep()
    script.decide()
    script.trace("scp", SystemPower("sleeping"))
    script.now += 5 * S
    script.trace("scp", SystemPower("on"))
    script.wake_up()
    script.end()

    assert found(script) == []
    assert script.judged().properties["progress"] == "pass"


@pytest.mark.parametrize(("gap_ns", "storm"), [(8_000, True), (20_000, False)])
def test_an_interrupt_that_never_stops_is_a_livelock(gap_ns: int, storm: bool) -> None:
    """A thousand times within ten milliseconds."""
    script = booted()
    for _ in range(1_100):
        script.trace("gicd", IntState(34, -1, False, True))
        script.trace("gicd", IntState(34, -1, False, False))
        script.now += gap_ns - 2_000
    script.end()

    assert found(script) == (["INTID 34 became active 1000 times within 10 ms"] if storm else [])


def sleep(script: Script, domain: int) -> int:
    """A domain shuts down with reason suspend."""
    return script.trace("pe0", DomainShutdown(domain, "complete", "suspend"))


def test_control_domains_that_all_sleep_for_nothing_are_a_violation() -> None:
    """Each thinks that the other is awake: both park, and nobody suspends the host."""
    script = booted(controlled())
    at = sleep(script, 1)
    script.now += 2 * S
    script.end("failed", "step 1")

    verdict = script.judged()

    assert texts(verdict, "progress") == [
        "every control domain sleeps, but no attempt to suspend the host has begun, "
        "1 s after it was due"
    ]
    finding = next(one for one in verdict.findings if one.property == "progress")
    assert finding.positions[0] == at


def test_a_control_domain_that_starts_an_attempt_is_none() -> None:
    """Nor is one that is resumed."""
    script = booted(controlled())
    sleep(script, 1)
    script.cycle()
    script.now += 2 * S
    script.end()
    assert found(script) == []

    resumed = booted(controlled())
    sleep(resumed, 1)
    resumed.now += 10 * MS
    resumed.trace("pe0", DomainShutdown(1, "none"))
    resumed.now += 2 * S
    resumed.end()
    assert found(resumed) == []


def test_other_profiles_leave_the_host_to_the_hardware_domain() -> None:
    """Everybody else may sleep for as long as they like."""
    script = booted(board(parking=Parking.SHUTDOWN))
    sleep(script, 0)
    sleep(script, 1)
    script.now += 2 * S
    script.end()

    assert found(script) == []
