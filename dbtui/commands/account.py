"""login, logout: the hub's token, typed unseen or piped in, kept where every tool of the hub looks for it."""

from __future__ import annotations

import os
import sys

import click

from dbtui.commands.options import json_option
from dbtui.core.errors import DONE, UsageError

VARIABLES = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN")
"""Of the environment; what they hold goes before what is stored."""


LONGEST = 1000
"""Characters of a token; those of the hub have 37."""


@click.command()
@click.argument("words", nargs=-1, metavar="")
@json_option
def login(words: tuple[str, ...], as_json: bool) -> int:
    """Store a token of the hub, for gated and private models.

    It is asked for and not shown while it is typed, or read from standard input: `dbtui login < FILE`.
    """
    from dbtui.core import hub, hub_account
    from dbtui.core.hub_cache import is_offline
    from dbtui.terminal import result, result_json, say

    page = f"{hub_account.endpoint()}/settings/tokens"
    if words:
        raise UsageError(
            "A token is not an argument",
            "The shell keeps what is typed, and every user of this machine can see it. Nothing was stored.",
            f"If it was a token, remove it at {page} and make another; then `dbtui login`, which asks for it.",
        )
    token = _read_token(page)
    account = None if is_offline() else hub.whoami(token)
    path = hub_account.store_token(token)
    if account is None:
        say(f"{hub_account.endpoint()} did not say whose token it is; it was stored unchecked.", "yellow")
    for name in VARIABLES:
        if os.environ.get(name):
            say(f"{name} is set in the environment and goes before the stored token.", "yellow")
    if as_json:
        result_json({"logged_in": True, "account": account, "path": str(path)})
    else:
        result(f"Logged in{f' as {account}' if account else ''}. The token is in {path}.")
    return DONE


@click.command()
@json_option
def logout(as_json: bool) -> int:
    """Remove the hub's token from this machine."""
    from dbtui.core import hub_account
    from dbtui.terminal import result, result_json, say

    removed = hub_account.forget_tokens()
    for name in VARIABLES:
        if os.environ.get(name):
            say(f"{name} is set in the environment and is still a login; unset it.", "yellow")
    if as_json:
        result_json({"logged_in": hub_account.logged_in(), "removed": [str(path) for path in removed]})
    else:
        result(f"Logged out. Removed {', '.join(map(str, removed))}." if removed else "Nobody was logged in.")
    return DONE


def _read_token(page: str) -> str:
    """The token from the terminal or standard input. Raises UsageError if it cannot be one."""
    if sys.stdin.isatty():
        token = click.prompt(
            f"Token (from {page}; not shown)", hide_input=True, err=True, default="", show_default=False
        )
    else:
        token = sys.stdin.buffer.readline(LONGEST + 2).decode("ascii", "replace")
    token = token.strip()
    if not token:
        raise UsageError("No token came", "Nothing was stored.", f"Make one that can read at {page}.")
    if len(token) > LONGEST or not (token.isascii() and token.isprintable()) or any(c.isspace() for c in token):
        raise UsageError(
            "This is no token",
            "It is too long, or has spaces or other characters that no token has. Nothing was stored.",
            f"See {page}.",
        )
    return token
