"""The bottom line: the keys that do something here and now, the most important ones if there is little room."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from dbtui.app.keys import KEYS, Key


class KeyBar(Widget):
    """Made from the table of keys and from what the screen allows at the moment; each key can be clicked."""

    auto_links = False  # the keys keep their own colours

    def on_mount(self) -> None:
        self.screen.bindings_updated_signal.subscribe(self, lambda _: self.refresh())

    def render(self) -> Content:
        keys = self.keys()
        items = [_item(key) for key in keys]
        for rank in (2, 1):
            for place in reversed(range(len(keys))):
                if keys[place].rank == rank and sum(item.cell_length for item in items) > self.size.width:
                    del keys[place], items[place]
        return Content("").join(items)

    def keys(self) -> list[Key]:
        """What is allowed now, in the table's order: of the widget with the focus if it has a table, or of the screen."""
        node = next((n for n in (self.screen.focused, self.screen) if hasattr(n, "KEYS")), None)
        if node is None:
            return []
        allowed = [key for key in KEYS[node.KEYS] if key.rank < 3]
        return [key for key in allowed if node.check_action(key.action.split("(")[0], ())]


def _item(key: Key) -> Content:
    action = key.action if "." in key.action else f"screen.{key.action}"
    click = f"@click={action if '(' in action else action + '()'}"
    return Content.assemble((f" {key.face} ", "bold $primary"), (f"{key.label} ", "$text-muted")).stylize(click)
