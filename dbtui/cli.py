"""The command line: every action of the app, without the app."""

from __future__ import annotations

import sys

import click

from dbtui import __version__
from dbtui.commands.demo import demo
from dbtui.commands.draw import sample
from dbtui.commands.library import ls, rename, rm, show, where
from dbtui.commands.teach import follow, resume, stop, train
from dbtui.core.errors import DONE, FAILED, INTERRUPTED, WRONG_USE, DbtuiError


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.",
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="dbtui")
@click.pass_context
def cli(context: click.Context) -> None:
    """Teach Stable Diffusion a new subject from a few photos, in a terminal."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


for command in (demo, train, follow, stop, resume, sample, ls, show, rename, rm, where):
    cli.add_command(command)


def main() -> None:
    """The entry point ``dbtui``: turns errors into words and exit codes."""
    as_json = "--json" in sys.argv
    try:
        sys.exit(cli.main(standalone_mode=False) or DONE)
    except click.exceptions.Exit as error:
        sys.exit(error.exit_code)
    except click.ClickException as error:
        error.show()
        sys.exit(WRONG_USE)
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("Interrupted.\n")
        sys.exit(INTERRUPTED)
    except DbtuiError as error:
        from dbtui.terminal import show_error

        show_error(error, as_json)
        sys.exit(error.exit_code)
    except BrokenPipeError:
        sys.stderr.close()
        sys.exit(FAILED)
    except OSError as error:
        from dbtui.terminal import show_error

        show_error(DbtuiError("A file could not be used", str(error), "See `dbtui where` for the folders."), as_json)
        sys.exit(FAILED)
