"""The profiles' data: order of steps, who triggers, what becomes of a suspended domain."""

import pytest

from deploy.loading import Overrides, resolve
from proto.scenario import Parking, Profile, Trigger
from services.pcpu.xen.suspend import STEPS

HEAD = ["S0", "S1", "S2"]
TAIL = ["S10", "S11", "S12", "S13"]


def profile(name: str) -> Profile:
    """A shipped profile."""
    return resolve("baseline", Overrides(profile=name)).profile


@pytest.mark.parametrize(
    ("name", "middle"),
    [
        ("v11", ["S3", "S4", "S5", "S6", "S7", "S8", "S9"]),
        ("seed", ["S3", "S8", "S7", "S9", "S6", "S5"]),
        ("v8", ["S2", "S3", "S8", "S5", "S6", "S7", "S9"]),
    ],
)
def test_each_series_has_its_order(name: str, middle: list[str]) -> None:
    """The second S2 of 2026-04 is its check of everything that stands still already."""
    labels = [STEPS[step].label for step in profile(name).suspend_steps]

    assert labels == [*HEAD, *middle, *TAIL]


@pytest.mark.parametrize(
    ("name", "trigger", "parking", "xl_resume"),
    [
        ("seed", Trigger.HARDWARE, Parking.BLOCK, False),
        ("v8", Trigger.CONTROL, Parking.SHUTDOWN, True),
        ("v11", Trigger.CONTROL, Parking.SHUTDOWN, True),
    ],
)
def test_each_series_has_its_trigger_and_parking(
    name: str, trigger: Trigger, parking: Parking, xl_resume: bool
) -> None:
    """And `xl resume` where a domain is shut down."""
    data = profile(name)

    assert (data.trigger, data.parking, data.xl_resume) == (trigger, parking, xl_resume)
