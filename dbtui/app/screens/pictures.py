"""The first step to a new concept: a folder, its photos, and what is to be said about them."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.widgets import Static, Tree

from dbtui.app.dialogs import TextDialog
from dbtui.app.draft import Draft
from dbtui.app.keys import bindings
from dbtui.app.messages import FolderRead, OpenParameters, PhotosReported, PictureRead
from dbtui.app.photos import MANY, Album, read_folder, read_pictures, report_photos
from dbtui.app.screens.addresses import AddressesDialog
from dbtui.app.screens.base import BaseScreen
from dbtui.app.screens.photo import PhotoDialog
from dbtui.app.widgets.folder_tree import FolderTree
from dbtui.app.widgets.path_input import PathInput
from dbtui.app.widgets.photo_grid import PhotoGrid
from dbtui.app.widgets.report_words import all_words, names_in, verdict
from dbtui.core.dataset import Report
from dbtui.core.errors import DbtuiError, UsageError, printable, printable_line
from dbtui.core.units import plural

EMPTY = "No photos in this folder. Choose one with three to ten photos of your subject."
TOO_MANY = "{} pictures: a subject needs three to ten. Choose a smaller folder, or press r to look at all of these."


class PicturesScreen(BaseScreen):
    """Shows the folder under the tree's cursor. What is chosen goes into the draft."""

    KEYS: ClassVar[str] = "pictures"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("pictures")]

    def __init__(self, draft: Draft) -> None:
        super().__init__()
        self.draft = draft
        self._album = Album()
        self._start = Path.cwd() if draft.folder is None or draft.urls else draft.folder
        self._highlighted = self._start
        self._enters = False
        """Whether the photos are to have the focus once they have been read."""
        self._photos: list[Path] = []
        self.report: Report | None = None
        """Of the folder's photos, once they have been looked at."""

    def body(self) -> ComposeResult:
        with Horizontal(id="path-line"):
            yield Static("Folder", id="path-label")
            yield PathInput(id="path")
        yield Static(id="path-choices")
        with Horizontal(id="pictures"):
            yield FolderTree(self._start, id="folders")
            with Vertical(id="photos-place"):
                yield PhotoGrid(self._album, id="photos")
                yield Static(id="no-photos")
        yield Static(id="verdict")

    def on_mount(self) -> None:
        self.query_one("#folders").border_title = "folders"
        self.query_one(FolderTree).focus()
        self._show(self.draft.folder or self._start)

    # Which folder

    @on(Tree.NodeHighlighted)
    def _cursor_moved(self, event: Tree.NodeHighlighted[Path]) -> None:
        folder = event.node.data
        if folder is not None and folder != self._highlighted:
            self._highlighted = folder
            self._show(folder)

    @on(FolderTree.Chosen)
    def _chosen(self, message: FolderTree.Chosen) -> None:
        self._enters = True
        self._show(message.folder)

    @on(PathInput.Given)
    def _given(self, message: PathInput.Given) -> None:
        self._enters = True
        self._show(message.folder)

    @on(PathInput.Left)
    def _path_left(self) -> None:
        """Say again what holds of the photos that are still shown."""
        self._say_path()
        self.query_one("#path-choices").display = False
        self._say_found()
        if self.report is None and 0 < len(self._photos) <= MANY:
            self.action_look()  # it was given up for the path
        self.query_one(FolderTree).focus()

    @on(PathInput.Choices)
    def _path_choices(self, message: PathInput.Choices) -> None:
        names = "  ".join(f"{printable(name)}/" for name in message.names[:40])
        self.query_one("#path-choices", Static).update(Content(names))
        self.query_one("#path-choices").display = bool(names)

    def _show(self, folder: Path) -> None:
        """Read ``folder``, and show it once that is done."""
        self.workers.cancel_group(self, "thumbnails")
        self.query_one("#path-choices").display = False
        excluded = sorted(self.draft.excluded_in(folder))
        self.start(partial(read_folder, self, folder, excluded, self._album, self.draft.config()), "folder")

    @on(FolderRead)
    def _folder_read(self, message: FolderRead) -> None:
        if message.problem is not None:
            self._enters = False
            self._say_problem(message.problem)
            return
        if message.folder != self.draft.folder:
            self.draft.use_folder(message.folder)
        if not self.draft.urls and message.folder != self._highlighted:
            self._highlighted = message.folder
            self.query_one(FolderTree).go(message.folder)
        # A path that is being typed is neither written over nor left because a folder was read meanwhile.
        if self._enters or not self.query_one(PathInput).has_focus:
            self._say_path()
        self.report = None
        self._fill(list(message.pictures))
        if self._enters:
            self.call_after_refresh(self._enter)
        self._say_found()

    def _say_found(self) -> None:
        count = len(self._photos)
        if self.report is not None:
            self._say(*verdict(self.report))
        elif count > MANY:
            self._say(TOO_MANY.format(f"{count:,}"), "-warning")
        else:
            self._say("Looking at the photos \u2026" if count else "")

    def _enter(self) -> None:
        """Go to the photos; where there are none, to the folders in the folder."""
        self._enters = False
        if self._photos:
            self.query_one(PhotoGrid).focus()
        else:
            self.query_one(FolderTree).focus()
            self.query_one(FolderTree).action_open()

    def _fill(self, photos: list[Path]) -> None:
        self._photos = photos
        self.set_class(not photos, "-no-photos")
        self.query_one("#no-photos", Static).update("" if photos else EMPTY)
        self.query_one(PhotoGrid).show(photos)
        self._mark()
        self.refresh_bindings()

    def _say_path(self) -> None:
        line = self.query_one(PathInput)
        line.value = "" if self.draft.urls or self.draft.folder is None else str(self.draft.folder)
        line.placeholder = f"{len(self.draft.urls)} from the web" if self.draft.urls else "a folder with photos"
        line.cursor_position = len(line.value)

    # What is said about it

    @on(PhotosReported)
    def _reported(self, message: PhotosReported) -> None:
        if message.folder != self.draft.folder:
            return
        if message.problem is not None:
            self.report = None
            self._say_problem(message.problem)
        elif message.report is not None and set(message.report.excluded) != self.draft.excluded:
            return  # one that was under way when a photo was left out
        elif message.report is None:
            self._say(f"Looking at the photos \u2026 {message.done:,} of {message.total:,}")
        else:
            self.report = message.report
            found = {picture.path for picture in message.report.pictures}
            if not found <= set(self._photos):
                self._fill(sorted({*self._photos, *found}))
            words, mood = verdict(message.report)
            self._say(words, mood)
        self._mark()
        self.refresh_bindings()

    def _mark(self) -> None:
        doubted = names_in(self.report) if self.report else set()
        self.query_one(PhotoGrid).mark(self.draft.excluded, doubted)
        self._name_photo()
        used = plural(len(self.report.pictures), "photo") + " " if self.report else ""
        self.say_where("Photos", facts=Content.styled(used, "$text-muted"))

    @on(PhotoGrid.Moved)
    def _name_photo(self) -> None:
        path = self.query_one(PhotoGrid).current
        pictures = self.report.pictures if self.report else ()
        size = next((f" \u00b7 {p.width} x {p.height}" for p in pictures if p.path == path), "")
        out = " \u00b7 left out" if path is not None and path.name in self.draft.excluded else ""
        name = printable_line(path.name) if path else "photos"
        self.query_one(PhotoGrid).border_title = Content(f"{name}{size}{out}")

    def _say_problem(self, error: DbtuiError) -> None:
        self._say(f"{error.title}. {error.message}", "-error")

    def _say(self, words: str | Content, mood: str = "") -> None:
        line = self.query_one("#verdict", Static)
        line.set_classes(mood)
        line.display = bool(words)
        line.update(words if isinstance(words, Content) else Content(printable(words)))

    # Thumbnails

    @on(PhotoGrid.Needed)
    def _needed(self, message: PhotoGrid.Needed) -> None:
        self.start(partial(read_pictures, self, message.paths, self._album), "thumbnails")

    @on(PictureRead)
    def _picture_read(self, message: PictureRead) -> None:
        self.query_one(PhotoGrid).put(message.path)

    # What can be done

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what can be done with the folder that is shown."""
        if not self.is_mounted or action not in ("go_on", "exclude", "large", "words"):
            return True
        return bool(self.report) if action == "words" else bool(self._photos)

    def action_go_on(self) -> None:
        left = {path.name for path in self._photos} - self.draft.excluded
        if left and (self.report is not None or len(self._photos) > MANY):
            self.post_message(OpenParameters())
        elif left:
            self.notify("The photos are still being looked at, or none can be used.", severity="warning")
        else:
            self.notify("All photos are left out.", severity="warning")

    def action_exclude(self) -> None:
        path = self.query_one(PhotoGrid).current
        if path is None:
            return
        try:
            self.draft.toggle(path.name)
        except UsageError as error:
            self.show_error(error)
            return
        self._mark()
        self.action_look()

    def action_look(self) -> None:
        folder = self.draft.folder
        if folder is not None:
            work = partial(report_photos, self, folder, sorted(self.draft.excluded), self._album, self.draft.config())
            self.start(work, "folder")

    @on(PhotoGrid.Opened)
    def action_large(self) -> None:
        path = self.query_one(PhotoGrid).current
        if path is not None:
            self.app.push_screen(PhotoDialog(path, turn=self._turn))

    def _turn(self, count: int) -> tuple[Path, str] | None:
        grid = self.query_one(PhotoGrid)
        grid.action_move(count, 0)
        return (grid.current, "") if grid.current is not None else None

    def action_path(self) -> None:
        self.query_one(PathInput).focus()

    def action_up(self) -> None:
        self.query_one(FolderTree).action_up()

    def action_words(self) -> None:
        if self.report is not None:
            self.app.push_screen(TextDialog("Photos", all_words(self.report)))

    def action_addresses(self) -> None:
        def answered(downloaded: bool | None) -> None:
            if downloaded and self.draft.folder is not None:
                self._show(self.draft.folder)
                self.query_one(PhotoGrid).focus()

        self.app.push_screen(AddressesDialog(self.draft), answered)

    def action_leave(self) -> None:
        self.dismiss("")
