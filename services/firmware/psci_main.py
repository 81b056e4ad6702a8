"""From function id to program, and which bits of the arguments count.

Source: DEN 0022, "Function definitions"; DEN 0028, SMCCC_VERSION and SMCCC_ARCH_FEATURES; TF-A
lib/psci/psci_main.c.
"""

from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any

from proto.image import symbol
from proto.psci import MASK_32, MASK_64, PSCI_1_1, Psci, PsciError
from proto.smccc import SMCCC_1_1, SMCCC_ARCH_FEATURES, SMCCC_VERSION, function_id, to_register
from services.firmware.context import El3Context
from services.firmware.psci_affinity_info import psci_affinity_info
from services.firmware.psci_off import psci_cpu_off
from services.firmware.psci_on import psci_cpu_on
from services.firmware.psci_suspend import psci_system_suspend
from services.firmware.psci_system_off import psci_system_off

Args = tuple[int, int, int]


@symbol
async def psci_version(el3: El3Context) -> int:
    """PSCI_VERSION: 1.1."""
    return PSCI_1_1


@symbol
async def psci_features(el3: El3Context, function: int) -> int:
    """PSCI_FEATURES: 0 (no flags) for what is implemented, else NOT_SUPPORTED."""
    known = function in SERVICES and function != SMCCC_ARCH_FEATURES
    return PsciError.SUCCESS if known else PsciError.NOT_SUPPORTED


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
    Psci.SYSTEM_OFF: Service(psci_system_off),
    Psci.SYSTEM_SUSPEND_32: Service(psci_system_suspend, (MASK_32, MASK_32)),
    Psci.SYSTEM_SUSPEND: Service(psci_system_suspend, (MASK_64, MASK_64)),
}
"""Every function this firmware implements."""


@symbol
async def psci_smc_handler(el3: El3Context, function: int, args: Args) -> int:
    """Answer an SMC: the value for x0, an error code sign-extended to 64 bits.

    An unknown function is NOT_SUPPORTED and never a fault (DEN 0028, "Unknown Function
    Identifier").
    """
    service = SERVICES.get(function_id(function))
    if service is None:
        return to_register(PsciError.NOT_SUPPORTED)
    values = (value & mask for value, mask in zip(args, service.arguments, strict=False))
    return to_register(await service.program(el3, *values))
