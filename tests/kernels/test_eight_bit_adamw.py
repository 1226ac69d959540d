"""The optimizer of the least memory against torch's AdamW in fp32 and bitsandbytes' own."""

from __future__ import annotations

import gc
import weakref

import pytest
import torch
from torch import nn

pytest.importorskip("bitsandbytes")

import bitsandbytes

from dbtui.engine import eight_bit_adamw
from dbtui.engine.eight_bit_adamw import BLOCK, SMALLEST, EightBitAdamW

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SHAPES = ((300, 40), (7,), (16, 8, 6, 6))


@pytest.fixture(autouse=True)
def several_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tensor is updated in several parts, of which the last is short."""
    monkeypatch.setattr(eight_bit_adamw, "CHUNK", 4 * BLOCK)


def make(max_norm: float = 1.0, rate: float = 1e-4) -> tuple[EightBitAdamW, list[nn.Parameter]]:
    """Our optimizer, and the fp32 weights that it is to keep."""
    torch.manual_seed(0)
    masters = [torch.randn(shape, device=DEVICE) for shape in SHAPES]
    ours = [nn.Parameter(m.to(torch.bfloat16)) for m in masters]
    ours[2].data = ours[2].data.contiguous(memory_format=torch.channels_last)
    optimizer = EightBitAdamW(ours, masters, [1.0] * len(ours), decay=1e-2, max_norm=max_norm)
    optimizer.rate = rate
    return optimizer, [nn.Parameter(m.clone()) for m in masters]


def give_gradients(optimizer: EightBitAdamW, exact: list[nn.Parameter], scale: float = 1.0) -> None:
    """The same gradient to both, ours through a backward pass."""
    wanted = [torch.randn_like(p) * scale for p in optimizer.parameters]
    loss = sum((p * w).sum() for p, w in zip(optimizer.parameters, wanted, strict=True))
    loss.backward()
    for theirs, gradient in zip(exact, wanted, strict=True):
        theirs.grad = gradient.float() if theirs.grad is None else theirs.grad + gradient.float()


def masters(optimizer: EightBitAdamW) -> list[torch.Tensor]:
    return [optimizer.master(index) for index in range(len(optimizer.parameters))]


@pytest.mark.parametrize("max_norm", [1.0, 0.0])
def test_steps_are_those_of_adamw(max_norm: float) -> None:
    optimizer, exact = make(max_norm)
    assert all(torch.equal(a, b) for a, b in zip(masters(optimizer), exact, strict=True))
    reference = torch.optim.AdamW(exact, lr=1e-4, weight_decay=1e-2)
    before = [p.detach().clone() for p in exact]
    for step in range(5):
        give_gradients(optimizer, exact, 1.0 + step)
        norm = nn.utils.clip_grad_norm_(exact, max_norm or float("inf"))
        torch.testing.assert_close(optimizer.norm(), norm, rtol=1e-3, atol=0)
        for finished in (optimizer, reference):
            finished.step()
            finished.zero_grad()
    for ours, theirs, start in zip(masters(optimizer), exact, before, strict=True):
        few = theirs.numel() < SMALLEST
        # 8-bit moments are off by some per cent, those of few numbers are exact.
        assert (ours - theirs).norm() < (1e-3 if few else 0.05) * (theirs - start).norm()


def test_eight_bit_steps_are_those_of_bitsandbytes() -> None:
    optimizer, exact = make(max_norm=0.0)
    large = [index for index, p in enumerate(exact) if p.numel() >= SMALLEST and p.dim() == 2]
    reference = bitsandbytes.optim.AdamW8bit([exact[i] for i in large], lr=1e-4, weight_decay=1e-2)
    for _ in range(5):
        give_gradients(optimizer, exact)
        for finished in (optimizer, reference):
            finished.step()
            finished.zero_grad()
    assert large
    for index in large:
        assert torch.equal(optimizer.master(index), exact[index])


def test_a_step_too_small_for_bf16_is_not_lost() -> None:
    optimizer, exact = make(rate=1e-6)
    before, rounded = masters(optimizer), [p.detach().clone() for p in optimizer.parameters]
    give_gradients(optimizer, exact)
    optimizer.step()
    pairs = zip(optimizer.parameters, rounded, strict=True)
    assert all((p != r).float().mean() < 0.05 for p, r in pairs), "bf16 cannot show it"
    pairs = zip(masters(optimizer), before, strict=True)
    assert all((after != start).float().mean() > 0.9 for after, start in pairs)


def test_gradients_of_several_batches_are_added_up_away_from_the_device() -> None:
    optimizer, exact = make()
    for _ in range(3):
        give_gradients(optimizer, exact)
        assert all(p.grad is None for p in optimizer.parameters)
    summed = torch.stack([p.grad.norm() for p in exact]).norm()
    torch.testing.assert_close(optimizer.norm(), summed, rtol=1e-2, atol=0)
    optimizer.zero_grad()
    for p in exact:
        p.grad = None
    give_gradients(optimizer, exact)
    alone = torch.stack([p.grad.norm() for p in exact]).norm()
    torch.testing.assert_close(optimizer.norm(), alone, rtol=1e-2, atol=0)


def test_what_does_not_fit_is_refused() -> None:
    optimizer, _ = make()
    other = EightBitAdamW([nn.Parameter(torch.ones(5, dtype=torch.bfloat16))], [torch.ones(5)], [1.0], 0.0, 0.0)
    with pytest.raises((ValueError, RuntimeError)):
        optimizer.load_state_dict(other.state_dict())


def test_nothing_is_left_of_one_that_is_let_go() -> None:
    """Its hooks are on the weights, and must hold neither it nor them."""
    optimizer, exact = make()
    give_gradients(optimizer, exact)
    left = [weakref.ref(held) for held in (optimizer, *optimizer.parameters)]
    del optimizer
    gc.collect()
    assert [ref() for ref in left] == [None] * len(left)
