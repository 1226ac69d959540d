"""In how little GPU memory the preset low-vram learns: real trainings beside a program that holds all the rest.

    python tests/gpu/measure_least_memory.py [--gigabytes 8,7,6.5,6] [--steps 16] [--model MODEL]

The rows are Markdown, for docs/estimate.md. Without ``--model`` it is Stable Diffusion 1.5's architecture with
random weights; it learns at 512 px and with two photos a step. A row takes half a minute.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from statistics import median

from trainings import model_to_train, train

from dbtui.core.events import Step

HOLD = """
import sys, torch
torch.zeros(1, device="cuda")
free = torch.cuda.mem_get_info()[0]
held = torch.empty(max(0, int(free - float(sys.argv[1]) * 1e9)), dtype=torch.uint8, device="cuda")
print(torch.cuda.mem_get_info()[0], flush=True)
sys.stdin.read()
"""
"""A program that leaves so many gigabytes of the GPU until its input ends."""


@contextmanager
def only(gigabytes: float) -> Iterator[float]:
    """No more of the GPU is free in the block; yields what is, in gigabytes."""
    command = [sys.executable, "-c", HOLD, str(gigabytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdin is not None and holder.stdout is not None
        yield int(holder.stdout.readline()) / 1e9
        holder.stdin.close()


def measure(model: str, gigabytes: float, steps: int) -> str:
    """Train from the photos to the concept in what is left, as a row of a table."""
    settings = (f"training.steps={steps}", "sampling.every=0", "data.resolution=512")
    with only(gigabytes) as free:
        events, why = train(model, "--preset", "low-vram", *(f"--set={change}" for change in settings))
    taken = [event for event in events if isinstance(event, Step)]
    if why:
        return f"| {free:.2f} GB | {len(taken)} steps, then: {why} | | |"
    seconds = median(step.seconds for step in taken[len(taken) // 2 :])
    return (
        f"| {free:.2f} GB | learned and saved | {max(step.memory for step in taken) / 1e9:.2f} GB | {seconds:.2f} s |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", default="8,7,6.5,6", help="of the GPU that are left, one training for each")
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--model", default="", help="a model as `dbtui train` takes it")
    given = parser.parse_args()
    with model_to_train(given.model) as model:
        print("| free | | tensors' peak | a step |\n| --- | --- | --- | --- |", flush=True)
        for gigabytes in given.gigabytes.split(","):
            print(measure(model, float(gigabytes), given.steps), flush=True)


if __name__ == "__main__":
    main()
