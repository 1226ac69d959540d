"""Pickles of strangers: none is run, whatever it asks for, and none takes memory that its bytes do not."""

from __future__ import annotations

import contextlib
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from dbtui.core.base_model import find_model
from dbtui.core.errors import DbtuiError, UsageError
from dbtui.core.torch_file import Stored, read_torch_file

STORAGE = b"ctorch._utils\n_rebuild_tensor_v2\n((Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nI%dtQI%d\n%s%sI00\nNtR"


def tensor(count: int = 4, offset: int = 0, shape: bytes = b"(I2\nI2\nt", strides: bytes = b"(I2\nI1\nt") -> bytes:
    """The opcodes for a tensor in storage 0, which has ``count`` floats."""
    return STORAGE.replace(b"I%dt", b"I%d\nt") % (count, offset, shape, strides)


def state_dict(value: bytes) -> bytes:
    """A pickle of {"state_dict": {"w": value}}."""
    return b"(Vstate_dict\n(Vw\n" + value + b"dd."


def write_torch_file(path: Path, data: bytes, packed: str = "", **entries: bytes) -> Path:
    """An archive as ``torch.save`` writes it; the entry ``packed`` is compressed."""
    contents = {"data.pkl": data, "byteorder": b"little", "data/0": bytes(16), "version": b"3\n", **entries}
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in contents.items():
            method = zipfile.ZIP_DEFLATED if name == packed else zipfile.ZIP_STORED
            archive.writestr(f"archive/{name}", content, method)
    return path


def text(word: str) -> bytes:
    return b"\x8c" + bytes([len(word)]) + word.encode()


def by_reduce(module: str, name: str) -> Callable[[str], bytes]:
    return lambda argument: f"c{module}\n{name}\n(V{argument}\ntR".encode()


EVIL: dict[str, Callable[[str], bytes]] = {
    "os.system": by_reduce("os", "system"),
    "posix.system": by_reduce("posix", "system"),
    "nt.system": by_reduce("nt", "system"),
    "builtins.eval": by_reduce("builtins", "eval"),
    "builtins.exec": by_reduce("__builtin__", "execfile"),
    "builtins.getattr": by_reduce("__builtin__", "getattr"),
    "builtins.__import__": by_reduce("builtins", "__import__"),
    "subprocess.Popen": by_reduce("subprocess", "Popen"),
    "runpy.run_path": by_reduce("runpy", "run_path"),
    "pty.spawn": by_reduce("pty", "spawn"),
    "importlib.import_module": by_reduce("importlib", "import_module"),
    "shutil.rmtree": by_reduce("shutil", "rmtree"),
    "pickle.loads": by_reduce("pickle", "loads"),
    "collections.abc": by_reduce("collections.abc", "Mapping"),
    "copyreg.add_extension": by_reduce("copy_reg", "add_extension"),
    "torch.hub.load": by_reduce("torch.hub", "load"),
    "torch.load": by_reduce("torch.serialization", "load"),
    "numpy.f2py": by_reduce("numpy.f2py.crackfortran", "myeval"),
    "pip": by_reduce("pip._internal", "main"),
    "distutils.spawn": by_reduce("distutils.spawn", "spawn"),
    "stack global": lambda c: b"\x80\x04" + text("os") + text("system") + b"\x93" + text(c) + b"\x85R",
    "through another module": lambda c: text("torch") + text("os.system") + b"\x93" + text(c) + b"\x85R",
    "through two": lambda c: text("torch") + text("serialization.os.system") + b"\x93" + text(c) + b"\x85R",
    "remembered name": lambda c: text("os") + b"\x94" + text("system") + b"\x94h\x00h\x01\x93" + text(c) + b"\x85R",
    "instance": lambda c: f"(V{c}\nios\nsystem\n".encode(),
    "object": lambda c: f"(cos\nsystem\nV{c}\no".encode(),
    "new object": lambda c: f"cos\nsystem\n(V{c}\nt\x81".encode(),
    "new object with keywords": lambda c: f"cos\nsystem\n(V{c}\nt}}\x92".encode(),
    "set state": lambda c: f"cbuiltins\nobject\n)R(V__setstate__\ncos\nsystem\ndbV{c}\nb".encode(),
    "class of a storage": lambda c: f"(Vstorage\ncos\nsystem\nV{c}\nVcpu\nI4\ntQ".encode(),
    "never called": lambda c: b"cos\nsystem\n",
}  # fmt: skip
"""Opcodes that have ``system`` and the like called with a command, in every way that pickles know."""


@pytest.mark.parametrize("kind", EVIL)
def test_a_pickle_that_asks_for_code_is_refused_and_nothing_runs(kind: str, tmp_path: Path) -> None:
    flag = tmp_path / "ran"
    evil = EVIL[kind](f"touch {flag}")
    for number, data in enumerate((state_dict(evil), evil + b"0" + state_dict(tensor()), evil + b".")):
        file = write_torch_file(tmp_path / f"{number}.ckpt", data)
        with pytest.raises(DbtuiError, match="asks to run code") as caught:
            find_model(str(file))
        assert "was not called" in caught.value.message
    assert not flag.exists()


def test_the_same_pickles_do_run_where_pickles_are_run(tmp_path: Path) -> None:
    """So that the test above cannot pass because its pickles are broken."""
    flag = tmp_path / "ran"
    for kind in ("os.system", "posix.system", "stack global", "remembered name", "instance", "object"):
        pickle.loads(EVIL[kind](f"touch {flag}") + b".")
        assert flag.exists()
        flag.unlink()


@pytest.mark.parametrize("suffix", [".ckpt", ".bin", ".pt", ".safetensors", ".pkl"])
def test_a_bare_pickle_is_refused_by_every_name(suffix: str, tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return os.system, (f"touch {tmp_path}/ran",)

    file = tmp_path / f"model{suffix}"
    file.write_bytes(pickle.dumps(Evil()))
    with pytest.raises((DbtuiError, UsageError)) as caught:
        find_model(str(file))
    assert caught.value.hint and not (tmp_path / "ran").exists()


def test_what_is_not_known_is_neither_imported_nor_in_the_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flag = tmp_path / "ran"
    (tmp_path / "trainer_of_2022.py").write_text(
        f"open({str(flag)!r}, 'w')\ndef run(*args): open({str(flag)!r}, 'w')\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    call = b"ctrainer_of_2022\nrun\n(V1\ntR}(Va\nI1\nub"
    data = b"(Vcallbacks\n(" + call + b"I1\ndVstate_dict\n(Vw\n" + tensor() + b"dd."
    found = read_torch_file(write_torch_file(tmp_path / "m.ckpt", data))
    assert found.keys() == {"w"} and found["w"].shape == (2, 2)
    assert not flag.exists() and "trainer_of_2022" not in sys.modules


HARMLESS = {
    "a place in memory far away": b"]r\xff\xff\xff\x7f0",
    "a frame that is not there": b"\x95" + struct.pack("<Q", 2**62),
}

BOMBS = {
    "bytes that are not there": b"\x8e" + struct.pack("<Q", 2**62) + b"x",
    "a number that is not there": b"\x8b\xff\xff\xff\x7f\x00",
    "a negative length": b"\x8b\xff\xff\xff\xff\x00",
    "a long text that is not there": b"\x8d" + struct.pack("<Q", 2**40) + b"x",
    "a million opcodes": b"]0" * 500_000,
    "a deep list": b"(" * 200_000 + b"l" * 200_000,
    "a tuple of tuples": b")" + b"2\x86" * 200_000,
    "an extension": b"\x82\x01",
    "a buffer outside": b"\x97",
    "nothing to pop": b"0000",
    "no mark": b"t",
    "nothing remembered": b"h\x05",
    "a number of a million digits": b"I" + b"9" * 1_000_000 + b"\n",
    "no opcode": b"\xff\xfe",
    "a name that drives a terminal": b"cos\x1b[2J\nsystem\n",
}


@pytest.mark.parametrize("kind", [*BOMBS, *HARMLESS])
def test_a_pickle_takes_no_more_memory_than_its_bytes_are_worth(kind: str, tmp_path: Path) -> None:
    file = write_torch_file(tmp_path / "m.ckpt", (BOMBS | HARMLESS)[kind] + state_dict(tensor()))
    tracemalloc.start()
    try:
        with pytest.raises(DbtuiError, match="damaged") if kind in BOMBS else contextlib.nullcontext():
            read_torch_file(file)
        assert tracemalloc.get_traced_memory()[1] < 100_000_000
    finally:
        tracemalloc.stop()


def test_numbers_that_were_chosen_to_slow_a_dict_down_are_left_out(tmp_path: Path) -> None:
    """Multiples of 2**61 - 1 all have the hash 0: 100,000 of them as keys would take an hour."""

    def number(value: int) -> bytes:
        data = pickle.encode_long(value)
        return b"\x8a" + bytes([len(data)]) + data

    slow = b"}(" + b"".join(number(i * (2**61 - 1)) + b"N" for i in range(1, 100_000)) + b"u0"
    assert read_torch_file(write_torch_file(tmp_path / "m.ckpt", slow + state_dict(tensor()))).keys() == {"w"}


def test_tensors_that_share_a_storage_cannot_be_larger_than_the_file(tmp_path: Path) -> None:
    many = b"".join(f"Vw{i}\n".encode() + tensor() for i in range(3000))
    file = write_torch_file(tmp_path / "m.ckpt", b"(V" + b"x" * 9 + b"\n(" + b"dVstate_dict\n(" + many + b"dd.")
    big = write_torch_file(
        tmp_path / "big.ckpt",
        b"(Vstate_dict\n(" + many.replace(b"I4\nt", b"I65536\nt").replace(b"(I2\nI2\nt", b"(I256\nI256\nt") + b"dd.",
        **{"data/0": bytes(4 * 65536)},
    )
    assert len(read_torch_file(file)) == 3000
    with pytest.raises(DbtuiError, match="larger than the file"):
        read_torch_file(big)


def test_a_tensor_is_found_where_torch_put_it(tmp_path: Path) -> None:
    import torch

    from dbtui.engine.tensor_files import open_tensors

    whole = torch.arange(24.0).view(4, 6)
    kinds = {str(kind): torch.arange(5).to(kind) for kind in (torch.float16, torch.bfloat16, torch.int64, torch.bool)}
    saved = {"a": whole, "transposed": whole.t(), "part": whole[1:3, 2:], "one": torch.tensor(3.5),
             "parameter": torch.nn.Parameter(whole.half()), "none": torch.zeros(0, 3), **kinds}  # fmt: skip
    torch.save({"state_dict": saved, "other": 3}, tmp_path / "m.ckpt")
    with open_tensors(tmp_path / "m.ckpt") as file:
        assert file.shapes == {name: tuple(tensor.shape) for name, tensor in saved.items()}
        for name, wanted in saved.items():
            found = file.read(name)
            assert found.dtype == wanted.dtype and torch.equal(found, wanted)
    torch.save(saved, tmp_path / "flat.ckpt")
    assert read_torch_file(tmp_path / "flat.ckpt").keys() == saved.keys()


DAMAGE: dict[str, tuple[bytes, dict]] = {
    "a larger shape than its storage": (tensor(shape=b"(I2\nI3\nt", strides=b"(I3\nI1\nt"), {}),
    "a value counted a billion times": (tensor(shape=b"(I1000000000\nI1\nt", strides=b"(I0\nI0\nt"), {}),
    "strides beyond its storage": (tensor(strides=b"(I9\nI1\nt"), {}),
    "an offset beyond its storage": (tensor(offset=1), {}),
    "a negative offset": (tensor(offset=-1), {}),
    "a negative stride": (tensor(strides=b"(I-2\nI1\nt"), {}),
    "a shape of no numbers": (tensor(shape=b"(VA\nI1\nt"), {}),
    "a shape that is no tuple": (tensor(shape=b"I4\n"), {}),
    "a shape of truths": (tensor(shape=b"(I01\nI01\nt"), {}),
    "a number without end": (tensor(shape=b"(I" + b"9" * 400 + b"\nI1\nt"), {}),
    "more strides than dimensions": (tensor(strides=b"(I2\nI1\nI1\nt"), {}),
    "a storage of another size": (tensor(count=5), {}),
    "a storage that is missing": (tensor().replace(b"V0\n", b"V1\n"), {}),
    "a storage that is no text": (tensor().replace(b"V0\n", b"I0\n"), {}),
    "a packed storage": (tensor(), {"packed": "data/0"}),
    "a packed pickle": (tensor(), {"packed": "data.pkl"}),
    "another byte order": (tensor(), {"byteorder": b"big"}),
    "a second pickle": (tensor(), {"more/data.pkl": b"}."}),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_a_file_that_cannot_be_true_is_refused(kind: str, tmp_path: Path) -> None:
    value, changes = DAMAGE[kind]
    with pytest.raises(DbtuiError, match="damaged"):
        read_torch_file(write_torch_file(tmp_path / "m.ckpt", state_dict(value), **changes))


def test_the_file_that_these_are_made_from_is_sound(tmp_path: Path) -> None:
    found = read_torch_file(write_torch_file(tmp_path / "m.ckpt", state_dict(tensor())))
    assert found == {"w": Stored("F32", (2, 2), (2, 1), found["w"].start)} and found["w"].start > 0


@pytest.mark.parametrize("cut", [1, 20, 100, 300])
def test_an_archive_that_was_cut_short_is_refused(cut: int, tmp_path: Path) -> None:
    file = write_torch_file(tmp_path / "m.ckpt", state_dict(tensor()))
    os.truncate(file, file.stat().st_size - cut)
    with pytest.raises(DbtuiError, match="damaged"):
        read_torch_file(file)


@pytest.mark.parametrize("where,value", [(12, 2**31), (16, 2**31)])
def test_an_archive_that_claims_a_huge_directory_is_refused(where: int, value: int, tmp_path: Path) -> None:
    """Bytes 12 and 16 of an archive's last record: the directory's size and its place."""
    file = write_torch_file(tmp_path / "m.ckpt", state_dict(tensor()))
    data = bytearray(file.read_bytes())
    end = data.rindex(b"PK\x05\x06")
    data[end + where : end + where + 4] = struct.pack("<I", value)
    with file.open("r+b") as handle:
        handle.truncate(3 << 30)  # a hole, which takes no room on the disk
        handle.seek(0)
        handle.write(data[:end])
        handle.seek((3 << 30) - (len(data) - end))
        handle.write(data[end:])
    tracemalloc.start()
    try:
        with pytest.raises(DbtuiError, match="damaged"):
            read_torch_file(file)
        assert tracemalloc.get_traced_memory()[1] < 50_000_000
    finally:
        tracemalloc.stop()


def test_the_format_of_before_2020_is_refused_with_what_to_do(tmp_path: Path) -> None:
    import torch

    torch.save({"w": torch.zeros(2)}, tmp_path / "m.ckpt", _use_new_zipfile_serialization=False)
    with pytest.raises(DbtuiError, match="not in a format") as caught:
        find_model(str(tmp_path / "m.ckpt"))
    assert ".safetensors" in caught.value.hint


def test_the_command_line_says_so_in_a_sentence_and_writes_nothing(tmp_path: Path, home: Path) -> None:
    flag = tmp_path / "ran"
    file = write_torch_file(tmp_path / "m.ckpt", state_dict(EVIL["os.system"](f"touch {flag}")))
    subject = Path(__file__).parents[2] / "dbtui" / "mini" / "subjects" / "teddy-bear"
    command = [sys.executable, "-m", "dbtui", "train", str(subject), "--model", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert "asks to run code" in done.stderr and "Traceback" not in done.stderr
    assert not flag.exists() and not list(home.glob("runs/*")) and not list(home.glob("concepts/*"))
