"""Random boards, guests, commands, interrupts and sleeps, under all properties.

Rules write a scenario step by step and keep a model of what an administrator would know: which
guests are paused or suspended, which CPUs are offline. The scenario runs as a whole when it is
complete, under a drawn strategy and seed. `HYPOTHESIS_PROFILE=nightly` tries many more.
"""

import os
import re
from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, assume, note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)
from msgspec.structs import replace

from deploy.explore.plan import Plan
from deploy.explore.play import play
from deploy.loading import Overrides, resolve
from proto.board import Board
from proto.platform import POWER_MODELS
from proto.scenario import DomainSpec, ExpectLine, ExpectPower, Role, Step, TypeLine, XlCommand
from services.monitor.verdict import Verdict

pytestmark = [pytest.mark.sim, pytest.mark.timeout(1800)]

CI = settings(
    max_examples=60,
    stateful_step_count=8,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
NIGHTLY = settings(
    CI, max_examples=3_000, stateful_step_count=20, derandomize=False, print_blob=True
)
PROFILE = NIGHTLY if os.environ.get("HYPOTHESIS_PROFILE") == "nightly" else CI

CLUSTERS = ((1,), (2,), (1, 1), (3,), (1, 2), (2, 2), (4,))
STRATEGIES = ("random", "orders", "pct-1", "pct-2", "pct-3", "pct-5")
SLEEP = "echo mem > /sys/power/state"
WITHIN_MS = 3_000
ALARM_MS = 60
"""Far behind the end of every suspend, so the host is not asleep when nothing wakes it any more."""


@cache
def plain(mutants: tuple[str, ...]) -> Board:
    """The baseline, as it is or with known bugs."""
    return resolve("baseline", Overrides(mutants=mutants))


class Bench(RuleBasedStateMachine):
    """Somebody who sits at a board and types."""

    mutants: tuple[str, ...] = ()

    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Step] = []
        self.domains: tuple[DomainSpec, ...] = ()
        self.paused: set[int] = set()
        self.suspended: set[int] = set()
        self.offline: set[int] = set()

    @initialize(
        clusters=st.sampled_from(CLUSTERS),
        power=st.sampled_from(sorted(POWER_MODELS)),
        vcpus=st.lists(st.integers(1, 3), min_size=1, max_size=3),
        tick_us=st.sampled_from((1_000, 4_000, 20_000)),
        plan=st.builds(
            Plan,
            index=st.just(0),
            strategy=st.sampled_from(STRATEGIES),
            seed=st.integers(0, (1 << 32) - 1),
        ),
    )
    def power_on(
        self, clusters: tuple[int, ...], power: str, vcpus: list[int], tick_us: int, plan: Plan
    ) -> None:
        """A board with its guests, which all come up."""
        self.clusters, self.power, self.plan = clusters, power, plan
        self.domains = tuple(
            DomainSpec(
                id=number,
                vcpus=count,
                role=Role.GUEST if number else Role.HARDWARE,
                tick_us=tick_us,
            )
            for number, count in enumerate(vcpus)
        )
        self.steps += [
            Step(expect=ExpectLine(domain=spec.id, any_of=(f"dom{spec.id}: up",), since="start"))
            for spec in self.domains
        ]

    # -- what is done to the board

    @rule(wait_ms=st.integers(1, 12))
    def wait(self, wait_ms: int) -> None:
        """Guests work."""
        self.steps.append(Step(wait_ms=wait_ms))

    @rule(data=st.data())
    def interrupt(self, data: st.DataObject) -> None:
        """A device's line; it may wake a guest or the host, or come too early for that."""
        lines = ["rtc", *(f"tty{spec.id}" for spec in self.domains)]
        self.steps.append(Step(irq=data.draw(st.sampled_from(lines))))

    @precondition(lambda self: len(self.domains) > 1)
    @rule(data=st.data())
    def pause(self, data: st.DataObject) -> None:
        """`xl pause` or `xl unpause`, whichever it is time for."""
        domain = self._guest(data)
        command = "unpause" if domain in self.paused else "pause"
        self._xl(f"{command} {domain}")
        self.paused ^= {domain}

    @precondition(lambda self: len(self.domains) > 1)
    @rule(data=st.data(), command=st.sampled_from(("suspend", "resume", "vcpu-list", "list")))
    def other_command(self, data: st.DataObject, command: str) -> None:
        """What this toolstack refuses is refused, and what only looks changes nothing."""
        self._xl(f"{command} {self._guest(data)}")

    @precondition(lambda self: len(self.domains) > 1)
    @rule(data=st.data())
    def suspend_guest(self, data: st.DataObject) -> None:
        """A guest suspends itself, once; it may be paused, or be woken by typing too early."""
        domain = self._guest(data)
        assume(domain not in self.suspended)
        self._type(domain, SLEEP)
        self.suspended.add(domain)

    @precondition(lambda self: sum(self.clusters) > 1)
    @rule(data=st.data())
    def hotplug(self, data: st.DataObject) -> None:
        """`xl cpu-hotplug`, off or on."""
        cpu = data.draw(st.integers(1, sum(self.clusters) - 1))
        self._xl(f"cpu-hotplug {cpu} {'on' if cpu in self.offline else 'off'}")
        self.offline ^= {cpu}

    @rule(wait_ms=st.integers(0, 8), data=st.data())
    def suspend_host(self, wait_ms: int, data: st.DataObject) -> None:
        """Domain 0 suspends, and an alarm wakes it; another line may have come meanwhile."""
        self.steps.append(Step(alarm_ms=ALARM_MS))
        self._type(0, SLEEP)
        if wait_ms:
            self.steps.append(Step(wait_ms=wait_ms))
        if data.draw(st.booleans()):
            self.interrupt(data)
        self.steps += [Step(wait_ms=ALARM_MS), Step(power=ExpectPower(state="on"))]
        self._xl("list")

    # -- the end

    def teardown(self) -> None:
        """Everybody is woken and has to be intact; then the verdict."""
        if not self.domains:
            return
        for cpu in sorted(self.offline):
            self._xl(f"cpu-hotplug {cpu} on")
        for domain in sorted(self.paused):
            self._xl(f"unpause {domain}")
        # Whoever was about to suspend has done so by then, and needs an interrupt of his own.
        self.steps.append(Step(wait_ms=ALARM_MS))
        self.steps += [Step(irq=f"tty{domain}") for domain in sorted(self.suspended)]
        self.steps.append(Step(wait_ms=ALARM_MS))
        for spec in self.domains:
            self._type(spec.id, "work")
            self.steps.append(
                Step(
                    expect=ExpectLine(
                        domain=spec.id, any_of=("rounds, intact",), within_ms=WITHIN_MS
                    )
                )
            )
        verdict = self.judged()
        surprises = [
            f"{finding.property}: {finding.text}"
            for finding in verdict.findings
            if not finding.expected
        ]
        assert verdict.verdict == "pass", "; ".join(surprises) or verdict.trouble
        assert not surprises

    def judged(self) -> Verdict:
        """The whole scenario, under the drawn schedule."""
        board = plain(self.mutants)
        scenario = replace(
            board.scenario,
            domains=self.domains,
            steps=tuple(self.steps),
            points=(),
            outcomes=(),
            power_model=self.power,
        )
        platform = replace(board.platform, name="drawn", clusters=self.clusters)
        for step in self.steps:
            note(str(step))
        played = play(replace(board, scenario=scenario, platform=platform), self.plan.make())
        assert played.verdict is not None
        return played.verdict

    def _guest(self, data: st.DataObject) -> int:
        return data.draw(st.sampled_from([spec.id for spec in self.domains if spec.id]))

    def _type(self, domain: int, line: str) -> None:
        self.steps.append(Step(type_line=TypeLine(domain=domain, line=line)))

    def _xl(self, command: str) -> None:
        self.steps.append(Step(xl=XlCommand(command=command, within_ms=WITHIN_MS)))


def test_the_baseline_withstands_whatever_is_typed() -> None:
    """No unexpected finding and no crash, on any board."""
    run_state_machine_as_test(Bench, settings=PROFILE)


@pytest.mark.parametrize(
    ("mutant", "found"),
    [
        ("active-bit-dropped", "I4: GICD_ISACTIVER is not as it was before S9"),
        ("missing-vtcr-on-hotplug", "no_panic: pe1 halted: VTCR_EL2 is UNKNOWN"),
        ("domu-wake-without-reset", "I3: domain 1 vCPU 0: SYSTEM_SUSPEND was accepted, but"),
    ],
)
def test_known_bugs_do_not_withstand_it(mutant: str, found: str) -> None:
    """The same rules find three bugs of different kinds, by the property that is theirs."""

    class Buggy(Bench):
        """The same bench with a known bug."""

        mutants = (mutant,)

    quick = settings(CI, database=None, phases=[Phase.generate])
    with pytest.raises(AssertionError, match=re.escape(found)):
        run_state_machine_as_test(Buggy, settings=quick)
