"""What the terminal can show: its colours, and how it takes pictures. Asked once, before anything is drawn."""

from __future__ import annotations

import contextlib
import os
import re
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace

from dbtui.core.errors import UsageError
from dbtui.core.fields import AUTO, nearest

PICTURES = ("kitty", "sixel", "blocks", "half", "off")
"""Ways to show a picture: kitty's graphics, Sixel, cells in quarters, cells in halves, in words only."""

IMAGES = (AUTO, *PICTURES)
"""What can be asked for; ``auto`` is what the terminal can."""

IMAGE_WORDS = {
    "kitty": "Pixels by kitty's graphics, for kitty and Ghostty.",
    "sixel": "Pixels by Sixel: xterm, foot, WezTerm, mintty and others.",
    "blocks": "Four coloured parts to a character, for every terminal.",
    "half": "Two coloured halves to a character, for fonts without quarters.",
    "off": "No pictures, only their sizes: least is sent.",
}
"""Each of ``PICTURES`` in a sentence."""

COLOUR_SYSTEMS = {"truecolor": "truecolor", "256": "256", "16": "standard"}
"""Colours of a terminal, and the names that Rich and Textual have for them."""

PATIENCE = 1.5
"""Seconds in which a terminal must have answered. One that is far away takes half of one."""

USUAL_CELL = (10, 20)

PLACEHOLDERS = ("kitty", "ghostty")
"""Terminals that show kitty's pictures in place of characters; others say that they know the protocol and do not."""

TRUECOLOR = (*PLACEHOLDERS, "wezterm", "iterm", "konsole", "vte", "foot", "contour", "xterm.js", "mintty", "alacritty")
"""Names, as told by the terminal or in TERM, of those that have all colours."""

JOINING = (*PLACEHOLDERS, "wezterm", "iterm", "contour")
"""Those in which a joined emoji is as wide as a single one."""

# Each answers what it knows. Some print what they do not know, which is wiped away again; and every
# terminal answers the last question, in order, so that nothing has to be waited for in vain.
QUESTIONS = (
    b"\x1b[48;2;1;2;3m\x1bP$qm\x1b\\\x1b[0m"  # DECRQSS: was that background colour kept exactly?
    b"\x1b_Gi=31,s=1,v=1,a=q,t=d,f=24;AAAA\x1b\\"  # kitty: could this pixel be shown?
    b"\x1b[16t"  # pixels of a cell
    b"\x1b[>0q"  # XTVERSION: name and version
    b"\r\x1b[K"
    b"\x1b[c"  # DA1: class and abilities
)
LAST_ANSWER = re.compile(rb"\x1b\[\?[\d;]*c")


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What this terminal can show, or was told to.

    ``colours`` is a key of ``COLOUR_SYSTEMS``, ``pictures`` one of ``PICTURES``, ``cell`` the width and
    height of a character in pixels. ``within`` is the multiplexer between: tmux, screen or zellij.
    """

    colours: str = "truecolor"
    pictures: str = "half"
    cell: tuple[int, int] = USUAL_CELL
    name: str = ""
    within: str = ""
    ssh: bool = False
    hint: str = ""
    """What a person could change to see more; mostly nothing."""
    answered: bool = True
    """Whether it had answered in time all that it was asked; if not, its answers may still come."""
    found: str = ""
    """The way to show pictures that the terminal was found to have; empty where it was not asked."""

    def showing(self, images: str) -> Capabilities:
        """The same terminal with pictures shown as ``images``, one of ``IMAGES``, asks for."""
        if images == AUTO:
            return replace(self, pictures=self.found or self.pictures)
        colours = "truecolor" if images == "kitty" else self.colours
        return replace(self, pictures=images, colours=colours, hint="")

    @property
    def joins(self) -> bool:
        """Whether an emoji of several, or one with a colour of skin, takes two cells; elsewhere it takes more."""
        return not self.within and any(word in self.name.lower() for word in JOINING)


def parse_images(text: str) -> str:
    """``text``, if it is one of ``IMAGES``. Raises UsageError."""
    if text not in IMAGES:
        near = nearest(text, IMAGES)
        hint = f"Did you mean {near!r}?" if near else ""
        raise UsageError(f"Pictures cannot be shown as {text!r}", f"Choose one of {', '.join(IMAGES)}.", hint)
    return text


def capabilities(images: str = AUTO) -> Capabilities:
    """What the terminal says of itself, with pictures shown as ``images`` asks for.

    Takes a round trip to the terminal, at most PATIENCE, or none if the answer is known. Never raises and leaves nothing in its input:
    to be called before anything else reads from it, such as Textual.
    """
    found = _find(ask=images in (AUTO, "kitty", "sixel") or not told_colours(os.environ))
    return found.showing(images)


def has_terminal() -> bool:
    """Whether a person sees what is printed and can type."""
    streams = (sys.__stdin__, sys.__stdout__)
    return all(s is not None and not s.closed and s.isatty() for s in streams) and os.environ.get("TERM") != "dumb"


def _find(ask: bool) -> Capabilities:
    environment = os.environ
    colours = told_colours(environment)
    if not ask or not has_terminal() or environment.get("TEXTUAL_DRIVER"):
        return Capabilities(colours=colours or "truecolor")
    if environment.get("TMUX"):
        found = understand_tmux(_ask_tmux(), colours)
    elif environment.get("STY"):
        # COLORTERM is that of the terminal in which screen was started; screen itself garbles what it does not know.
        found = Capabilities("256" if "256" in environment.get("TERM", "") else "16", "blocks", within="screen")
    elif environment.get("ZELLIJ"):
        found = Capabilities(colours or "256", "blocks", within="zellij")
    elif environment.get("TERM") == "linux":
        found = Capabilities("16", "half", name="linux console")
    else:
        found = understand(_ask(), environment)
    ssh = any(environment.get(name) for name in ("SSH_CONNECTION", "SSH_TTY"))
    return replace(found, cell=_cell_of_window() or found.cell, ssh=ssh, found=found.pictures)


def told_colours(environment: Mapping[str, str]) -> str:
    """The colours that the environment promises; ``""`` if it does not say. sshd does not pass COLORTERM on."""
    term = environment.get("TERM", "").lower()
    if environment.get("COLORTERM", "").lower() in ("truecolor", "24bit") or term.endswith("-direct"):
        return "truecolor"
    return "truecolor" if any(name in term for name in TRUECOLOR) else ""


def understand(answers: bytes, environment: Mapping[str, str]) -> Capabilities:
    """What a terminal can show that gave these answers to QUESTIONS."""
    text = answers.decode("latin-1")
    version = re.search(r"\x1bP>\|([^\x1b]*)", text)
    name = version[1] if version else environment.get("TERM_PROGRAM", "")
    cell = re.search(r"\x1b\[6;([1-9]\d*);([1-9]\d*)t", text)
    abilities = re.search(r"\x1b\[\?([\d;]*)c", text)
    exact = re.search(r"48[:;]2[:;]+1[:;]2[:;]3(?!\d)", text)

    known = f"{name} {environment.get('TERM', '')}".lower()
    all_colours = exact or any(word in known for word in TRUECOLOR)
    if known.startswith("tmux"):  # at the other end of an ssh; it claims Sixel, and finds the nearest colours itself
        return Capabilities("truecolor", "blocks", name=name, within="tmux")
    pictures = "blocks"
    if "\x1b_Gi=31;OK" in text and any(word in known for word in PLACEHOLDERS):
        pictures = "kitty"
    elif abilities and "4" in abilities[1].split(";") and "konsole" not in known:  # whose Sixel displaces the screen
        pictures = "sixel"
    return Capabilities(
        colours="truecolor" if all_colours or pictures == "kitty" else told_colours(environment) or _usual(environment),
        pictures=pictures,
        cell=(int(cell[2]), int(cell[1])) if cell else USUAL_CELL,
        name=name,
        answered=LAST_ANSWER.search(answers) is not None,
    )


def _usual(environment: Mapping[str, str]) -> str:
    return "256" if "256" in environment.get("TERM", "") else "16"


def understand_tmux(answer: str, colours: str) -> Capabilities:
    """What a terminal around tmux can show; ``answer`` is that of ``_ask_tmux``."""
    term, version, features, width, height, passthrough = (answer.split("|") + [""] * 6)[:6]
    outer = f"{term} {version}".strip().lower()
    abilities = features.split(",")
    all_colours = "RGB" in abilities or term.startswith(("xterm-kitty", "xterm-ghostty"))
    cell = (int(width), int(height)) if width.isdecimal() and height.isdecimal() and int(width) * int(height) else None
    pictures, hint = "blocks", ""
    if any(word in outer for word in PLACEHOLDERS):
        if all_colours and passthrough in ("on", "all"):
            pictures = "kitty"
        else:
            hint = "In ~/.tmux.conf: set -g allow-passthrough on; set -ga terminal-features ',*:RGB'"
    elif "sixel" in abilities:
        pictures = "sixel"
    return Capabilities(
        colours="truecolor" if all_colours else colours or "256",
        pictures=pictures,
        cell=cell or USUAL_CELL,
        name=version or term,
        within="tmux",
        hint=hint,
    )


def _ask_tmux() -> str:
    """Of the terminal around tmux: TERM, version, features, cell in pixels; and whether pictures may pass."""
    about = "client_termname client_termtype client_termfeatures client_cell_width client_cell_height"
    answer_as = "|".join(f"#{{{word}}}" for word in about.split())
    pane = os.environ.get("TMUX_PANE")
    try:
        return "|".join(
            subprocess.run(
                ["tmux", *arguments],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=PATIENCE / 2,
                check=False,
            ).stdout.strip()
            for arguments in (
                ["display-message", "-p", *(["-t", pane] if pane else []), answer_as],
                ["show-options", "-gv", "allow-passthrough"],
            )
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _ask() -> bytes:
    """The terminal's answers to QUESTIONS, as far as they come in time; what is typed meanwhile is lost."""
    try:
        import termios
        import tty

        source, target = sys.__stdin__.fileno(), sys.__stdout__.fileno()  # type: ignore[union-attr]
        if os.tcgetpgrp(source) != os.getpgrp():
            return b""  # in the background, where asking would suspend this process
        before = termios.tcgetattr(source)
    except (ImportError, OSError, ValueError):
        return b""
    sys.stdout.flush()
    answers = b""
    try:
        tty.setcbreak(source, termios.TCSANOW)
        os.write(target, QUESTIONS)
        deadline = time.monotonic() + PATIENCE
        while not LAST_ANSWER.search(answers) and (left := deadline - time.monotonic()) > 0:
            if select.select([source], [], [], left)[0]:
                read = os.read(source, 1024)
                if not read:
                    break
                answers += read
    except OSError:
        pass  # the terminal has gone; whoever writes to it next will say so
    finally:
        with contextlib.suppress(OSError):
            termios.tcsetattr(source, termios.TCSAFLUSH, before)
    return answers


def _cell_of_window() -> tuple[int, int] | None:
    """Pixels of a cell, where the kernel knows the window's."""
    try:
        import fcntl
        import struct
        import termios

        size = fcntl.ioctl(sys.__stdout__.fileno(), termios.TIOCGWINSZ, bytes(8))  # type: ignore[union-attr]
    except (ImportError, OSError, ValueError):
        return None
    rows, columns, width, height = struct.unpack("HHHH", size)
    return (width // columns, height // rows) if rows and columns and width >= columns and height >= rows else None
