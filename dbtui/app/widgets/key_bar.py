"""The bottom line: the keys that do something here and now, the most important ones if there is little room."""

from __future__ import annotations

from textual.content import Content
from textual.dom import DOMNode
from textual.widget import Widget

from dbtui.app.keys import HELP, KEYS, Key


class KeyBar(Widget):
    """Made from the table of keys and from what the screen allows at the moment; each key can be clicked."""

    auto_links = False  # the keys keep their own colours

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> Content:
        # The way to those that have no room stands last, and is always there.
        keys = sorted(self.keys(), key=lambda key: key.action == HELP.action)
        namespace = "screen" if self._owner is self.screen else "focused"
        items = [_item(key, namespace) for key in keys]
        for rank in (2, 1):
            for place in reversed(range(len(keys))):
                if keys[place].rank == rank and sum(item.cell_length for item in items) > self.size.width:
                    del keys[place], items[place]
        return Content("").join(items)

    @property
    def _owner(self) -> DOMNode | None:
        """The widget with the focus if it has a table, or the screen."""
        return next((n for n in (self.screen.focused, self.screen) if hasattr(n, "KEYS")), None)

    def keys(self) -> list[Key]:
        """What is allowed here and now, in the table's order."""
        node = self._owner
        if node is None:
            return []
        allowed = [key for key in KEYS[node.KEYS] if key.rank < 3]  # type: ignore[attr-defined]
        return [key for key in allowed if node.check_action(key.action.split("(")[0], ())]


def _item(key: Key, namespace: str) -> Content:
    """``namespace``: whose the actions are that do not say it."""
    action = key.action if "." in key.action.partition("(")[0] else f"{namespace}.{key.action}"
    click = f"@click={action if '(' in action else action + '()'}"
    return Content.assemble((f" {key.face} ", "bold $primary"), (f"{key.label} ", "$text-muted")).stylize(click)
