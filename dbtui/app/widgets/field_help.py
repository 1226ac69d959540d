"""What is to be known of the parameter that has the focus."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from dbtui.core.fields import Field
from dbtui.core.presets import PRESETS

MORE = {
    "concept.prompt": "'sks' is such a rare word: the model has hardly met it, so it can become your subject's name.",
    "prior.class_prompt": "Typing one turns prior preservation on.",
    "concept.name": "Left empty, it is made from the folder's name.",
}
"""What the table's own help leaves out, for the fields that new users stumble over."""


class FieldHelp(Static):
    """Shows the help of one parameter at a time, or what a preset is for."""

    _shown: tuple[Field | None, str, str] = (None, "", "")

    def show(self, spec: Field, preset: str, reference: str) -> None:
        """``reference`` is the value that the preset has for it."""
        self._show_words(spec, preset, reference)

    def show_preset(self, name: str) -> None:
        self._show_words(None, name, PRESETS[name].summary)

    def on_resize(self) -> None:
        self.update(self._words(*self._shown), layout=False)

    def _show_words(self, spec: Field | None, preset: str, reference: str) -> None:
        if (spec, preset, reference) != self._shown:
            self._shown = (spec, preset, reference)
            self.update(self._words(spec, preset, reference), layout=False)

    def _words(self, spec: Field | None, preset: str, reference: str) -> Content:
        if not preset:
            return Content()
        if spec is None:
            return Content.assemble(
                (f"Preset {preset}\n", "bold"), f"{reference}\nWhat you typed by hand stays when the preset changes."
            )
        help = f"{spec.help} {MORE.get(spec.key, '')}".rstrip()
        allowed = spec.range + (f"; in {spec.unit}" if spec.unit else "")
        usual = f"{preset}: {reference or 'empty'}"
        if not self.screen.has_class("-wide"):
            head = Content.assemble((spec.label, "bold"), (f"  {allowed} \u00b7 {usual}", "$text-muted"))
            return Content("\n").join([head, Content(help)])
        rest = (Content.styled(words, "$text-muted") for words in (allowed, usual, spec.key))
        return Content("\n\n").join([Content.styled(spec.label, "bold"), Content(help), *rest])
