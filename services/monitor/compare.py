"""I12: whether Xen sleeps or not makes no difference to a guest's ability to wake.

A comparison of two journals, of the same scenario with and without the host's suspend. What wakes
a guest takes part in it: how often it has started or gone on behind a SYSTEM_SUSPEND, how often it
was resumed, which interrupts of its own devices it has taken, and which are still kept for it.
"""

import msgspec

from proto.ids import DomainId, VcpuIndex
from proto.psci import PsciError
from proto.scenario import Trigger, domain_ids
from proto.traces import (
    DomainShutdown,
    GuestIrq,
    GuestReturned,
    GuestStarted,
    LineEvent,
    VpsciResult,
)
from proto.turn import Turn
from services.monitor.evidence import Evidence, Feed, Links, Moment, Table
from services.monitor.guest_calls import SYSTEM_SUSPEND, Vcpu, device_owners
from services.monitor.shadow import Shadow

NAME = "I12"
CLAUSE = "Whether Xen sleeps or not makes no difference to a guest's ability to wake"


class Wakes(msgspec.Struct, frozen=True, kw_only=True):
    """What has woken one guest; interrupts are INTIDs in ascending order."""

    slept: int = 0
    """How often its SYSTEM_SUSPEND was accepted."""
    started: int = 0
    """How often it started at its resume entry."""
    returned: int = 0
    """How often it went on behind its accepted call."""
    resumed: int = 0
    """How often its shutdown was taken back."""
    taken: tuple[int, ...] = ()
    """Interrupts of its own devices that it has taken."""
    kept: tuple[int, ...] = ()
    """Interrupts of its own devices that it has not taken after their last assertion."""


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """What is not the same for a guest in the two journals."""

    domain: int
    what: str
    one: object
    other: object

    @property
    def text(self) -> str:
        """One line for people."""
        return f"domain {self.domain}: {self.what} is {self.one} in one and {self.other} in other"


class _Counter:
    """Observes one journal."""

    def __init__(self, shadow: Shadow) -> None:
        self._owner = device_owners(shadow)
        self._pending: dict[Vcpu, bool] = {}
        """Accepted calls, until the guest goes on."""
        domains = [DomainId(domain) for domain in domain_ids(shadow.board.scenario)]
        self.counts: dict[DomainId, dict[str, int]] = {
            domain: dict.fromkeys(("slept", "started", "returned", "resumed"), 0)
            for domain in domains
        }
        self.taken: dict[DomainId, set[int]] = {domain: set() for domain in domains}
        self.kept: dict[DomainId, set[int]] = {domain: set() for domain in domains}

    @property
    def traced(self) -> Table:
        """What guests do, and what their devices do."""
        return {
            VpsciResult: self._on_result,
            GuestStarted: self._on_started,
            GuestReturned: self._on_returned,
            DomainShutdown: self._on_shutdown,
            GuestIrq: self._on_guest_irq,
            LineEvent: self._on_line,
        }

    @property
    def received(self) -> Table:
        """Nothing."""
        return {}

    @property
    def sent(self) -> Table:
        """Nothing."""
        return {}

    def _count(self, domain: int, what: str) -> None:
        self.counts[DomainId(domain)][what] += 1

    def _on_result(self, moment: Moment, event: VpsciResult) -> None:
        if event.function in SYSTEM_SUSPEND and event.code == PsciError.SUCCESS:
            self._pending[_vcpu(event)] = True
            self._count(event.domain, "slept")

    def _on_started(self, moment: Moment, event: GuestStarted) -> None:
        if self._pending.pop(_vcpu(event), False):
            self._count(event.domain, "started")

    def _on_returned(self, moment: Moment, event: GuestReturned) -> None:
        if self._pending.pop(_vcpu(event), False):
            self._count(event.domain, "returned")

    def _on_shutdown(self, moment: Moment, event: DomainShutdown) -> None:
        if event.state == "none":
            self._count(event.domain, "resumed")

    def _on_guest_irq(self, moment: Moment, event: GuestIrq) -> None:
        if self._owner.get(event.intid) == event.domain:
            self.taken[DomainId(event.domain)].add(event.intid)
            self.kept[DomainId(event.domain)].discard(event.intid)

    def _on_line(self, moment: Moment, event: LineEvent) -> None:
        owner = self._owner.get(event.intid)
        if owner is not None and event.level:
            self.kept[owner].add(event.intid)


def _vcpu(event: VpsciResult | GuestStarted | GuestReturned) -> Vcpu:
    return DomainId(event.domain), VcpuIndex(event.vcpu)


def wakes(journal: Evidence) -> dict[int, Wakes]:
    """What has woken each guest of a journal, but the domains that suspend the host."""
    links = Links()
    board = journal.header.board
    shadow = Shadow(board, links)
    counter = _Counter(shadow)
    feed = Feed(links, [counter])
    for position, record in enumerate(journal.records):
        if isinstance(record, Turn):
            feed.turn(position, record)
    by_hardware = board.profile.trigger is Trigger.HARDWARE
    return {
        int(spec.id): Wakes(
            **counter.counts[DomainId(spec.id)],
            taken=tuple(sorted(counter.taken[DomainId(spec.id)])),
            kept=tuple(sorted(counter.kept[DomainId(spec.id)])),
        )
        for spec in board.scenario.domains
        if not (spec.id == 0 if by_hardware else spec.is_control)
    }


def differences(one: Evidence, other: Evidence) -> list[Difference]:
    """What differs for any guest of both journals; empty if I12 holds for them."""
    first, second = wakes(one), wakes(other)
    return [
        Difference(
            domain=domain,
            what=field,
            one=getattr(first[domain], field),
            other=getattr(second[domain], field),
        )
        for domain in sorted(first.keys() & second.keys())
        for field in Wakes.__struct_fields__
        if getattr(first[domain], field) != getattr(second[domain], field)
    ]
