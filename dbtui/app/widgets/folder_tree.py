"""A tree of folders. What is in one is read in a worker thread when it is opened."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import ClassVar

from rich.style import Style
from rich.text import Text
from textual import on
from textual.binding import BindingType
from textual.message import Message
from textual.widgets import Tree
from textual.widgets.tree import TreeNode

from dbtui.app.keys import bindings
from dbtui.app.photos import list_folders
from dbtui.core.errors import printable_line


class FolderTree(Tree[Path]):
    """Shows the folders from one of them down; what is hidden is left out."""

    BINDINGS: ClassVar[list[BindingType]] = [*bindings("folders")]
    ICON_NODE = "\u25b8 "
    ICON_NODE_EXPANDED = "\u25be "

    @dataclass
    class Chosen(Message):
        """Enter was pressed on a folder."""

        folder: Path

    @dataclass
    class _Listed(Message):
        node: TreeNode[Path]
        folders: list[Path]

    def __init__(self, folder: Path, id: str) -> None:
        super().__init__(_label(folder), folder, id=id)
        self.guide_depth = 2
        self.show_guides = False
        self.auto_expand = False
        self._wanted: Path | None = None
        """Where the cursor goes once it has been read."""

    def on_mount(self) -> None:
        self.root.expand()
        self.cursor_line = 0

    @property
    def folder(self) -> Path:
        """Under the cursor."""
        node = self.cursor_node or self.root
        assert node.data is not None
        return node.data

    def go(self, folder: Path) -> None:
        """Put the cursor on ``folder``; a folder that is not in the tree becomes its root."""
        found = next((node for node in self._seen_nodes() if node.data == folder), None)
        if found is None:
            self._replant(folder)
        else:
            self.move_cursor(found)

    def action_up(self) -> None:
        """To the folder that holds this one."""
        node = self.cursor_node
        if node is not None and node.parent is not None:
            self.move_cursor(node.parent)
        elif self.folder.parent != self.folder:
            self._wanted = self.folder
            self._replant(self.folder.parent)

    def action_open(self) -> None:
        if self.cursor_node is not None:
            self.cursor_node.expand()

    def action_fold(self) -> None:
        """Close the folder; one that is closed leads up."""
        node = self.cursor_node
        if node is not None and node.is_expanded and node.parent is not None:
            node.collapse()
        else:
            self.action_up()

    def action_choose(self) -> None:
        self.post_message(self.Chosen(self.folder))

    def render_label(self, node: TreeNode[Path], base_style: Style, style: Style) -> Text:
        if node.allow_expand:
            return super().render_label(node, base_style, style)
        return Text.assemble(("  ", base_style), super().render_label(node, base_style, style))

    def _seen_nodes(self) -> list[TreeNode[Path]]:
        """All that can be seen."""
        nodes = [self.root]
        for node in nodes:
            nodes += node.children if node.is_expanded else []
        return nodes

    def _replant(self, folder: Path) -> None:
        self.reset(_label(folder), folder)
        self.root.expand()
        self.cursor_line = 0
        self.move_cursor(self.root)

    @on(Tree.NodeExpanded)
    def _expanded(self, event: Tree.NodeExpanded[Path]) -> None:
        if not event.node.children and event.node.data is not None:
            self.run_worker(partial(self._list, event.node), thread=True, exit_on_error=False, group="folders")

    def _list(self, node: TreeNode[Path]) -> None:
        assert node.data is not None
        self.post_message(self._Listed(node, list_folders(node.data)))

    @on(_Listed)
    def _fill(self, message: _Listed) -> None:
        node = message.node
        if node.children or node not in self._seen_nodes():
            return
        for folder in message.folders:
            node.add(_label(folder), folder)
        if not message.folders:
            node.allow_expand = node.is_root
        if self._wanted is not None and self._wanted.parent == node.data:
            wanted, self._wanted = self._wanted, None
            self.call_after_refresh(self.go, wanted)


def _label(folder: Path) -> Text:
    return Text(printable_line(folder.name or str(folder)))
