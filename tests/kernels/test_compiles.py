"""Every kernel compiles for GPUs, on a machine that has none: the interpreter takes what a compiler refuses."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton")

from dbtui.engine import kernels

FOLDER = Path(kernels.__file__).parent

PROGRAM = """
import sys
import torch, triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from dbtui.engine.kernels import adamw, bias, geglu, group_norm, layer_norm, sums

# Arguments by their names: everything else points to the activations' type.
NUMBERS = "rows columns each blocks images width total".split()
FLOATS = "epsilon beta1 beta2 decay".split()
SINGLE = "partial scale offset mean inverse totals on_gradient on_input constant".split()
SINGLE += "firsts seconds rates grown1 grown2".split()
ADDRESSES = "weights gradients starts places".split()
OTHERS = {"lengths": "*i32", "lows": "*i16"}
TYPES = {name: "i32" for name in NUMBERS} | {name: "fp32" for name in FLOATS}
TYPES |= {name: "*fp32" for name in SINGLE} | {name: "*i64" for name in ADDRESSES} | OTHERS
TILE, NORM = {"ROWS": sums.ROWS, "COLUMNS": sums.COLUMNS}, {"GROUP": 16, "BLOCKS": sums.PARTIALS, "SHIFT": True}
KERNELS = [
    (adamw._squares, {"CHUNK": adamw.CHUNK}, 4), (adamw._adamw, {"CHUNK": adamw.CHUNK}, 4),
    (bias._add, {"BLOCK": bias.BLOCK, "RESIDUAL": True}, 4),
    (geglu._forward, {"BLOCK": geglu.BLOCK}, 4), (geglu._backward, {"BLOCK": geglu.BLOCK}, 4),
    (group_norm._sums, {**TILE, "SHIFT": True}, 4), (group_norm._fold, NORM, 4),
    (group_norm._apply, {"BLOCK": group_norm.BLOCK, "SILU": True}, 4),
    (group_norm._gradient_sums, {**TILE, "SILU": True}, 4), (group_norm._fold_gradients, NORM, 4),
    (group_norm._apply_gradients, {"BLOCK": group_norm.BLOCK, "SILU": True}, 4),
    (layer_norm._forward, {"ROWS": layer_norm.TILE // 512, "WIDTH": 512}, 1), (layer_norm._backward, {"WIDTH": 512}, 4),
    (sums._partial_sums, TILE, 4), (sums._add_up, {"BLOCKS": sums.PARTIALS, "COLUMNS": sums.ADDED}, 4),
]

capability, kind = int(sys.argv[1]), sys.argv[2]
for kernel, constants, warps in KERNELS:
    names = kernel.arg_names
    signature = {name: "constexpr" if name in constants else TYPES.get(name, f"*{kind}") for name in names}
    aligned = {(i,): [["tt.divisibility", 16]] for i, name in enumerate(names) if signature[name].startswith("*")}
    source = ASTSource(kernel, signature, {(names.index(name),): value for name, value in constants.items()}, aligned)
    made = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
    assert made.asm["cubin"], "no machine code"
    print(kernel.fn.__module__.rpartition(".")[2] + "." + kernel.fn.__name__)
"""


@pytest.mark.parametrize(("capability", "kind"), [(80, "fp16"), (90, "bf16")], ids=["Ampere", "Hopper"])
def test_every_kernel_compiles(capability: int, kind: str, tmp_path: Path) -> None:
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(capability), kind], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    launched = {
        f"{file.stem}.{name}"
        for file in FOLDER.glob("*.py")
        for name, body in re.findall(r"^def (_\w+)\((.*?)(?=^@|^def |^class |\Z)", file.read_text(), re.M | re.S)
        if "tl.program_id" in body
    }
    assert set(done.stdout.split()) == launched
