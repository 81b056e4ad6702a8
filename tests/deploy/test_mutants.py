"""The known bugs: each has a file or a reason, a row in docs/KNOWN_BUGS.md, and is found."""

import re
from pathlib import Path

import pytest

from deploy.explore.hunt import hunt, mutant_in
from deploy.patching import MUTANTS, shipped_mutants

ROOT = Path(__file__).parent.parent.parent
TEXT = (ROOT / "docs" / "KNOWN_BUGS.md").read_text(encoding="utf-8")
SHIPPED = sorted(shipped_mutants())

SCHEDULES_MAX = 60
"""Enough for the ones that are found often; `torpor mutants` looks for the rare ones too."""


def rows(title: str) -> dict[str, str]:
    """The rows of a section's table, by the id in their first column."""
    found = re.search(rf"^## {re.escape(title)}.*?$(.*?)(?=^## |\Z)", TEXT, re.M | re.S)
    assert found is not None, f"there is no section {title}"
    lines = (line for line in found[1].splitlines() if line.startswith("| `"))
    return {line.split("`")[1]: line for line in lines}


def bugs() -> dict[str, str]:
    """All rows with a file."""
    return {name: row for letter in "ABCD" for name, row in rows(f"{letter}.").items()}


def test_every_shipped_mutant_has_one_row() -> None:
    """And no row is about a file that is not there."""
    assert sorted(bugs()) == SHIPPED
    assert len(SHIPPED) == len(list(MUTANTS.glob("*.py"))) - 1


@pytest.mark.parametrize("name", SHIPPED)
def test_a_row_says_what_the_file_says(name: str) -> None:
    """Section, property, source and the board on which it shows."""
    mutant = mutant_in(name)
    row = rows(f"{mutant.section}.")[name]

    assert mutant.id == name
    assert mutant.core == row.startswith(f"| `{name}` *")
    assert mutant.source in row
    assert row.rstrip(" |").endswith(mutant.confidence)
    for word in (mutant.property, mutant.scenario, mutant.profile, mutant.platform, mutant.power):
        assert word in (None, "baseline") or f"`{word}`" in row


PUBLISHED = {
    "A": """
        pending-event-skips-vcpu-reset
        success-return-clobbers-context-id
        ctxt-switch-overwrites-reset
        domu-wake-without-reset
        unlocked-online-check
        offline-flag-before-descheduled
        resume-ctx-set-after-shutdown
        smc32-upper-bits
        debug-exceptions-unmasked
        features-advertised-then-not-supported
        two-control-domains-race
        freeze-before-checking
        hwdom-shutdown-on-suspend
        io-reexecuted-after-suspend
        kvm-cpu-on-payload-lost
        kvm-precondition-toctou
    """,
    "B": """
        free-in-cpu-dying
        keep-irqs-breaks-delivery
        percpu-area-reinit-busy
        percpu-free-races-up
        dead-flag-before-cpu-off
        cpu-kill-without-affinity-poll
        cpu-off-panics
        on-pending-set-too-late
        on-pending-lost-by-invalidate
        stale-affinity-in-other-cluster
        late-secondary-reuses-init-data
        gic-failure-still-online
        missing-vtcr-on-hotplug
        boot-cpu-errata-skipped
        cnthctl-not-saved
        init-ttbr-unset-on-up
        affinity-restored-behind-scheduler
        timers-stay-on-cpu0
        offlined-cpu-still-irq-target
        stop-machine-pending-work
        rcu-vs-scheduler-rendezvous
    """,
    "C": """
        active-bit-dropped
        active-priority-replayed
        distributor-off-kills-wake
        wake-irq-between-save-and-smc
        early-wake-reported-as-success
        gicc-zero-selects-bypass
        config-after-enable
        irouter-before-are
        are-cleared
        igrpen-lost-on-abort
        write-while-redist-asleep
        redist-wake-not-awaited
        lpis-still-enabled-after-off
        its-reenable-not-quiescent
        its-collection-missing
        apr-of-vcpu-not-saved
    """,
    "D": """
        timer-wakes-host
        timer-not-rearmed
        watchdog-fires-right-after-resume
        watchdog-full-period-restart
        frozen-domain-watchdog
        host-watchdog-in-sync-console
        iommu-hook-missing
        smmu-resume-error-ignored
        ipmmu-cache-before-root
        msi-write-elided-on-resume
        hikey960-idle-flag
        hikey960-hotplug-vs-idle
        console-list-stale-after-resume
    """,
}
"""By section: ids of the published list."""


@pytest.mark.parametrize("section", PUBLISHED)
def test_each_row_of_the_published_list_has_a_file_or_a_reason(section: str) -> None:
    """And not both."""
    published = set(PUBLISHED[section].split())
    reasons = rows("Left out")

    assert published == (published & set(SHIPPED)) ^ (published & reasons.keys())
    assert all(f"| {section} |" in reasons[name] for name in published & reasons.keys())


QUICK = (
    "pending-event-skips-vcpu-reset",
    "success-return-clobbers-context-id",
    "ctxt-switch-overwrites-reset",
    "domu-wake-without-reset",
    "resume-ctx-set-after-shutdown",
    "smc32-upper-bits",
    "debug-exceptions-unmasked",
    "features-advertised-then-not-supported",
    "two-control-domains-race",
    "freeze-before-checking",
    "hwdom-shutdown-on-suspend",
    "watchdog-fires-right-after-resume",
    "iommu-hook-missing",
    "ipmmu-cache-before-root",
    "offline-flag-before-descheduled",
    "timer-wakes-host",
    "timer-not-rearmed",
    "smmu-resume-error-ignored",
    "msi-write-elided-on-resume",
    "cpu-kill-without-affinity-poll",
    "init-ttbr-unset-on-up",
    "on-pending-set-too-late",
    "percpu-area-reinit-busy",
    "percpu-free-races-up",
    "affinity-restored-behind-scheduler",
    "boot-cpu-errata-skipped",
    "cnthctl-not-saved",
    "cpu-off-panics",
    "free-in-cpu-dying",
    "missing-vtcr-on-hotplug",
    "active-bit-dropped",
    "config-after-enable",
    "distributor-off-kills-wake",
    "early-wake-reported-as-success",
    "active-priority-replayed",
    "keep-irqs-breaks-delivery",
    "late-secondary-reuses-init-data",
    "offlined-cpu-still-irq-target",
    "on-pending-lost-by-invalidate",
    "rcu-vs-scheduler-rendezvous",
    "stale-affinity-in-other-cluster",
    "wake-irq-between-save-and-smc",
)
"""Those that a few schedules find."""


@pytest.mark.sim
@pytest.mark.parametrize("name", QUICK)
def test_a_mutant_is_caught_by_its_property(name: str) -> None:
    """And by no crash of a node."""
    found = hunt(name, 0, SCHEDULES_MAX)

    assert found.caught_after is not None
    assert not found.crashes
