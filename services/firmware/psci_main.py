"""From function id to program, and which bits of the arguments count.

Source: DEN 0022, "Function definitions"; DEN 0028, SMCCC_VERSION and SMCCC_ARCH_FEATURES; TF-A
lib/psci/psci_main.c.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from proto.image import symbol
from proto.platform import Platform, PowerStateFormat, TrustedOs
from proto.psci import MASK_32, MASK_64, PSCI_1_3, Psci, PsciError, function_name
from proto.smccc import (
    SMCCC_1_1,
    SMCCC_ARCH_FEATURES,
    SMCCC_VERSION,
    function_id,
    is_smc64,
    to_register,
)
from services.firmware.context import El3Context
from services.firmware.psci_affinity_info import psci_affinity_info
from services.firmware.psci_cpu_suspend import psci_cpu_default_suspend, psci_cpu_suspend
from services.firmware.psci_freeze import psci_cpu_freeze
from services.firmware.psci_mem_protect import psci_mem_chk_range, psci_mem_protect
from services.firmware.psci_migrate import (
    psci_migrate,
    psci_migrate_info_type,
    psci_migrate_info_up_cpu,
)
from services.firmware.psci_node_hw_state import psci_node_hw_state
from services.firmware.psci_off import psci_cpu_off
from services.firmware.psci_on import psci_cpu_on
from services.firmware.psci_stat import psci_stat_count, psci_stat_residency
from services.firmware.psci_suspend import psci_system_suspend
from services.firmware.psci_suspend_mode import psci_set_suspend_mode
from services.firmware.psci_system_off import (
    psci_system_off,
    psci_system_off2,
    psci_system_reset,
    psci_system_reset2,
)

Args = tuple[int, int, int]


@symbol
async def psci_version(el3: El3Context) -> int:
    """PSCI_VERSION: 1.3, which brought SYSTEM_OFF2."""
    return PSCI_1_3


@symbol
async def psci_features(el3: El3Context, function: int) -> int:
    """PSCI_FEATURES: flags, mostly 0, for what is implemented, else NOT_SUPPORTED."""
    if function == SMCCC_ARCH_FEATURES or service_of(el3.platform, function) is None:
        return PsciError.NOT_SUPPORTED
    flags = FLAGS.get(function_name(function))
    return 0 if flags is None else flags(el3.platform)


@symbol
async def smccc_version(el3: El3Context) -> int:
    """SMCCC_VERSION: 1.1."""
    return SMCCC_1_1


@symbol
async def smccc_arch_features(el3: El3Context, function: int) -> int:
    """SMCCC_ARCH_FEATURES: 0 for the calls of the Arm architecture range, else NOT_SUPPORTED."""
    known = function in (SMCCC_VERSION, SMCCC_ARCH_FEATURES)
    return PsciError.SUCCESS if known else PsciError.NOT_SUPPORTED


@dataclass(frozen=True, slots=True)
class Service:
    """A function: its program, and for each argument the bits that are part of it."""

    program: Callable[..., Coroutine[Any, Any, int]]
    arguments: tuple[int, ...] = ()


# An SMC32 call uses the low half of each argument; so does a 32-bit argument of an SMC64 call.
SERVICES: dict[int, Service] = {
    SMCCC_VERSION: Service(smccc_version),
    SMCCC_ARCH_FEATURES: Service(smccc_arch_features, (MASK_32,)),
    Psci.VERSION: Service(psci_version),
    Psci.FEATURES: Service(psci_features, (MASK_32,)),
    Psci.CPU_OFF: Service(psci_cpu_off),
    Psci.CPU_ON_32: Service(psci_cpu_on, (MASK_32, MASK_32, MASK_32)),
    Psci.CPU_ON: Service(psci_cpu_on, (MASK_64, MASK_64, MASK_64)),
    Psci.AFFINITY_INFO_32: Service(psci_affinity_info, (MASK_32, MASK_32)),
    Psci.AFFINITY_INFO: Service(psci_affinity_info, (MASK_64, MASK_32)),
    Psci.MIGRATE_32: Service(psci_migrate, (MASK_32,)),
    Psci.MIGRATE: Service(psci_migrate, (MASK_64,)),
    Psci.MIGRATE_INFO_TYPE: Service(psci_migrate_info_type),
    Psci.MIGRATE_INFO_UP_CPU_32: Service(psci_migrate_info_up_cpu),
    Psci.MIGRATE_INFO_UP_CPU: Service(psci_migrate_info_up_cpu),
    Psci.CPU_SUSPEND_32: Service(psci_cpu_suspend, (MASK_32, MASK_32, MASK_32)),
    Psci.CPU_SUSPEND: Service(psci_cpu_suspend, (MASK_32, MASK_64, MASK_64)),
    Psci.CPU_FREEZE: Service(psci_cpu_freeze),
    Psci.CPU_DEFAULT_SUSPEND_32: Service(psci_cpu_default_suspend, (MASK_32, MASK_32)),
    Psci.CPU_DEFAULT_SUSPEND: Service(psci_cpu_default_suspend, (MASK_64, MASK_64)),
    Psci.STAT_RESIDENCY_32: Service(psci_stat_residency, (MASK_32, MASK_32)),
    Psci.STAT_RESIDENCY: Service(psci_stat_residency, (MASK_64, MASK_32)),
    Psci.STAT_COUNT_32: Service(psci_stat_count, (MASK_32, MASK_32)),
    Psci.STAT_COUNT: Service(psci_stat_count, (MASK_64, MASK_32)),
    Psci.SYSTEM_OFF: Service(psci_system_off),
    Psci.SYSTEM_RESET: Service(psci_system_reset),
    Psci.NODE_HW_STATE_32: Service(psci_node_hw_state, (MASK_32, MASK_32)),
    Psci.NODE_HW_STATE: Service(psci_node_hw_state, (MASK_64, MASK_32)),
    Psci.SYSTEM_SUSPEND_32: Service(psci_system_suspend, (MASK_32, MASK_32)),
    Psci.SYSTEM_SUSPEND: Service(psci_system_suspend, (MASK_64, MASK_64)),
    Psci.SET_SUSPEND_MODE: Service(psci_set_suspend_mode, (MASK_32,)),
    Psci.SYSTEM_RESET2_32: Service(psci_system_reset2, (MASK_32, MASK_32)),
    Psci.SYSTEM_RESET2: Service(psci_system_reset2, (MASK_32, MASK_64)),
    Psci.MEM_PROTECT: Service(psci_mem_protect, (MASK_32,)),
    Psci.MEM_PROTECT_CHECK_RANGE_32: Service(psci_mem_chk_range, (MASK_32, MASK_32)),
    Psci.MEM_PROTECT_CHECK_RANGE: Service(psci_mem_chk_range, (MASK_64, MASK_64)),
    Psci.SYSTEM_OFF2_32: Service(psci_system_off2, (MASK_32, MASK_32)),
    Psci.SYSTEM_OFF2: Service(psci_system_off2, (MASK_32, MASK_64)),
}
"""Every function this firmware can have; a platform may leave optional ones out."""

PSCI_RANGE = range(0x20)
"""Function numbers of the standard Secure services that belong to PSCI."""

TRUSTED_OS_FUNCTIONS = ("MIGRATE", "MIGRATE_INFO_UP_CPU")
"""Functions that only a platform with a uniprocessor Trusted OS has."""

SUSPEND_OSI = 1 << 0
SUSPEND_EXTENDED = 1 << 1
HIBERNATE_OFF = 1 << 0


def _cpu_suspend_flags(platform: Platform) -> int:
    extended = platform.power_state_format is PowerStateFormat.EXTENDED
    osi = "SET_SUSPEND_MODE" not in platform.absent
    return SUSPEND_EXTENDED * extended | SUSPEND_OSI * osi


FLAGS: dict[str, Callable[[Platform], int]] = {
    "CPU_SUSPEND": _cpu_suspend_flags,
    "SYSTEM_OFF2": lambda platform: HIBERNATE_OFF,
}
"""What PSCI_FEATURES says of a function, where it is not 0."""


def service_of(platform: Platform, function: int) -> Service | None:
    """The service behind a function id, None if this platform does not have it."""
    name = function_name(function)
    if name in platform.absent:
        return None
    if name in TRUSTED_OS_FUNCTIONS and platform.trusted_os is TrustedOs.NONE:
        return None
    return SERVICES.get(function)


def is_psci(function: int) -> bool:
    """Whether a function id lies in the range of PSCI (DEN 0028, Function Identifier ranges)."""
    return function & 0xBFFF_0000 == 0x8400_0000 and function & 0xFFFF in PSCI_RANGE


@symbol
async def psci_smc_handler(
    el3: El3Context, function: int, args: Args, secure: bool = False, aarch32: bool = False
) -> int:
    """Answer an SMC: the value for x0, an error code sign-extended to 64 bits.

    An unknown function, an SMC64 one of an AArch32 caller and PSCI for the Secure world are
    NOT_SUPPORTED and never a fault (DEN 0028, "Unknown Function Identifier").
    """
    fid = function_id(function)
    service = service_of(el3.platform, fid)
    refused = (aarch32 and is_smc64(fid)) or (secure and is_psci(fid))
    if service is None or refused:
        return to_register(PsciError.NOT_SUPPORTED)
    values = (value & mask for value, mask in zip(args, service.arguments, strict=False))
    return to_register(await service.program(el3, *values))
