"""Web addresses: taken apart once, and judged by the numbers that a server's name stands for."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from dbtui.core.errors import printable

PORTS = {"http": 80, "https": 443}
LONGEST = 4096
"""Characters."""

UNICAST = ipaddress.ip_network("2000::/3")
"""All of IPv6 that is public; what is outside it is local, reserved or a form of an IPv4 address."""
THIS_MACHINE = ipaddress.ip_network("0.0.0.0/8")
"""Another form of loopback on most systems."""
CREDENTIALS = {ipaddress.ip_address(ip) for ip in ("fd00:ec2::254", "100.100.100.200", "192.0.0.192", "168.63.129.16")}
"""Where rented machines are told their own secrets, beside the link-local 169.254.169.254: four providers' addresses."""
NAT64 = ipaddress.ip_network("64:ff9b::/96")


@dataclass(frozen=True, slots=True)
class Address:
    """A web address taken apart once, so that what is connected to is what was judged."""

    url: str
    scheme: str
    host: str
    port: int
    target: str
    """Path and query, as they are sent."""


class FetchError(Exception):
    """Why an address gives no picture, in words for a person."""


def parse_address(url: str) -> Address:
    """``url`` in parts. Raises FetchError for anything but http and https, and for names and passwords in it."""
    if len(url) > LONGEST:
        raise FetchError("it is too long")
    if any(ord(c) <= 32 or ord(c) == 127 for c in url):
        raise FetchError("it has blanks or control characters in it")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise FetchError(printable(error)) from error
    if parts.scheme not in PORTS:
        raise FetchError(f"{printable(parts.scheme)!r} is neither http nor https" if parts.scheme else "no http(s)://")
    if parts.username is not None or parts.password is not None:
        raise FetchError("it has a name or password in it, which would end up in the run's config")
    host = _ascii_host(parts.hostname or "")
    target = quote(parts.path or "/", safe="/%:@!$&'()*+,;=~-._") + (
        "?" + quote(parts.query, safe="/%:@!$&'()*+,;=~-._?[]") if parts.query else ""
    )
    return Address(url, parts.scheme, host, port or PORTS[parts.scheme], target)


def refusal(ip: str, allow_private: bool) -> str:
    """Why the IP address ``ip`` is not connected to, or ``""``.

    Link-local addresses, and those in CREDENTIALS, are refused even where private ones are allowed: on rented
    machines they are where the machine's own credentials are served.
    """
    address = _embedded(ipaddress.ip_address(ip))
    if address in CREDENTIALS:
        return f"{ip}, where rented machines are told their own secrets"
    if address.is_link_local or address.is_multicast or address.is_unspecified or address in THIS_MACHINE:
        return f"{ip}, which no web server has"
    public = address.is_global and (address.version == 4 or address in UNICAST) and not address.is_reserved
    return "" if public or allow_private else f"{ip}, which is a private address"


def _embedded(
    address: ipaddress.IPv4Address | ipaddress.IPv6Address,
) -> ipaddress.IPv4Address | ipaddress.IPv6Address:
    """The IPv4 address that an IPv6 address is only another form of (RFC 4291, 3056, 6052), else itself."""
    if isinstance(address, ipaddress.IPv6Address):
        inner = address.ipv4_mapped or address.sixtofour
        if address in NAT64:
            inner = ipaddress.IPv4Address(int(address) & 0xFFFFFFFF)
        return inner or address
    return address


def _ascii_host(host: str) -> str:
    """The server's name as DNS has it. Raises FetchError."""
    if ":" in host:
        return host
    try:
        name = host.encode("idna").decode("ascii")
    except UnicodeError:
        name = ""
    if not re.fullmatch(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_])?\.?", name):
        raise FetchError(f"{printable(host)!r} is not the name of a server" if host else "it names no server")
    return name
