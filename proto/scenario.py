"""Scenarios and profiles: what a user writes in YAML, validated before anything runs."""

from collections.abc import Iterator
from enum import Enum

import msgspec

from proto.platform import DOMAINS_MAX, PowerModel


class Spec(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Base: unknown fields are errors, values are immutable."""


class Role(Enum):
    """What a domain is to Xen."""

    HARDWARE = "hardware"
    GUEST = "guest"


class GuestArch(Enum):
    """The width of a domain's EL1."""

    AARCH64 = "aarch64"
    AARCH32 = "aarch32"


class DomainSpec(Spec, frozen=True, kw_only=True):
    """One domain: its vCPUs and the program its guest runs.

    `context_id` goes to SYSTEM_SUSPEND as it stands (Linux passes 0). `tick_us` is the period of
    the guest's own timer. `commands` are shell lines the guest runs by itself after boot.
    `control` says whether its toolstack may use the privileged hypercalls; by default the hardware
    domain's may. `watchdog_s` is the timeout of its watchdog daemon, 0 for none; with
    `watchdog_hook` the daemon's sleep hook stops it before a suspend.
    `suspend_allowed` is the policy's word on the domain's own SYSTEM_SUSPEND.
    """

    id: int
    vcpus: int = 1
    role: Role = Role.GUEST
    program: str = "linux"
    context_id: int = 0
    tick_us: int = 4000
    commands: tuple[str, ...] = ()
    name: str = ""
    arch: GuestArch = GuestArch.AARCH64
    control: bool | None = None
    memory_mb: int = 32
    watchdog_s: int = 0
    watchdog_hook: bool = False
    suspend_allowed: bool = True

    @property
    def is_control(self) -> bool:
        """Whether the domain is a control domain (Xen, is_control_domain)."""
        return self.role is Role.HARDWARE if self.control is None else self.control

    @property
    def title(self) -> str:
        """The name that `xl list` shows."""
        return self.name or ("Domain-0" if self.id == 0 else f"dom{self.id}")

    def __post_init__(self) -> None:
        """Refuse numbers Xen would refuse."""
        if not 0 <= self.id < DOMAINS_MAX:
            raise ValueError(f"domain id {self.id} is not in 0 to {DOMAINS_MAX - 1}")
        if not 1 <= self.vcpus <= 8:
            raise ValueError(f"domain {self.id}: vcpus is {self.vcpus}, expected 1 to 8")
        if not 100 <= self.tick_us <= 1_000_000:
            raise ValueError(f"domain {self.id}: tick_us is {self.tick_us}, not in 100 to 1000000")
        if (self.role is Role.HARDWARE) != (self.id == 0):
            raise ValueError(f"domain {self.id}: domain 0, and no other, has the role hardware")


class TypeLine(Spec, frozen=True, kw_only=True):
    """Type a line on a domain's serial console."""

    domain: int
    line: str


class ExpectLine(Spec, frozen=True, kw_only=True):
    """Wait until a domain's console, or Xen's (no domain), prints a line containing one of these.

    `since` is `step` (only lines after this step began; the default) or `start`.
    """

    any_of: tuple[str, ...]
    domain: int | None = None
    within_ms: int = 5_000
    since: str = "step"

    def __post_init__(self) -> None:
        """Refuse an expectation that cannot be met or missed."""
        if not self.any_of:
            raise ValueError("expect: any_of needs at least one text")
        if self.since not in ("step", "start"):
            raise ValueError(f"expect: since is {self.since!r}, expected step or start")


POWER_STATES = ("sleeping", "waking", "on", "off")
"""What the board's power LED can show."""


class ExpectPower(Spec, frozen=True, kw_only=True):
    """Wait until the board's power LED shows a state; one that it shows already counts."""

    state: str
    within_ms: int = 10_000

    def __post_init__(self) -> None:
        """Refuse a state the LED does not have."""
        if self.state not in POWER_STATES:
            raise ValueError(f"power: {self.state!r} is none of {', '.join(POWER_STATES)}")


class ExpectPoint(Spec, frozen=True, kw_only=True):
    """Wait until a node has stood at an armed point."""

    point: str
    within_ms: int = 10_000


class PointAction(Spec, frozen=True, kw_only=True):
    """What happens when a node reaches an armed point, the `occurrence`-th time.

    `irq` raises that device's line, `irq_after_us` later, and `return_code` is what the program at
    the point sees as an injected answer; the node goes on after `hold_us` of board time, or never
    with `hold`.
    """

    point: str
    occurrence: int = 1
    irq: str | int | None = None
    irq_after_us: int = 0
    return_code: int = 0
    hold_us: int = 0
    hold: bool = False


class XlCommand(Spec, frozen=True, kw_only=True, rename={"from_domain": "from"}):
    """Type `xl COMMAND` on a control domain's console and wait for its prompt.

    `status` is the exit status that the prompt has to show, and `any_of` texts of which the output
    has to contain one; without them any will do.
    """

    command: str
    from_domain: int = 0
    status: int | None = None
    any_of: tuple[str, ...] = ()
    within_ms: int = 10_000

    def __post_init__(self) -> None:
        """Refuse what cannot be typed as one line."""
        if not self.command.isprintable() or not self.command.strip():
            raise ValueError(f"xl: command is {self.command!r}, expected one line of text")
        if len(self.command.encode()) > XL_BYTES_MAX:
            raise ValueError(f"xl: the command is longer than {XL_BYTES_MAX} bytes")

    @property
    def line(self) -> str:
        """What is typed."""
        return f"xl {self.command}"


XL_BYTES_MAX = 200
"""Far less than a guest's terminal holds before it is read."""


class Wake(Spec, frozen=True, kw_only=True):
    """Press a wake source, a device or its INTID, and wait until the power LED shows `on`."""

    source: str | int
    within_ms: int = 10_000


class Step(Spec, frozen=True, kw_only=True, rename={"type_line": "type"}):
    """One step of a scenario: exactly one of its fields is given.

    `irq` is a device, or the INTID of one. `wake` is the same, or a `Wake` with a limit.
    """

    type_line: TypeLine | None = None
    expect: ExpectLine | None = None
    power: ExpectPower | None = None
    reached: ExpectPoint | None = None
    xl: XlCommand | None = None
    irq: str | int | None = None
    wake: str | int | Wake | None = None
    alarm_ms: int | None = None
    wait_ms: int | None = None
    repeat: "Repeat | None" = None

    def __post_init__(self) -> None:
        """Refuse steps that say nothing or two things."""
        given = [name for name in self.__struct_fields__ if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                "a step needs exactly one of type, expect, power, reached, xl, irq, wake, alarm_ms,"
                " wait_ms, repeat"
            )

    @property
    def domain(self) -> int | None:
        """The domain whose console the step is about, if it is about one."""
        if self.xl is not None:
            return self.xl.from_domain
        spec = self.type_line or self.expect
        return None if spec is None else spec.domain

    @property
    def waking(self) -> Wake | None:
        """`wake` in full."""
        if self.wake is None or isinstance(self.wake, Wake):
            return self.wake
        return Wake(source=self.wake)


class Repeat(Spec, frozen=True, kw_only=True):
    """Carry out steps several times."""

    times: int
    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        """Refuse a count below one."""
        if self.times < 1:
            raise ValueError(f"repeat: times is {self.times}, expected at least 1")


class Finding(Spec, frozen=True, kw_only=True):
    """A finding that a published design is known to produce, with the interleaving that does it."""

    property: str
    contains: str
    because: str


class Relink(Spec, frozen=True, kw_only=True):
    """A symbol of Xen's image, and the symbol of the same image that stands in its place."""

    symbol: str
    stand_in: str


class Trigger(Enum):
    """Whose SYSTEM_SUSPEND suspends the host."""

    HARDWARE = "hardware"
    CONTROL = "control"


class Parking(Enum):
    """What an accepted SYSTEM_SUSPEND does to the domain that asked."""

    BLOCK = "block"
    """The vCPU blocks until an interrupt comes (2025-03)."""
    SHUTDOWN = "shutdown"
    """The domain is shut down with reason suspend until somebody resumes it."""


class Profile(Spec, frozen=True, kw_only=True):
    """A version of the Suspend-to-RAM series, as data.

    `suspend_steps` are rows of the step table, in order. `relink` says which symbols of Xen's
    image others stand in for in this version. `trigger`, `parking` and `xl_resume` (whether its
    toolstack has `xl resume`) are what a guest and an administrator see of it.
    """

    name: str
    title: str
    suspend_steps: tuple[str, ...]
    trigger: Trigger = Trigger.HARDWARE
    parking: Parking = Parking.BLOCK
    xl_resume: bool = False
    relink: tuple[Relink, ...] = ()
    expected_findings: tuple[Finding, ...] = ()


class Scenario(Spec, frozen=True, kw_only=True):
    """A board, what runs on it, what is done to it and what may come of it.

    `outcomes` lists the allowed results of each host suspend attempt: `slept`, `abandoned` (an
    interrupt was pending), `denied`, `aborted`. Empty means that any is allowed.
    """

    name: str
    title: str = ""
    platform: str = "quad"
    profile: str = "baseline"
    power_model: PowerModel = "all-lost"
    system_suspend: bool = True
    """Xen's configuration option CONFIG_SYSTEM_SUSPEND: host suspend is compiled in."""
    seed: int = 0
    time_limit_ms: int = 60_000
    domains: tuple[DomainSpec, ...]
    steps: tuple[Step, ...]
    points: tuple[PointAction, ...] = ()
    outcomes: tuple[str, ...] = ()
    expected_findings: tuple[Finding, ...] = ()
    open: bool = False
    """The board stays up after the last step, until somebody ends the scenario (`torpor up`)."""

    def __post_init__(self) -> None:
        """Refuse boards without a hardware domain and steps about domains that do not exist."""
        ids = [domain.id for domain in self.domains]
        if 0 not in ids:
            raise ValueError("domains: a board needs domain 0, the hardware domain")
        if len(set(ids)) != len(ids):
            raise ValueError(f"domains: ids {ids} are not distinct")
        armed = {action.point for action in self.points}
        for place, step in placed(self.steps):
            domain = step.domain
            if domain is not None and domain not in ids:
                raise ValueError(f"{place}: there is no domain {domain}; there are {ids}")
            if step.reached is not None and step.reached.point not in armed:
                raise ValueError(
                    f"{place}: nobody stops at {step.reached.point!r}; name it under points too"
                )
        for outcome in self.outcomes:
            if outcome not in OUTCOMES:
                raise ValueError(f"outcomes: {outcome!r} is none of {', '.join(OUTCOMES)}")


OUTCOMES = ("slept", "abandoned", "denied", "aborted")
"""How an attempt to suspend the host can end."""


def flatten(steps: tuple[Step, ...]) -> tuple[Step, ...]:
    """The steps as they are carried out, repetitions written out."""
    flat: list[Step] = []
    for step in steps:
        if step.repeat is None:
            flat.append(step)
        else:
            flat.extend(flatten(step.repeat.steps) * step.repeat.times)
    return tuple(flat)


def placed(steps: tuple[Step, ...], where: str = "steps") -> Iterator[tuple[str, Step]]:
    """The steps as they stand in the file, each with its place: `steps[2].repeat.steps[0]`."""
    for index, step in enumerate(steps):
        place = f"{where}[{index}]"
        yield place, step
        if step.repeat is not None:
            yield from placed(step.repeat.steps, f"{place}.repeat.steps")


def domain_ids(scenario: Scenario) -> tuple[int, ...]:
    """All domain ids in ascending order."""
    return tuple(sorted(domain.id for domain in scenario.domains))
