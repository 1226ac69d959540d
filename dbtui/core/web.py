"""Pictures from web addresses: from public servers only, within limits, and looked at before they are kept.

A server's name is resolved once, every address it has is judged, and the connection goes to one of
those: a second answer for the name, after the judging, is never asked for. Proxies of the environment
are left out for that reason: a proxy would resolve the name anew, where nothing can be judged.
"""

from __future__ import annotations

import http.client
import io
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import unquote, urljoin, urlsplit
from urllib.request import getproxies_environment

from dbtui import __version__
from dbtui.core import paths
from dbtui.core.dataset import UnusableError, open_picture, picture_format
from dbtui.core.errors import DbtuiError, UsageError, printable
from dbtui.core.names import slug
from dbtui.core.units import format_bytes, plural
from dbtui.core.web_address import PORTS, Address, FetchError, parse_address, refusal

PIECE = 65536
EXTENSIONS = {"JPEG": ".jpg", "MPO": ".jpg", "PNG": ".png", "WEBP": ".webp", "BMP": ".bmp", "TIFF": ".tif",
              "GIF": ".gif", "AVIF": ".avif", "HEIF": ".heic"}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Limits:
    """What a download may take. ``size`` is in bytes, whatever length the server announces; times are in seconds."""

    pictures: int = 100
    size: int = 50 * 2**20
    seconds: float = 180.0
    """For one picture, its redirects included."""
    silence: float = 20.0
    """Between two pieces of a picture."""
    redirects: int = 5


@dataclass(frozen=True, slots=True)
class Arrival:
    """How far a download is: ``received`` of ``total`` bytes (0: not announced) of picture ``number`` of ``count``."""

    url: str
    number: int
    count: int
    received: int = 0
    total: int = 0
    whole: bool = False


Progress = Callable[[Arrival], None]
Report = Callable[[int, int], None]
"""Takes the bytes received and in all."""


def fetch_pictures(
    urls: Sequence[str],
    folder: Path,
    allow_private: bool = False,
    progress: Progress = lambda arrival: None,
    limits: Limits = Limits(),
) -> list[Path]:
    """Download every address into the new ``folder``, in order, each once; all of them or nothing.

    What ``progress`` raises ends the download and leaves nothing. Raises UsageError for what is no web
    address, DbtuiError naming every address that gave no picture, FileExistsError if ``folder`` exists.
    """
    unique = list(dict.fromkeys(urls))
    if len(unique) > limits.pictures:
        raise UsageError(
            "Too many addresses",
            f"{len(unique)} were given; {limits.pictures} are the most. 3 to 10 photos are enough.",
            "Name fewer, or download them to a folder and name that.",
        )
    for url in unique:
        try:
            parse_address(url)
        except FetchError as error:
            raise UsageError(
                "That is not the address of a picture",
                f"{_short(url)}: {error}. Nothing was downloaded.",
                "An address begins with http:// or https://.",
            ) from error
    names: list[str] = []
    failures: list[str] = []
    with paths.whole_folder(folder) as partial:
        for number, url in enumerate(unique, 1):
            try:
                names.append(_fetch(Arrival(url, number, len(unique)), partial, allow_private, progress, limits))
            except FetchError as error:
                failures.append(f"{_short(url)}: {error}")
        if failures:
            raise _failed(failures, len(unique))
    return [folder / name for name in names]


def _fetch(arrival: Arrival, folder: Path, allow_private: bool, progress: Progress, limits: Limits) -> str:
    """Download one picture into ``folder``; returns its file's name. Raises FetchError."""

    def report(received: int, total: int) -> None:
        progress(replace(arrival, received=received, total=total))

    deadline = time.monotonic() + limits.seconds
    file = folder / f".{arrival.number}"
    try:
        kind = _download(arrival.url, file, allow_private, deadline, report, limits)
        open_picture(file)
    except TimeoutError as error:
        late = time.monotonic() >= deadline
        raise FetchError(
            f"it took longer than {limits.seconds:g} s" if late else f"nothing came for {limits.silence:g} s"
        ) from error
    except ssl.SSLCertVerificationError as error:
        raise FetchError(f"the server cannot prove who it is ({printable(error.verify_message)})") from error
    except http.client.HTTPException as error:
        raise FetchError(f"the server's answer makes no sense ({type(error).__name__})") from error
    except UnusableError as error:
        raise FetchError(f"{error}{f' (the server calls it {kind})' if kind else ''}") from error
    except OSError as error:
        raise FetchError(printable(error.strerror or error)) from error
    kind = picture_format(file)
    name = f"{arrival.number:03}-{_stem(arrival.url)}{EXTENSIONS.get(kind, f'.{kind.lower()}')}"
    size = file.stat().st_size
    os.rename(file, folder / name)
    progress(replace(arrival, received=size, total=size, whole=True))
    return name


def _download(url: str, file: Path, allow_private: bool, deadline: float, report: Report, limits: Limits) -> str:
    """Write what ``url`` leads to into ``file``; returns what the server calls it. Raises FetchError, OSError."""
    for _ in range(limits.redirects + 1):
        address = parse_address(url)
        with _connect(address, allow_private, deadline, limits.silence) as connected:
            response = _ask(address, _Wire(connected, deadline, limits.silence))
            if response.status in (301, 302, 303, 307, 308):
                # Header fields come as Latin-1; the bytes of most are UTF-8.
                location = response.getheader("Location", "").encode("latin-1").decode("utf-8", "replace")
                try:
                    url = urljoin(url, location.strip())
                except ValueError as error:
                    raise FetchError(f"it leads to what is no address ({printable(error)})") from error
                continue
            if response.status != 200:
                raise FetchError(f"the server answered {response.status} {printable(response.reason[:60])}".rstrip())
            _receive(response, file, report, limits.size)
            return printable(response.getheader("Content-Type", "")[:60])
    raise FetchError(f"it is redirected more than {limits.redirects} times")


def _connect(address: Address, allow_private: bool, deadline: float, silence: float) -> socket.socket:
    """A connection to one of the server's addresses, once all have been judged. Raises FetchError, OSError."""
    try:
        answers = socket.getaddrinfo(address.host, address.port, type=socket.SOCK_STREAM)
    except (socket.gaierror, UnicodeError) as error:
        raise FetchError(f"there is no server {printable(address.host)}") from error
    for *_, (ip, *_) in answers:
        reason = refusal(str(ip), allow_private)
        if reason:
            hint = "" if allow_private or "private" not in reason else "; --allow-private lets it in"
            raise FetchError(f"{'it' if ip == address.host else printable(address.host)} leads to {reason}{hint}")
    failure: OSError = OSError(f"there is no server {printable(address.host)}")
    for family, kind, protocol, _, where in answers:
        plain = socket.socket(family, kind, protocol)
        try:
            plain.settimeout(_patience(deadline, silence))
            plain.connect(where)
            if address.scheme == "http":
                return plain
            return ssl.create_default_context().wrap_socket(plain, server_hostname=address.host)
        except OSError as error:
            plain.close()
            failure = error
        except BaseException:
            plain.close()
            raise
    raise failure


def _ask(address: Address, wire: _Wire) -> http.client.HTTPResponse:
    """The head of the server's answer to a request for the picture."""
    connection = http.client.HTTPConnection(address.host, address.port)
    connection.default_port = PORTS[address.scheme]  # which the Host header leaves out
    connection.sock = wire
    accept = {"Accept": "image/*, */*;q=0.5", "Accept-Encoding": "identity", "Connection": "close"}
    connection.request("GET", address.target, headers={**accept, "User-Agent": f"dbtui/{__version__}"})
    return connection.getresponse()


def _receive(response: http.client.HTTPResponse, file: Path, report: Report, most: int) -> None:
    """Write the body into ``file``. Raises FetchError if it is more than ``most`` bytes or less than announced."""
    total = response.length or 0
    too_large = FetchError(f"it is larger than {format_bytes(most)}")
    if total > most:
        raise too_large
    received = 0
    with open(file, "wb") as out:
        while piece := response.read1(PIECE):
            received += len(piece)
            if received > most:
                raise too_large
            out.write(piece)
            report(received, total)
    if response.length:
        raise FetchError(f"the connection broke off after {format_bytes(received)} of {format_bytes(total)}")


class _Wire(io.RawIOBase):
    """A connected socket as http.client uses one, on which no wait outlasts what is left of the time."""

    def __init__(self, connected: socket.socket, deadline: float, silence: float) -> None:
        self._socket, self._deadline, self._silence = connected, deadline, silence

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview) -> int:  # type: ignore[override]
        self._socket.settimeout(_patience(self._deadline, self._silence))
        return self._socket.recv_into(buffer)

    def sendall(self, data: bytes) -> None:
        self._socket.settimeout(_patience(self._deadline, self._silence))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        return io.BufferedReader(self, PIECE)

    def close(self) -> None:
        """Nothing: http.client closes before the body is read; the socket's owner closes it after."""


def _patience(deadline: float, silence: float) -> float:
    """Seconds that one wait may take. Raises TimeoutError if the time is up."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return min(left, silence)


def _stem(url: str) -> str:
    """A file name without extension for the picture at ``url``, with nothing in it but letters, digits and dashes."""
    last = unquote(urlsplit(url).path).rstrip("/").rpartition("/")[2]
    return slug(last.rpartition(".")[0] or last)[:40] or "picture"


def _short(url: str) -> str:
    return printable(url if len(url) <= 200 else url[:160] + "..." + url[-37:])


def _failed(failures: list[str], count: int) -> DbtuiError:
    proxies = getproxies_environment().keys() & PORTS.keys()
    hint = "Correct or leave out what failed, or download the pictures yourself and name their folder."
    return DbtuiError(
        f"{len(failures)} of {plural(count, 'picture')} could not be downloaded",
        "\n".join(failures) + "\nNothing was kept.",
        hint + (" Proxies named in the environment are not used for this." if proxies else ""),
    )
