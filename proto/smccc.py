"""SMCCC words: the layout of a function id and the calls of the Arm architecture range.

Source: Arm DEN 0028 (SMC Calling Convention), "SMC and HVC Function Identifiers" and
"Arm Architecture Calls".
"""

SMC64 = 1 << 30
"""Function id bit that selects the SMC64 calling convention."""

SVE_HINT = 1 << 16
"""Hint that SVE state need not be preserved; not part of the identity of a function."""

SMCCC_VERSION = 0x80000000
"""SMCCC_VERSION function id (DEN 0028, SMCCC_VERSION)."""

SMCCC_ARCH_FEATURES = 0x80000001
"""SMCCC_ARCH_FEATURES function id (DEN 0028, SMCCC_ARCH_FEATURES)."""

SMCCC_1_1 = 0x00010001

MASK_32 = 0xFFFFFFFF
MASK_64 = 0xFFFFFFFFFFFFFFFF


def function_id(w0: int) -> int:
    """The function an SMC asks for: the low 32 bits of the register without the SVE hint."""
    return w0 & MASK_32 & ~SVE_HINT


def is_smc64(function: int) -> bool:
    """Whether the function id uses the SMC64 convention."""
    return bool(function & SMC64)


def to_register(code: int) -> int:
    """A signed return code as the 64-bit register value that carries it."""
    return code & MASK_64


def from_register(value: int) -> int:
    """A 64-bit register value as the signed code in it."""
    return value - (1 << 64) if value >> 63 else value
