"""Pictures from web addresses, from real servers on this machine that do what bad ones do."""

from __future__ import annotations

import io
import socket
import ssl
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from web_server import Server, serving

from dbtui.core import paths
from dbtui.core.dataset import scan
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.web import Arrival, Limits, fetch_pictures

QUICK = Limits(pictures=4, size=200_000, seconds=30, silence=10, redirects=3)


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as running:
        yield running


@pytest.fixture
def picture(photo: Callable[..., Image.Image]) -> Callable[..., bytes]:
    def make(seed: int = 1, format: str = "PNG") -> bytes:
        out = io.BytesIO()
        photo(seed).save(out, format)
        return out.getvalue()

    return make


@pytest.fixture
def fetch(tmp_path: Path) -> Callable[..., list[Path]]:
    def of_urls(*urls: str, limits: Limits = QUICK, allow_private: bool = True, **rest: object) -> list[Path]:
        return fetch_pictures(urls, tmp_path / "fetched", allow_private, limits=limits, **rest)  # type: ignore[arg-type]

    return of_urls


@pytest.fixture
def fails(fetch: Callable, tmp_path: Path) -> Callable[..., str]:
    """The words in which a download is refused; nothing of it is left."""

    def words(*urls: str, error: type[DbtuiError] = DbtuiError, **rest: object) -> str:
        with pytest.raises(error) as caught:
            fetch(*urls, **rest)
        assert not [p for p in tmp_path.iterdir() if "fetched" in p.name]
        return caught.value.message

    return words


def test_pictures_arrive_whole_in_order_and_can_be_learned_from(
    server: Server, fetch: Callable, picture: Callable, tmp_path: Path
) -> None:
    bodies = [picture(1), picture(2, "JPEG"), picture(3, "WEBP")]
    urls = [server.serve(f"/a/p{i}.jpg", body, kind="text/plain") for i, body in enumerate(bodies)]
    heard: list[Arrival] = []
    files = fetch(*urls, progress=heard.append)
    assert [file.name for file in files] == ["001-p0.png", "002-p1.jpg", "003-p2.webp"]
    assert [file.read_bytes() for file in files] == bodies
    assert [(a.number, a.received) for a in heard if a.whole] == [(i, len(b)) for i, b in enumerate(bodies, 1)]
    assert {a.count for a in heard} == {3} and all(a.total == len(bodies[a.number - 1]) for a in heard)
    assert len(scan(tmp_path / "fetched", 64).pictures) == 3


def test_an_address_given_twice_is_downloaded_once(server: Server, fetch: Callable, picture: Callable) -> None:
    url = server.serve("/a.png", picture())
    assert len(fetch(url, url)) == 1 and len(server.asked) == 1


def test_a_body_of_unknown_length_and_one_in_chunks_arrive(server: Server, fetch: Callable, picture: Callable) -> None:
    body = picture()
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(body[i : i + 999]), body[i : i + 999]) for i in range(0, len(body), 999))
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    server.answers["/chunks"] = lambda handler: void(handler.wfile.write(head + chunks + b"0\r\n\r\n"))
    files = fetch(server.serve("/open", body, Content_Length=""), server.address("/chunks"))
    assert [file.read_bytes() for file in files] == [body, body]


def void(_: object) -> None:
    """For a lambda that returns nothing."""


def test_redirects_are_followed(server: Server, fetch: Callable, picture: Callable) -> None:
    server.serve("/deep/a%20b.png", picture())
    server.redirect("/deep/step", "a b.png".replace(" ", "%20"), 307)
    (file,) = fetch(server.redirect("/start.php", "/deep/step?x=1", 301))
    assert file.name == "001-start.png" and [path for path, _ in server.asked][-1] == "/deep/a%20b.png"


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/..%2F..%2Fevil%00%1b%5B31m.sh", "001-evil-31m.png"),
        ("/%2e%2e/%2e%2e", "001-picture.png"),
        ("/" + "x" * 900 + ".png", "001-" + "x" * 40 + ".png"),
        ("/CON.jpg?name=../../a", "001-con.png"),
        ("/%E2%80%AEgpj.exe", "001-gpj.png"),
    ],
)
def test_a_server_does_not_choose_names(
    server: Server, fetch: Callable, picture: Callable, tmp_path: Path, path: str, name: str
) -> None:
    server.serve(path.partition("?")[0], picture())
    assert fetch(server.address(path)) == [tmp_path / "fetched" / name]
    assert [p.name for p in (tmp_path / "fetched").iterdir()] == [name]


def test_what_is_no_picture_is_refused(server: Server, fails: Callable, picture: Callable) -> None:
    page = fails(server.serve("/page", b"<html>login</html>" * 50, kind="text/html\x1b[31m"))
    assert "not a picture" in page and r"text/html\x1b[31m" in page and "\x1b" not in page
    assert "damaged" in fails(server.serve("/cut", picture()[:-500]))
    assert "empty" in fails(server.serve("/none", b""))


def test_a_bomb_of_pixels_is_refused(server: Server, fails: Callable) -> None:
    out = io.BytesIO()
    Image.new("1", (30_000, 30_000)).save(out, "PNG")
    assert "more" in fails(server.serve("/bomb.png", out.getvalue()))


@pytest.mark.filterwarnings("error")
def test_what_pillow_remarks_of_a_large_picture_is_not_heard(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, picture: Callable
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 15_000)  # of which a picture may have twice as many
    url = server.serve("/large.png", picture())
    assert len(fetch_pictures([url], tmp_path / "got", allow_private=True)) == 1


@pytest.mark.parametrize(("status", "words"), [(404, "404"), (500, "500"), (204, "204"), (206, "206"), (304, "304")])
def test_answers_that_bring_no_picture_are_named(
    server: Server, fails: Callable, picture: Callable, status: int, words: str
) -> None:
    assert f"answered {words}" in fails(server.serve("/a.png", picture() if status == 206 else b"", status=status))


def test_every_failure_is_named_and_nothing_is_kept(server: Server, fails: Callable, picture: Callable) -> None:
    good, page = server.serve("/good.png", picture()), server.serve("/page", b"no")
    message = fails(good, page, server.address("/gone"))
    assert f"{page}: not a picture" in message and f"{server.address('/gone')}: the server answered 404" in message
    assert good not in message and "Nothing was kept" in message


def test_too_large_is_refused_with_and_without_a_length(server: Server, fails: Callable) -> None:
    assert "larger than 195 KB" in fails(server.serve("/a", b"", Content_Length=str(3 * 2**30)))
    heard: list[Arrival] = []
    endless = server.drip("/b", b"HTTP/1.0 200 OK\r\n\r\n", b"x" * 50_000)
    assert "larger than 195 KB" in fails(endless, progress=heard.append)
    assert max(a.received for a in heard) <= QUICK.size


def test_less_than_announced_is_refused(server: Server, fails: Callable, picture: Callable) -> None:
    # The trailing bytes after a PNG's end do not matter to a decoder, so that only the length can tell.
    body = picture()
    assert "broke off" in fails(server.serve("/a.png", body, Content_Length=str(len(body) + 10)))


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("head", "drop", "limits", "words"),
    [
        (b"HTTP/1.0 200 OK\r\n\r\n", b"x", {"seconds": 0.4}, "longer than 0.4 s"),
        (b"HTTP/1.0 200 OK\r\nX: ", b"x", {"seconds": 0.4}, "longer than 0.4 s"),
        (b"HTTP/1.0 200 OK\r\n\r\nx", b"", {"silence": 0.3}, "nothing came for 0.3 s"),
        (b"", b"", {"silence": 0.3}, "nothing came for 0.3 s"),
        (b"SSH-2.0-OpenSSH\r\n", b"", {}, "makes no sense"),
    ],
)
def test_slow_silent_and_other_servers_are_left(
    server: Server, fails: Callable, head: bytes, drop: bytes, limits: dict, words: str
) -> None:
    assert words in fails(server.drip("/a", head, drop), limits=replace(QUICK, **limits))


def test_redirects_end(server: Server, fails: Callable) -> None:
    assert "redirected more than 3 times" in fails(server.redirect("/a", "/a"))
    assert len(server.asked) == QUICK.redirects + 1


@pytest.mark.parametrize(
    ("to", "words"),
    [
        ("http://169.254.169.254/latest/meta-data", "169.254.169.254"),
        ("file:///etc/passwd", "'file' is neither"),
        ("//user:secret@127.0.0.1/a.png", "password"),
        ("http://[::ffff:169.254.169.254]/", "which no web server has"),
        ("http://[::1", "what is no address"),
    ],
)
def test_where_a_redirect_leads_is_judged_again(server: Server, fails: Callable, to: str, words: str) -> None:
    assert words in fails(server.redirect("/a", to))


def test_private_addresses_are_refused_before_they_are_asked(
    server: Server, fails: Callable, picture: Callable
) -> None:
    server.serve("/a.png", picture())
    for host in ("127.0.0.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.1", "[::ffff:127.0.0.1]"):
        assert "private" in fails(server.address("/a.png", host), allow_private=False), host
    assert server.asked == []


class Names:
    """A resolver whose answers change: one list of addresses for each question."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.questions: list[str] = []

    def __call__(self, host: str, port: int, **_: object) -> list[tuple]:
        self.questions.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in self.answers.pop(0)]


def test_a_name_is_resolved_once_and_its_server_hears_the_name(
    server: Server, fetch: Callable, picture: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = Names(["127.0.0.1"])  # a second question would find no answer
    monkeypatch.setattr(socket, "getaddrinfo", names)
    server.serve("/a.png", picture())
    fetch(server.address("/a.png", "photos.test"))
    assert names.questions == ["photos.test"]
    assert server.asked == [("/a.png", f"photos.test:{server.server_port}")]


def test_one_private_address_among_public_ones_is_enough(
    server: Server, fails: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "getaddrinfo", Names(["93.184.215.14", "127.0.0.1"]))
    assert "photos.test leads to 127.0.0.1" in fails("http://photos.test/a.png", allow_private=False)


def test_a_name_that_nobody_has(fails: Callable, monkeypatch: pytest.MonkeyPatch) -> None:
    def none(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", none)
    assert "there is no server photos.test" in fails("http://photos.test/a.png")


def test_a_server_that_is_not_there(fails: Callable) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    assert "Connection refused" in fails(f"http://127.0.0.1:{port}/a.png")


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/a.png", "file:///etc/passwd", "data:image/png;base64,AAAA", "a.png", "", "http://",
        "http:///a.png", "http://me@example.com/", "http://me:pw@example.com/", "http://example.com:99999/",
        "http://example.com/a\r\nX: y", "http://exa mple.com/", "http://example.com\\@127.0.0.1/",
        "http://" + "a" * 70 + ".com/", "http://-evil-/", "http://a/" + "x" * 5000, "http://[::1", "javascript:alert(1)",
    ],
)  # fmt: skip
def test_what_is_no_address_of_a_picture(fails: Callable, url: str) -> None:
    message = fails("http://127.0.0.1:1/fine.png", url, error=UsageError)
    assert "Nothing was downloaded" in message and "\r" not in message


def test_there_is_a_limit_on_the_number(fails: Callable) -> None:
    message = fails(*[f"http://127.0.0.1:1/{i}" for i in range(5)], error=UsageError)
    assert "4 are the most" in message


def test_a_download_that_is_cancelled_leaves_nothing(
    server: Server, fetch: Callable, picture: Callable, tmp_path: Path
) -> None:
    def cancel(arrival: Arrival) -> None:
        if arrival.number == 2:
            raise KeyboardInterrupt

    urls = [server.serve(f"/{i}.png", picture(i)) for i in range(2)]
    with pytest.raises(KeyboardInterrupt):
        fetch(*urls, progress=cancel)
    assert list(tmp_path.iterdir()) == []


def test_proxies_of_the_environment_are_left_out(
    server: Server, fetch: Callable, picture: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert len(fetch(server.serve("/a.png", picture()))) == 1


def test_a_secure_server_must_prove_the_name_it_was_asked_by(
    picture: Callable, fetch: Callable, fails: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    key, proof = tmp_path / "key.pem", tmp_path / "proof.pem"
    command = f"openssl req -x509 -newkey rsa:2048 -nodes -days 2 -keyout {key} -out {proof} -subj /CN=photos.test"
    try:
        done = subprocess.run([*command.split(), "-addext", "subjectAltName=DNS:photos.test"], capture_output=True)
    except FileNotFoundError:
        pytest.skip("there is no openssl to make a certificate with")
    assert done.returncode == 0, done.stderr
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(proof, key)
    heard: list[str | None] = []
    context.sni_callback = lambda _, name, __: heard.append(name)
    secure = Server()
    secure.socket = context.wrap_socket(secure.socket, server_side=True)
    monkeypatch.setattr(socket, "getaddrinfo", Names(*[["127.0.0.1"]] * 3))
    with serving(secure):
        secure.serve("/a.png", picture())
        url = secure.address("/a.png", "photos.test").replace("http:", "https:")
        assert "cannot prove who it is" in fails(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(proof))
        assert "cannot prove who it is" in fails(url.replace("photos.test", "other.test"))
        assert len(fetch(url)) == 1
    assert heard == ["photos.test", "other.test", "photos.test"]


def test_scratch_is_gone_after_use() -> None:
    with paths.scratch_folder() as folder:
        (folder / "a").write_text("b")
        assert folder.stat().st_mode & 0o777 == 0o700 and folder.is_relative_to(paths.cache_dir())
    assert list(paths.cache_dir().iterdir()) == []
