"""demo: the whole journey on the embedded model, with pictures from before and after."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dbtui.commands.options import images_option, json_option
from dbtui.commands.teach import begin_run
from dbtui.commands.watch import report_end, watch
from dbtui.core.errors import DONE, INTERRUPTED, UsageError

if TYPE_CHECKING:
    from PIL import Image

    from dbtui.core.subjects import Subject
    from dbtui.jobs.generate import Sampler

SCENES = ("", " on the beach", " in the snow")
"""What is said after the prompt, a row of pictures for each; the last row shows what became of other things of its kind."""

SEEDS = [0, 1]
STEPS = 15

BEFORE, AFTER = "before", "after"


@click.command()
@click.option(
    "--subject", default="teddy-bear", show_default=True, help="What is taught; or robot, cupcake, fire-engine."
)
@images_option
@json_option
def demo(subject: str, images: str, as_json: bool) -> int:
    """Teach the embedded model a subject, in a minute or three.

    The whole journey without a download: five photos, a training, and the same prompts drawn before and after it.
    """
    from dbtui.core import paths
    from dbtui.core.presets import assemble
    from dbtui.jobs.generate import Sampler
    from dbtui.terminal import result, result_json, say

    chosen = _find_subject(subject)
    say(f"The embedded model has never seen this {chosen.name}. It is taught from five photos, in a minute or three.")
    paths.make_private(paths.data_dir())
    with Sampler(paths.data_dir() / "sampler.log") as sampler, ThreadPoolExecutor(1) as aside:
        # What it draws untaught is drawn while it is taught: on a machine with room to spare, in no time.
        prompts = [*(f"{chosen.prompt}{scene}" for scene in SCENES), chosen.class_prompt]
        demonstration = Demonstration(sampler, prompts, _new_folder(chosen))
        drawn = aside.submit(demonstration.draw, BEFORE, base="mini")
        try:
            run = begin_run(assemble("mini", None, _changes(chosen)))
            watched = watch(run)
            taught = run.state().concept
            if not watched or not taught:
                sampler.close(0)
                return report_end(run, as_json) if watched else INTERRUPTED
            drawn.result()
            say("Drawing the same prompts from the same noise, now that it is taught.")
            demonstration.draw(AFTER, concept=taught)
        except KeyboardInterrupt:
            sampler.close(0)
            say(f"Cancelled. Finished pictures are in {demonstration.folder}.")
            return INTERRUPTED
    table = demonstration.save_table()
    if as_json:
        result_json({"concept": taught, "grid": str(table), "rows": demonstration.rows()})
        return DONE
    if images != "auto" or sys.stdout.isatty():
        demonstration.show(images)
    result(str(table))
    say(f"The concept is {taught!r} in {paths.concepts_dir()}; the pictures are in {demonstration.folder}.")
    say(f"Ask it for more: dbtui sample {taught} '{chosen.prompt} at night' --show")
    return DONE


def _find_subject(name: str) -> Subject:
    from dbtui.core.fields import nearest
    from dbtui.core.subjects import SUBJECTS

    if name in SUBJECTS:
        return SUBJECTS[name]
    near = nearest(name, SUBJECTS)
    raise UsageError(
        f"There is no subject {name!r}",
        f"The subjects are {', '.join(SUBJECTS)}.",
        f"Did you mean {near!r}?" if near else "",
    )


def _changes(subject: Subject) -> dict[str, str | int]:
    """To the preset: what is taught, and nothing that costs time and is not looked at here."""
    return {
        "data.folder": str(subject.folder),
        "concept.prompt": subject.prompt,
        "prior.enabled": True,
        "prior.class_prompt": subject.class_prompt,
        "sampling.every": 0,
        "training.checkpoint_every": 0,
    }


def _new_folder(subject: Subject) -> Path:
    from dbtui.core.gallery import new_folder

    return new_folder(subject.name, "demo-")


@dataclass(frozen=True, slots=True)
class Demonstration:
    """The same ``prompts`` from the same seeds, before and after: ``folder/1-before/000.png`` is of the first."""

    sampler: Sampler
    prompts: Sequence[str]
    folder: Path

    def draw(self, when: str, concept: str = "", base: str = "") -> None:
        """Draw every prompt. Raises DbtuiError."""
        from dbtui.core import paths
        from dbtui.jobs.generate import Request

        for row, prompt in enumerate(self.prompts, 1):
            out = paths.make_private(self.folder / f"{row}-{when}")
            request = Request(
                prompt=prompt, seeds=SEEDS, columns=len(SEEDS), out=str(out), steps=STEPS, concept=concept, base=base
            )
            for _ in self.sampler.ask(request):
                pass

    def rows(self) -> list[dict[str, object]]:
        """Each prompt with the files of its pictures."""
        files = [
            {
                when: [str(self.folder / f"{row}-{when}" / f"{i:03}.png") for i in range(len(SEEDS))]
                for when in (BEFORE, AFTER)
            }
            for row in range(1, len(self.prompts) + 1)
        ]
        return [{"prompt": prompt, **found} for prompt, found in zip(self.prompts, files, strict=True)]

    def _pictures(self) -> list[list[Image.Image]]:
        """Those of each row: before, then after."""
        from dbtui.core.dataset import open_picture

        return [[open_picture(Path(file)) for when in (BEFORE, AFTER) for file in row[when]] for row in self.rows()]  # type: ignore[attr-defined]

    def save_table(self) -> Path:
        """All of them in one picture, with words."""
        from dbtui.core.grid import save_png
        from dbtui.core.table import make_table

        headings = [when for when in (BEFORE, AFTER) for _ in SEEDS]
        file = self.folder / "grid.png"
        save_png(make_table(self._pictures(), headings, self.prompts), file, "\n".join(self.prompts))
        return file

    def show(self, images: str) -> None:
        """Print the rows, each as wide as the terminal and no taller than its window."""
        from dbtui.core.grid import make_grid
        from dbtui.core.printout import printout, printout_size
        from dbtui.core.tty import capabilities

        terminal = capabilities(images)
        columns, lines = shutil.get_terminal_size()
        box = columns, max(6, lines - 4)
        for prompt, pictures in zip(self.prompts, self._pictures(), strict=True):
            strip = make_grid(pictures, len(pictures))
            half = printout_size(strip.size, terminal, box)[0] // 2
            sys.stdout.write(f"\n{prompt}\n{BEFORE:^{half}}{AFTER:^{half}}\n{printout(strip, terminal, box)}")
