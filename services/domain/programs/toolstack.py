"""`xl`: its table of commands, its options, and how it refuses (tools/xl/xl.c, xl_cmdtable.c)."""

from collections.abc import Awaitable, Callable
from typing import NamedTuple

from proto.hypercall import Errno
from proto.image import symbol
from services.domain.guest_cpu import GuestCpu
from services.domain.programs.console import printk
from services.domain.programs.libxc import xc_domain_getinfolist
from services.domain.programs.xl_info import main_dmesg, main_info, main_list, main_vcpulist
from services.domain.programs.xl_utils import (
    BAD_USAGE,
    FAILURE,
    SUCCESS,
    libxl_error,
)
from services.domain.programs.xl_vmcontrol import (
    main_cpu_hotplug,
    main_pause,
    main_resume,
    main_shutdown,
    main_unpause,
)


class Command(NamedTuple):
    """A row of the command table (struct cmd_spec)."""

    run: Callable[[GuestCpu, list[str], str], Awaitable[int]]
    """Gets the arguments, and the letters of the options."""
    modifies: bool
    arguments: str
    """Its arguments in the usage line."""
    description: str
    required: int = 0
    """How many arguments must be given."""
    most: int | None = None
    """How many may be given; None for any number, of which what is not needed is ignored."""
    options: str = ""
    """Letters of the options it knows."""


COMMANDS: dict[str, Command] = {
    "list": Command(
        main_list, False, "[options] [Domain]", "List information about all/some domains", most=1
    ),
    "shutdown": Command(
        main_shutdown,
        True,
        "[options] <-a|Domain>",
        "Issue a shutdown signal to a domain",
        options="aF",
    ),
    "pause": Command(main_pause, True, "<Domain>", "Pause execution of a domain", 1),
    "unpause": Command(main_unpause, True, "<Domain>", "Unpause a paused domain", 1),
    "resume": Command(main_resume, True, "<Domain>", "Resume a domain from RAM", 1),
    "vcpu-list": Command(
        main_vcpulist, False, "[Domain, ...]", "List the VCPUs for all/some domains"
    ),
    "info": Command(main_info, False, "[name]", "Get information about Xen host"),
    "dmesg": Command(main_dmesg, False, "", "Read and/or clear dmesg buffer"),
    "cpu-hotplug": Command(
        main_cpu_hotplug, True, "<CPU> <on|off>", "Take a physical CPU down or bring it back", 2
    ),
}
"""Subcommand to its row; Arm has no `suspend` (LIBXL_HAVE_NO_SUSPEND_RESUME)."""

LONG_OPTIONS = {"--all": "a", "--help": "h"}
"""Long options to letters."""

GLOBAL_OPTIONS = "vftT"
"""Options before the subcommand; none of them changes what is modelled."""


def command_of(cpu: GuestCpu, name: str) -> Command | None:
    """The row of a subcommand, if this toolstack has it (cmdtable_lookup)."""
    if name == "resume" and not cpu.domain.xl_resume:
        return None
    return COMMANDS.get(name)


@symbol
async def sh_xl(cpu: GuestCpu, words: list[str]) -> int:
    """`xl [options] COMMAND ...`; gives the exit status."""
    while words and words[0].startswith("-"):
        if set(words[0][1:]) - set(GLOBAL_OPTIONS):
            printk(cpu, "unknown global option")
            return FAILURE
        words = words[1:]
    if not words:
        xl_help(cpu, "")
        return FAILURE
    if not await xl_ctx_alloc(cpu):
        return FAILURE
    name, arguments = words[0], words[1:]
    command = command_of(cpu, name)
    if command is not None:
        return await run_command(cpu, name, command, arguments)
    if name == "help":
        xl_help(cpu, *arguments[:1])
        return SUCCESS
    printk(cpu, "command not implemented")
    return FAILURE


@symbol
async def xl_ctx_alloc(cpu: GuestCpu) -> bool:
    """Whether Xen serves this domain's privileged calls; complains if it does not."""
    error, _ = await xc_domain_getinfolist(cpu)
    if error != -Errno.EPERM:
        return True
    why = "Permission denied"
    printk(cpu, f"xencall: error: Could not obtain handle on privileged command interface: {why}")
    libxl_error(cpu, "libxl.c:libxl_ctx_alloc", f"cannot open libxc handle: {why}")
    printk(cpu, "cannot init xl context")
    return False


@symbol
async def run_command(cpu: GuestCpu, name: str, command: Command, arguments: list[str]) -> int:
    """Sort options from arguments, refuse what is wrong with them, and run the command."""
    operands = [word for word in arguments if not word.startswith("-")]
    options = ""
    for word in (word for word in arguments if word.startswith("-")):
        options += LONG_OPTIONS.get(word, word.lstrip("-"))
    for letter in options:
        if letter == "h":
            xl_help(cpu, name)
            return SUCCESS
        if letter not in command.options:
            printk(cpu, f"option `{letter}' not supported.")
            return BAD_USAGE
    if len(operands) < command.required:
        plural = "s" if command.required > 1 else ""
        printk(cpu, f"'xl {name}' requires at least {command.required} argument{plural}.")
        printk(cpu, "")
        xl_help(cpu, name)
        return BAD_USAGE
    if command.most is not None and len(operands) > command.most:
        xl_help(cpu, name)
        return FAILURE
    status = await command.run(cpu, operands, options)
    if status == BAD_USAGE:
        xl_help(cpu, name)
    return status


def xl_help(cpu: GuestCpu, name: str = "") -> None:
    """`xl help`: all subcommands, or how one is used."""
    if name in ("", "help"):
        lines = ["Usage xl [-vfNtT] <subcommand> [args]", "", "xl full list of subcommands:", ""]
        lines += [
            f" {known:<19} {row.description}"
            for known in COMMANDS
            if (row := command_of(cpu, known)) is not None
        ]
    elif (command := command_of(cpu, name)) is None:
        lines = [f'command "{name}" not implemented']
    else:
        flags = "f" if command.modifies else ""
        lines = [
            f"Usage: xl [-vtT{flags}] {name} {command.arguments}",
            "",
            f"{command.description}.",
            "",
        ]
    for line in lines:
        printk(cpu, line)
