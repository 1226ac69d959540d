"""sample: pictures from a concept or a base model."""

from __future__ import annotations

import contextlib
import secrets
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dbtui.commands.options import images_option, json_option, offline_option
from dbtui.core.errors import DONE, INTERRUPTED, UsageError

if TYPE_CHECKING:
    from dbtui.jobs.generate import Request

PATIENCE = 1.0
"""Seconds in which a drawing that is cancelled may end by itself; one that still loads the model takes longer."""


@click.command()
@click.argument("concept")
@click.argument("prompt")
@click.option("--negative", default="", help="What is not wanted.")
@click.option("--rows", type=click.IntRange(1, 100), default=3, show_default=True, help="Rows of the grid.")
@click.option("--cols", type=click.IntRange(1, 100), default=3, show_default=True, help="Pictures in a row.")
@click.option(
    "--steps",
    type=click.IntRange(1, 1000),
    default=25,
    show_default=True,
    help="Denoising steps: more take longer and are finer up to a point.",
)
@click.option(
    "--guidance",
    type=click.FloatRange(0, 50),
    default=7.5,
    show_default=True,
    help="How closely the prompt is followed: low is free, high is harsh.",
)
@click.option(
    "--scheduler", default="dpm++2m-karras", show_default=True,
    help="How noise becomes a picture; or unipc, euler, euler-a, ddim, pndm.",
)  # fmt: skip
@click.option(
    "--seed",
    type=click.IntRange(0, 2**63 - 1),
    help="Noise to begin with: the same draws the same. The other pictures count up from it. Random if left out.",
)
@click.option(
    "--out", type=click.Path(path_type=Path, file_okay=False), help="Folder for grid.png, 000.png, 001.png, ..."
)
@click.option("--overwrite", is_flag=True, help="Replace pictures that are in the folder.")
@click.option("--safety", is_flag=True, help="Black out what the model's own safety checker objects to.")
@click.option(
    "--graph/--no-graph", default=True, show_default=True,
    help="On an NVIDIA GPU, draw by one CUDA graph a step, which is faster.",
)  # fmt: skip
@click.option("--show", is_flag=True, help="Print the grid in the terminal; into a file only as --images says.")
@images_option
@offline_option
@json_option
def sample(
    concept: str,
    prompt: str,
    negative: str,
    rows: int,
    cols: int,
    steps: int,
    guidance: float,
    scheduler: str,
    seed: int | None,
    out: Path | None,
    overwrite: bool,
    safety: bool,
    graph: bool,
    show: bool,
    images: str,
    as_json: bool,
) -> int:
    """Draw a grid of pictures of PROMPT with CONCEPT.

    CONCEPT is one of `dbtui ls`, or a base model that was taught nothing: mini, a folder, a hub id. Put the rare word
    of its training into the prompt:

    \b
        dbtui sample rex "a photo of sks dog riding a bicycle"
    """
    from dbtui.core import paths
    from dbtui.core.config import FIELDS
    from dbtui.core.fields import is_text
    from dbtui.jobs.generate import Request

    FIELDS["sampling.scheduler"].check(scheduler)
    if not prompt.strip():
        raise UsageError("The prompt is empty", "There is nothing to draw.", "dbtui sample rex 'a photo of sks dog'")
    if not is_text(prompt + negative):
        raise UsageError(
            "The prompt is not in UTF-8",
            "It has bytes that are no characters; nothing was drawn.",
            "Tell programs that this terminal writes UTF-8: export LANG=C.UTF-8",
        )
    is_concept, name = _what_draws(concept, safety)
    folder = paths.expand(out).absolute() if out else paths.pictures_dir() / name / time.strftime("%Y%m%d-%H%M%S")
    made = not folder.exists()
    _check_out(folder, rows * cols, overwrite)
    first = seed if seed is not None else secrets.randbelow(2**32)
    request = Request(
        concept=name if is_concept else "",
        base="" if is_concept else concept,
        prompt=prompt,
        negative=negative,
        seeds=[first + i for i in range(rows * cols)],
        columns=cols,
        out=str(folder),
        steps=steps,
        guidance=guidance,
        scheduler=scheduler,
        safety=safety,
        graph=graph,
    )
    try:
        return generate(request, images if show else "off", as_json)
    finally:
        if made:
            with contextlib.suppress(OSError):  # it has pictures
                folder.rmdir()
                if not out:
                    folder.parent.rmdir()


def _what_draws(word: str, safety: bool) -> tuple[bool, str]:
    """Whether ``word`` is a concept (else a base model), and its name for a folder; its base model is here then."""
    from dbtui.commands.fetch import fetch_here
    from dbtui.core import paths
    from dbtui.core.base_model import find_model
    from dbtui.core.hub_cache import is_id
    from dbtui.core.library import find_sound_concept
    from dbtui.core.names import slug
    from dbtui.core.single_file import SUFFIXES

    try:
        concept = find_sound_concept(word)
    except UsageError as error:
        try:
            fetch_here(word, safety)
            find_model(word)
        except UsageError as unknown:
            is_file = paths.expand(word).is_file() or word.lower().endswith(SUFFIXES)
            raise unknown if is_id(word) or is_file else error from None
        return False, slug(Path(word).name) or "model"
    fetch_here(concept.base, safety)
    return True, concept.name


def _check_out(folder: Path, count: int, overwrite: bool) -> None:
    """Make the folder for pictures; what is in it is not replaced unasked. Raises UsageError."""
    from dbtui.core import paths

    names = ["grid.png", *(f"{i:03}.png" for i in range(count))]
    there = [name for name in names if (folder / name).exists()]
    if there and not overwrite:
        raise UsageError(
            "There are pictures in that folder",
            f"{folder} has {', '.join(there[:3])}{' ...' if len(there) > 3 else ''}; nothing was drawn.",
            "Name another folder, or say --overwrite.",
        )
    paths.make_private(folder)


def generate(request: Request, images: str, as_json: bool) -> int:
    """Draw, with progress, and say where the pictures are. Ctrl-C keeps those that are finished.

    ``images`` of ``core.tty.IMAGES`` is how the grid is shown as well, where no JSON was asked for.
    """
    from rich.text import Text

    from dbtui.core import paths
    from dbtui.jobs.generate import Sampler
    from dbtui.terminal import bar, narration, result, result_json, say

    console = narration()
    pictures: list[dict[str, Any]] = []
    done: dict[str, Any] = {}
    paths.make_private(paths.data_dir())
    with Sampler(paths.data_dir() / "sampler.log") as sampler, console.status("loading the model") as status:
        try:
            for message in sampler.ask(request):
                if message["kind"] == "progress":
                    line = (
                        f"drawing {bar(message['done'], message['total'])} {message['done']}/{message['total']} steps"
                    )
                    status.update(Text(line))
                elif message["kind"] == "notice":
                    say(message["words"], "yellow")
                elif message["kind"] == "picture":
                    pictures.append({"path": message["path"], "seed": message["seed"]})
                elif message["kind"] == "done":
                    done = message
        except KeyboardInterrupt:
            sampler.close(PATIENCE)
            kept = f"{len(pictures)} of {len(request.seeds)} pictures are in {request.out}."
            say(f"Cancelled. {kept if pictures else 'No picture was finished.'}")
            return INTERRUPTED
    for index in done["flagged"]:
        say(f"{index:03}.png was blacked out by the safety checker.", "yellow")
    # Of itself a file gets words, not colours.
    if images != "off" and not as_json and (images != "auto" or sys.stdout.isatty()):
        _show(Path(done["grid"]), images)
    if as_json:
        result_json({"grid": done["grid"], "pictures": pictures, "prompt": request.prompt})
    else:
        result(done["grid"])
    return DONE


def _show(grid: Path, images: str) -> None:
    """The grid in the terminal, as large as the window."""
    import shutil

    from PIL import Image

    from dbtui.core.printout import printout
    from dbtui.core.tty import capabilities

    columns, rows = shutil.get_terminal_size()
    with Image.open(grid) as image:
        sys.stdout.write(printout(image, capabilities(images), (columns, max(10, rows - 2))))
