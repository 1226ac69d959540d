"""The one table of keys: bindings, key bar, help and command palette are all made from it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.binding import Binding, BindingType


@dataclass(frozen=True, slots=True)
class Key:
    """What a key does. ``action`` is Textual's name for it; ``keys`` are Textual's, with commas between."""

    keys: str
    action: str
    label: str
    """The word in the key bar."""
    help: str
    face: str
    """The key as people call it."""
    rank: int = 2
    """0 is always in the key bar, 1 and 2 as far as there is room, 3 only in the help."""


HELP = Key("f1,question_mark", "app.show_help", "All keys", "Show the keys of this screen.", "?", 0)

TYPED_HELP = Key("f1", "app.show_help", "All keys", "Show the keys of this screen.", "F1", 0)
"""Where a question mark is a letter."""

KEYS: dict[str, tuple[Key, ...]] = {
    "app": (
        Key("ctrl+p", "command_palette", "Commands", "Find an action by its name.", "^p", 3),
        Key("f8", "switch_images", "Pictures", "Show pictures another way: pixels, blocks, halves, none.", "F8", 3),
        Key("f9", "settings", "Settings", "Choose the colours, and how pictures are shown.", "F9", 3),
        Key("ctrl+l", "redraw", "Redraw", "Draw the window anew, where something has written over it.", "^l", 3),
        Key("ctrl+c", "leave", "Leave", "Leave the app when pressed twice. Trainings go on.", "^c", 3),
        Key("ctrl+q", "quit", "Leave", "Leave the app at once. Trainings go on.", "^q", 3),
    ),
    "library": (
        Key("enter", "open", "Open", "Draw with the concept, or look at the training.", "\u21b5", 0),
        Key("n", "new", "New", "Teach a new concept from a folder of photos.", "n", 1),
        Key("slash", "filter", "Filter", "Show what has a word in its name, prompt, model or state.", "/", 1),
        Key("escape", "show_all", "Show all", "Clear the filter.", "esc", 1),
        Key("s", "stop", "Stop", "Stop the training at its next step, with a checkpoint.", "s", 1),
        Key("c", "resume", "Continue", "Take a stopped, failed or lost training up from its checkpoint.", "c", 1),
        Key("m", "compare", "Compare", "See untaught, half-taught and taught pictures side by side.", "m", 2),
        Key("v", "training", "Training", "Look at the training that made the concept.", "v", 2),
        Key("e", "export", "Export", "Write the concept out for other programs.", "e", 2),
        Key("r", "rename", "Rename", "Give the concept another name.", "r", 2),
        Key("d", "delete", "Delete", "Delete a concept and its training, or a training; asks first.", "d", 2),
        Key("b", "untaught", "Untaught", "Draw with the embedded model as it is.", "b", 3),
        Key("t", "demo", "Demo", "Teach the embedded model one of its sample subjects.", "t", 3),
        HELP,
        Key("q", "app.quit", "Leave", "Leave the app. Trainings go on.", "q", 0),
    ),
    "entries": (
        Key("home", "scroll_top", "First", "To the first entry.", "Home"),
        Key("end", "scroll_bottom", "Last", "To the last entry.", "End"),
    ),
    "welcome": (
        Key("up,down", "cursor_down", "Choose", "Go to the other choice.", "\u2191\u2193", 1),
        Key("enter", "select", "Begin", "Begin with what is chosen.", "\u21b5", 0),
        HELP,
        Key("q", "app.quit", "Leave", "Leave the app.", "q", 0),
    ),
    "filter": (
        Key("enter,down", "done", "Keep", "Go back to the table, and keep the filter.", "\u21b5", 0),
        Key("escape", "clear", "Show all", "Clear the filter.", "esc", 0),
    ),
    "dashboard": (
        Key("enter", "prompt", "Draw", "Draw with the concept that was taught.", "\u21b5", 1),
        Key("s", "stop", "Stop", "Stop at the next step, with a checkpoint; asks first.", "s", 1),
        Key("c", "resume", "Continue", "Take the training up from its last checkpoint.", "c", 1),
        Key("w", "save", "Save", "Write a checkpoint at the next step; the training goes on.", "w", 1),
        Key("p", "sample", "Sample", "Draw a sample of a prompt of yours from the weights as now.", "p", 1),
        Key("left_square_bracket", "scrub(-1)", "Earlier", "Show the sample before this one.", "[", 2),
        Key("right_square_bracket", "scrub(1)", "Later", "Show the sample after this one.", "]", 2),
        Key("z", "zoom_sample", "Large", "Look at the sample closely.", "z", 2),
        Key("y", "log_scale", "Log", "Loss on a logarithmic or a linear scale.", "y", 2),
        Key("left", "cursor(-1)", "Read", "Read the chart: one column to the left.", "\u2190", 3),
        Key("right", "cursor(1)", "Read", "Read the chart: one column to the right.", "\u2192", 3),
        Key("plus,equals_sign", "zoom(0.5)", "Zoom in", "Zoom into the chart, about the cursor or its end.", "+", 2),
        Key("minus", "zoom(2)", "Zoom out", "Zoom out of the chart.", "-", 3),
        Key("less_than_sign,comma", "pan(-1)", "Pan", "Move a zoomed chart to the left.", "<", 3),
        Key("greater_than_sign,full_stop", "pan(1)", "Pan", "Move a zoomed chart to the right.", ">", 3),
        Key("0", "whole", "Whole", "The whole training in the chart, without a cursor.", "0", 3),
        Key("f", "chart_only", "Only chart", "The chart over the whole screen, or back.", "f", 3),
        Key("l", "log", "Words", "Read and copy all that the trainer has said.", "l", 2),
        Key("space", "pause", "Pause", "Stop drawing and go on drawing; the training does not mind.", "space", 3),
        HELP,
        Key("q,escape", "leave", "Leave", "Back to the library. The training goes on.", "q", 0),
    ),
    "prompt": (
        Key("f5,ctrl+s", "draw", "Draw", "Draw the prompt; so does enter in its line.", "F5", 1),
        Key("p,slash", "edit", "Prompt", "Go to the prompt.", "p", 1),
        Key("z", "zoom", "Large", "Look at the picture closely; so does enter.", "z", 2),
        Key("s", "save", "Save", "Save the picture somewhere; asks where.", "s", 1),
        Key("g", "save_grid", "Save grid", "Save the whole grid as one picture.", "g", 2),
        Key("c", "copy", "Copy path", "Copy the picture's path, if the terminal allows it.", "c", 2),
        Key("r", "reuse", "Reuse", "Take up the picture's prompt, settings and seed.", "r", 1),
        Key("l", "lock", "Lock seed", "Keep the seed, or draw another one each time.", "l", 2),
        Key("left_square_bracket", "turn(-1)", "Earlier", "Show the grid before this one.", "[", 1),
        Key("right_square_bracket", "turn(1)", "Later", "Show the grid after this one.", "]", 2),
        Key("m", "compare", "Compare", "Compare the concept with how it was before.", "m", 2),
        Key("f", "pictures_only", "Only pictures", "The pictures over the whole screen, or back.", "f", 2),
        HELP,
        Key("escape,q", "leave", "Back", "End the drawing; else back to the pictures, or the library.", "esc", 0),
    ),
    "prompt_line": (
        Key("enter", "screen.draw", "Draw", "Draw the prompt.", "\u21b5", 0),
        Key("up", "focused.recall(-1)", "Older", "The prompt that was drawn before.", "\u2191", 0),
        Key("down", "focused.recall(1)", "Newer", "The prompt that was drawn after.", "\u2193", 1),
        Key("tab", "app.focus_next", "Settings", "Go to the next field.", "tab", 1),
        TYPED_HELP,
        Key("escape", "screen.leave", "Back", "End the drawing; else go to the pictures, or back.", "esc", 0),
    ),
    "grid": (
        Key("enter,space", "screen.zoom", "Large", "Look at the picture closely.", "\u21b5"),
        Key("left", "move(-1,0)", "Left", "To the picture before.", "\u2190"),
        Key("right", "move(1,0)", "Right", "To the picture after.", "\u2192"),
        Key("up", "move(0,-1)", "Up", "To the picture above.", "\u2191"),
        Key("down", "move(0,1)", "Down", "To the picture below.", "\u2193"),
        Key("pageup", "page(-1)", "Page up", "As many pictures back as are shown.", "PgUp"),
        Key("pagedown", "page(1)", "Page down", "As many pictures on as are shown.", "PgDn"),
        Key("home", "end(False)", "First", "To the first picture.", "Home"),
        Key("end", "end(True)", "Last", "To the last picture.", "End"),
    ),
    "compare": (
        Key("f5,ctrl+s", "draw", "Draw", "Draw the table; so does enter in a prompt.", "F5", 0),
        Key("p,slash", "edit", "Prompts", "Go to the prompts.", "p", 1),
        Key("o,f4", "columns", "Columns", "Choose what is compared.", "o", 1),
        Key("z", "zoom", "Large", "Look at the picture closely; so does enter.", "z", 2),
        Key("s", "save", "Save table", "Save the table as one picture, with its headings.", "s", 1),
        Key("l", "lock", "Lock seed", "Keep the seed, or take another one each time.", "l", 2),
        Key("f", "pictures_only", "Only pictures", "The pictures over the whole screen, or back.", "f", 2),
        HELP,
        Key("escape,q", "leave", "Back", "End the drawing; else to the table, or back.", "esc", 0),
    ),
    "compare_line": (
        Key("enter", "screen.draw", "Draw", "Draw the table.", "\u21b5", 0),
        Key("f4", "screen.columns", "Columns", "Choose what is compared.", "F4", 0),
        Key("up", "focused.recall(-1)", "Older", "The prompt that was drawn before.", "\u2191", 1),
        Key("down", "focused.recall(1)", "Newer", "The prompt that was drawn after.", "\u2193", 1),
        Key("tab", "app.focus_next", "Next", "Go to the next field.", "tab", 1),
        TYPED_HELP,
        Key("escape", "screen.leave", "Back", "End the drawing; else to the table, or back.", "esc", 0),
    ),
    "columns": (
        Key("enter,f5,ctrl+s", "screen.done", "Use", "Compare what is chosen.", "\u21b5", 0),
        Key("escape", "screen.cancel", "Cancel", "Leave the columns as they were.", "esc", 0),
    ),
    "pictures": (
        Key("c,f5,ctrl+s", "go_on", "Continue", "Go on to the parameters with these photos.", "c", 0),
        Key("x", "exclude", "Leave out", "Leave the photo out, or take it in again. No file is touched.", "x", 1),
        Key("space", "large", "Large", "Show the photo large.", "space", 2),
        Key("u", "addresses", "From the web", "Download the photos from web addresses.", "u", 1),
        Key("slash", "path", "Path", "Type the path of a folder.", "/", 1),
        Key("backspace", "up", "Up", "Go to the folder that holds this one.", "bksp", 2),
        Key("w", "words", "Words", "Read all that is said about the photos.", "w", 2),
        Key("r", "look", "Look again", "Read the folder again, and look at every file in it.", "r", 3),
        Key("tab", "app.focus_next", "Other side", "Go between the folders and the photos.", "tab", 3),
        HELP,
        Key("escape,q", "leave", "Back", "Back to the library. What was chosen is kept.", "esc", 0),
    ),
    "folders": (
        Key("enter", "choose", "Photos", "Go to the photos of the folder.", "\u21b5"),
        Key("right", "open", "Open", "Show the folders in the folder.", "\u2192"),
        Key("left", "fold", "Close", "Close the folder, or go to the one that holds it.", "\u2190"),
        Key("space", "screen.large", "Large", "Show the photo large.", "space"),
    ),
    "photos": (
        Key("enter", "screen.large", "Large", "Show the photo large.", "\u21b5"),
        Key("left", "move(-1,0)", "Left", "To the photo before.", "\u2190"),
        Key("right", "move(1,0)", "Right", "To the photo after.", "\u2192"),
        Key("up", "move(0,-1)", "Up", "To the photo above.", "\u2191"),
        Key("down", "move(0,1)", "Down", "To the photo below.", "\u2193"),
        Key("pageup", "page(-1)", "Page up", "As many photos back as are shown.", "PgUp"),
        Key("pagedown", "page(1)", "Page down", "As many photos on as are shown.", "PgDn"),
        Key("home", "end(False)", "First", "To the first photo.", "Home"),
        Key("end", "end(True)", "Last", "To the last photo.", "End"),
    ),
    "path": (
        Key("enter", "submit", "Use", "Show this folder.", "\u21b5", 0),
        Key("tab", "complete", "Complete", "Complete the path as far as it is clear.", "tab", 0),
        Key("escape", "back", "Back", "Back to the folders.", "esc", 0),
    ),
    "addresses": (
        Key("f5,ctrl+s", "download", "Download", "Download the pictures.", "F5", 0),
        Key("escape", "cancel", "Cancel", "End the download and keep nothing.", "esc", 0),
    ),
    "export": (
        Key("f5,ctrl+s", "export", "Export", "Write the concept out, and compare what was written.", "F5", 0),
        Key("c", "copy", "Copy", "Copy the path of the export, if the terminal allows it.", "c", 0),
        Key("escape", "cancel", "Close", "Close; an export that is going on is asked about.", "esc", 0),
    ),
    "settings": (
        Key("left,right", "other", "Choose", "Choose another value.", "\u2190\u2192", 0),
        Key("up,shift+tab", "app.focus_previous", "Up", "Go to the setting before.", "\u2191", 1),
        Key("down,tab", "app.focus_next", "Down", "Go to the next setting.", "\u2193", 1),
        Key("f6", "reset", "Defaults", "Give both settings the values they had at first.", "F6", 0),
        Key("escape,q,enter", "close", "Close", "Close the settings, which are kept.", "esc", 0),
    ),
    "photo": (
        Key("left_square_bracket", "turn(-1)", "Earlier", "The picture before this one.", "[", 1),
        Key("right_square_bracket", "turn(1)", "Later", "The picture after this one.", "]", 1),
        Key("escape,q,space,enter", "close", "Close", "Back to the photos.", "esc", 0),
    ),
    "parameters": (
        Key("f5,ctrl+s", "start", "Start", "Begin the training.", "F5", 0),
        Key("f4", "fit", "Make it fit", "Change what makes the training fit this machine.", "F4", 0),
        Key("f2", "advanced", "Advanced", "Show every parameter, or the common ones only.", "F2", 1),
        Key("f6", "reset", "Reset", "Give this parameter the preset's value.", "F6", 1),
        Key("f7", "reset_all", "Reset all", "Give all parameters the preset's values; asks first.", "F7", 2),
        Key("f3", "toml", "TOML", "Read and copy the whole as a config file.", "F3", 2),
        Key("tab", "app.focus_next", "Next", "To the next parameter, as down and enter; up goes back.", "tab", 3),
        TYPED_HELP,
        Key("escape", "leave", "Back", "Back to the photos. What was typed is kept.", "esc", 0),
    ),
    "field": (
        Key("down,enter", "app.focus_next", "Next", "Go to the next parameter.", "\u2193"),
        Key("up", "app.focus_previous", "Previous", "Go to the parameter before.", "\u2191"),
    ),
    "choice": (
        Key("left", "choose(-1)", "Before", "Choose the one before.", "\u2190"),
        Key("right,space", "choose(1)", "After", "Choose the next one.", "\u2192"),
    ),
    "zoom": (
        Key("plus,equals_sign", "zoom(-1)", "Nearer", "Look from nearer, as the wheel does.", "+", 1),
        Key("minus", "zoom(1)", "Farther", "Look from farther away.", "-", 1),
        Key("0", "fit", "Whole", "The whole picture.", "0", 1),
        Key("up,k", "pan(0,1)", "Up", "Look further up, or drag with the mouse.", "\u2191", 2),
        Key("down,j", "pan(0,-1)", "Down", "Look further down.", "\u2193", 3),
        Key("left,h", "pan(1,0)", "Left", "Look further to the left.", "\u2190", 3),
        Key("right,l", "pan(-1,0)", "Right", "Look further to the right.", "\u2192", 3),
    ),
    "dialog": (
        Key("enter", "accept", "Go on", "Go on with what was typed.", "\u21b5", 0),
        Key("escape", "cancel", "Cancel", "Close the dialog and do nothing.", "esc", 0),
    ),
    "confirm": (
        Key("y", "answer(True)", "Yes", "Do it.", "y", 0),
        Key("n,escape", "answer(False)", "No", "Do nothing.", "n", 0),
        Key("left,right", "other", "Other", "Go to the other button.", "\u2190\u2192", 3),
    ),
    "text": (
        Key("c", "copy", "Copy", "Copy the text, if the terminal allows it.", "c", 0),
        Key("escape,q,enter", "close", "Close", "Close the text.", "esc", 0),
    ),
}  # fmt: skip


def table_of(bindings: Sequence[BindingType]) -> str:
    """The table that a widget's bindings were made from, or nothing."""
    ids = (binding.id for binding in bindings if isinstance(binding, Binding) and binding.id)
    return next(ids, "").partition(".")[0]


def bindings(table: str) -> list[Binding]:
    """Textual's bindings for one of the tables above; their ids are ``library.open`` and the like."""
    return [
        Binding(
            key.keys,
            key.action,
            key.label,
            show=key.rank < 3,
            key_display=key.face,
            tooltip=key.help,
            id=f"{table}.{key.action}",
        )
        for key in KEYS[table]
    ]
