"""I12 on pairs of hand-made journals."""

from collections.abc import Callable

import pytest
from hand_made import Script
from hand_made_guests import TTY1, booted_with_guests, call, started

from proto.traces import DomainShutdown, GuestIrq, GuestReturned, LineEvent
from services.monitor.compare import differences, wakes

Act = Callable[[Script], object]


def sleeper(*acts: Act, host: bool) -> Script:
    """Domain 1 suspends itself, the host sleeps or not, and then something happens."""
    script = booted_with_guests()
    call(script, domain=1)
    if host:
        script.cycle()
    for act in acts:
        act(script)
    script.end()
    return script


def rings(script: Script) -> None:
    """Its serial port asks for it."""
    script.trace("tty1", LineEvent(TTY1, True, 1))


def starts(script: Script) -> None:
    """It wakes at its resume entry."""
    script.trace("dom1", started(domain=1))


def takes(script: Script) -> None:
    """It acknowledges the interrupt of its serial port."""
    script.trace("dom1", GuestIrq(1, 0, TTY1))


def goes_on(script: Script) -> None:
    """It wakes behind its call."""
    script.trace("dom1", GuestReturned(1, 0, 0))


def is_resumed(script: Script) -> None:
    """Its shutdown is taken back."""
    script.trace("pe0", DomainShutdown(1, "none"))


def test_what_wakes_a_guest_is_counted() -> None:
    """Calls, starts, and interrupts taken; the host's own domain takes no part."""
    found = wakes(sleeper(rings, starts, takes, host=True).journal())

    assert sorted(found) == [1]
    assert (found[1].slept, found[1].started, found[1].taken, found[1].kept) == (1, 1, (TTY1,), ())


def test_an_interrupt_that_nobody_took_is_kept() -> None:
    """It waits for the guest to be resumed."""
    found = wakes(sleeper(rings, host=True).journal())

    assert (found[1].started, found[1].taken, found[1].kept) == (0, (), (TTY1,))


def test_a_host_that_sleeps_makes_no_difference() -> None:
    """The same things happen to the guest in both journals."""
    acts = (rings, starts, takes)
    one, other = sleeper(*acts, host=True), sleeper(*acts, host=False)

    assert differences(one.journal(), other.journal()) == []


@pytest.mark.parametrize(
    ("awake", "asleep", "what"),
    [
        ((rings, starts, takes), (rings, starts), {"taken", "kept"}),
        ((rings, starts), (rings,), {"started"}),
        ((starts,), (goes_on,), {"started", "returned"}),
        ((rings,), (rings, is_resumed), {"resumed"}),
    ],
)
def test_a_difference_is_named(
    awake: tuple[Act, ...], asleep: tuple[Act, ...], what: set[str]
) -> None:
    """By the domain and by what is not the same."""
    one, other = sleeper(*awake, host=False), sleeper(*asleep, host=True)

    found = differences(one.journal(), other.journal())

    assert {difference.what for difference in found} == what
    assert all(difference.text.startswith("domain 1: ") for difference in found)
