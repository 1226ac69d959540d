"""The sampler process: requests as JSON lines on standard input, messages as JSON lines on standard output.

A request has an ``id`` and the fields of ``dbtui.jobs.generate.Request``; ``{"cancel": id}`` ends
it between two denoising steps. Messages carry the id and a ``kind``: loading, notice, progress,
preview, picture, then one of done, cancelled, failed. The end of the input ends the process.
"""

from __future__ import annotations

import json
import queue
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from PIL.Image import Image
from torch import Tensor

from dbtui.core.base_model import find_model
from dbtui.core.errors import DbtuiError, obstacle
from dbtui.core.grid import Recipe, make_grid, save_png
from dbtui.core.library import find_base
from dbtui.core.sources import find_source
from dbtui.engine.failures import explain, out_of_memory
from dbtui.engine.models import Models
from dbtui.engine.preview import Previewer, to_base64
from dbtui.engine.sampler import Cancelled, Drawing, Settings, draw, load_safety
from dbtui.engine.warm import WarmModel
from dbtui.engine.wire import Wire

Send = Callable[..., None]


def serve() -> int:
    """Answer requests until the input ends."""
    wire = Wire()
    requests: queue.Queue[dict[str, Any] | None] = queue.Queue()
    cancelled: set[int] = set()
    ended = threading.Event()
    threading.Thread(target=_listen, args=(requests, cancelled, ended), daemon=True).start()

    painter = Painter()
    while (request := requests.get()) is not None:
        number = int(request.get("id", 0))

        def send(kind: str, number: int = number, **values: Any) -> None:
            wire.send(kind, id=number, **values)

        painter.answer(request, send, lambda number=number: number in cancelled or ended.is_set())  # type: ignore[misc]
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


class Painter:
    """Answers one request at a time; the model stays warm between them."""

    def __init__(self) -> None:
        self._model = WarmModel()
        self._previewer = Previewer()

    def answer(self, request: dict[str, Any], send: Send, is_cancelled: Callable[[], bool]) -> None:
        """Send all that is to be said on ``request``; never raises."""
        try:
            self._paint(request, send, is_cancelled)
        except Cancelled:
            send("cancelled")
        except DbtuiError as error:
            send("failed", title=error.title, message=error.message, hint=error.hint)
        except Exception as error:  # the process must live on, and the person must hear of it
            if out_of_memory(error):
                self._model.forget()
            message, hint = explain(error)
            send("failed", title="The pictures could not be made", message=message, hint=hint)

    def _paint(self, request: dict[str, Any], send: Send, is_cancelled: Callable[[], bool]) -> None:
        source = find_source(request["concept"], request["checkpoint"], request["base"])
        base = find_base(source) if source.weights else find_model(source.base, prediction=source.prediction)
        send("loading", model=source.name)
        models = self._model.get(base, source)
        settings = Settings(
            resolution=base.check_resolution(request["resolution"] or source.resolution or base.resolution),
            negative=request["negative"],
            steps=request["steps"],
            guidance=request["guidance"],
            scheduler=request["scheduler"],
        )
        _warn_of_long_prompts(models, request, send)

        def progress(done: int, total: int) -> None:
            if is_cancelled():
                raise Cancelled
            send("progress", done=done, total=total)

        def look(first: int, step: int, latents: Tensor) -> None:
            if step % request["preview"] == 0:
                pictures = self._previewer.pictures(models, latents)
                send("preview", first=first, pictures=[to_base64(picture) for picture in pictures])

        safety = load_safety(models) if request["safety"] and base.has_safety_checker else None
        folder = Path(request["out"])
        images = []
        drawings = [Drawing(request["prompt"], seed) for seed in request["seeds"]]
        looking = look if request["preview"] else None
        by_graph = request["graph"] and source.graph
        denoiser = self._model.denoiser(lambda words: send("notice", words=words)) if by_graph else None
        for index, image in enumerate(draw(models, drawings, settings, progress, safety, looking, denoiser)):
            recipe = Recipe(
                prompt=request["prompt"], negative=settings.negative, steps=settings.steps, guidance=settings.guidance,
                scheduler=settings.scheduler, seed=drawings[index].seed, width=settings.resolution,
                height=settings.resolution, model=source.name,
            )  # fmt: skip
            file = folder / f"{index:03}.png"
            _keep(image, file, recipe)
            images.append(image)
            send("picture", index=index, seed=drawings[index].seed, path=str(file))
        grid = folder / "grid.png"
        _keep(make_grid(images, request["columns"]), grid, recipe)
        flagged = safety.flagged if safety else []
        send("done", grid=str(grid), flagged=flagged, resolution=settings.resolution)


def _keep(image: Image, file: Path, recipe: Recipe) -> None:
    """Write a picture with its recipe. Raises DbtuiError if the disk does not take it."""
    try:
        save_png(image, file, recipe.parameters())
    except OSError as error:
        message, hint = obstacle(error, file.parent)
        kept = f"{message} What was finished before is kept."
        raise DbtuiError("A picture could not be written", kept, hint) from error


def _warn_of_long_prompts(models: Models, request: dict[str, Any], send: Send) -> None:
    longest = models.tokenizer.model_max_length
    for name, text in (("prompt", request["prompt"]), ("negative prompt", request["negative"])):
        count = models.token_count(text)
        if count > longest:
            read = f"{longest - 2:,} of its {count - 2:,} tokens"
            send("notice", words=f"The model reads only the beginning of the {name}: {read}.")
