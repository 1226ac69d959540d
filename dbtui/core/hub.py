"""The hub over HTTP: what a repository has, the bytes of a file, and refusals in words.

Two kinds of requests are all it needs: the list of a model's files, and the files themselves. The
standard library makes them, so that every redirect, range and header is decided here.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import re
import ssl
import time
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from dbtui import __version__
from dbtui.core import web_address
from dbtui.core.errors import DbtuiError, printable
from dbtui.core.hub_account import authorization, endpoint, logged_in
from dbtui.core.hub_errors import Interruption, refusal

TIMEOUT = 10.0
"""Seconds without a byte after which a connection counts as cut."""

MOST_REDIRECTS = 6
LONGEST_ANSWER = 20_000_000
"""Bytes of a list of files; real ones have thousands."""

LONGEST_LISTING = 60.0
"""Seconds in which a list of files has to be here: a server that sends a byte now and then is never silent."""

REDIRECTS = (301, 302, 303, 307, 308)

DIGITS = r"\d{1,15}"
"""What is longer in a header is no number: Python refuses to read some, and no float holds others."""


@dataclass(frozen=True, slots=True)
class Listing:
    """The files of a model at ``commit`` (40 hex digits); ``revisions`` are the names to ask for it, best first."""

    commit: str
    revisions: tuple[str, ...]
    files: frozenset[str]


@dataclass(frozen=True, slots=True)
class Facts:
    """What the hub says of a file: bytes (None if it does not), and a hash ("" if none): sha256, or git's sha1."""

    size: int | None = None
    digest: str = ""


class Answer:
    """An open response: ``facts`` of the whole file, of which the bytes from ``start`` on follow."""

    def __init__(self, response: http.client.HTTPResponse, facts: Facts, start: int, total: int | None) -> None:
        self.facts, self.start, self.total = facts, start, total
        self._response = response

    def read(self, size: int) -> bytes:
        """The bytes that have arrived, at most ``size``; none at the end. Raises Interruption."""
        with _connection_errors("The download was cut"):
            return self._response.read1(size)


def list_files(name: str) -> Listing:
    """The files of the model ``name``. Raises DbtuiError if the hub refuses, Interruption if that may pass."""
    api = f"/api/models/{name}"
    with _ask_first("GET", [f"{api}/revision/main", api]) as (response, _):
        _check(response, name)
        content = _read(response)
    try:
        values = json.loads(content)
        files = frozenset(str(entry["rfilename"]) for entry in values["siblings"])
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise DbtuiError(
            "The hub's answer makes no sense",
            f"{endpoint()} did not answer with the files of {printable(name)}.",
            "Check HF_ENDPOINT, and whether a login page of the network answers in its place.",
        ) from error
    commit = str(values.get("sha"))
    if re.fullmatch("[0-9a-f]{40}", commit):
        return Listing(commit, (commit, "main"), files)
    # A hub that names no commit: the files' names stand for it, since the cache needs one.
    names = "\n".join(sorted(files)).encode(errors="backslashreplace")
    return Listing(hashlib.sha1(names).hexdigest(), ("main",), files)


def look(name: str, file: str, revisions: tuple[str, ...]) -> Facts:
    """Size and hash of a file; empty where the hub does not say. Raises as ``list_files``."""
    with _ask_first("HEAD", _paths(name, file, revisions)) as (response, facts):
        if response.status in (405, 501):  # a mirror that has no HEAD
            return Facts()
        _check(response, name, file)
        # Some servers say 0 for an answer that has no body; no file that is asked for is empty.
        length = _number(response.headers.get("Content-Length")) or None
        return facts if facts.size is not None else Facts(length, facts.digest)


@contextmanager
def open_file(name: str, file: str, revisions: tuple[str, ...], start: int = 0) -> Iterator[Answer]:
    """The bytes of a file from ``start`` on, or from an earlier one if the hub does not do parts.

    Raises as ``list_files``.
    """
    paths = _paths(name, file, revisions)
    with _ask_first("GET", paths, start) as (response, facts):
        if response.status != 416:
            _check(response, name, file)
            yield Answer(response, facts, *_span(response))
            return
    # There is nothing from ``start`` on: what is here is not the beginning of this file.
    with _ask_first("GET", paths) as (response, facts):
        _check(response, name, file)
        yield Answer(response, facts, *_span(response))


def whoami(secret: str) -> str | None:
    """The account of a token; None if the hub does not say. Raises DbtuiError if it does not accept the token."""
    try:
        with _ask("GET", "/api/whoami-v2", secret=secret) as (response, _):
            if response.status in (401, 403):
                raise DbtuiError(
                    "The hub does not accept this token",
                    f"{endpoint()} answered {response.status}. Nothing was stored.",
                    f"Make one that can read at {endpoint()}/settings/tokens and try again.",
                )
            content = _read(response)
            return str(json.loads(content)["name"]) if response.status == 200 else None
    except (Interruption, ValueError, KeyError, TypeError):
        return None


def _read(response: http.client.HTTPResponse) -> bytes:
    """The body of a short answer, at most LONGEST_ANSWER bytes of it. Raises Interruption."""
    content, deadline = bytearray(), time.monotonic() + LONGEST_LISTING
    with _connection_errors():
        while len(content) < LONGEST_ANSWER and (piece := response.read1(LONGEST_ANSWER - len(content))):
            content += piece
            if time.monotonic() > deadline:
                raise TimeoutError(f"its answer took longer than {LONGEST_LISTING:g} s")
    return bytes(content)


def _paths(name: str, file: str, revisions: tuple[str, ...]) -> list[str]:
    return [f"/{name}/resolve/{revision}/{quote(file)}" for revision in revisions]


@lru_cache(maxsize=1)
def _opener() -> urllib.request.OpenerDirector:
    """Opens http and https and nothing else, through the environment's proxy; no status is an exception."""
    context = ssl.create_default_context()
    with suppress(ImportError, OSError):  # for a Python that does not find the system's authorities
        import certifi

        context.load_verify_locations(certifi.where())
    opener = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.UnknownHandler(),
    ):
        opener.add_handler(handler)
    return opener


@contextmanager
def _ask(
    method: str, path: str, start: int = 0, secret: str | None = None
) -> Iterator[tuple[http.client.HTTPResponse, Facts]]:
    """The response at the end of the redirects, and the facts of the first that had them.

    The token goes to the hub alone: a redirect to another host does not get it.
    """
    shown = f"Bearer {secret}" if secret else authorization()
    url, facts = endpoint() + path, Facts()
    for _ in range(MOST_REDIRECTS):
        with _connection_errors():
            request = urllib.request.Request(url, method=method, headers={"User-Agent": f"dbtui/{__version__}"})
            at_hub = urlsplit(url)[:2] == urlsplit(endpoint())[:2]
            if shown and at_hub:
                request.add_header("Authorization", shown)
            if start:
                request.add_header("Range", f"bytes={start}-")
            response = _opener().open(request, timeout=TIMEOUT)
        with closing(response):
            facts = _facts(response, facts) if at_hub else facts  # a storage's tags may be hashes of another kind
            target = response.headers.get("Location")
            # The hub says all that is asked for before it sends on to where the bytes are.
            if response.status not in REDIRECTS or not target or (method == "HEAD" and facts.size is not None):
                yield response, facts
                return
            with _connection_errors():
                url = urljoin(url, target)
                _refuse_credentials(urlsplit(url).hostname or "")
    raise DbtuiError("The hub leads nowhere", f"{endpoint()} answered with redirects only.", "Check HF_ENDPOINT.")


def _refuse_credentials(host: str) -> None:
    """Raise DbtuiError for an address at which no storage is, but the secrets of rented machines."""
    with suppress(ValueError):  # it is a name
        if reason := web_address.refusal(host, allow_private=True):
            raise DbtuiError("The hub leads nowhere", f"{endpoint()} sends on to {reason}.", "Check HF_ENDPOINT.")


@contextmanager
def _ask_first(method: str, paths: list[str], start: int = 0) -> Iterator[tuple[http.client.HTTPResponse, Facts]]:
    """The answer to the first of ``paths`` that the hub knows; its 404 if it knows none."""
    for path in paths:
        with _ask(method, path, start) as answer:
            if answer[0].status != 404 or path == paths[-1]:
                yield answer
                return


def _facts(response: http.client.HTTPResponse, known: Facts) -> Facts:
    headers = response.headers
    size = _number(headers.get("X-Linked-Size")) if known.size is None else known.size
    etag = (headers.get("X-Linked-Etag") or headers.get("ETag") or "").strip().removeprefix("W/").strip('"').lower()
    # A tag of another form may be shared by files, so it names none.
    digest = etag if re.fullmatch("[0-9a-f]{40}|[0-9a-f]{64}", etag) else ""
    return Facts(size, known.digest or digest)


def _number(text: str | None) -> int | None:
    """The number in a header; None for no number, and for one that counts neither bytes nor seconds of this world."""
    return int(text) if text and re.fullmatch(rf"\s*{DIGITS}\s*", text, re.ASCII) else None


def _span(response: http.client.HTTPResponse) -> tuple[int, int | None]:
    """Where the body begins in the file, and how long the file is (None if that is not said)."""
    length = _number(response.headers.get("Content-Length"))
    if response.status != 206:
        return 0, length
    said = response.headers.get("Content-Range", "").strip()
    match = re.fullmatch(rf"bytes ({DIGITS})-\d*/({DIGITS}|\*)", said, re.ASCII)
    if match is None:
        raise Interruption(
            DbtuiError(
                "The hub's answer makes no sense",
                f"{endpoint()} sent a part of a file without saying which.",
                "What arrived is kept. Check HF_ENDPOINT and the proxy settings, and try again.",
            )
        )
    start = int(match[1])
    return start, int(match[2]) if match[2] != "*" else None if length is None else start + length


def _check(response: http.client.HTTPResponse, name: str, file: str = "") -> None:
    """Raise what an answer that is no success means."""
    status = response.status
    # Only HEAD ends at a redirect that leads on: at the one that tells the size.
    if status in (200, 206) or (status in REDIRECTS and response.headers.get("Location")):
        return
    error = refusal(status, name, file, endpoint(), logged_in())
    if status in (408, 429) or status >= 500:
        raise Interruption(error, _retry_after(response.headers.get("Retry-After")))
    raise error


def _retry_after(text: str | None) -> float:
    """Seconds that the hub asks to wait: a number, or a date. 0 if it does not say."""
    if (seconds := _number(text)) is not None:
        return float(seconds)
    with suppress(TypeError, ValueError, OverflowError):
        return max(0.0, parsedate_to_datetime(text or "").timestamp() - time.time())
    return 0.0


@contextmanager
def _connection_errors(title: str = "The hub cannot be reached") -> Iterator[None]:
    """Raise Interruption for what a connection dies of, DbtuiError for what will not pass."""
    try:
        yield
    except (OSError, http.client.HTTPException, ValueError) as error:
        reason: Any = getattr(error, "reason", None) or error
        # The text of a ValueError quotes the header that was refused, which may be the token's.
        bad = isinstance(reason, ValueError)
        words = "the address or the token cannot be sent" if bad else printable(reason) or type(reason).__name__
        failure = DbtuiError(
            title,
            f"{printable(endpoint())}: {words}.",
            "Check the network, HF_ENDPOINT and the proxy settings. --model mini needs no download.",
        )
        if bad or isinstance(reason, ssl.SSLCertVerificationError):
            raise failure from None
        raise Interruption(failure) from None
