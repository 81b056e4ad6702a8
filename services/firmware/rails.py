"""The rail of one PE: its states and legal moves, as tables.

Source: TF-A drivers/arm/fvp/fvp_pwrc.c (PPONR, PPOFFR, PWKUPR.WEN, PSYSR).
"""

from enum import Enum

from proto.psci import HwState


class PeState(Enum):
    """What the rail of a PE is doing."""

    OFF = "off"
    RISING = "rising"
    ON = "on"
    ON_LATCHED = "on, with a power-on request for after the coming cut"
    FALLING = "falling"
    FALLING_LATCHED = "falling, with a power-on request for after the cut"
    STANDBY = "on, in WFI"
    FROZEN = "on, in a WFI that no interrupt ends"
    DOZING = "on, in WFI, to be cut if no interrupt comes"
    SUSPENDED = "off, to be woken by an interrupt"
    WAKING = "rising for an interrupt"


class PeEvent(Enum):
    """What moves the rail of a PE."""

    POWER_ON = "PowerOn"
    RISEN = "the rail has risen"
    POWER_OFF = "PowerOff"
    CUT = "the rail has fallen"
    SYSTEM_CUT = "the system goes to sleep"
    RELEASED = "cold boot, or the system wakes"
    STANDBY = "CpuSleep in standby"
    SLEEP = "CpuSleep with power-down"
    FREEZE = "CpuFreeze"
    WAKE = "the GIC asks for the PE"


PE_TRANSITIONS: dict[tuple[PeState, PeEvent], PeState] = {
    (PeState.OFF, PeEvent.POWER_ON): PeState.RISING,
    (PeState.RISING, PeEvent.RISEN): PeState.ON,
    (PeState.ON, PeEvent.POWER_OFF): PeState.FALLING,
    (PeState.FALLING, PeEvent.CUT): PeState.OFF,
    (PeState.ON, PeEvent.SYSTEM_CUT): PeState.OFF,
    (PeState.OFF, PeEvent.RELEASED): PeState.ON,
    # Firmware publishes OFF before the final WFI, so a CPU_ON may come before or during the cut.
    # The cut is never cancelled: it finishes, then the PE is powered up.
    (PeState.ON, PeEvent.POWER_ON): PeState.ON_LATCHED,
    (PeState.ON_LATCHED, PeEvent.POWER_OFF): PeState.FALLING_LATCHED,
    (PeState.FALLING, PeEvent.POWER_ON): PeState.FALLING_LATCHED,
    (PeState.FALLING_LATCHED, PeEvent.CUT): PeState.RISING,
    (PeState.ON, PeEvent.STANDBY): PeState.STANDBY,
    (PeState.STANDBY, PeEvent.WAKE): PeState.ON,
    (PeState.ON, PeEvent.SLEEP): PeState.DOZING,
    # The power-down is given up if an interrupt comes before the cut; afterwards it is a wake-up.
    (PeState.DOZING, PeEvent.WAKE): PeState.ON,
    (PeState.DOZING, PeEvent.CUT): PeState.SUSPENDED,
    (PeState.SUSPENDED, PeEvent.WAKE): PeState.WAKING,
    (PeState.WAKING, PeEvent.RISEN): PeState.ON,
    # A frozen PE is reset when it is asked for; until then it is OFF to everybody but its rail.
    (PeState.ON, PeEvent.FREEZE): PeState.FROZEN,
    (PeState.ON_LATCHED, PeEvent.FREEZE): PeState.RISING,
    (PeState.FROZEN, PeEvent.POWER_ON): PeState.RISING,
    (PeState.FROZEN, PeEvent.SYSTEM_CUT): PeState.OFF,
}
"""Legal moves. A PowerOn that is not here is refused; anything else that is not stops the run."""

HW_STATES: dict[PeState, HwState] = {
    PeState.OFF: HwState.OFF,
    PeState.RISING: HwState.OFF,
    PeState.ON: HwState.ON,
    PeState.ON_LATCHED: HwState.ON,
    PeState.FALLING: HwState.ON,
    PeState.FALLING_LATCHED: HwState.ON,
    PeState.STANDBY: HwState.STANDBY,
    PeState.FROZEN: HwState.STANDBY,
    PeState.DOZING: HwState.ON,
    PeState.SUSPENDED: HwState.OFF,
    PeState.WAKING: HwState.OFF,
}
"""What the rail of a PE does, as NODE_HW_STATE tells it."""
