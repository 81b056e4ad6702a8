"""Function ids and signed codes in registers."""

import pytest

from proto.smccc import SVE_HINT, from_register, function_id, is_smc64, to_register


def test_function_id_is_w0_without_the_sve_hint():
    """The upper half of x0 and bit 16 are not part of a function's identity."""
    assert function_id(0xDEAD_BEEF_8400_0000 | SVE_HINT) == 0x8400_0000


def test_smc64_is_bit_30():
    """CPU_ON has both forms."""
    assert is_smc64(0xC400_0003)
    assert not is_smc64(0x8400_0003)


@pytest.mark.parametrize("code", [0, 1, 2, -1, -9, (1 << 63) - 1, -(1 << 63)])
def test_codes_survive_a_register(code):
    """A signed code comes back from its 64-bit register as it went in."""
    assert 0 <= to_register(code) < 1 << 64
    assert from_register(to_register(code)) == code
