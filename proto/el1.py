"""The EL1 bank as `struct vcpu` keeps it: its order in cells, its reset values, its tokens.

`El1State` is what travels; here stands how it is laid out as a row of 64-bit words, so that Xen can
save and restore it with one burst, and what a vCPU holds when it is reset.
"""

from functools import lru_cache

from proto.messages import El1State
from proto.psci import MASK_32, MASK_64
from proto.scenario import GuestArch

GPRS = 31
"""x0 to x30."""

SYSREGS = (
    "SCTLR_EL1",
    "TTBR0_EL1",
    "TTBR1_EL1",
    "TCR_EL1",
    "VBAR_EL1",
    "MAIR_EL1",
    "TPIDR_EL1",
    "SP_EL1",
    "ELR_EL1",
    "SPSR_EL1",
    "CNTKCTL_EL1",
    "CPACR_EL1",
    "CONTEXTIDR_EL1",
    "SP_EL0",
    "TPIDR_EL0",
)
"""System registers of `El1State.sysregs`, in order."""

SYSREG_INDEX = {name: index for index, name in enumerate(SYSREGS)}
"""Position of a system register in `El1State.sysregs`."""

SCTLR_EL1_RESET = 0x00C50078
"""SCTLR_EL1 of a reset vCPU: MMU and caches off (Xen, SCTLR_GUEST_INIT)."""

PSTATE_ENTRY = 0x3C5
"""PSTATE of a reset vCPU: EL1h with D, A, I and F masked (Xen, PSR_GUEST64_INIT)."""

PSTATE_ENTRY_32 = 0x1D3
"""The same of a 32-bit vCPU: Supervisor mode with A, I and F masked (Xen, PSR_GUEST32_INIT)."""

PSTATE_T = 1 << 5
"""CPSR.T: a 32-bit vCPU executes Thumb code."""

THUMB = 1 << 0
"""Bit of an entry address that asks for Thumb state."""

PSTATE_I = 1 << 7
"""PSTATE.I: IRQs are masked."""

TOKEN = 1 << 63
"""Set in `El1State.pc` when it stands for a program that was interrupted, not for an address."""

RESET_SYSREGS = tuple(SCTLR_EL1_RESET if name == "SCTLR_EL1" else 0 for name in SYSREGS)
"""System registers of a reset vCPU."""

_HEAD = ("pc", "pstate")
_TAIL = ("vmcr", "apr", "cntv_ctl", "cntv_cval", "cntvoff")


def token(counter: int) -> int:
    """The `pc` that stands for the interruption with this number."""
    return TOKEN | counter


def is_token(pc: int) -> bool:
    """Whether a `pc` stands for an interrupted program."""
    return bool(pc & TOKEN)


def reset_state(
    entry: int,
    context_id: int,
    list_registers: int,
    cntvoff: int,
    arch: GuestArch = GuestArch.AARCH64,
) -> El1State:
    """A vCPU that starts at `entry` with x0 = `context_id` and everything else reset.

    A 32-bit vCPU starts in Thumb state if bit 0 of the entry is set. The list registers are empty,
    the virtual interface is disabled and the virtual timer is off; `cntvoff` is in nanoseconds of
    board time. Source: DEN 0022, CPU_ON; Xen, arch_set_info_guest, do_common_cpu_on.
    """
    pstate, mask = PSTATE_ENTRY, MASK_64
    if arch is GuestArch.AARCH32:
        pstate, mask = PSTATE_ENTRY_32 | (PSTATE_T if entry & THUMB else 0), MASK_32
        entry &= ~THUMB
    return El1State(
        pc=entry,
        pstate=pstate,
        x=(context_id & mask,) + (0,) * (GPRS - 1),
        sysregs=RESET_SYSREGS,
        lrs=(0,) * list_registers,
        vmcr=0,
        apr=0,
        cntv_ctl=0,
        cntv_cval=0,
        cntvoff=cntvoff,
    )


def words(list_registers: int) -> int:
    """How many words `flatten` gives on a platform with this many list registers."""
    return len(_HEAD) + GPRS + len(SYSREGS) + list_registers + len(_TAIL)


def flatten(state: El1State) -> tuple[int, ...]:
    """The bank as one row of words: pc, pstate, x0-x30, system registers, LRs, the rest."""
    tail = (state.vmcr, state.apr, state.cntv_ctl, state.cntv_cval, state.cntvoff)
    return (state.pc, state.pstate, *state.x, *state.sysregs, *state.lrs, *tail)


def unflatten(row: tuple[int, ...], list_registers: int) -> El1State:
    """The bank in a row that `flatten` gave; raises ValueError for a row of another length."""
    if len(row) != words(list_registers):
        raise ValueError(f"an EL1 bank has {words(list_registers)} words, got {len(row)}")
    x = len(_HEAD)
    sysregs = x + GPRS
    lrs = sysregs + len(SYSREGS)
    tail = lrs + list_registers
    return El1State(row[0], row[1], row[x:sysregs], row[sysregs:lrs], row[lrs:tail], *row[tail:])


def word_index(name: str, list_registers: int) -> int:
    """Position in the row of `pc`, `pstate`, `x0`-`x30`, a system register, `lr0`... or the rest.

    Raises KeyError for a name that is none of them.
    """
    return _names(list_registers)[name]


@lru_cache
def _names(list_registers: int) -> dict[str, int]:
    names = (
        *_HEAD,
        *(f"x{index}" for index in range(GPRS)),
        *SYSREGS,
        *(f"lr{index}" for index in range(list_registers)),
        *_TAIL,
    )
    return {name: index for index, name in enumerate(names)}
