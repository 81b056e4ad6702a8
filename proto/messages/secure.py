"""Secure monitor."""

from typing import ClassVar

from proto.messages.base import Message


class Smc(Message, frozen=True):
    """SMC from a PE to its own EL3 context (DEN0028): function id and x1-x3.

    `secure` callers come from the Secure world (SCR_EL3.NS clear), `aarch32` ones from an EL that
    uses AArch32.
    """

    tx: int
    function: int
    args: tuple[int, int, int]
    secure: bool = False
    aarch32: bool = False
    link: ClassVar[str] = "smc"


class SmcReturn(Message, frozen=True):
    """ERET to the instruction after the SMC, with x0-x3."""

    tx: int
    results: tuple[int, int, int, int]
    link: ClassVar[str] = "smc"


class Eret(Message, frozen=True):
    """First entry of a PE below EL3 after reset: physical entry address and x0."""

    entry: int
    x0: int
    link: ClassVar[str] = "smc"


class SysregRead(Message, frozen=True):
    """EL3 reads a system register of its PE, by name; answered by `Reply`."""

    tx: int
    register: str
    link: ClassVar[str] = "smc"
