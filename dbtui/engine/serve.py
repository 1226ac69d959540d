"""The sampler process: requests as JSON lines on standard input, messages as JSON lines on standard output.

A request has an ``id`` and the fields of ``dbtui.jobs.generate.Request``; ``{"cancel": id}`` ends
it between two denoising steps. Messages carry the id and a ``kind``: loading, progress,
picture, then one of done, cancelled, failed. The end of the input ends the process.
"""

from __future__ import annotations

import json
import os
import queue
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from dbtui.core.base_model import find_model
from dbtui.core.errors import DbtuiError
from dbtui.core.grid import Recipe, make_grid, save_png
from dbtui.core.library import find_sound_concept
from dbtui.engine.failures import explain, out_of_memory
from dbtui.engine.sampler import Cancelled, Drawing, Settings, draw, load_safety
from dbtui.engine.warm import WarmModel

Send = Callable[..., None]


def serve() -> int:
    """Answer requests until the input ends."""
    out = _private_stdout()
    requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
    cancelled: set[int] = set()
    ended = threading.Event()
    threading.Thread(target=_listen, args=(requests, cancelled, ended), daemon=True).start()

    model = WarmModel()
    while (request := requests.get()) is not None:
        number = int(request.get("id", 0))

        def send(kind: str, number: int = number, **values: Any) -> None:
            out.write(json.dumps({"id": number, "kind": kind, **values}) + "\n")
            out.flush()

        _answer(model, request, send, lambda number=number: number in cancelled or ended.is_set())  # type: ignore[misc]
    return 0


def _listen(requests: queue.Queue[dict[str, Any] | None], cancelled: set[int], ended: threading.Event) -> None:
    for line in sys.stdin:
        message = json.loads(line)
        if "cancel" in message:
            cancelled.add(int(message["cancel"]))
        else:
            requests.put(message)
    ended.set()
    requests.put(None)


def _private_stdout() -> IO[str]:
    """Standard output for messages alone; what libraries print goes to standard error."""
    private = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return private


def _answer(model: WarmModel, request: dict[str, Any], send: Send, is_cancelled: Callable[[], bool]) -> None:
    try:
        _generate(model, request, send, is_cancelled)
    except Cancelled:
        send("cancelled")
    except DbtuiError as error:
        send("failed", title=error.title, message=error.message, hint=error.hint)
    except Exception as error:  # the process must live on, and the person must hear of it
        traceback.print_exc()
        if out_of_memory(error):
            model.forget()
        message, hint = explain(error)
        send("failed", title="The pictures could not be made", message=message, hint=hint)


def _generate(model: WarmModel, request: dict[str, Any], send: Send, is_cancelled: Callable[[], bool]) -> None:
    concept = find_sound_concept(request["concept"]) if request["concept"] else None
    base = find_model(concept.base if concept else request["base"])
    send("loading", model=concept.name if concept else base.name)
    models = model.get(base, concept)
    resolution = base.check_resolution(request["resolution"] or (concept.resolution if concept else base.resolution))
    settings = Settings(
        resolution=resolution,
        negative=request["negative"],
        steps=request["steps"],
        guidance=request["guidance"],
        scheduler=request["scheduler"],
    )

    def progress(done: int, total: int) -> None:
        if is_cancelled():
            raise Cancelled
        send("progress", done=done, total=total)

    safety = load_safety(models) if request["safety"] and base.has_safety_checker else None
    folder = Path(request["out"])
    images = []
    drawings = [Drawing(request["prompt"], seed) for seed in request["seeds"]]
    for index, image in enumerate(draw(models, drawings, settings, progress, safety)):
        recipe = Recipe(
            prompt=request["prompt"], negative=settings.negative, steps=settings.steps, guidance=settings.guidance,
            scheduler=settings.scheduler, seed=drawings[index].seed, width=resolution, height=resolution,
            model=concept.name if concept else base.name,
        )  # fmt: skip
        file = folder / f"{index:03}.png"
        save_png(image, file, recipe.parameters())
        images.append(image)
        send("picture", index=index, seed=drawings[index].seed, path=str(file))
    grid = folder / "grid.png"
    save_png(make_grid(images, request["columns"]), grid, recipe.parameters())
    send("done", grid=str(grid), flagged=safety.flagged if safety else [], resolution=resolution)
