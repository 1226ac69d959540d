"""What a person has chosen in the app, kept in the config folder between sessions."""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass
from pathlib import Path

import tomli_w

from dbtui.core import paths
from dbtui.core.errors import printable
from dbtui.core.tty import IMAGES


@dataclass(frozen=True, slots=True)
class Settings:
    """The app's settings, with what holds until something else is chosen."""

    theme: str = "dbtui-dark"
    images: str = "auto"


def settings_file() -> Path:
    return paths.config_dir() / "settings.toml"


def read_settings() -> tuple[Settings, str]:
    """The settings, and what was wrong with their file: what cannot be used is the default instead."""
    file = settings_file()
    try:
        values = tomllib.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return Settings(), ""
    except (OSError, ValueError) as error:
        return Settings(), f"{printable(file)}: {printable(error)}"
    known = {f.name for f in dataclasses.fields(Settings)}
    bad = [key for key, value in values.items() if key not in known or not isinstance(value, str)]
    if values.get("images", "auto") not in IMAGES:
        bad.append("images")
    settings = Settings(**{key: value for key, value in values.items() if key not in bad})
    return settings, f"{printable(file)}: {', '.join(map(printable, bad))} cannot be used" if bad else ""


def write_settings(settings: Settings) -> None:
    """Keep ``settings``. Raises OSError."""
    paths.make_private(paths.config_dir())
    paths.write_atomic(settings_file(), tomli_w.dumps(dataclasses.asdict(settings)))
