"""``python -m dbtui.mini.recipe.judge_presets --model DIR --emoji emoji.zip --out DIR``: try the recipes, for as long as there is time.

Several processes take one job after the other; what is finished is kept, so the command can be given again.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from PIL import Image, ImageDraw

from dbtui.core.base_model import find_model
from dbtui.core.errors import DbtuiError
from dbtui.core.fields import Value
from dbtui.core.subjects import SUBJECTS
from dbtui.engine.models import load_models
from dbtui.mini.recipe.emoji import Emoji, read_emoji
from dbtui.mini.recipe.judge import Judge, School, accuracy, load_judge, save_judge, train_judge
from dbtui.mini.recipe.judge_recipes import (
    CLASS_GUIDANCE,
    CLASS_WORDS,
    RECIPES,
    SEEDS,
    UNTAUGHT,
    Job,
    jobs,
)  # fmt: skip
from dbtui.mini.recipe.judge_subjects import exams, take_photos
from dbtui.mini.recipe.judge_teaching import Pictures, drawn, judged, judged_class, teach, untaught
from dbtui.mini.recipe.scenes import SCENES

CLASSES = "classes"
"""The job that looks at class pictures by themselves."""

CLASS_PICTURES = 24

SHOWN = {"plain": 4, "scene": 8, "words": 4, "pair": 2, "class": 6, "bystander": 2}
"""Pictures of each group in a row of the sheet."""

THUMBNAIL = 64
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


@dataclass(frozen=True, slots=True)
class Place:
    """The folder that the processes share, and until when they work."""

    folder: Path
    until: float

    @property
    def judge(self) -> Path:
        return self.folder / "judge.safetensors"

    @property
    def photos(self) -> Path:
        return self.folder / "photos"

    def result(self, key: str) -> Path:
        return self.folder / "results" / f"{key}.json"

    def row(self, key: str) -> Path:
        return self.folder / "results" / f"{key}.png"

    def take(self, key: str) -> bool:
        """Whether the job is this process's from here on."""
        if self.result(key).exists():
            return False
        with contextlib.suppress(FileExistsError):
            os.close(os.open(self.folder / "results" / f"{key}.taken", os.O_CREAT | os.O_EXCL))
            return True
        return False

    def give_back(self) -> None:
        """Let jobs that were taken and not finished be taken again."""
        (self.folder / "results").mkdir(parents=True, exist_ok=True)
        for claim in (self.folder / "results").glob("*.taken"):
            claim.unlink()

    @property
    def left(self) -> float:
        """Seconds."""
        return self.until - time.time()


def work(
    place: Place, wanted: Iterable[Job], model: Path, emoji: Emoji, scenes: Sequence[str], changes: dict[str, Value]
) -> None:
    """Take of the jobs that are ``wanted`` until there are none or no time is left for another."""
    subjects, judge, longest = exams(emoji, place.photos), None, 0.0

    def judge_here() -> Judge:
        nonlocal judge
        while not place.judge.exists():
            time.sleep(0.2)
        judge = judge or load_judge(place.judge, DEVICE)
        return judge

    if place.take(CLASSES):
        _keep(place, CLASSES, {"classes": _classes(judge_here(), model, emoji)})
    for job in wanted:
        if place.left < longest:
            return
        exam = subjects[job.subject]
        if not exam.folder.is_dir() or not place.take(job.key):
            continue
        began = time.monotonic()
        try:
            models = (
                untaught(model)
                if job.recipe == UNTAUGHT
                else teach(model, exam, RECIPES[job.recipe], job.seed, changes)
            )
            taught = time.monotonic()
            pictures = drawn(models, exam, scenes)
            seconds = {"teaching": round(taught - began, 1), "drawing": round(time.monotonic() - taught, 1)}
            figures = judged(judge_here(), pictures, exam, scenes, emoji)
        except (DbtuiError, RuntimeError) as error:  # a recipe that breaks down is a result, too
            _keep(place, job.key, {**asdict(job), "failed": str(error)})
            continue
        _row(pictures).save(place.row(job.key))
        _keep(place, job.key, {**asdict(job), **asdict(figures), "seconds": seconds})
        longest = max(longest, time.monotonic() - began)


def _classes(judge: Judge, model: Path, emoji: Emoji) -> dict[str, dict[str, float]]:
    models = untaught(model)
    return {
        f"{word} {guidance:g}": judged_class(judge, models, word, guidance, emoji, CLASS_PICTURES)
        for word in CLASS_WORDS
        for guidance in CLASS_GUIDANCE
    }


def _keep(place: Place, key: str, result: dict[str, object]) -> None:
    made = place.result(key).with_suffix(".part")
    made.write_text(json.dumps(result))
    made.rename(place.result(key))


def _row(pictures: Pictures) -> Image.Image:
    """A few small pictures of each group."""
    shown = [image for group, count in SHOWN.items() for image in pictures[group][:count]]
    row = Image.new("RGB", (len(shown) * (THUMBNAIL + 2), THUMBNAIL + 2), "white")
    for i, image in enumerate(shown):
        row.paste(image.resize((THUMBNAIL, THUMBNAIL), Image.Resampling.LANCZOS), (i * (THUMBNAIL + 2), 0))
    return row


def lead(place: Place, given: argparse.Namespace) -> None:
    """Teach the judge, alone on the machine since it is worth little otherwise; start the workers, gather what they found."""
    place.give_back()
    if not place.judge.exists():
        teach_judge(place, given)
    workers = [
        subprocess.Popen(_worker_command(place, given, i), env=_worker_environment(place, i))
        for i in range(given.workers)
    ]
    try:
        for worker in workers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(timeout=max(1.0, place.left + given.grace))
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    gather(place, given.out)


def teach_judge(place: Place, given: argparse.Namespace) -> None:
    """Photos of the other subjects, and a judge of all emoji."""
    emoji = read_emoji(given.emoji)
    school = School(emoji, DEVICE, load_models(find_model(str(given.model))).vae.to(DEVICE))
    take_photos(emoji, school.renderer, place.photos)
    judge = train_judge(school, given.judge_seconds, given.judge_batch)
    which, where = accuracy(judge, school)
    print(f"judge: right in {which:.3f} of the objects and {where:.3f} of the scenes", flush=True)
    made = place.judge.with_suffix(".part")
    save_judge(judge, made)
    made.rename(place.judge)


def _worker_command(place: Place, given: argparse.Namespace, number: int) -> list[str]:
    options = {
        "--scenes": given.scenes,
        "--model": given.model,
        "--emoji": given.emoji,
        "--out": given.out,
        "--work": given.work,
    }
    words = [str(word) for option in options.items() for word in option]
    words += [word for change in given.set for word in ("--set", change)]
    words += [word for recipe in given.only for word in ("--only", recipe)]
    return [sys.executable, "-m", "dbtui.mini.recipe.judge_presets", *words, "--until", str(place.until)]


def _worker_environment(place: Place, number: int) -> dict[str, str]:
    threads = {} if DEVICE == "cpu" else {"OMP_NUM_THREADS": "1"}
    return {**os.environ, "DBTUI_HOME": str(place.folder / f"home-{number}"), **threads}


def gather(place: Place, out: Path) -> None:
    """All results in one file, the rows in one picture, and a table of means on standard output."""
    out.mkdir(parents=True, exist_ok=True)
    results = [json.loads(file.read_text()) for file in sorted((place.folder / "results").glob("*.json"))]
    (out / "results.jsonl").write_text("".join(json.dumps(result) + "\n" for result in results))
    if place.judge.exists() and not (out / "judge.safetensors").exists():
        (out / "judge.safetensors").write_bytes(place.judge.read_bytes())
    rows = [job for job in (*jobs(), *jobs(list(RECIPES))) if job.seed == SEEDS[0] and place.row(job.key).exists()]
    if rows:
        _sheet(place, list(dict.fromkeys(rows))).save(out / "sheet.jpg", quality=82)
    for line in table(results):
        print(line)


def _sheet(place: Place, rows: Sequence[Job]) -> Image.Image:
    pictures = [Image.open(place.row(job.key)) for job in rows]
    sheet = Image.new("RGB", (pictures[0].width + 150, len(rows) * pictures[0].height), "white")
    pencil = ImageDraw.Draw(sheet)
    for number, (job, picture) in enumerate(zip(rows, pictures, strict=True)):
        top = number * picture.height
        pencil.text((4, top + 16), f"{job.recipe}\n{job.subject}", fill="black")
        sheet.paste(picture, (150, top))
    return sheet


def table(results: Sequence[dict[str, object]]) -> Iterator[str]:
    """Means by recipe: over the package's subjects, and over the others."""
    columns = ("plain", "scene", "words", "pair", "scene_right", "drift", "drift_in_scenes", "bystanders", "class_sure")
    yield f"{'recipe':<22}{'subjects':<10}{'runs':>5} " + "".join(f"{column[:9]:>10}" for column in columns)
    for recipe in (UNTAUGHT, *RECIPES):
        for kind, wanted in (("package", True), ("others", False)):
            found = [
                r
                for r in results
                if r.get("recipe") == recipe and "plain" in r and (r["subject"] in SUBJECTS) is wanted
            ]
            if found:
                means = (sum(float(r[column]) for r in found) / len(found) for column in columns)  # type: ignore[arg-type]
                yield f"{recipe:<22}{kind:<10}{len(found):>5} " + "".join(f"{mean:>10.2f}" for mean in means)
    for result in results:
        if "classes" in result:
            for name, figures in result["classes"].items():  # type: ignore[attr-defined]
                yield f"{name:<22}" + ", ".join(f"{what} {value:.2f}" for what, value in figures.items())
        if "failed" in result:
            yield f"{result['recipe']} {result['subject']}: {result['failed']}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the command line; lead, or be one of the workers."""
    parser = argparse.ArgumentParser(prog="python -m dbtui.mini.recipe.judge_presets", description=__doc__)
    parser.add_argument("--model", type=Path, required=True, help="the folder of the model to teach")
    parser.add_argument("--emoji", type=Path, required=True, help="the archive of pictures and names")
    parser.add_argument("--out", type=Path, required=True, help="the folder for the figures and the sheet")
    parser.add_argument("--work", type=Path, default=Path("/tmp/judge"), help="the folder for what is on the way")
    parser.add_argument("--minutes", type=float, default=3.0, help="when to stop")
    parser.add_argument("--workers", type=int, default=1, help="processes")
    parser.add_argument("--judge-seconds", type=float, default=35.0, help="how long the judge is taught")
    parser.add_argument("--judge-batch", type=int, default=384, help="pictures at a time that it is taught with")
    parser.add_argument("--grace", type=float, default=10.0, help="seconds for jobs that are not done in time")
    parser.add_argument("--scenes", type=int, default=len(SCENES), help="how many of the scenes the model knows")
    parser.add_argument("--set", action="append", default=[], metavar="FIELD=VALUE", help="a change to every recipe")
    parser.add_argument(
        "--only",
        action="append",
        default=[],
        metavar="RECIPE",
        choices=list(RECIPES),
        help="one of those to try, on all subjects",
    )
    parser.add_argument("--until", type=float, help=argparse.SUPPRESS)
    given = parser.parse_args(arguments)
    place = Place(given.work, given.until or time.time() + given.minutes * 60)
    if given.until is None:
        lead(place, given)
    else:
        from dbtui.core.config import find_field

        pairs = [change.split("=", 1) for change in given.set]
        work(
            place,
            jobs(given.only),
            given.model,
            read_emoji(given.emoji),
            list(SCENES)[: given.scenes],
            {key: find_field(key).parse(text) for key, text in pairs},
        )


if __name__ == "__main__":
    main()
