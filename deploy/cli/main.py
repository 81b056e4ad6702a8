"""The `torpor` command: one module per subcommand; errors are one line, exit codes are four.

0: every property holds, or only expected findings appeared. 1: a property is violated. 2: bad usage
or bad input. 3: inconclusive, or a running board does not answer. `torpor xl` exits with the status
of the `xl` that it typed.
"""

import sys
from collections.abc import Sequence
from typing import Any, Final

import typer
import typer.core

from bus.journal import JournalError
from bus.runfolder import RunFolderError
from bus.world.tape import TapeError
from deploy.cli.bench import console, irq, wake, xl
from deploy.cli.check import check
from deploy.cli.compose import compose
from deploy.cli.down import down
from deploy.cli.explore import explore_command
from deploy.cli.journal import app as journal_app
from deploy.cli.mutants import mutants
from deploy.cli.prepare import prepare
from deploy.cli.psci import psci
from deploy.cli.replay import replay
from deploy.cli.run import run
from deploy.cli.schema import schema
from deploy.cli.shrink import shrink
from deploy.cli.status import status
from deploy.cli.talk import EXIT_NO_ANSWER, NoAnswer
from deploy.cli.up import up
from deploy.cli.usage import PlainUsage, help_without_command
from deploy.containers.engine import EngineError
from deploy.loading import UsageError

EXIT_USAGE: Final = 2

CLI_USAGE_ERROR: type[Exception] = typer.BadParameter.__bases__[0]
"""Base of what the command line parser raises for options and arguments that do not fit."""

BAD_INPUT = (UsageError, JournalError, TapeError, RunFolderError, EngineError)


class OneLineErrors(typer.core.TyperGroup):
    """Bad usage and bad input give one line on stderr and exit code 2, never a traceback."""

    def main(self, *args: Any, **options: Any) -> Any:
        """Run the command line; always ends in SystemExit."""
        options["standalone_mode"] = False
        try:
            code = super().main(*args, **options)
        except CLI_USAGE_ERROR as error:
            code = _complain(_usage_text(error))
        except BAD_INPUT as error:
            code = _complain(f"torpor: {error}")
        except NoAnswer as error:
            typer.echo(f"torpor: {error}", err=True)
            code = EXIT_NO_ANSWER
        sys.exit(code or 0)


app = typer.Typer(
    cls=OneLineErrors,
    name="torpor",
    help="A bench for Xen-on-Arm suspend-to-RAM that needs no board.",
    epilog="Example: torpor run seed --world sim --seed 7",
    invoke_without_command=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.callback()(help_without_command)
app.command(cls=PlainUsage, epilog="Example: torpor run seed --world sim --seed 7 --json")(run)
app.command(cls=PlainUsage, epilog="Example: torpor check runs/last/journal --json")(check)
app.command(cls=PlainUsage, epilog="Example: torpor replay runs/last/journal")(replay)
app.command(
    "explore",
    cls=PlainUsage,
    epilog="Example: torpor explore seed --seeds 1000 --strategy pct --jobs 2",
)(explore_command)
app.command(cls=PlainUsage, epilog="Example: torpor shrink runs/last/schedule-7.journal.tape")(
    shrink
)
app.command(cls=PlainUsage, epilog="Example: torpor mutants dead-flag-before-cpu-off --seeds 5")(
    mutants
)
app.command(cls=PlainUsage, epilog="Example: torpor psci cpu-on --world live --junit psci.xml")(
    psci
)
app.command(cls=PlainUsage, epilog="Example: torpor schema > docs/scenario.schema.json")(schema)
app.command(cls=PlainUsage, epilog="Example: torpor compose octo -o compose.yaml")(compose)
app.command(
    cls=PlainUsage,
    epilog="Example: torpor prepare --address 172.31.77.2 --board b --runs runs --keys k",
)(prepare)
app.command(cls=PlainUsage, epilog="Example: torpor up --profile v11 --power gic-retained")(up)
app.command(cls=PlainUsage, epilog="Example: torpor status --json")(status)
app.command(cls=PlainUsage, epilog="Example: torpor down --json")(down)
app.command(
    cls=PlainUsage,
    epilog="Example: torpor xl cpu-hotplug 2 off",
    # Everything behind the first word is for `xl`, its options too.
    context_settings={"allow_interspersed_args": False, "ignore_unknown_options": True},
)(xl)
app.command(cls=PlainUsage, epilog="Example: torpor irq tty1")(irq)
app.command(cls=PlainUsage, epilog="Example: torpor wake rtc")(wake)
app.command(
    cls=PlainUsage, epilog='Example: torpor console dom0 --line "echo mem > /sys/power/state"'
)(console)
app.add_typer(journal_app, name="journal")


def main(arguments: Sequence[str] | None = None) -> None:
    """Entry point of the `torpor` command."""
    app(args=None if arguments is None else list(arguments), prog_name="torpor")


def _complain(text: str) -> int:
    typer.echo(text, err=True)
    return EXIT_USAGE


def _usage_text(error: Exception) -> str:
    """The parser's message on one line, with where to read on."""
    message: str = getattr(error, "format_message", lambda: str(error))()
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "torpor"
    text = " ".join(message.split()).rstrip(".").replace("Value error, ", "")
    return f"torpor: {text}; see `{command} --help`"


if __name__ == "__main__":
    main()
