"""What a power_state argument asks for (TF-A plat `validate_power_state`)."""

from proto.platform import LocalState as Named
from proto.platform import Platform
from services.firmware.memory import LocalState

States = tuple[LocalState, ...]
"""One local state for each level, from the core to the root."""

LOCAL_STATES: dict[Named, LocalState] = {
    Named.RUN: LocalState.RUN,
    Named.STANDBY: LocalState.RETENTION,
    Named.POWER_DOWN: LocalState.OFF,
}


def local_states(platform: Platform, power_state: int) -> States | None:
    """Local states of a power_state; None if a must-be-zero bit is set or nobody knows it."""
    named = platform.suspend_states.get(power_state)
    return None if named is None else _padded(platform, named)


def default_states(platform: Platform) -> States:
    """What CPU_DEFAULT_SUSPEND does: the shallowest power-down there is, else the first state."""
    table = tuple(platform.suspend_states.values())
    down = [named for named in table if named[0] is Named.POWER_DOWN]
    chosen = min(down, key=lambda named: len(_sleeping(named))) if down else table[0]
    return _padded(platform, chosen)


def _sleeping(named: tuple[Named, ...]) -> tuple[Named, ...]:
    return tuple(state for state in named if state is not Named.RUN)


def _padded(platform: Platform, named: tuple[Named, ...]) -> States:
    """Levels that are not named keep running."""
    states = [LOCAL_STATES[state] for state in named]
    return tuple(states + [LocalState.RUN] * (platform.levels + 1 - len(states)))
