"""What a person has chosen for a new concept so far. It outlives the screens that show it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from dbtui.core import paths
from dbtui.core.config import FIELDS, Config
from dbtui.core.errors import UsageError, printable
from dbtui.core.fields import Value
from dbtui.core.presets import assemble, preset_config, preset_for


@dataclass
class Draft:
    """Photos, a preset, and what was typed by hand."""

    folder: Path | None = None
    """Whose photos are shown; those of ``urls`` are in a folder of their own."""
    urls: list[str] = field(default_factory=list)
    """Where the photos of ``folder`` were downloaded from, if they were."""
    preset: str = ""
    """As chosen; empty for the one that suits the model."""
    typed: dict[str, str] = field(default_factory=dict)
    """Texts by field, where they are not the preset's; what cannot be read is kept as well."""
    _excluded: dict[Path, set[str]] = field(default_factory=dict)
    _downloads: ExitStack = field(default_factory=ExitStack)

    # Photos

    @property
    def excluded(self) -> set[str]:
        """Names of the files of ``folder`` that are left out."""
        return self.excluded_in(self.folder) if self.folder else set()

    def excluded_in(self, folder: Path) -> set[str]:
        return self._excluded.setdefault(folder, set())

    def use_folder(self, folder: Path) -> None:
        if folder != self.folder:
            self.folder, self.urls = folder, []

    def use_download(self, urls: list[str], folder: Path) -> None:
        """Learn from pictures that were downloaded into ``folder``."""
        self.folder, self.urls = folder, urls

    def make_download_folder(self) -> Path:
        """A folder that is gone when the draft is closed."""
        return self._downloads.enter_context(paths.scratch_folder()) / "photos"

    def toggle(self, name: str) -> None:
        """Leave a file out, or take it in again. Raises UsageError for a name that no config can hold."""
        check_path(name)
        self.excluded.symmetric_difference_update({name})

    def next(self) -> Draft:
        """A draft for the concept after this one: it begins where this did."""
        return Draft(None if self.urls else self.folder)

    def close(self) -> None:
        """Give up what was downloaded."""
        self._downloads.close()

    # Parameters

    @property
    def effective_preset(self) -> str:
        """The preset that holds: the chosen one, or the one that suits the model."""
        return self.preset or preset_for(self.typed.get("model.base", ""))

    def reference(self) -> Config:
        """What the preset alone says, with or without prior preservation."""
        return preset_config(self.effective_preset, self.typed.get("prior.enabled") == "true")

    def texts(self) -> dict[str, str]:
        """What the fields show."""
        reference = self.reference()
        return {key: self.typed.get(key, spec.format(reference[key])) for key, spec in FIELDS.items()}

    def type(self, key: str, text: str) -> None:
        """Take what was typed into a field. A class prompt asks for prior preservation, as ``--class-prompt`` does."""
        if key == "prior.class_prompt" and "prior.enabled" not in self.typed and text.strip():
            self.typed["prior.enabled"] = "true"
        if text == FIELDS[key].format(self.reference()[key]):
            self.typed.pop(key, None)
        else:
            self.typed[key] = text
        if key == "prior.class_prompt" and not text.strip():
            self.typed.pop("prior.enabled", None)

    def reset(self, key: str) -> None:
        self.typed.pop(key, None)

    def apply(self, changes: Mapping[str, Value]) -> None:
        for key, value in changes.items():
            self.type(key, FIELDS[key].format(value))

    def problems(self) -> dict[str, UsageError]:
        """What cannot be read, by field."""
        found = {}
        for key, text in self.typed.items():
            try:
                FIELDS[key].parse(text)
            except UsageError as error:
                found[key] = error
        return found

    def config(self) -> Config:
        """All that is asked, fields that cannot be read being as in the preset. Not yet checked as a whole."""
        bad = self.problems()
        changes = {key: FIELDS[key].parse(text) for key, text in self.typed.items() if key not in bad}
        photos: dict[str, Value] = {
            "data.folder": "" if self.urls or self.folder is None else str(self.folder),
            "data.urls": list(self.urls),
            "data.exclude": sorted(self.excluded),
        }
        return assemble(self.effective_preset, None, {**changes, **photos})


def check_path(path: str | Path) -> None:
    """Raise UsageError for a name that no config can hold."""
    try:
        FIELDS["data.folder"].check(str(path))
    except UsageError:
        raise UsageError(
            f"{printable(Path(path).name)} cannot be used",
            "Its path is not in UTF-8, as a config has to be.",
            "Give it another name.",
        ) from None
