"""What the values of a case stand for while it runs, and whether a result is what was expected."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from proto.ids import CpuIndex
from proto.platform import Platform
from proto.psci import MASK_32, MASK_64, PsciError, from_register
from proto.vectors import Base, Registers, Result, Value, entry_address


@dataclass(frozen=True, slots=True)
class Frame:
    """Where a step stands: in which round of the innermost repetition, and for which PE."""

    round: int = 0
    cpu: CpuIndex | None = None


class Unknown(Exception):
    """A value stands for nothing yet; one line."""


@dataclass(slots=True)
class Names:
    """What `$winner` and the saved names of a case stand for now."""

    platform: Platform
    winner: CpuIndex | None = None
    saved: dict[str, int] = field(default_factory=dict)

    def resolve(self, value: Value, frame: Frame) -> int:
        """A value as a register holds it; raises `Unknown`."""
        return self._base(value, frame) + value.plus & MASK_64

    def registers(self, registers: Registers, frame: Frame) -> dict[int, int]:
        """Register numbers with what they hold."""
        return {number: self.resolve(value, frame) for number, value in registers}

    def _base(self, value: Value, frame: Frame) -> int:
        match value.base:
            case Base.ZERO:
                return 0
            case Base.MPIDR:
                return self.platform.mpidrs[value.cpu]
            case Base.ENTRY:
                return entry_address(self.platform)
            case Base.ROUND:
                return frame.round
            case Base.SELF:
                if frame.cpu is None:
                    raise Unknown("$self: the step has no PE")
                return self.platform.mpidrs[frame.cpu]
            case Base.WINNER:
                if self.winner is None:
                    raise Unknown("$winner: no call has returned SUCCESS yet")
                return self.platform.mpidrs[self.winner]
            case Base.SAVED:
                if value.name not in self.saved:
                    raise Unknown(f"${value.name}: nothing has been saved under this name yet")
                return self.saved[value.name]

    def matches(self, result: Result, x0: int | None, frame: Frame, mask: int = MASK_64) -> bool:
        """Whether a call's result, or None if it has not returned, is this one."""
        if result.value is None or x0 is None:
            return result.value is None and x0 is None
        return (self.resolve(result.value, frame) ^ x0) & mask == 0

    def matches_any(
        self, results: Sequence[Result], x0: int | None, frame: Frame, mask: int = MASK_64
    ) -> bool:
        """Whether it is one of these."""
        return any(self.matches(result, x0, frame, mask) for result in results)


def width_mask(aarch32: bool) -> int:
    """The bits of a register that a caller has."""
    return MASK_32 if aarch32 else MASK_64


def expected_text(results: Sequence[Result]) -> str:
    """What was expected, as the file says it."""
    return " or ".join(result.text for result in results)


def result_text(x0: int | None) -> str:
    """A value of x0 as a person reads it: codes by name."""
    if x0 is None:
        return "no-return"
    signed = from_register(x0)
    if PsciError.INVALID_ADDRESS <= signed < 0:
        return f"{PsciError(signed).name} ({signed})"
    return str(signed) if -16 < signed < 16 else f"{x0:#x}"


def registers_text(held: Sequence[int], wanted: dict[int, int]) -> str:
    """The registers that were asked about, as they are."""
    return ", ".join(f"x{number} {held[number]:#x}" for number in wanted) or "no register asked"
