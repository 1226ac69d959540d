"""The command line: every action of the app, without the app."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from types import FrameType
from typing import NoReturn

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


class InOrder(click.Group):
    """Lists its commands as they are needed, not by the alphabet."""

    def list_commands(self, context: click.Context) -> list[str]:
        return list(self.commands)


@click.group(
    cls=InOrder,
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
    """The entry point ``dbtui``: runs a command and ends with its exit code."""
    _open_what_is_closed()
    for stream in (sys.stdout, sys.stderr):
        # A terminal that is not in UTF-8 shows a name in another script by its numbers.
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    signal.signal(signal.SIGTERM, _terminate)
    try:
        code = _answer("--json" in sys.argv)
        sys.stdout.flush()  # here, where it can still be told that something did not arrive
    except BrokenPipeError:
        code = FAILED  # who read it has gone, as in `dbtui ls | head`, and wants no words
    except OSError as error:
        code = FAILED
        with contextlib.suppress(OSError):
            sys.stderr.write(f"The output could not be written: {printable(error.strerror or error)}.\n")
    finally:
        _drop_what_cannot_be_written()
    sys.exit(code)


def _answer(as_json: bool) -> int:
    """Do what the arguments ask for; errors become words. Returns the exit code."""
    try:
        return cli.main(standalone_mode=False) or DONE
    except click.ClickException as error:
        if as_json:
            from dbtui.terminal import result_json

            context = getattr(error, "ctx", None)
            hint = f"{context.command_path} --help" if context else ""
            result_json({"error": {"title": "Wrong use", "message": error.format_message(), "hint": hint}})
        error.show()
        return WRONG_USE
    except (click.Abort, KeyboardInterrupt):
        sys.stderr.write("Interrupted.\n")
        return INTERRUPTED
    except DbtuiError as error:
        from dbtui.terminal import show_error

        show_error(error, as_json)
        return error.exit_code
    except BrokenPipeError:
        raise
    except OSError as error:
        from dbtui.terminal import show_error

        sys.stdout.flush()  # which raises if it is the output that cannot be written
        where = f"{printable(error.filename)}: " if error.filename else ""
        words = f"{where}{printable(error.strerror or error)}."
        show_error(
            DbtuiError(
                "A file could not be used", words, "`dbtui where` tells the folders; DBTUI_HOME puts them elsewhere."
            ),
            as_json,
        )
        return FAILED


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """End as after an error, so that the terminal gets its cursor back and nothing half-written stays."""
    sys.exit(128 + number)


def _drop_what_cannot_be_written() -> None:
    """Python tries once more as it ends, and would show an error of its own."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_what_is_closed() -> None:
    """A shell's ``<&-`` leaves a program without standard input: an empty one is as good."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, mode, encoding="utf-8"))
