"""The optimizer on split weights against torch's AdamW in fp32."""

from __future__ import annotations

import weakref
from collections.abc import Iterator

import pytest
import torch
from torch import nn

pytest.importorskip("triton")

from dbtui.engine.split_adamw import SplitAdamW

DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def make(max_norm: float = 1.0, rate: float = 1e-6) -> tuple[SplitAdamW, list[nn.Parameter], torch.optim.AdamW]:
    """Our optimizer, and the fp32 weights and optimizer that it is to follow."""
    torch.manual_seed(0)
    masters = [torch.randn(300, 40), torch.randn(7), torch.randn(16, 8, 3, 3)]
    masters = [m.to(DEVICE) for m in masters]
    ours = [nn.Parameter(m.to(torch.bfloat16)) for m in masters]
    ours[2].data = ours[2].data.contiguous(memory_format=torch.channels_last)
    optimizer = SplitAdamW(ours, masters, [1.0] * len(ours), decay=1e-2, max_norm=max_norm)
    optimizer.set_rate(rate)
    exact = [nn.Parameter(m.clone()) for m in masters]
    return optimizer, exact, torch.optim.AdamW(exact, lr=rate, weight_decay=1e-2)


def all_masters(optimizer: SplitAdamW) -> list[torch.Tensor]:
    return [optimizer.master(index) for index in range(len(optimizer.parameters))]


def give_gradients(optimizer: SplitAdamW, exact: list[nn.Parameter]) -> None:
    for ours, theirs in zip(optimizer.parameters, exact, strict=True):
        ours.grad = torch.randn_like(ours)
        theirs.grad = ours.grad.float()
    optimizer.bind()


def test_each_master_is_gone_once_the_next_is_there() -> None:
    """A card that has just room for the state has none for all masters beside it."""
    weights = [nn.Parameter(torch.zeros(4, 4, dtype=torch.bfloat16, device=DEVICE)) for _ in range(3)]
    alive: list[weakref.ref[torch.Tensor]] = []

    def masters() -> Iterator[torch.Tensor]:
        for number in range(3):
            assert not [1 for master in alive[:-1] if master() is not None]
            given = torch.full((4, 4), 1.0 + number, device=DEVICE)
            alive.append(weakref.ref(given))
            yield given
            del given

    optimizer = SplitAdamW(weights, masters(), [1.0] * 3, decay=0.0, max_norm=0.0)
    assert not [1 for master in alive if master() is not None]
    assert [float(master[0, 0]) for master in all_masters(optimizer)] == [1.0, 2.0, 3.0]


def test_masters_come_back_bit_for_bit() -> None:
    optimizer, exact, _ = make()
    for master, weight in zip(all_masters(optimizer), exact, strict=True):
        assert torch.equal(master, weight)
    for ours, weight in zip(optimizer.parameters, exact, strict=True):
        assert (ours - weight).abs().max() <= 2**-8 * weight.abs().max(), "bf16 is the nearest"


@pytest.mark.parametrize("max_norm", [1.0, 0.0])
def test_steps_are_those_of_adamw_in_fp32(max_norm: float) -> None:
    optimizer, exact, reference = make(max_norm)
    before = [w.detach().clone() for w in exact]
    for _ in range(5):
        give_gradients(optimizer, exact)
        norm = torch.nn.utils.clip_grad_norm_(exact, max_norm or float("inf"))
        optimizer.step()
        reference.step()
        torch.testing.assert_close(optimizer.norm, norm, rtol=1e-4, atol=0)
    for master, weight, start in zip(all_masters(optimizer), exact, before, strict=True):
        moved = (weight - start).norm()
        assert moved > 0
        assert (master - weight).norm() < 0.01 * moved


def test_an_update_too_small_for_bf16_is_kept() -> None:
    optimizer, exact, _ = make(rate=1e-7)
    start = [p.detach().clone() for p in optimizer.parameters]
    masters = all_masters(optimizer)
    give_gradients(optimizer, exact)
    optimizer.step()
    assert all((p == s).float().mean() > 0.99 for p, s in zip(optimizer.parameters, start, strict=True))
    changed = [(a != b).float().mean() for a, b in zip(all_masters(optimizer), masters, strict=True)]
    assert min(changed) > 0.5


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_gradient_that_is_not_finite_changes_nothing(bad: float) -> None:
    optimizer, exact, _ = make()
    give_gradients(optimizer, exact)
    optimizer.step()
    before = [m.clone() for m in (*all_masters(optimizer), optimizer.first, optimizer.second)]
    give_gradients(optimizer, exact)
    optimizer.parameters[1].grad[3] = bad
    optimizer.step()
    after = [*all_masters(optimizer), optimizer.first, optimizer.second]
    assert all(torch.equal(a, b) for a, b in zip(after, before, strict=True))
    assert not optimizer.norm.isfinite()


def test_after_a_bad_gradient_nothing_moves_until_it_is_pardoned() -> None:
    optimizer, exact, _ = make(rate=1e-3)
    give_gradients(optimizer, exact)
    optimizer.parameters[0].grad[0, 0] = float("nan")
    optimizer.step()
    before = all_masters(optimizer)
    give_gradients(optimizer, exact)
    optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(all_masters(optimizer), before, strict=True))
    optimizer.pardon()
    optimizer.step()
    assert not any(torch.equal(a, b) for a, b in zip(all_masters(optimizer), before, strict=True))


def test_shares_multiply_the_rate() -> None:
    optimizer, exact, _ = make(rate=1e-3)
    optimizer = SplitAdamW(optimizer.parameters, exact, [0.0, 1.0, 1.0], decay=0.0, max_norm=0.0)
    optimizer.set_rate(1e-3)
    give_gradients(optimizer, exact)
    optimizer.step()
    still, *moving = [float((m - e).detach().abs().max()) for m, e in zip(all_masters(optimizer), exact, strict=True)]
    assert still == 0
    assert min(moving) > 5e-4


def test_state_goes_on_where_it_was() -> None:
    first, exact, _ = make(rate=1e-3)
    give_gradients(first, exact)
    first.step()
    second, _, _ = make(rate=1e-3)
    for index, master in enumerate(all_masters(first)):
        second.load_master(index, master)
    second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    for optimizer in (first, second):
        torch.manual_seed(1)
        give_gradients(optimizer, exact)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(all_masters(first), all_masters(second), strict=True))
