"""Two processes add their gradients up while their backward passes go on."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from dbtui.engine.gradient_sum import GradientSum, buckets
from dbtui.engine.ranks import ALONE

PROCESS = """
import sys
import torch
import torch.distributed as dist
from torch import nn
from dbtui.engine.gradient_sum import GradientSum
from dbtui.engine.ranks import Ranks

rank = int(sys.argv[1])
dist.init_process_group("gloo", init_method="file://" + sys.argv[2], rank=rank, world_size=2)
torch.manual_seed(0)
last = nn.Sequential(nn.Flatten(), nn.Linear(8 * 16, 4))  # registered before what comes before it, as in a UNet
first = nn.Sequential(nn.Conv2d(3, 8, 3), nn.SiLU(), nn.Conv2d(8, 8, 3))
weights = [*last.parameters(), *first.parameters()]
first.to(memory_format=torch.channels_last)

def model(inputs):
    return last(first(inputs))

data = [torch.randn(2, 3, 8, 8) for _ in range(2)]

def gradients(inputs):
    return [g.clone() for g in torch.autograd.grad(model(inputs).square().sum(), weights)]

wanted = [sum(each) for each in zip(*map(gradients, data))]
summed = GradientSum(weights, Ranks(rank, 2), size=600)
sent = []

def own_gradients():
    for weight in weights:
        weight.grad = None
    model(data[rank]).square().sum().backward()
    for weight, mine in zip(weights, gradients(data[rank])):
        torch.testing.assert_close(weight.grad, mine)

own_gradients()
first[0].weight.register_post_accumulate_grad_hook(lambda _: sent.append(len(summed._under_way or [])))
for _ in range(3):
    for weight in weights:
        weight.grad = None
    with summed.of_backward():
        model(data[rank]).square().sum().backward()
    for weight, sum_of_all in zip(weights, wanted):
        torch.testing.assert_close(weight.grad, sum_of_all)
assert sent == [3] * 3 and len(summed._buckets) == 4, (sent, len(summed._buckets))
own_gradients()
print("alike")
"""


def test_each_process_has_the_sum_of_both_and_outside_the_block_its_own(tmp_path: Path) -> None:
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, str(rank), str(tmp_path / "meeting")],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    answers = [process.communicate(timeout=120) for process in both]
    assert [said for said, _ in answers] == ["alike\n"] * 2, [error[-2000:] for _, error in answers]


def test_buckets_hold_each_parameter_once_in_order() -> None:
    parameters = [nn.Parameter(torch.zeros(count)) for count in (1, 100, 3, 2, 50, 1)]
    parts = list(buckets(parameters, 400))
    assert [p.numel() for part in parts for p in part] == [1, 100, 3, 2, 50, 1]
    assert [len(part) for part in parts] == [2, 4]


def test_a_weight_without_a_gradient_is_an_error_and_nobody_waits_for_it() -> None:
    weights = [nn.Parameter(torch.ones(2)) for _ in range(2)]
    summed = GradientSum(weights, ALONE)
    weights[0].sum().backward()
    with pytest.raises(RuntimeError, match="no gradient"), summed.of_backward():
        weights[0].sum().backward()
