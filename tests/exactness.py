"""How near the kernels come to torch in double precision, with outputs that are no numbers until they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import pytest
import torch
from torch import Tensor

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
Function = Callable[..., Tensor]


@pytest.fixture(autouse=True)
def strict_torch(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No TF32; and what ``torch.empty`` gives is full of NaN, so that whatever is not written shows."""
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)
    before = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    torch.use_deterministic_algorithms(True, warn_only=True)
    assert torch.utils.deterministic.fill_uninitialized_memory
    assert torch.empty(7, device=DEVICE).isnan().all()
    yield
    torch.use_deterministic_algorithms(before[0], warn_only=before[1])


def distance(some: Tensor, others: Tensor) -> float:
    """Of two tensors, relative to the length of the second; no number if any of theirs is none."""
    some, others = some.detach().double(), others.detach().double()
    return float((some - others).norm() / others.norm().clamp(min=1e-30))


def rounding(dtype: torch.dtype) -> float:
    """The distance that is left to a result in ``dtype``: Triton's interpreter cuts numbers off where a GPU rounds."""
    return max(2 * torch.finfo(dtype).eps, 2e-5)


def assert_exact(ours: Function, theirs: Function, inputs: Sequence[Tensor], dtype: torch.dtype) -> None:
    """``ours`` and its gradients are those of ``theirs`` in double precision, and without gradients it is the same."""
    exact = [x.detach().double().requires_grad_() for x in inputs]
    out, wanted = ours(*inputs), theirs(*exact)
    assert out.shape == wanted.shape and distance(out, wanted) < rounding(dtype)
    with torch.inference_mode():
        assert torch.equal(ours(*inputs), out)
    given = torch.randn(out.shape, device=out.device).to(out.dtype)
    gradients = torch.autograd.grad(out, inputs, given)
    for index, exactly in enumerate(torch.autograd.grad(wanted, exact, given.double())):
        assert gradients[index].dtype == inputs[index].dtype
        assert distance(gradients[index], exactly) < 2 * rounding(dtype), f"gradient {index}"
