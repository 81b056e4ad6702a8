"""PSCI call vectors: one case, parsed, as every process of its board knows it.

`deploy/psci/parse.py` makes these from files; `docs/PSCI_VECTORS.md` says what stands in them. All
numbers are registers of 64 bits. A PE is named by its CPU index.
"""

from collections.abc import Iterator, Sequence
from enum import StrEnum

import msgspec

from proto.gic import SPI_FIRST
from proto.platform import XEN_TEXT, Platform

ENTRY_OFFSET = 0x1000
"""Where `$entry` lies in the first range of Non-secure RAM."""


class Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of everything in a case."""


class Base(StrEnum):
    """What a value counts from."""

    ZERO = "zero"
    MPIDR = "mpidr"
    ENTRY = "entry"
    SELF = "self"
    WINNER = "winner"
    ROUND = "round"
    SAVED = "saved"


class Value(Part, frozen=True, kw_only=True):
    """A number that is known when its step begins: what `base` stands for, plus `plus`.

    `cpu` goes with MPIDR, `name` with SAVED; `text` is what the file says.
    """

    base: Base
    plus: int = 0
    cpu: int = 0
    name: str = ""
    text: str


class Result(Part, frozen=True, kw_only=True):
    """What a call may give: a value of x0, or no value: the call does not return."""

    value: Value | None
    text: str


Registers = tuple[tuple[int, Value], ...]
"""Register numbers with the values that they are given, or have to hold."""


class VectorStep(Part, frozen=True, kw_only=True, tag=True):
    """Base of the steps of a case; `place` is where it stands: `steps[2].at_once[0]`."""

    place: str


class Invocation(Part, frozen=True, kw_only=True):
    """An SMC: x0 as it stands, x1 to x30, and who calls. Registers not named are zero.

    `succeeds` says that zero in x0 is SUCCESS, and no state, count or set of flags.
    """

    text: str
    function: int
    succeeds: bool
    registers: Registers = ()
    secure: bool = False
    aarch32: bool = False


class Call(VectorStep, frozen=True, kw_only=True):
    """PEs make a call, one after the other or `together`, and each has to get what is expected."""

    pes: tuple[int, ...]
    invocation: Invocation
    together: bool = False
    expect: tuple[Result, ...] = ()
    expect_count: tuple[tuple[Result, int], ...] = ()
    expect_registers: Registers = ()
    at_least: Value | None = None
    save: str = ""


class Poll(VectorStep, frozen=True, kw_only=True):
    """A PE repeats a call until it gives one of `until`; it may give `allow` meanwhile."""

    pe: int
    invocation: Invocation
    until: tuple[Result, ...]
    allow: tuple[Result, ...] = ()
    within_ms: int
    save: str = ""


class Together(VectorStep, frozen=True, kw_only=True):
    """Sequences of steps begin together; all have to end."""

    threads: "tuple[tuple[Step, ...], ...]"


class Loop(VectorStep, frozen=True, kw_only=True):
    """Steps are carried out several times."""

    times: int
    steps: "tuple[Step, ...]"


class Enters(VectorStep, frozen=True, kw_only=True):
    """A PE arrives at `$entry` with these registers.

    `resumes` PEs may as well come back from their last call in line, with SUCCESS.
    """

    pe: int
    registers: Registers
    within_ms: int
    resumes: bool = False


class Entries(VectorStep, frozen=True, kw_only=True):
    """How often a PE has arrived at `$entry` since the case began."""

    pe: int
    count: int


class Returns(VectorStep, frozen=True, kw_only=True):
    """A PE's last call returns in line, or has done so."""

    pe: int
    expect: tuple[Result, ...]
    within_ms: int


class MaskIrq(VectorStep, frozen=True, kw_only=True):
    """A PE sets or clears DAIF.I."""

    pe: int
    masked: bool


class RaiseIrq(VectorStep, frozen=True, kw_only=True):
    """A device raises its line, until the interrupt is taken."""

    intid: int
    target: int


class SendSgi(VectorStep, frozen=True, kw_only=True):
    """A PE sends a software generated interrupt."""

    sgi: int
    source: int
    targets: tuple[int, ...]


class ArmTimer(VectorStep, frozen=True, kw_only=True):
    """A comparator of the PE, or for an SPI the always-on timer, fires after a time."""

    pe: int
    intid: int
    after_ms: int


class Taken(VectorStep, frozen=True, kw_only=True):
    """How often a PE has acknowledged an interrupt since it was last asked.

    With a `source`, SGIs from that PE alone count.
    """

    pe: int
    intid: int
    times: int
    source: int | None
    within_ms: int


class Memory(VectorStep, frozen=True, kw_only=True):
    """Memory or a device register is written, or read and compared under a mask.

    A width of 0 stands for a cell of memory, or a register of four bytes. Without a PE, memory is
    reached from outside, and a register through any PE that runs.
    """

    pe: int | None
    address: Value
    width: int
    write: Value | None = None
    expect: tuple[Result, ...] = ()
    mask: int = (1 << 64) - 1
    at_least: Value | None = None
    save: str = ""


class Hold(VectorStep, frozen=True, kw_only=True):
    """The power controller withholds a PE's power-up, or gives it free."""

    pe: int
    on: bool


class WaitMs(VectorStep, frozen=True, kw_only=True):
    """Board time passes."""

    duration_ms: int


class SystemState(StrEnum):
    """What a machine does as a whole."""

    COLD_BOOT = "cold-boot"
    WARM_BOOT = "warm-boot"
    POWERED_OFF = "powered-off"


class ExpectSystem(VectorStep, frozen=True, kw_only=True):
    """The machine boots, or is switched off."""

    state: SystemState
    within_ms: int


Step = (
    Call
    | Poll
    | Together
    | Loop
    | Enters
    | Entries
    | Returns
    | MaskIrq
    | RaiseIrq
    | SendSgi
    | ArmTimer
    | Taken
    | Memory
    | Hold
    | WaitMs
    | ExpectSystem
)
"""Every kind of step."""


class VectorCase(Part, frozen=True, kw_only=True):
    """One case: steps on a fresh board with PE 0 on and all others off."""

    id: str
    source: str = ""
    steps: tuple[Step, ...]


def every_step(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps with those inside them, in the order of the file."""
    for step in steps:
        yield step
        if isinstance(step, Loop):
            yield from every_step(step.steps)
        elif isinstance(step, Together):
            for thread in step.threads:
                yield from every_step(thread)


def acts_at_once(case: VectorCase) -> bool:
    """Whether several PEs of a case are told to do something at the same time."""
    return any(
        isinstance(step, Together) or (isinstance(step, Call) and step.together)
        for step in every_step(case.steps)
    )


def shared_interrupts(case: VectorCase) -> dict[int, int]:
    """SPIs of a case, each with the CPU index of the PE that its first step names as the target."""
    routes: dict[int, int] = {}
    for step in every_step(case.steps):
        if isinstance(step, RaiseIrq):
            routes.setdefault(step.intid, step.target)
        elif isinstance(step, ArmTimer) and step.intid >= SPI_FIRST:
            routes.setdefault(step.intid, step.pe)
    return routes


def entry_address(platform: Platform) -> int:
    """Physical address of `$entry`: in Non-secure RAM, and not where PE 0 boots.

    Raises ValueError if the platform has no room for it.
    """
    for base, size in platform.non_secure_ram:
        first, last = base + 7 & ~7, base + size - 8
        for address in (base + ENTRY_OFFSET & ~7, first, first + 8):
            if first <= address <= last and address != XEN_TEXT:
                return address
    raise ValueError("ram: there is no room for an entry point in Non-secure RAM")
