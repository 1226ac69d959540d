"""demo: the whole journey on the embedded model."""

from __future__ import annotations

import time

import click

from dbtui.commands.draw import generate
from dbtui.commands.options import images_option, json_option
from dbtui.commands.teach import begin_run
from dbtui.commands.watch import report_end, watch
from dbtui.core.errors import INTERRUPTED, UsageError


@click.command()
@click.option("--subject", default="teddy-bear", show_default=True, help="Or robot, cupcake, fire-engine.")
@images_option
@json_option
def demo(subject: str, images: str, as_json: bool) -> int:
    """The whole journey on the embedded model: teach it a subject, draw it on the beach."""
    from dbtui.core import paths
    from dbtui.core.fields import nearest
    from dbtui.core.presets import assemble
    from dbtui.core.subjects import SUBJECTS
    from dbtui.jobs.generate import Request
    from dbtui.terminal import say

    if subject not in SUBJECTS:
        near = nearest(subject, SUBJECTS)
        raise UsageError(
            f"There is no subject {subject!r}",
            f"The subjects are {', '.join(SUBJECTS)}.",
            f"Did you mean {near!r}?" if near else "",
        )
    chosen = SUBJECTS[subject]
    say(f"The embedded model has never seen this {chosen.name}. It is taught from five photos, in a minute or three.")
    config = assemble("mini", None, {"data.folder": str(chosen.folder), "concept.prompt": chosen.prompt})
    run = begin_run(config)
    if not watch(run):
        return INTERRUPTED
    taught = run.state().concept
    if not taught:
        return report_end(run, as_json)
    prompt = f"{chosen.prompt} on the beach"
    say(f"Drawing {prompt!r}.")
    folder = paths.pictures_dir() / taught / time.strftime("%Y%m%d-%H%M%S")
    paths.make_private(folder)
    request = Request(concept=taught, prompt=prompt, seeds=list(range(6)), columns=3, out=str(folder), steps=20)
    code = generate(request, images, as_json)
    say(f"The concept is {taught!r} in {paths.concepts_dir()}; the pictures are in {folder}.")
    say(f"Ask it for more: dbtui sample {taught} '{chosen.prompt} in the snow' --show")
    return code
