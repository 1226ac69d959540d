"""How far the estimate that a run gives of itself is off: real trainings on random weights, a row of a table for each.

    python tests/gpu/measure_estimate.py [--model mini] [--steps 60]

The rows are Markdown, for docs/estimate.md. Without ``--model`` it is Stable Diffusion 1.5's architecture; a row
takes half a minute on a large GPU.
"""

from __future__ import annotations

import argparse

from trainings import model_to_train, train

from dbtui.core.events import Ended, Estimate, Step

SETTINGS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("as chosen", ()),
    ("plain step", ("training.graph=false",)),
    ("4 photos", ("training.batch_size=4",)),
    ("768 px", ("data.resolution=768",)),
    ("checkpointing, 8-bit Adam", ("training.gradient_checkpointing=true", "training.optimizer=adamw8bit")),
    ("32 bit", ("training.precision=no",)),
    ("text encoder too", ("training.text_encoder=true",)),
    ("attention only", ("training.layers=attention",)),
    ("a checkpoint every 20 steps", ("training.checkpoint_every=20",)),
    ("a sample every 20 steps", ("sampling.every=20",)),
)
"""Words, and what they set."""


def measure(model: str, steps: int, words: str, changes: tuple[str, ...]) -> str:
    """Train, and compare what the journal promised with what came, as a row of a table."""
    fixed = (f"training.steps={steps}", "sampling.every=0", "training.checkpoint_every=0")
    events, why = train(model, *(f"--set={change}" for change in (*fixed, *changes)))
    if why:
        return f"| {words} | failed: {why} | | | | |"
    promised = next(event for event in events if isinstance(event, Estimate))
    ended = next(event for event in events if isinstance(event, Ended))
    seconds, guess = ended.time - promised.time, promised.seconds
    memory, peak = promised.memory / 1e9, max(event.memory for event in events if isinstance(event, Step)) / 1e9
    off = f"{guess:.1f} s | {seconds:.1f} s | {guess / seconds - 1:+.0%}" if guess else f"unknown | {seconds:.1f} s | "
    return f"| {words} | {memory:.2f} GB | {peak:.2f} GB | {off} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="", help="a model as `dbtui train` takes it")
    parser.add_argument("--steps", type=int, default=60)
    given = parser.parse_args()
    with model_to_train(given.model) as model:
        print("| changed | memory estimated | tensors' peak | time estimated | measured | error |")
        print("| --- | --- | --- | --- | --- | --- |", flush=True)
        for words, changes in SETTINGS:
            print(measure(model, given.steps, words, changes), flush=True)


if __name__ == "__main__":
    main()
