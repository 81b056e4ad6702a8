"""What a platform says of its tree, its RAM and its power states, and what it may not say."""

import pytest

from proto.platform import POWER_STATES, LocalState, Platform, PowerStateFormat
from services.firmware.memory import FirmwareMemory
from services.firmware.memory import LocalState as Level
from services.firmware.psci_common import in_ram
from services.firmware.psci_power_state import default_states, local_states

DOWN, STANDBY, RUN = LocalState.POWER_DOWN, LocalState.STANDBY, LocalState.RUN


def platform(clusters=(2, 2), **fields):
    """A board of this shape."""
    return Platform(name="shape", clusters=clusters, **fields)


@pytest.mark.parametrize(
    "fields",
    [
        {"clusters": ()},
        {"clusters": (0,)},
        {"clusters": (1, (1,))},
        {"clusters": ((),)},
        {"clusters": ((2, 2), (2, 3))},
        {"absent": ("CPU_ON",)},
        {"absent": ("NOTHING",)},
        {"disabled": (0,)},
        {"disabled": (9,)},
        {"ram": ()},
        {"power_states": {1 << 32: (STANDBY,)}},
        {"power_states": {0: ()}},
        {"power_states": {0: (RUN, STANDBY)}},
        {"power_states": {0: (STANDBY, DOWN)}},
        {"power_states": {0: (DOWN,) * 4}},
    ],
)
def test_refused(fields):
    """No such board can be."""
    with pytest.raises(ValueError, match=r"clusters|absent|disabled|ram|power_states"):
        platform(**fields)


def test_mpidrs_of_nested_clusters():
    """Aff0 is the index in the cluster, Aff1 the cluster, Aff2 the level above it."""
    board = platform(((2, 1), (1,)))

    assert board.mpidrs == (0x0, 0x1, 0x100, 0x1_0000)
    assert [board.cluster_of(cpu) for cpu in board.cpus] == [0, 0, 1, 2]
    assert board.levels == 3


def test_tree_of_nested_clusters():
    """Each level has its nodes; a PE's parents end in the root, of which there is one."""
    memory = FirmwareMemory(platform(((2, 1), (1,))))

    assert len(memory.clusters) == 3
    assert len(memory.domains) == 6
    assert [memory.members(domain) for domain in memory.parents(0)] == [
        (0, 1),
        (0, 1, 2),
        (0, 1, 2, 3),
    ]
    assert all(memory.parents(cpu)[-1] is memory.system for cpu in range(4))


@pytest.mark.parametrize("form", list(PowerStateFormat))
def test_defaults(form):
    """Standby, core and cluster are there without being named; other values are not."""
    board = platform(power_state_format=form)

    assert board.suspend_states == POWER_STATES[form]
    assert local_states(board, 0) == (Level.RETENTION, Level.RUN, Level.RUN)
    assert local_states(board, 0x99) is None
    assert default_states(board) == (Level.OFF, Level.RUN, Level.RUN)


def test_default_suspend_of_a_platform_with_standby_alone():
    """CPU_DEFAULT_SUSPEND takes what there is."""
    board = platform(power_states={5: (STANDBY,)})
    assert default_states(board) == (Level.RETENTION, Level.RUN, Level.RUN)


def test_ram_has_edges():
    """A range lies in RAM with all of its bytes or not at all."""
    board = platform(ram=((0x8000_0000, 0x1000),))
    assert in_ram(board, 0x8000_0FFC, 4)
    assert not in_ram(board, 0x8000_0FFD, 4)
