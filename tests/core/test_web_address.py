"""Which addresses are those of public servers, and how a web address is taken apart."""

from __future__ import annotations

import pytest

from dbtui.core.web_address import FetchError, parse_address, refusal


@pytest.mark.parametrize(
    "ip",
    [
        "127.0.0.1", "10.0.0.1", "172.16.0.1", "192.168.1.1", "100.64.0.1", "169.254.1.1", "0.0.0.0", "0.1.2.3",
        "224.0.0.1", "240.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fe80::1%1", "fc00::1",
        "fec0::1", "ff02::1", "::ffff:10.0.0.1", "::127.0.0.1", "2002:7f00:1::", "2001:0:a::1", "64:ff9b::a00:1",
        "64:ff9b:1::1", "2001:db8::1", "100::1",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(ip: str) -> None:
    assert refusal(ip, allow_private=False)


@pytest.mark.parametrize("ip", ["93.184.215.14", "2606:2800:21f::1", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_addresses_that_are_public(ip: str) -> None:
    assert refusal(ip, allow_private=False) == ""


@pytest.mark.parametrize(
    "ip",
    [
        "169.254.169.254", "fe80::1", "0.0.0.0", "::ffff:169.254.169.254", "ff02::1", "fd00:ec2::254",
        "100.100.100.200", "::ffff:100.100.100.200", "192.0.0.192", "168.63.129.16",
    ],
)  # fmt: skip
def test_no_permission_opens_the_addresses_of_credentials(ip: str) -> None:
    assert refusal(ip, allow_private=True) and refusal(ip, allow_private=False)


@pytest.mark.parametrize("ip", ["127.0.0.1", "::1", "10.1.2.3", "100.64.0.1", "fd00::1"])
def test_permission_opens_private_networks(ip: str) -> None:
    assert refusal(ip, allow_private=True) == ""


def test_addresses_are_taken_apart_and_made_fit_to_be_sent() -> None:
    address = parse_address("https://b\u00fccher.example/\u00e4 b.png?q=\u00e9#part".replace(" ", "%20"))
    assert (address.host, address.port) == ("xn--bcher-kva.example", 443)
    assert address.target == "/%C3%A4%20b.png?q=%C3%A9"
    with pytest.raises(FetchError):
        parse_address("gopher://example.com/")
