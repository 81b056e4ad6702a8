"""Names that a vector file may use: functions, results, places.

They stand here once more, apart from the firmware's own tables, because vectors judge the firmware.
Source: DEN 0022, "Function definitions", "Return error codes"; DEN 0028, "Arm Architecture Calls".
"""

from proto.platform import GICC_BASE, GICD_BASE, IOMMU_BASE, RTC_BASE, UART_BASE

SMC64 = 1 << 30

_PSCI = 0x8400_0000

_ONLY_32 = {
    "VERSION": 0x00,
    "CPU_OFF": 0x02,
    "MIGRATE_INFO_TYPE": 0x06,
    "SYSTEM_OFF": 0x08,
    "SYSTEM_RESET": 0x09,
    "PSCI_FEATURES": 0x0A,
    "CPU_FREEZE": 0x0B,
    "SET_SUSPEND_MODE": 0x0F,
    "MEM_PROTECT": 0x13,
}
_BOTH = {
    "CPU_SUSPEND": 0x01,
    "CPU_ON": 0x03,
    "AFFINITY_INFO": 0x04,
    "MIGRATE": 0x05,
    "MIGRATE_INFO_UP_CPU": 0x07,
    "CPU_DEFAULT_SUSPEND": 0x0C,
    "NODE_HW_STATE": 0x0D,
    "SYSTEM_SUSPEND": 0x0E,
    "STAT_RESIDENCY": 0x10,
    "STAT_COUNT": 0x11,
    "SYSTEM_RESET2": 0x12,
    "MEM_PROTECT_CHECK_RANGE": 0x14,
    "SYSTEM_OFF2": 0x15,
}

FUNCTIONS_32: dict[str, int] = {
    **{name: _PSCI | number for name, number in (_ONLY_32 | _BOTH).items()},
    "SMCCC_VERSION": 0x8000_0000,
    "SMCCC_ARCH_FEATURES": 0x8000_0001,
}
"""Function name to its 32-bit id."""

FUNCTIONS: dict[str, int] = FUNCTIONS_32 | {
    name: _PSCI | SMC64 | number for name, number in _BOTH.items()
}
"""Function name to the id that the name means: the 64-bit one where there is one."""

MANDATORY = frozenset(
    {
        "VERSION",
        "CPU_SUSPEND",
        "CPU_OFF",
        "CPU_ON",
        "AFFINITY_INFO",
        "SYSTEM_OFF",
        "SYSTEM_RESET",
        "PSCI_FEATURES",
    }
)
"""Functions that no platform may leave out (DEN 0022, since version 1.0)."""

OPTIONAL = tuple(name for name in (_ONLY_32 | _BOTH) if name not in MANDATORY)
"""What `absent` may name."""

CODES: dict[str, int] = {
    "SUCCESS": 0,
    "NOT_SUPPORTED": -1,
    "INVALID_PARAMETERS": -2,
    "DENIED": -3,
    "ALREADY_ON": -4,
    "ON_PENDING": -5,
    "INTERNAL_FAILURE": -6,
    "NOT_PRESENT": -7,
    "DISABLED": -8,
    "INVALID_ADDRESS": -9,
}
"""Return codes. ON_PENDING is a state of AFFINITY_INFO too: see `results_of`."""

STATES: dict[str, int] = {"ON": 0, "OFF": 1, "ON_PENDING": 2}
"""States of AFFINITY_INFO."""

STATE_FUNCTIONS = frozenset({FUNCTIONS_32["AFFINITY_INFO"]})
"""Functions, in their 32-bit form, whose results are states of AFFINITY_INFO."""

PLACES: dict[str, int] = {
    "GICD": GICD_BASE,
    "GICC": GICC_BASE,
    "UART": UART_BASE,
    "RTC": RTC_BASE,
    "IOMMU": IOMMU_BASE,
}
"""Devices by name, with their physical addresses."""


SUCCEEDING = frozenset(
    FUNCTIONS_32[name]
    for name in (
        "CPU_SUSPEND",
        "CPU_ON",
        "MIGRATE",
        "CPU_DEFAULT_SUSPEND",
        "SYSTEM_SUSPEND",
        "SET_SUSPEND_MODE",
        "MEM_PROTECT_CHECK_RANGE",
    )
)
"""Functions, in their 32-bit form, for which zero is SUCCESS; for others it is a state or count."""


def plain(function: int) -> int:
    """A function id in its 32-bit form."""
    return function & 0xFFFF_FFFF & ~SMC64


def results_of(function: int) -> dict[str, int]:
    """Names that may be expected of a function, with the values of x0 that they stand for.

    One name has two meanings: ON_PENDING is the code -5, but 2 where states are reported.
    """
    if plain(function) in STATE_FUNCTIONS:
        return CODES | STATES
    return STATES | CODES
