"""What goes when a concept or a run is deleted, and its going."""

from __future__ import annotations

from pathlib import Path

from dbtui.core import paths
from dbtui.core.errors import UsageError
from dbtui.core.library import Concept, remove_folder
from dbtui.core.run import Run


def folders_of(what: Concept | Run) -> list[Path]:
    """The folders of a run, or of a concept and the run it came from. Raises UsageError if it is being trained."""
    folders = [what.path]
    if isinstance(what, Concept) and what.run and what.run == Path(what.run).name:
        folders += [folder for folder in [paths.runs_dir() / what.run] if folder.is_dir()]
    for folder in folders:
        if folder.parent == paths.runs_dir() and Run(folder).trainer() is not None:
            raise UsageError(
                f"{folder.name} is being trained", "Nothing was removed.", f"`dbtui stop {folder.name}` first."
            )
    return folders


def remove(what: Concept | Run) -> list[Path]:
    """Delete its folders for good, and say which. Raises UsageError if it is being trained."""
    folders = folders_of(what)
    for folder in folders:
        remove_folder(folder)
    return folders
