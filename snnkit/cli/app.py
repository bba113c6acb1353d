"""The command line: one Typer application, and one place where a mistake becomes one clear line."""

from __future__ import annotations

import os
import sys

import typer

from snnkit.cli.chipside import deploy, energy
from snnkit.cli.convert import convert
from snnkit.cli.demo import demo
from snnkit.cli.evaluate import evaluate
from snnkit.cli.events import events
from snnkit.cli.listing import chips, datasets, info
from snnkit.cli.reproduce import reproduce
from snnkit.cli.train import train
from snnkit.errors import UserError

app = typer.Typer(
    name="snnkit",
    help="Train spiking networks on event data, convert ANNs to spikes, know what an inference costs on a chip.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for command in (demo, train, evaluate, convert, energy, deploy, reproduce, chips, datasets, events, info):
    app.command()(command)


def run(arguments: list[str]) -> int:
    """Run the command line and return its exit code: 0 done, 2 bad input, 130 interrupted.

    A mistake in the input is one line on standard error. `SNNKIT_DEBUG=1` shows where it was found.
    """
    try:
        code = typer.main.get_command(app).main(args=arguments, prog_name="snnkit", standalone_mode=False)
        return code if isinstance(code, int) else 0
    except (KeyboardInterrupt, typer.Abort):
        return _say("interrupted", 130)
    except Exception as error:
        if os.environ.get("SNNKIT_DEBUG"):
            raise
        usage = getattr(error, "format_message", None)  # a wrong option, in every version of Typer
        if usage is not None:
            message = str(usage()) or "no command given; see: snnkit --help"
            return _say(message, int(getattr(error, "exit_code", 2)))
        if isinstance(error, UserError | ValueError | OSError):
            return _say(str(error), 2)
        raise


def _say(message: str, code: int) -> int:
    print("snnkit: " + " ".join(message.split()), file=sys.stderr)
    return code


def main() -> None:
    """Entry point of the `snnkit` command."""
    sys.exit(run(sys.argv[1:]))
