"""The way to a new concept, first step: folders, photos, what is said about them, and photos from the web."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from textual.widgets import Static, TextArea

from dbtui.app.photos import Album, complete_path, list_pictures
from dbtui.app.screens.addresses import AddressesDialog
from dbtui.app.screens.parameters import ParametersScreen
from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.screens.pictures import PicturesScreen
from dbtui.app.widgets.choice import Choice
from dbtui.app.widgets.folder_tree import FolderTree
from dbtui.app.widgets.path_input import PathInput
from dbtui.app.widgets.photo_grid import PhotoGrid, PhotoTile
from dbtui.core.dataset import UnusableError
from dbtui.core.subjects import SUBJECTS

BEAR = SUBJECTS["teddy-bear"].folder


@pytest.fixture
def bears(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the app is started: a folder without photos, in which there are ``bears`` and ``mugs``."""
    shutil.copytree(BEAR, tmp_path / "here" / "bears")
    (tmp_path / "here" / "mugs" / "red").mkdir(parents=True)
    (tmp_path / "here" / ".hidden").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "here" / "bears"


async def open_pictures(ui: Any, folder: Path | None = None) -> PicturesScreen:
    """The screen, showing where the app was started, or ``folder``."""
    if folder is not None:
        ui.app.draft.use_folder(folder)
    await ui.sees("Teach a new concept")
    await ui.press("n")
    await ui.until(lambda: isinstance(ui.app.screen, PicturesScreen) and ui.app.draft.folder)
    screen: PicturesScreen = ui.app.screen
    await ui.until(lambda: folder is None or screen.report is not None)
    return screen


def shown(screen: PicturesScreen) -> list[str]:
    """The names of the photos that can be seen."""
    return [tile.path.name for tile in screen.query(PhotoTile) if tile.display and tile.visible and tile.path]


def test_it_begins_where_the_user_is_and_the_tree_leads_to_the_photos(drive: Callable[..., None], bears: Path) -> None:
    async def script(ui: Any) -> None:
        screen = await open_pictures(ui)
        assert ui.app.draft.folder == bears.parent
        await ui.sees("No photos in this folder", "bears", "mugs")
        assert ".hidden" not in ui.text
        await ui.press("c")
        assert ui.app.screen is screen, "nothing to go on with"
        await ui.press("down", "enter")
        await ui.sees("5 photos, all usable", "512 x 512", "1.jpg", "5.jpg")
        await ui.until(lambda: screen.query_one(PhotoGrid).has_focus)
        assert screen.query_one(PathInput).value == str(bears) and ui.app.draft.folder == bears
        await ui.press("c")
        await ui.until(lambda: isinstance(ui.app.screen, ParametersScreen))

    drive(script)


def test_the_tree_opens_folders_and_goes_above_where_it_began(drive: Callable[..., None], bears: Path) -> None:
    async def script(ui: Any) -> None:
        await open_pictures(ui)
        tree = ui.app.screen.query_one(FolderTree)
        await ui.sees("mugs")
        await ui.press("down", "down", "right")
        await ui.sees("red")
        await ui.press("down")
        await ui.until(lambda: ui.app.draft.folder == bears.parent / "mugs" / "red")
        await ui.press("left", "left", "left")
        await ui.until(lambda: tree.folder == bears.parent)
        await ui.press("backspace")
        await ui.until(lambda: tree.root.data == bears.parent.parent and tree.folder == bears.parent)
        await ui.sees("here")

    drive(script)


def test_a_path_is_typed_and_completed(drive: Callable[..., None], bears: Path) -> None:
    async def script(ui: Any) -> None:
        screen = await open_pictures(ui)
        line = screen.query_one(PathInput)
        await ui.press("slash")
        line.value = f"{bears.parent}/b"
        await ui.press("end", "tab")
        await ui.until(lambda: line.value == f"{bears}/")
        await ui.press("enter")
        await ui.until(lambda: screen.report is not None)
        assert ui.app.draft.folder == bears and screen.query_one(FolderTree).folder == bears
        await ui.press("slash")
        line.value = f"{bears.parent}/"
        await ui.press("tab")
        await ui.sees("bears/  mugs/")
        line.value = str(bears / "nowhere")
        await ui.press("enter")
        await ui.sees("This folder cannot be read", "No such file")
        assert ui.app.draft.folder == bears, "what was chosen stays"
        line.value = str(bears / "1.jpg")
        await ui.press("enter")
        await ui.sees("Not a directory")
        await ui.press("escape")
        assert line.value == str(bears) and ui.app.screen is screen
        await ui.sees("5 photos, all usable")
        assert "Not a directory" not in ui.text and "mugs/" not in ui.text, "what holds is said again"

    drive(script)


def test_completion_goes_as_far_as_it_is_clear(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("holiday-1", "holiday-2", "home", ".holes"):
        (tmp_path / name).mkdir()
    (tmp_path / "hole.jpg").touch()
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert complete_path("~/h") == ("~/ho", ["holiday-1", "holiday-2", "home"])
    assert complete_path("hol") == ("holiday-", ["holiday-1", "holiday-2"])
    assert complete_path(f"{tmp_path}/hom") == (f"{tmp_path}/home/", [])
    assert complete_path("nothing") == ("nothing", [])
    assert complete_path("~") == ("~/", [])
    assert "tmp/" in complete_path("/tm")[0]


def test_a_photo_is_left_out_and_taken_in_again(drive: Callable[..., None], bears: Path) -> None:
    async def script(ui: Any) -> None:
        screen = await open_pictures(ui, bears)
        await ui.press("tab", "right", "x")
        await ui.sees("4 photos to learn from, 1 left out", "2.jpg \u00b7 left out")
        assert ui.app.draft.config().data.exclude == ["2.jpg"]
        assert [tile.has_class("-excluded") for tile in screen.query(PhotoTile)][:5] == [
            False,
            True,
            False,
            False,
            False,
        ]
        await ui.press("down", "x")
        await ui.sees("3 photos to learn from, 2 left out")
        await ui.press("x")
        await ui.sees("4 photos to learn from, 1 left out")
        await ui.press("escape")
        await ui.sees("Teach a new concept")
        await ui.press("n")
        await ui.sees("4 photos to learn from, 1 left out")
        for place in (0, 2, 3, 4):
            ui.app.screen.query_one(PhotoGrid).move_to(place)
            await ui.press("x")
        await ui.sees("There is no picture to learn from")
        await ui.press("c")
        await ui.sees("All photos are left out")

    drive(script)
    assert sorted(path.name for path in bears.iterdir()) == [f"{n}.jpg" for n in range(1, 6)], "no file is touched"


def test_what_is_wrong_with_photos_is_said(drive: Callable[..., None], bears: Path, photo: Any) -> None:
    (bears / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nnothing")
    (bears / "notes.txt").write_text("hello")
    shutil.copy(bears / "1.jpg", bears / "again.jpg")
    photo(7, (90, 160)).save(bears / "tall.png")
    (bears / "\x1b[31mred.jpg").write_bytes(b"no")
    photo(8, (600, 600)).save(bears / "unnamed", "PNG")

    async def script(ui: Any) -> None:
        screen = await open_pictures(ui, bears)
        await ui.sees("8 photos to learn from", "more", "broken.png is not used")
        assert "notes.txt" not in ui.text and "\x1b" not in ui.text
        await ui.until(lambda: "unnamed" in [path.name for path in screen._photos])
        await ui.press("w")
        await ui.sees("again.jpg is a copy of 1.jpg", "tall.png is 90 x 160", "\\x1b[31mred.jpg", "notes.txt")

    drive(script, (120, 36))


def test_a_photo_is_shown_large(drive: Callable[..., None], bears: Path) -> None:
    async def script(ui: Any) -> None:
        screen = await open_pictures(ui, bears)
        await ui.press("tab", "right", "space")
        await ui.until(lambda: isinstance(ui.app.screen, PhotoDialog))
        await ui.sees("2.jpg", "\u2580", "+ -: zoom")
        whole = ui.text
        await ui.press("plus", "plus")
        await ui.until(lambda: ui.text != whole)
        (bears / "3.jpg").unlink()
        await ui.press("right_square_bracket")
        await ui.sees("3.jpg", "This cannot be shown")
        await ui.press("right_square_bracket")
        await ui.until(lambda: "cannot be shown" not in ui.text and "+ -: zoom" in ui.text)
        await ui.sees("4.jpg", "\u2580")
        await ui.press("plus", "space")
        assert ui.app.screen is screen and screen.query_one(PhotoGrid).current == bears / "4.jpg"

    drive(script)


def test_of_many_photos_only_what_is_seen_is_read(drive: Callable[..., None], tmp_path: Path, photo: Any) -> None:
    many = tmp_path / "many"
    many.mkdir()
    photo(1).save(many / "0000.jpg")
    for number in range(1, 5000):
        (many / f"{number:04}.jpg").hardlink_to(many / "0000.jpg")

    async def script(ui: Any) -> None:
        ui.app.draft.use_folder(many)
        screen = await open_pictures(ui)
        await ui.sees("5,000 pictures: a subject needs three to ten", "1 of 5,000")
        tiles = len(shown(screen))
        await ui.until(lambda: len(screen._album._small) == tiles)
        assert tiles <= 6 and screen.report is None
        await ui.press("tab", "end")
        await ui.sees("5,000 of 5,000", "4999.jpg")
        await ui.until(lambda: all(screen._album.at_hand(many / name) for name in shown(screen)))
        assert len(screen._album._small) <= 2 * tiles and len(screen.query(PhotoTile)) == tiles
        await ui.press("home", "pagedown")
        await ui.sees(f"{tiles + 1} of 5,000")

    drive(script)


def test_a_file_is_decoded_once_until_it_changes(bears: Path, photo: Any) -> None:
    album, first = Album(), bears / "1.jpg"
    small = album.small(first)
    assert small.size == (320, 320) and album.small(first) is small and album.look(first) is album.look(first)
    photo(3, (64, 48)).save(first)
    assert album.small(first).size == (64, 48) and album.look(first).width == 64
    first.write_bytes(b"no picture")
    for read in (album.small, album.look):
        with pytest.raises(UnusableError):
            read(first)
    assert [path.name for path in list_pictures(bears)] == [f"{n}.jpg" for n in range(1, 6)]


def test_the_mouse_chooses_folders_and_photos(drive: Callable[..., None], bears: Path) -> None:
    async def script(ui: Any) -> None:
        screen = await open_pictures(ui)
        await ui.sees("bears", "mugs")
        await ui.pilot.click(FolderTree, offset=(8, 2))
        await ui.sees("5 photos, all usable")
        assert ui.app.draft.folder == bears
        await ui.until(lambda: len(shown(screen)) == 5)
        await ui.pilot.click(list(screen.query(PhotoTile))[3])
        await ui.sees("4.jpg \u00b7 512 x 512")
        assert screen.query_one(PhotoGrid).has_focus

    drive(script)


def test_a_name_that_no_config_can_hold_is_refused(drive: Callable[..., None], bears: Path) -> None:
    odd = Path(os.fsdecode(os.fsencode(bears.parent / "odd-") + b"\xff"))
    shutil.copytree(bears, odd)
    shutil.copy(bears / "1.jpg", os.fsdecode(os.fsencode(bears / "0-") + b"\xff.jpg"))

    async def script(ui: Any) -> None:
        screen = await open_pictures(ui, bears)
        await ui.press("tab", "x")
        await ui.sees("0-\\udcff.jpg cannot be used")
        await ui.press("escape")
        assert screen.report is not None and not ui.app.draft.excluded
        screen.post_message(PathInput.Given(odd))
        await ui.sees("odd-\\udcff cannot be used. Its path is not in UTF-8")
        assert ui.app.draft.folder == bears

    drive(script)


class Site(SimpleHTTPRequestHandler):
    """The bear's photos; ``/slow/`` keeps the last byte of one for itself until it is told to go on."""

    gate = threading.Event()

    def do_GET(self) -> None:
        if not self.path.startswith("/slow/"):
            super().do_GET()
            return
        data = (BEAR / Path(self.path).name).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data[:-1])
        self.gate.wait(30)
        self.wfile.write(data[-1:])

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def site() -> Iterator[str]:
    """The address of a server on this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Site, directory=str(BEAR)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    Site.gate.set()
    server.shutdown()
    server.server_close()
    thread.join()
    Site.gate.clear()


async def ask(ui: Any, *urls: str) -> AddressesDialog:
    """Ask for the photos at these addresses."""
    await ui.press("u")
    await ui.until(lambda: isinstance(ui.app.screen, AddressesDialog))
    dialog: AddressesDialog = ui.app.screen
    dialog.query_one(TextArea).text = "\n".join(["", *urls, ""])
    return dialog


def test_photos_from_the_web_are_shown_and_asked_for_in_the_config(
    drive: Callable[..., None], bears: Path, site: str
) -> None:
    urls = [f"{site}/{number}.jpg" for number in (1, 2, 3)]

    async def script(ui: Any) -> None:
        screen = await open_pictures(ui)
        dialog = await ask(ui, *urls)
        await ui.press("f5")
        await ui.sees("private address")
        dialog.query_one(Choice).focus()
        await ui.press("right", "f5")
        await ui.sees("3 photos, all usable", "001-1.jpg")
        data = ui.app.draft.config().data
        assert ui.app.screen is screen and data.urls == urls and data.folder == ""
        kept = ui.app.draft.folder
        assert kept.is_dir()
        await ui.press("x")
        await ui.sees("2 photos to learn from, 1 left out")
        assert ui.app.draft.config().data.exclude == ["001-1.jpg"]
        ui.app.screen.query_one(FolderTree).focus()
        await ui.press("down")
        await ui.until(lambda: ui.app.draft.folder == bears)
        assert ui.app.draft.config().data.urls == [] and ui.app.draft.config().data.folder == str(bears)

    drive(script)


def downloaded(home: Path) -> list[str]:
    """Pictures anywhere in ``home``, of which folders may go at any moment."""
    return [name for _, _, names in os.walk(home) for name in names if name.endswith(".jpg")]


def test_a_download_that_fails_says_why_and_one_that_is_left_keeps_nothing(
    drive: Callable[..., None], bears: Path, site: str, home: Path
) -> None:
    async def script(ui: Any) -> None:
        screen = await open_pictures(ui)
        dialog = await ask(ui, f"{site}/1.jpg", f"{site}/nothing.jpg")
        dialog.query_one(Choice).value = "yes"
        await ui.press("f5")
        await ui.sees("nothing.jpg: the server answered 404")
        dialog.query_one(TextArea).text = f"{site}/2.jpg\n{site}/slow/1.jpg"
        await ui.press("f5")
        await ui.sees("Picture 2 of 2: 18", "of 18")
        await ui.press("escape")
        await ui.until(lambda: ui.app.screen is screen)
        Site.gate.set()
        await ui.until(lambda: not downloaded(home))
        assert ui.app.draft.urls == [] and ui.app.draft.folder == bears.parent

    drive(script)
    assert not downloaded(home)


def test_downloads_go_when_the_app_goes(drive: Callable[..., None], bears: Path, site: str, home: Path) -> None:
    async def script(ui: Any) -> None:
        await open_pictures(ui)
        dialog = await ask(ui, f"{site}/1.jpg")
        dialog.query_one(Choice).value = "yes"
        await ui.press("f5")
        await ui.sees("1 photo, all usable", "Only 1 picture")
        assert downloaded(home)
        assert "Only 1 picture" in str(ui.app.screen.query_one("#verdict", Static).content)

    drive(script)
    assert not downloaded(home)
