"""How a concept was taught, in the words that travel with an export: file headers and the model card."""

from __future__ import annotations

import contextlib
import json
import time
from pathlib import Path

from dbtui import __version__
from dbtui.core import paths
from dbtui.core.base_model import MINI, BaseModel
from dbtui.core.config import FIELDS, Config
from dbtui.core.errors import UsageError
from dbtui.core.fields import Value
from dbtui.core.hub_cache import is_id
from dbtui.core.library import Concept
from dbtui.core.run import Run

MARK = "dbtui.version"
"""The key in a file's header by which an export is known for one."""

CONTENT_HASH = "modelspec.hash_sha256"
"""The key whose value only the writer of the file knows: ``0x`` and the hash of all that follows the header."""

PRIVATE = ("concept.name", "concept.prompt", "model.base", "data.folder", "data.urls", "data.exclude")
"""Parameters that an export does not tell: where things were on this machine, and what it says elsewhere."""

ARCHITECTURES = {
    ("Stable Diffusion 1.x", "epsilon"): ("stable-diffusion-v1", "sd_v1"),
    ("Stable Diffusion 1.x", "v_prediction"): ("stable-diffusion-v1", "sd_v1"),
    ("Stable Diffusion 2.x", "epsilon"): ("stable-diffusion-v2-512", "sd_v2"),
    ("Stable Diffusion 2.x", "v_prediction"): ("stable-diffusion-v2-768-v", "sd_v2_v"),
}
"""By family and prediction: the identifier of ModelSpec, and that of kohya's ``ss_base_model_version``."""

SMALL = ("stable-diffusion-small", "sd_small")
"""What no other program knows how to load without this model's configs."""


def recipe_of(concept: Concept) -> dict[str, Value]:
    """All that is known of how ``concept`` was taught: its entry, and the parameters of its run unless it is gone.

    Nothing in it names a folder or an address of the person who taught it.
    """
    known: dict[str, Value] = {
        "version": __version__,
        "concept": concept.name,
        "prompt": concept.prompt,
        "class_prompt": concept.class_prompt,
        "base": public_base(concept.base),
        "base_fingerprint": concept.base_fingerprint,
        "family": concept.family,
        "resolution": concept.resolution,
        "trained": list(concept.trained),
        "created": _date(concept),
        "training.steps": concept.steps,
        "training.learning_rate": concept.learning_rate,
        "training.seed": concept.seed,
    }
    config = _config(concept)
    return known | ({key: config[key] for key in FIELDS if key not in PRIVATE} if config else {})


def header(concept: Concept, base: BaseModel) -> dict[str, str]:
    """The texts in a single file's header, without CONTENT_HASH: what it is, for other tools, and its recipe.

    ``modelspec.*`` as https://github.com/Stability-AI/ModelSpec 1.0.1 defines them; ``ss_*`` as kohya's scripts
    write them and many tools show them, as far as they say what happened here.
    """
    architecture, kohya = ARCHITECTURES.get((base.family, base.prediction), SMALL)
    side = concept.resolution or base.resolution
    recipe = recipe_of(concept)
    return {
        "format": "pt",
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": architecture,
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": concept.name,
        "modelspec.description": description(concept),
        "modelspec.date": _date(concept),
        "modelspec.resolution": f"{side}x{side}",
        "modelspec.prediction_type": "v" if base.prediction == "v_prediction" else "epsilon",
        "modelspec.trigger_phrase": concept.prompt,
        "modelspec.usage_hint": f"Use the prompt: {concept.prompt}",
        "ss_output_name": concept.name,
        "ss_base_model_version": kohya,
        "ss_sd_model_name": public_base(concept.base),
        "ss_resolution": f"({side}, {side})",
        "ss_steps": str(concept.steps),
        "ss_learning_rate": str(concept.learning_rate),
        "ss_seed": str(concept.seed),
        **{f"dbtui.{key}": value if isinstance(value, str) else json.dumps(value) for key, value in recipe.items()},
        "dbtui.recipe": json.dumps(recipe),
    }


def description(concept: Concept) -> str:
    """What was taught to what, in a sentence."""
    parts = " and ".join(part.replace("unet", "UNet").replace("_", " ") for part in concept.trained)
    return (
        f"{public_base(concept.base)}, taught the subject of {concept.prompt!r} with DreamBooth: "
        f"{concept.steps} steps of the {parts} at {concept.resolution} pixels."
    )


def model_card(concept: Concept, base: BaseModel, half: bool) -> str:
    """A README.md for the folder: what the model is, how it was made, how it is used."""
    name = public_base(concept.base)
    front = ["---", "library_name: diffusers", "pipeline_tag: text-to-image"]
    front += [f"base_model: {json.dumps(name)}"] if is_id(concept.base) else []
    front += [f"instance_prompt: {json.dumps(concept.prompt)}", "tags: [stable-diffusion, dreambooth]", "---"]
    facts = {
        "Prompt": concept.prompt,
        "Class prompt": concept.class_prompt,
        "Base model": name,
        "Family": f"{base.family}, {base.prediction}",
        "Resolution": f"{concept.resolution or base.resolution} px",
        "Trained": ", ".join(concept.trained),
        "Steps": str(concept.steps),
        "Learning rate": f"{concept.learning_rate:g}",
        "Seed": str(concept.seed),
        "Made with": f"dbtui {__version__}",
    }
    return "\n".join(
        [
            *front, "", f"# {concept.name}", "", _code(description(concept)), "",
            "| | |", "| --- | --- |", *(f"| {key} | {_code(value)} |" for key, value in facts.items() if value), "",
            "```python",
            "import torch",
            "from diffusers import StableDiffusionPipeline",
            "",
            f'pipe = StableDiffusionPipeline.from_pretrained(".", torch_dtype=torch.float{16 if half else 32})',
            f"pipe({json.dumps(concept.prompt)}).images[0].save(\"picture.png\")",
            "```", "",
            "The parameters of the training are in `dbtui.json`.", "",
        ]
    )  # fmt: skip


def public_base(base: str) -> str:
    """The base model as others know it: a name of the hub, or a file's or folder's name without the way to it."""
    return base if base == MINI or is_id(base) else Path(base).name


def _config(concept: Concept) -> Config | None:
    """What its run was asked; None if that run is gone or damaged."""
    run = Run(paths.runs_dir() / concept.run)
    if not concept.run or concept.run != run.id:
        return None
    with contextlib.suppress(UsageError):
        return run.config
    return None


def _date(concept: Concept) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(concept.created))


def _code(text: str) -> str:
    """``text`` as it is, wherever Markdown would read something else into it."""
    return "".join(f"\\{c}" if c in "\\`*_{}[]<>#|!" else " " if c in "\r\n" else c for c in text)
