"""The gate: which keys open which door, how often, and what is counted."""

import pytest

from bus.gate import Door, Gate
from bus.keys import Keyring

RING = Keyring(hub="h", processes={"firmware": "f", "dom1": "d"}, client="c")


def test_a_process_comes_in_once() -> None:
    """Whoever else has its key comes too late, during the whole run."""
    gate = Gate(RING)
    assert gate.admits("turns", "f")
    assert not gate.admits("turns", "f")
    assert gate.admits("turns", "d")

    assert gate.take_refusals() == {
        ("firmware", "a second connection with the key of a process"): 1
    }


def test_a_pulse_may_come_back() -> None:
    """A process that was paused is felt again."""
    gate = Gate(RING)
    assert all(gate.admits("pulse", "d") for _ in range(3))


def test_clients_come_and_go() -> None:
    """They share a key, and have no pulse."""
    gate = Gate(RING)
    assert all(gate.admits("turns", "c") for _ in range(3))
    assert not gate.admits("pulse", "c")


@pytest.mark.parametrize("door", ["turns", "pulse"])
@pytest.mark.parametrize("key", ["h", "x", ""])
def test_other_keys_open_nothing(door: Door, key: str) -> None:
    """The hub's own key is nobody's ticket; refusals are counted, and told once."""
    gate = Gate(RING)
    assert not any(gate.admits(door, key) for _ in range(3))

    assert gate.take_refusals() == {("stranger", "a key of another run"): 3}
    assert not gate.take_refusals()
