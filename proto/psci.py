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
    "SMC64",
    "SMCCC_1_1",
    "SMCCC_VERSION",
    "Affinity",
    "Psci",
    "PsciError",
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
    CPU_OFF = 0x84000002
    CPU_ON = 0xC4000003
    AFFINITY_INFO = 0xC4000004
    SYSTEM_OFF = 0x84000008
    SYSTEM_RESET = 0x84000009
    FEATURES = 0x8400000A
    SYSTEM_SUSPEND = 0xC400000E

    CPU_ON_32 = 0x84000003
    AFFINITY_INFO_32 = 0x84000004
    SYSTEM_SUSPEND_32 = 0x8400000E


PSCI_1_1 = 0x00010001


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


MPIDR_MASK_64 = 0xFF00FFFFFF
"""Affinity fields of a 64-bit MPIDR argument; all other bits must be zero."""


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
