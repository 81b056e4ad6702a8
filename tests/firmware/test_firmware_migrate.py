"""MIGRATE*: what a Trusted OS on one PE permits, and what it forbids."""

import pytest
from firmware_bench import BOOT, ENTRY, Bench, script

from proto.platform import TrustedOs
from proto.psci import Psci, PsciError, mpidr

MOVABLE = TrustedOs.UP_MIGRATABLE
INFO = ((Psci.MIGRATE_INFO_TYPE,), (Psci.MIGRATE_INFO_UP_CPU,), (Psci.MIGRATE, mpidr(0, 1)))
ON_1 = (Psci.CPU_ON, mpidr(0, 1), ENTRY, 0)


def codes(*calls, trusted_os=TrustedOs.NONE, other=()):
    """What PE 0 gets for its calls."""
    bench = Bench({BOOT: script(*calls), ENTRY: script(*other)}, trusted_os=trusted_os).run()
    return bench.pes[0].codes


@pytest.mark.parametrize(
    ("trusted_os", "expected"),
    [
        (TrustedOs.NONE, [2, PsciError.NOT_SUPPORTED, PsciError.NOT_SUPPORTED]),
        (TrustedOs.UP_FIXED, [1, mpidr(0, 0), PsciError.DENIED]),
        (MOVABLE, [0, mpidr(0, 0), PsciError.INVALID_PARAMETERS]),
    ],
)
def test_each_kind_of_trusted_os(trusted_os, expected):
    """Type, home and the answer to a move to a PE that is OFF."""
    assert codes(*INFO, trusted_os=trusted_os) == expected


def test_a_move():
    """It moves to a PE that is ON, and is not with the caller any more."""
    again = ((Psci.MIGRATE, mpidr(0, 1)), (Psci.MIGRATE_INFO_UP_CPU,))
    assert codes(ON_1, 300_000, (Psci.MIGRATE, mpidr(0, 1)), *again, trusted_os=MOVABLE) == [
        0,
        0,
        PsciError.NOT_PRESENT,
        mpidr(0, 1),
    ]


@pytest.mark.parametrize("function", [Psci.CPU_OFF, Psci.CPU_FREEZE])
def test_its_pe_may_not_go(function):
    """CPU_OFF and CPU_FREEZE are DENIED where it lives, and nowhere else."""
    off = (function,)
    bench = Bench({BOOT: script(ON_1, off), ENTRY: script(off)}, trusted_os=MOVABLE).run()

    assert bench.pes[0].codes == [0, PsciError.DENIED]
    assert bench.pes[1].codes == []


def test_features_follow():
    """MIGRATE is announced only where there is something to migrate."""
    features = (Psci.FEATURES, Psci.MIGRATE)
    assert codes(features) == [PsciError.NOT_SUPPORTED]
    assert codes(features, trusted_os=MOVABLE) == [0]
