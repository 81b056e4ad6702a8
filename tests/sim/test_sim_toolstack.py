"""The toolstack on a whole board: what `xl` prints, line by line, and what it ends with."""

import pytest
from msgspec.structs import replace

from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import resolve
from proto.board import Board
from proto.messages import SerialOutput
from proto.scenario import DomainSpec, ExpectLine, GuestArch, Role, Step, TypeLine, XlCommand
from proto.turn import Send, Turn
from proto.units import S

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]

DOMAINS = (
    DomainSpec(id=0, role=Role.HARDWARE, vcpus=1),
    DomainSpec(id=1, vcpus=2, memory_mb=64, name="web"),
    DomainSpec(id=2, arch=GuestArch.AARCH32),
)
BOOTED = tuple(
    Step(expect=ExpectLine(domain=spec.id, any_of=(f"dom{spec.id}: up",), since="start"))
    for spec in DOMAINS
)


def board(*steps: Step, profile: str = "v11") -> Board:
    """A board that boots and then does these steps."""
    plain = resolve("baseline")
    scenario = replace(plain.scenario, domains=DOMAINS, steps=(*BOOTED, *steps), points=())
    return replace(plain, scenario=scenario, profile=resolve(profile).profile)


def printed(of: Board, tty: str = "tty0") -> list[str]:
    """What a console has shown behind the prompt of the boot."""
    lines: list[str] = []

    def record(turn: Turn) -> None:
        if turn.node == tty:
            bodies = [effect.body for effect in turn.effects if isinstance(effect, Send)]
            lines.extend(body.line for body in bodies if isinstance(body, SerialOutput))

    World(build_nodes(of), of.platform.latencies, RandomStrategy(4), record).run(60 * S)
    return lines[lines.index(f"dom{tty.removeprefix('tty')} [0]#") + 1 :]


def xl(command: str, profile: str = "v11", *before: Step) -> list[str]:
    """The lines of one command, with the prompt behind them."""
    lines = printed(board(*before, Step(xl=XlCommand(command=command)), profile=profile))
    start = lines.index(f"xl {command}")
    return lines[start + 1 :]


def test_xl_list() -> None:
    """Name, id, memory, vCPUs that are on, state letters and time."""
    header, dom0, web, dom2, prompt = xl("list")

    assert header == ("Name                                        ID   Mem VCPUs\tState\tTime(s)")
    assert dom0 == (
        "Domain-0                                     0    32     1     r-----       0.0"
    )
    assert web.startswith("web                                          1    64     2     ")
    assert dom2.startswith("dom2                                         2    32     1     ")
    assert prompt == "dom0 [0]#"


def test_xl_vcpu_list() -> None:
    """A row for each vCPU of the domain named, by name."""
    header, first, second, prompt = xl("vcpu-list web")

    assert header == (
        "Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)"
    )
    assert first.startswith("web                                  1     0     ")
    assert second.endswith("all / all")
    assert prompt == "dom0 [0]#"


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("suspend web", ["command not implemented", "dom0 [1]#"]),
        ("destroy web", ["command not implemented", "dom0 [1]#"]),
        ("pause nobody", ["nobody is an invalid domain identifier (rc=-6)", "dom0 [1]#"]),
        (
            "pause",
            [
                "'xl pause' requires at least 1 argument.",
                "Usage: xl [-vfNtT] pause <Domain>",
                "dom0 [1]#",
            ],
        ),
        (
            "pause 0",
            ["libxl: error: Domain 0:Failed to pause domain: Invalid argument", "dom0 [1]#"],
        ),
        (
            "cpu-hotplug 9 on",
            ["CPU 9 online failed (22: Invalid argument)", "dom0 [1]#"],
        ),
        ("cpu-hotplug x on", ["Usage: xl [-vfNtT] cpu-hotplug <CPU> <on|off>", "dom0 [1]#"]),
        ("pause web", ["dom0 [0]#"]),
    ],
)
def test_what_xl_says(command: str, lines: list[str]) -> None:
    """And the exit status behind it."""
    assert xl(command) == lines


@pytest.mark.parametrize(
    ("profile", "lines"),
    [
        ("seed", ["command not implemented", "dom0 [1]#"]),
        ("baseline", ["command not implemented", "dom0 [1]#"]),
        ("v8", ["dom0 [0]#"]),
        ("v11", ["dom0 [0]#"]),
    ],
)
def test_xl_resume_came_with_the_shutdown_state(profile: str, lines: list[str]) -> None:
    """Before, nothing could be resumed."""
    assert xl("resume web", profile) == lines


def test_a_guest_without_privileges_has_no_toolstack() -> None:
    """Its hypercalls are refused."""
    typed = Step(type_line=TypeLine(domain=1, line="xl list"))
    waited = Step(expect=ExpectLine(domain=1, any_of=("dom1 [1]#",)))

    assert printed(board(typed, waited), "tty1") == [
        "xl list",
        "xencall: error: Could not obtain handle on privileged command interface",
        "cannot init xl context",
        "dom1 [1]#",
    ]


def test_xl_help_lists_what_the_profile_has() -> None:
    """Without `suspend`, and without `resume` where there is none."""
    lines = xl("help", "seed")

    commands = [line.split()[0] for line in lines[2:-1]]
    assert commands == [
        "list",
        "vcpu-list",
        "pause",
        "unpause",
        "shutdown",
        "dmesg",
        "info",
        "cpu-hotplug",
    ]


def test_xl_dmesg_is_the_console_ring() -> None:
    """What Xen has printed since boot."""
    lines = xl("dmesg")

    assert "(XEN) Brought up 4 CPUs" in lines
    assert "(XEN) Xen is up with 3 domains" in lines
