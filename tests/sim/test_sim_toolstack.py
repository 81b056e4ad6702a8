"""The toolstack on a whole board: what `xl` prints, line by line, and what it ends with."""

import re

import pytest
from msgspec.structs import replace

from bus.world.sim import World
from bus.world.strategies import RandomStrategy
from deploy.composition import build_nodes
from deploy.loading import resolve
from proto.board import Board
from proto.messages import SerialOutput
from proto.scenario import (
    DomainSpec,
    ExpectLine,
    ExpectPoint,
    GuestArch,
    PointAction,
    Role,
    Step,
    TypeLine,
    XlCommand,
)
from proto.turn import Send, Turn
from proto.units import S

pytestmark = [pytest.mark.sim, pytest.mark.timeout(120)]

PARKED = "vpsci.SYSTEM_SUSPEND d1"
PAUSE_USAGE = ("Usage: xl [-vtTf] pause <Domain>", "", "Pause execution of a domain.", "")

DOMAINS = (
    DomainSpec(id=0, role=Role.HARDWARE, vcpus=1),
    DomainSpec(id=1, vcpus=2, memory_mb=64, name="web"),
    DomainSpec(id=2, arch=GuestArch.AARCH32),
)
POINTS = (PointAction(point=PARKED),)
BOOTED = tuple(
    Step(expect=ExpectLine(domain=spec.id, any_of=(f"dom{spec.id}: up",), since="start"))
    for spec in DOMAINS
)


def board(*steps: Step, profile: str = "v11") -> Board:
    """A board that boots and then does these steps."""
    plain = resolve("baseline")
    scenario = replace(plain.scenario, domains=DOMAINS, steps=(*BOOTED, *steps), points=POINTS)
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
    row = re.compile(r"web {34}1     [01]    [0-3]   [r-][b-]-       0\.0  all / all")
    assert row.fullmatch(first)
    assert row.fullmatch(second)
    assert prompt == "dom0 [0]#"


def test_xl_vcpu_list_shows_what_is_off_and_where_vcpus_may_run() -> None:
    """A CPU that is offline is no part of `all`; a vCPU that is off has no CPU."""
    suspend = Step(type_line=TypeLine(domain=1, line="echo mem > /sys/power/state"))
    reached = Step(reached=ExpectPoint(point=PARKED))
    offline = Step(xl=XlCommand(command="cpu-hotplug 3 off", status=0))
    _, first, second, _ = xl("vcpu-list web", "v11", suspend, reached, offline)

    assert re.search(r" 1     0    [0-2]   --- +0\.0  all / all$", first)
    assert re.search(r" 1     1    -   --p +0\.0  all / all$", second)


@pytest.mark.parametrize(
    ("command", "lines"),
    [
        ("suspend web", ["command not implemented", "dom0 [1]#"]),
        ("destroy web", ["command not implemented", "dom0 [1]#"]),
        ("pause nobody", ["nobody is an invalid domain identifier (rc=-6)", "dom0 [1]#"]),
        ("pause", ["'xl pause' requires at least 1 argument.", "", *PAUSE_USAGE, "dom0 [2]#"]),
        ("pause -h", [*PAUSE_USAGE, "dom0 [0]#"]),
        ("help pause", [*PAUSE_USAGE, "dom0 [0]#"]),
        ("help destroy", ['command "destroy" not implemented', "dom0 [0]#"]),
        ("pause -x web", ["option `x' not supported.", "dom0 [2]#"]),
        ("-x pause web", ["unknown global option", "dom0 [1]#"]),
        ("-v pause web", ["dom0 [0]#"]),
        ("pause web", ["dom0 [0]#"]),
        (
            "pause 0",
            [
                "libxl: error: libxl_domain.c:libxl_domain_pause: "
                "Domain 0:Pausing domain: Invalid argument",
                "dom0 [0]#",
            ],
        ),
        (
            "pause 9",
            [
                "libxl: error: libxl_domain.c:libxl_domain_pause: "
                "Domain 9:Pausing domain: No such process",
                "dom0 [0]#",
            ],
        ),
        (
            "unpause web",
            [
                "libxl: error: libxl_domain.c:domain_unpause_done: "
                "Domain 1:Unpausing domain: Invalid argument",
                "dom0 [0]#",
            ],
        ),
        (
            "resume 0",
            [
                "libxl: error: libxl_dom_suspend.c:domain_resume_done: "
                "Domain 0:xc_domain_resume failed: Invalid argument",
                "dom0 [0]#",
            ],
        ),
        (
            "resume 9",
            [
                "libxl: error: libxl_dom.c:libxl__domain_type: "
                "unable to get domain type for domid=9",
                "dom0 [0]#",
            ],
        ),
        ("list 9", ["Error: Domain '9' does not exist.", "dom0 [1]#"]),
        (
            "list 1 2",
            [
                "Usage: xl [-vtT] list [options] [Domain]",
                "",
                "List information about all/some domains.",
                "",
                "dom0 [1]#",
            ],
        ),
        ("shutdown", ["You must specify -a or a domain id.", "", "dom0 [1]#"]),
        ("shutdown nobody", ["nobody is an invalid domain identifier (rc=-6)", "dom0 [1]#"]),
        (
            "shutdown 9",
            [
                "Shutting down domain 9",
                "libxl: error: libxl_dom.c:libxl__domain_type: "
                "unable to get domain type for domid=9",
                "shutdown failed (rc=-3)",
                "dom0 [1]#",
            ],
        ),
        ("shutdown -a", ["Shutting down domain 1", "Shutting down domain 2", "dom0 [0]#"]),
        ("info xen_version", ["4.22", "dom0 [0]#"]),
        ("info nothing", ["dom0 [0]#"]),
        (
            "cpu-hotplug 9 on",
            ["CPU 9 online failed (error 22: Invalid argument)", "dom0 [1]#"],
        ),
        (
            "cpu-hotplug x on",
            [
                "Usage: xl [-vtTf] cpu-hotplug <CPU> <on|off>",
                "",
                "Take a physical CPU down or bring it back.",
                "",
                "dom0 [2]#",
            ],
        ),
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
        "xencall: error: Could not obtain handle on privileged command interface: "
        "Permission denied",
        "libxl: error: libxl.c:libxl_ctx_alloc: cannot open libxc handle: Permission denied",
        "cannot init xl context",
        "dom1 [1]#",
    ]


def test_xl_help_lists_what_the_profile_has() -> None:
    """Without `suspend`, and without `resume` where there is none."""
    lines = xl("help", "seed")

    assert lines[:4] == [
        "Usage xl [-vfNtT] <subcommand> [args]",
        "",
        "xl full list of subcommands:",
        "",
    ]
    assert [line.split()[0] for line in lines[4:-1]] == [
        "list",
        "shutdown",
        "pause",
        "unpause",
        "vcpu-list",
        "info",
        "dmesg",
        "cpu-hotplug",
    ]


def test_xl_dmesg_is_the_console_ring() -> None:
    """What Xen has printed since boot."""
    lines = xl("dmesg")

    assert "(XEN) Brought up 4 CPUs" in lines
    assert "(XEN) Xen is up with 3 domains" in lines
