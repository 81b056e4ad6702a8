"""Arithmetic of the generic timer: pure functions of control, compare value and count.

Source: DDI 0487, The Generic Timer in AArch64 state. One count is one nanosecond of board time.
"""

ENABLE = 1 << 0
IMASK = 1 << 1
ISTATUS = 1 << 2

TVAL_MASK = 0xFFFF_FFFF
COUNT_MASK = 0xFFFF_FFFF_FFFF_FFFF

FOREVER_NS = 1 << 62
"""A deadline that never comes."""


def condition(ctl: int, cval: int, count: int) -> bool:
    """Whether the timer condition is met: enabled and the count has reached CVAL."""
    return bool(ctl & ENABLE) and count >= cval


def line(ctl: int, cval: int, count: int) -> bool:
    """Level of the timer's interrupt output: the condition, unless masked."""
    return not ctl & IMASK and condition(ctl, cval, count)


def read_ctl(ctl: int, cval: int, count: int) -> int:
    """CTL as software reads it, with ISTATUS."""
    return ctl & (ENABLE | IMASK) | (ISTATUS if condition(ctl, cval, count) else 0)


def tval(cval: int, count: int) -> int:
    """TVAL as software reads it: how far CVAL is ahead, in 32 bits."""
    return cval - count & TVAL_MASK


def cval_of(tval: int, count: int) -> int:
    """CVAL after a write of TVAL, whose 32 bits are a signed distance from now."""
    distance = tval & TVAL_MASK
    if distance >> 31:
        distance -= TVAL_MASK + 1
    return count + distance & COUNT_MASK


def next_edge_ns(ctl: int, cval: int, count: int) -> int | None:
    """The count at which the output will rise by itself, or None if it will not."""
    if ctl & ENABLE and not ctl & IMASK and count < cval:
        return cval
    return None
