"""The hub's address, and who asks it: the token that whoever is logged in has."""

from __future__ import annotations

import os
import re
from base64 import b64encode
from pathlib import Path
from urllib.parse import unquote

from dbtui.core.errors import UsageError, printable
from dbtui.core.hub_cache import hub_library
from dbtui.core.paths import make_private, write_atomic


def endpoint() -> str:
    """The hub's address: ``HF_ENDPOINT`` without the name and password that may be in it, or the public one."""
    address = os.environ.get("HF_ENDPOINT") or "https://huggingface.co"
    return re.sub("(?<=://)[^/]*@", "", address, count=1).rstrip("/")


def authorization() -> str | None:
    """What is shown to the hub alone: the name and password in ``HF_ENDPOINT``, as some mirrors want them, or a token."""
    if match := re.match("https?://([^/]*)@", os.environ.get("HF_ENDPOINT", "")):
        return f"Basic {b64encode(unquote(match[1]).encode()).decode()}"
    return f"Bearer {secret}" if (secret := token()) else None


def page(name: str) -> str:
    """Where a person reads about the model, and accepts its terms."""
    return f"{endpoint()}/{name}"


def token() -> str | None:
    """The token of whoever is logged in, wherever huggingface_hub finds it. Raises UsageError if it cannot be read."""
    library = hub_library()
    try:
        return library.get_token()
    except (OSError, ValueError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(
            "The hub's token cannot be read",
            f"{printable(library.constants.HF_TOKEN_PATH)}: {why}.",
            "`dbtui logout` removes it and `dbtui login` stores another; HF_HOME names the folder that it is in.",
        ) from None  # the error has what was read


def logged_in() -> bool:
    """Whether there is a token to show to the hub."""
    return bool(token())


def store_token(secret: str) -> Path:
    """Keep a token where huggingface_hub, and with it every tool of the hub, looks for it; readable by this user alone."""
    path = Path(hub_library().constants.HF_TOKEN_PATH)
    make_private(path.parent)
    write_atomic(path, secret)
    return path


def forget_tokens() -> list[Path]:
    """Remove the token and the named ones that ``hf auth login`` keeps beside it; returns the files that were removed."""
    constants = hub_library().constants
    there = [p for p in (Path(constants.HF_TOKEN_PATH), Path(constants.HF_STORED_TOKENS_PATH)) if p.exists()]
    for path in there:
        path.unlink()
    return there
