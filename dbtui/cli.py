"""The command line: every action of the app, without the app."""

from __future__ import annotations

import os
import sys

import click

from dbtui import __version__
from dbtui.commands.account import login, logout
from dbtui.commands.app import can_open_app, run_app
from dbtui.commands.bench import bench
from dbtui.commands.cache import cache
from dbtui.commands.demo import demo
from dbtui.commands.doctor import doctor
from dbtui.commands.draw import sample
from dbtui.commands.export import export
from dbtui.commands.library import ls, rename, rm, show, where
from dbtui.commands.replay import replay
from dbtui.commands.teach import train
from dbtui.commands.watch import follow, resume, stop
from dbtui.core.errors import DONE, FAILED, INTERRUPTED, WRONG_USE, DbtuiError, printable


@click.group(
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Exit codes: 0 done, 1 failed, 2 wrong use, 130 interrupted.",
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="dbtui")
@click.option(
    "--theme", default="", metavar="NAME", help="Colours of the app: dbtui-dark, dbtui-light or one of Textual's."
)
@click.option(
    "--images", default="", metavar="HOW", help="Pictures in the app: auto, kitty, sixel, blocks, half or off."
)
@click.pass_context
def cli(context: click.Context, theme: str, images: str) -> None:
    """Teach Stable Diffusion a new subject from a few photos, in a terminal.

    Without a command it opens the app, where there is a terminal for it.
    """
    if context.invoked_subcommand is not None:
        return
    if can_open_app():
        run_app(theme, images)
    else:
        click.echo(context.get_help())


for command in (
    demo,
    train,
    follow,
    stop,
    resume,
    replay,
    sample,
    export,
    ls,
    show,
    rename,
    rm,
    where,
    doctor,
    bench,
    cache,
    login,
    logout,
):
    cli.add_command(command)


def main() -> None:
    """The entry point ``dbtui``: turns errors into words and exit codes."""
    as_json = "--json" in sys.argv
    _open_what_is_closed()
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

        where = f"{printable(error.filename)}: " if error.filename else ""
        words = f"{where}{printable(error.strerror or error)}."
        show_error(DbtuiError("A file could not be used", words, "See `dbtui where` for the folders."), as_json)
        sys.exit(FAILED)


def _open_what_is_closed() -> None:
    """A shell's ``<&-`` leaves a program without standard input: an empty one is as good."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
