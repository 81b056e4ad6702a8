"""The EL1 bank as a row of words, its reset values and its tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proto.el1 import (
    GPRS,
    PSTATE_ENTRY,
    SCTLR_EL1_RESET,
    SYSREG_INDEX,
    SYSREGS,
    flatten,
    is_token,
    reset_state,
    token,
    unflatten,
    word_index,
    words,
)
from proto.messages import El1State

WORD = st.integers(0, (1 << 64) - 1)


def row_of(*sizes: int) -> st.SearchStrategy[tuple[int, ...]]:
    """Rows of words of one of these sizes."""
    return st.sampled_from(sizes).flatmap(lambda size: st.tuples(*[WORD] * size))


@given(st.integers(1, 8).flatmap(lambda lrs: st.tuples(st.just(lrs), row_of(words(lrs)))))
def test_a_row_and_its_bank_are_the_same_thing(given: tuple[int, tuple[int, ...]]) -> None:
    """Laying a bank out as words loses nothing, in either direction."""
    list_registers, row = given

    assert flatten(unflatten(row, list_registers)) == row


def test_a_row_of_another_length_is_refused() -> None:
    """A row that cannot be a bank is an error, not a bank with something missing."""
    with pytest.raises(ValueError, match="an EL1 bank has"):
        unflatten((0,) * (words(4) - 1), 4)


def test_a_reset_vcpu_has_the_architecture_s_values() -> None:
    """x0 is the context id, SCTLR and PSTATE have their reset values, all else is zero."""
    state = reset_state(0x4000_0000, 0xC0FFEE, 4, cntvoff=7)

    assert (state.pc, state.pstate, state.x[0]) == (0x4000_0000, PSTATE_ENTRY, 0xC0FFEE)
    assert state.sysregs[SYSREG_INDEX["SCTLR_EL1"]] == SCTLR_EL1_RESET
    assert not any(state.x[1:])
    assert sum(state.sysregs) == SCTLR_EL1_RESET
    assert len(state.x) == GPRS
    assert len(state.sysregs) == len(SYSREGS)
    assert state.lrs == (0, 0, 0, 0)
    assert (state.vmcr, state.apr, state.cntv_ctl, state.cntvoff) == (0, 0, 0, 7)


def test_a_word_is_found_by_the_name_of_its_register() -> None:
    """`word_index` names the words that `flatten` lays out."""
    state = El1State(
        1, 2, tuple(range(100, 131)), tuple(range(200, 215)), (300, 301), 3, 4, 5, 6, 7
    )
    row = flatten(state)

    assert row[word_index("pc", 2)] == 1
    assert row[word_index("x30", 2)] == 130
    assert row[word_index("SCTLR_EL1", 2)] == 200
    assert row[word_index("lr1", 2)] == 301
    assert row[word_index("cntvoff", 2)] == 7


def test_a_token_is_no_address() -> None:
    """Tokens are told from entry addresses by bit 63, and one from another by its number."""
    assert is_token(token(5))
    assert token(5) != token(6)
    assert not is_token(0x4000_0000)
