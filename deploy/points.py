"""The points at which a program of Xen or the firmware can be stopped, as a scenario names them."""

import re
from collections.abc import Mapping, Sequence
from typing import Final

from proto.platform import IommuDriver, Platform
from proto.scenario import Profile, Scenario, domain_ids
from services.pcpu.xen.notifier import CpuEvent
from services.pcpu.xen.suspend import STEPS

SMMUV3_POINT: Final = "smmuv3.CMD_SYNC"

POINTS: Final = (
    "before S<step>",
    "after S<step>",
    "before R<step>",
    *(f"{event.value} pe<N>" for event in CpuEvent),
    "gicv2_cpu_init pe<N>",
    "vpsci.SYSTEM_SUSPEND d<D>",
    "el3.CPU_ON pe<N>",
    "el3.warm_boot pe<N>",
    "el3.CPU_OFF pe<N>",
    "el3.after_CPU_OFF pe<N>",
    SMMUV3_POINT,
    "el3.SYSTEM_SUSPEND",
)
"""Patterns of names; what stands in angle brackets depends on the board."""

_PLACE: Final = re.compile(r"(?:S|R|pe|d)<\w+>")


def expected_instead(
    point: str, scenario: Scenario, platform: Platform, profile: Profile
) -> Sequence[str]:
    """What could stand where this name does; empty if it is the name of a point of the board."""
    places = _places(scenario, platform, profile)
    for pattern in POINTS:
        place = _PLACE.search(pattern)
        if place is None:
            if point == pattern:
                absent = point == SMMUV3_POINT and platform.iommu is not IommuDriver.SMMUV3
                return [f"no {pattern} on this board"] if absent else ()
            continue
        head = pattern[: place.start()]
        kind = place[0].partition("<")[0]
        if re.fullmatch(rf"{re.escape(head + kind)}\d+", point):
            names = [head + name for name in places[place[0]]]
            return () if point in names else names or [f"no {pattern} on this board"]
    return POINTS


def _places(scenario: Scenario, platform: Platform, profile: Profile) -> Mapping[str, list[str]]:
    """What each place in a pattern can be on a board.

    Domain 0 does not stop at its own SYSTEM_SUSPEND: its is the host's.
    """
    steps = [STEPS[name] for name in profile.suspend_steps]
    return {
        "S<step>": [step.label for step in steps],
        "R<step>": list(dict.fromkeys(step.undo_label for step in steps if step.undo_label)),
        "pe<N>": [f"pe{cpu}" for cpu in platform.cpus],
        "d<D>": [f"d{domain}" for domain in domain_ids(scenario) if domain != 0],
    }
