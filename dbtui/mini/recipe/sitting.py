"""A training that takes more than one sitting: all that it needs to go on as if it had not been interrupted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from dbtui.mini.recipe.schedule import Average


@dataclass(frozen=True, slots=True)
class Sitting:
    """One part of a training: where its state is kept in between, and the share of the whole at which it ends."""

    file: Path | None = None
    end: float = 1.0

    @property
    def begun(self) -> bool:
        """Whether there is something to go on from."""
        return self.file is not None and self.file.exists()

    def keep(
        self,
        step: int,
        progress: float,
        parameters: Sequence[nn.Parameter],
        optimizer: torch.optim.Optimizer,
        average: Average,
    ) -> None:
        """Write everything down, whole or not at all. Raises OSError."""
        if self.file is None:
            return
        part = self.file.with_suffix(".part")
        torch.save(
            {
                "step": step, "progress": progress, "parameters": [p.detach() for p in parameters],
                "optimizer": optimizer.state_dict(), "average": average.values, "averaged": average.steps,
                "random": _random_states(),
            },
            part,
        )  # fmt: skip
        part.rename(self.file)

    def take_up(
        self, parameters: Sequence[nn.Parameter], optimizer: torch.optim.Optimizer, average: Average
    ) -> tuple[int, float]:
        """Put everything where it was; the steps and the share of the training that are done. Raises OSError."""
        if self.file is None or not self.file.exists():
            return 0, 0.0
        state = torch.load(self.file, map_location="cpu", weights_only=True)
        with torch.no_grad():
            for mine, kept in zip(
                [*parameters, *average.values], [*state["parameters"], *state["average"]], strict=True
            ):
                mine.copy_(kept)
        average.steps = state["averaged"]
        optimizer.load_state_dict(state["optimizer"])
        for number, kept in enumerate(state["random"][1:]):
            torch.cuda.set_rng_state(kept, number)
        torch.set_rng_state(state["random"][0])
        return state["step"], state["progress"]

    def done(self) -> None:
        """Nothing is left to go on from."""
        if self.file is not None:
            self.file.unlink(missing_ok=True)


def _random_states() -> list[Tensor]:
    """The CPU's, then each GPU's."""
    return [torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [])]
