"""The speed of this machine, measured with the parts that train and draw, on an architecture with random weights."""

from __future__ import annotations

import gc
import json
import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from statistics import median

import torch
from accelerate import Accelerator

from dbtui.core import paths
from dbtui.core.architecture import Architecture
from dbtui.core.base_model import COMPONENTS, BaseModel, find_model
from dbtui.core.benchmark import MODELS, SD15, Order, Row
from dbtui.core.budget import step_operations
from dbtui.core.config import Config
from dbtui.core.errors import DbtuiError, printable
from dbtui.engine import machine
from dbtui.engine.bench_drawing import peak_memory, time_drawing, ways_of_drawing
from dbtui.engine.bench_script import time_class_pictures, time_script
from dbtui.engine.bench_whole import time_whole_training
from dbtui.engine.examples import Examples
from dbtui.engine.failures import out_of_memory
from dbtui.engine.fitting import Fitting
from dbtui.engine.latents import Latents
from dbtui.engine.learner import Learner
from dbtui.engine.models import empty_module, load_models
from dbtui.engine.narrator import Narrator
from dbtui.engine.prepare import make_plan
from dbtui.engine.ranks import ALONE
from dbtui.engine.tensor_writers import write_weights

PHOTOS, WARM_UP = 5, 3
"""Photos that are learned, and steps that are not counted."""

ADAMW_BYTES = 26
"""Of memory traffic that an AdamW step needs for each weight: gradient, weight, master and moments, read and written."""


@dataclass(frozen=True, slots=True)
class Ceiling:
    """What the device does at best: operations of matrix products, and bytes of memory, a second."""

    products: float
    memory: float

    def seconds(self, operations: float, trained: int) -> float:
        """The least that an optimizer step on ``trained`` weights can take."""
        return operations / self.products + trained * ADAMW_BYTES / self.memory


def bench(order: Order, tell: Callable[[str], None]) -> Iterator[Row]:
    """Yield a row for each setting of ``order``; ``tell`` is called with what is being measured."""
    device = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    model = order.model or ("sd15" if device == "cuda" else "mini")
    with paths.scratch_folder() as scratch:
        tell("making the model")
        base = find_model("mini" if model == "mini" else str(write_random_model(scratch / "model")))
        ceiling = measure_ceiling(device, "no" if device != "cuda" else order.precision)
        for resolution in [base.check_resolution(size) for size in order.resolutions or [base.resolution]]:
            for batch in order.batches:
                tell(f"training at {resolution} px, batch {batch}")
                yield _or_problem(
                    lambda r=resolution, b=batch: time_training(order, MODELS[model], base, r, b, ceiling),  # type: ignore[misc]
                    Row(what="training", model=MODELS[model], resolution=resolution, batch=batch),
                )
            for way in ways_of_drawing(order, device) if order.draw_steps else ():
                tell(f"{way.what}, {way.how} at {resolution} px")
                yield _or_problem(
                    lambda r=resolution, w=way: time_drawing(w, order.draw_steps, MODELS[model], base, device, r),  # type: ignore[misc]
                    Row(what=way.what, model=MODELS[model], resolution=resolution, batch=way.count, how=way.how),
                )
            if order.against:
                for batch in order.batches:
                    tell(f"{Path(order.against).name} at {resolution} px, batch {batch}")
                    yield time_script(order, MODELS[model], base, resolution, batch, scratch)
                if order.draw_steps:
                    tell(f"its class pictures at {resolution} px")
                    yield time_class_pictures(order, MODELS[model], base, resolution, scratch)
            if order.whole:
                tell(f"a whole training at {resolution} px")
                yield from time_whole_training(order, MODELS[model], base, resolution, scratch)


def _or_problem(measure: Callable[[], Row], empty: Row) -> Row:
    """The row, or ``empty`` with why it could not be measured. Everything that was taken for it is given back."""
    try:
        return measure()
    except DbtuiError as error:
        return replace(empty, problem=error.title)
    except Exception as error:  # one setting that fails is no reason to lose the others
        words = "out of memory" if out_of_memory(error) else printable(error).splitlines()[0]
        return replace(empty, problem=words)
    finally:
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()


def time_training(order: Order, model: str, base: BaseModel, resolution: int, batch: int, ceiling: Ceiling) -> Row:
    """Optimizer steps as a run takes them, without journal and samples. Raises what a run would raise."""
    steps = order.steps + WARM_UP
    config = Config().replace(
        {
            "model.base": str(base.path), "data.resolution": resolution, "training.batch_size": batch,
            "training.steps": steps, "training.warmup_steps": 0, "training.precision": order.precision,
            "training.optimizer": "adamw",
        }
    )  # fmt: skip
    learner, examples = fitted(config, base)
    seconds = _seconds_each(learner, examples, steps)
    trained = sum(parameter.numel() for parameter in learner.parameters)
    least = ceiling.seconds(step_operations(learner.plan.applied_to(config), Architecture.of(base)), trained)
    return Row(
        what="training", model=model, resolution=resolution, batch=batch, precision=learner.plan.precision,
        how=_words(learner.plan), milliseconds=seconds * 1000, pictures=batch / seconds, memory=peak_memory(),
        floor=least / seconds,
    )  # fmt: skip


def fitted(config: Config, base: BaseModel) -> tuple[Learner, Examples]:
    """A learner as a run of ``config`` would have it here, on random latents. Raises what a run would raise."""
    architecture = Architecture.of(base)
    plan = make_plan(config, architecture, ALONE)
    accelerator = Accelerator(mixed_precision=plan.precision, cpu=plan.device == "cpu")
    models = load_models(base, device=accelerator.device)
    side = int(config.data.resolution) // models.latent_factor
    mean = torch.randn(PHOTOS, models.unet.config.in_channels, side, side)
    latents = Latents(mean, torch.full_like(mean, 0.1), tuple((i,) for i in range(PHOTOS)), ("random",) * PHOTOS)
    examples = Examples(latents, None, config.training, models.vae.config.scaling_factor, len(models.alphas))
    fitting = Fitting(config, base, architecture, accelerator, examples, ALONE, Narrator(None))
    return fitting.learner(models, plan), examples


def _words(plan: machine.Plan) -> str:
    ways = {"CUDA graph": plan.graph, "least memory": plan.lean, "checkpointing": plan.gradient_checkpointing}
    return next((words for words, taken in ways.items() if taken), "plain")


def _seconds_each(learner: Learner, examples: Examples, steps: int) -> float:
    """The usual time from one step to the next, each heard of a step late, as in a run."""
    ends, before = [], None
    for step in range(steps):
        taken = learner.step(step, list(examples.of_step(step)))
        if before is not None:
            before.outcome()
            ends.append(time.monotonic())
        before = taken
    assert before is not None
    before.outcome()
    ends.append(time.monotonic())
    counted = ends[WARM_UP - 1 :]
    return median(later - earlier for earlier, later in pairwise(counted))


def measure_ceiling(device: str, precision: str) -> Ceiling:
    """The best of a few large matrix products, and of a few copies."""
    dtype = torch.float32 if precision == "no" else torch.bfloat16
    side, count = (8192, 2**28) if device == "cuda" else (1024, 2**24)
    a, b = (torch.randn(side, side, device=device, dtype=dtype) for _ in range(2))
    product = _best(lambda: a @ b, device)
    block = torch.zeros(count, device=device)
    into = torch.empty_like(block)
    return Ceiling(2 * side**3 / product, 2 * block.nbytes / _best(lambda: into.copy_(block), device))


def _best(work: Callable[[], object], device: str) -> float:
    """Seconds of the fastest of several."""
    seconds = []
    for _ in range(8):
        began = time.perf_counter()
        work()
        if device == "cuda":
            torch.cuda.synchronize()
        seconds.append(time.perf_counter() - began)
    return min(seconds)


def write_random_model(folder: Path) -> Path:
    """Stable Diffusion 1.5's architecture in diffusers layout, with random weights in 16 bit. Raises OSError."""
    mini = paths.mini_dir() / "model"
    paths.make_private(folder)
    shutil.copy(mini / "model_index.json", folder)
    for part in ("tokenizer", "scheduler"):
        shutil.copytree(mini / part, folder / part)
    file = folder / "tokenizer" / "tokenizer_config.json"
    length = SD15["text_encoder"]["max_position_embeddings"]
    file.write_text(json.dumps({**json.loads(file.read_text()), "model_max_length": length}))
    for part, (_, _, stem) in COMPONENTS.items():
        module = empty_module(part, SD15[part])
        if part == "text_encoder":
            module.config.architectures = [type(module).__name__]  # type: ignore[union-attr]
            module.config.save_pretrained(folder / part)  # type: ignore[union-attr, operator]
        else:
            module.save_config(folder / part)  # type: ignore[operator]
        weights = {name: torch.randn(t.shape).mul_(0.02).half() for name, t in module.state_dict().items()}
        write_weights(folder / part / f"{stem}.safetensors", weights)
    return folder
