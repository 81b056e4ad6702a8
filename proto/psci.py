"""PSCI and SMCCC words: function ids, return codes, states and the layout of an MPIDR argument.

Source: Arm DEN 0022 (PSCI) and DEN 0028 (SMCCC).
"""

from enum import IntEnum

from proto.ids import Mpidr
from proto.smccc import (
    MASK_32,
    MASK_64,
    SMC64,
    SMCCC_1_1,
    SMCCC_VERSION,
    from_register,
    is_smc64,
    to_register,
)

__all__ = [
    "MASK_32",
    "MASK_64",
    "MPIDR_MASK_64",
    "PSCI_1_1",
    "PSCI_1_3",
    "SMC64",
    "SMCCC_1_1",
    "SMCCC_VERSION",
    "Affinity",
    "HwState",
    "MigrateInfo",
    "Psci",
    "PsciError",
    "SuspendMode",
    "error_name",
    "from_register",
    "function_name",
    "is_smc64",
    "mpidr",
    "to_register",
]


class Psci(IntEnum):
    """PSCI function ids; the 64-bit form where there is one (DEN 0022, Functions)."""

    VERSION = 0x84000000
    CPU_SUSPEND = 0xC4000001
    CPU_OFF = 0x84000002
    CPU_ON = 0xC4000003
    AFFINITY_INFO = 0xC4000004
    MIGRATE = 0xC4000005
    MIGRATE_INFO_TYPE = 0x84000006
    MIGRATE_INFO_UP_CPU = 0xC4000007
    SYSTEM_OFF = 0x84000008
    SYSTEM_RESET = 0x84000009
    FEATURES = 0x8400000A
    CPU_FREEZE = 0x8400000B
    CPU_DEFAULT_SUSPEND = 0xC400000C
    NODE_HW_STATE = 0xC400000D
    SYSTEM_SUSPEND = 0xC400000E
    SET_SUSPEND_MODE = 0x8400000F
    STAT_RESIDENCY = 0xC4000010
    STAT_COUNT = 0xC4000011
    SYSTEM_RESET2 = 0xC4000012
    MEM_PROTECT = 0x84000013
    MEM_PROTECT_CHECK_RANGE = 0xC4000014
    SYSTEM_OFF2 = 0xC4000015

    CPU_SUSPEND_32 = 0x84000001
    CPU_ON_32 = 0x84000003
    AFFINITY_INFO_32 = 0x84000004
    MIGRATE_32 = 0x84000005
    MIGRATE_INFO_UP_CPU_32 = 0x84000007
    CPU_DEFAULT_SUSPEND_32 = 0x8400000C
    NODE_HW_STATE_32 = 0x8400000D
    SYSTEM_SUSPEND_32 = 0x8400000E
    STAT_RESIDENCY_32 = 0x84000010
    STAT_COUNT_32 = 0x84000011
    SYSTEM_RESET2_32 = 0x84000012
    MEM_PROTECT_CHECK_RANGE_32 = 0x84000014
    SYSTEM_OFF2_32 = 0x84000015


PSCI_1_1 = 0x00010001
PSCI_1_3 = 0x00010003


class PsciError(IntEnum):
    """Return codes (DEN 0022, Return error codes)."""

    SUCCESS = 0
    NOT_SUPPORTED = -1
    INVALID_PARAMETERS = -2
    DENIED = -3
    ALREADY_ON = -4
    ON_PENDING = -5
    INTERNAL_FAILURE = -6
    NOT_PRESENT = -7
    DISABLED = -8
    INVALID_ADDRESS = -9


class Affinity(IntEnum):
    """States that AFFINITY_INFO reports (DEN 0022, AFFINITY_INFO)."""

    ON = 0
    OFF = 1
    ON_PENDING = 2


class HwState(IntEnum):
    """States that NODE_HW_STATE reports (DEN 0022, NODE_HW_STATE)."""

    ON = 0
    OFF = 1
    STANDBY = 2


class MigrateInfo(IntEnum):
    """Types of Trusted OS that MIGRATE_INFO_TYPE reports (DEN 0022, MIGRATE_INFO_TYPE)."""

    UP_MIGRATABLE = 0
    UP_FIXED = 1
    NOT_NEEDED = 2


class SuspendMode(IntEnum):
    """Who coordinates power states: argument of SET_SUSPEND_MODE (DEN 0022)."""

    PLATFORM_COORDINATED = 0
    OS_INITIATED = 1


MPIDR_MASK_64 = 0xFF00FFFFFF
"""Affinity fields of a 64-bit MPIDR argument; all other bits must be zero."""

AFFINITY_SHIFTS = (0, 8, 16, 32)
"""Where Aff0 to Aff3 begin in an MPIDR."""


def function_name(function: int) -> str:
    """The name of a PSCI function id, or the id in hexadecimal."""
    try:
        return Psci(function).name.removesuffix("_32")
    except ValueError:
        return f"{function:#010x}"


def error_name(code: int) -> str:
    """The name of a PSCI return code, or the number."""
    try:
        return PsciError(code).name
    except ValueError:
        return str(code)


def mpidr(cluster: int, core: int) -> Mpidr:
    """MPIDR of a core in a cluster: Aff1.Aff0."""
    return Mpidr(cluster << 8 | core)


def mpidr_at(path: tuple[int, ...]) -> Mpidr:
    """MPIDR of the core at the end of a path through the tree, outermost index first."""
    fields = zip(reversed(path), AFFINITY_SHIFTS, strict=False)
    return Mpidr(sum(index << shift for index, shift in fields))
