"""Pickles read as data: the opcodes are followed with nothing imported, called or made.

A pickle is a program for a small stack machine, whose opcodes can call any function there is. This machine
knows no functions: where a pickle asks for a call it keeps a note of it (``Made``), so that what other
programs' objects left in a file does no harm. A pickle that asks for something that no model needs, such as a
shell, out of Python's own library or out of what is installed beside every model, is refused whole.
"""

from __future__ import annotations

import pickletools
import re
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

MOST_OPCODES = 500_000
"""A model has 50,000; with the optimizer and the average of its training, three times as many."""

HARMLESS = {
    "_codecs": {"encode"},
    "argparse": {"Namespace"},
    "array": {"array", "_array_reconstructor"},
    "collections": {"Counter", "OrderedDict", "defaultdict", "deque"},
    "copyreg": {"_reconstructor"},
    "datetime": {"date", "datetime", "time", "timedelta", "timezone"},
    "decimal": {"Decimal"},
    "fractions": {"Fraction"},
    "functools": {"partial"},
    "pathlib": {"Path", "PosixPath", "PurePath", "PurePosixPath", "PureWindowsPath", "WindowsPath"},
    "types": {"SimpleNamespace"},
    "typing": {"Any", "Dict", "List", "Optional", "Tuple", "Union"},
    "uuid": {"UUID"},
    "builtins": {
        "bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list", "object", "range",
        "set", "slice", "str", "tuple",
    },
}  # fmt: skip
"""What training programs pickle out of Python's own library, by module."""

TOOLS = {
    "IPython", "_distutils_hack", "asyncore", "cgi", "commands", "crypt", "distutils", "imp", "lib2to3", "nntplib", "pip",
    "pipes", "pkg_resources", "popen2", "setuptools", "smtpd", "telnetlib",
}  # fmt: skip
"""Modules that run things and that no model needs: what installs packages, and what Python's library once had."""

FUNCTIONS = re.compile(
    r"torch\._utils\._rebuild_\w+|torch\._tensor\._rebuild_from_type(_v2)?|torch\.device|torch\.\w*Storage"
    r"|numpy\.(dtype|ndarray|_?core\.(multiarray\.(scalar|_reconstruct)|numeric\._frombuffer)|random\._pickle\.\w+)"
)
"""What models have called in torch and numpy, beside classes."""

LARGEST_KEY = 2**31
"""Larger numbers could be chosen so that each takes a dict longer to find than the last; real keys count."""

EARLIER_NAMES = {"__builtin__": "builtins", "copy_reg": "copyreg"}
"""Of modules, in pickles of Python 2."""

LITERALS = {
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT", "STRING", "BINSTRING",
    "SHORT_BINSTRING", "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8", "UNICODE", "BINUNICODE",
    "SHORT_BINUNICODE", "BINUNICODE8",
}  # fmt: skip

CONSTANTS: dict[str, Any] = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False, "EMPTY_TUPLE": ()}


class CodeError(Exception):
    """The pickle asks for a function that no model needs; ``str()`` names it. It was not imported."""


class DamagedError(ValueError):
    """What is not a pickle, or not a whole one."""


@dataclass(frozen=True, slots=True)
class Symbol:
    """The name of something in a Python module, which is never looked up."""

    name: str


@dataclass(eq=False, slots=True)
class Made:
    """A note of what a pickle wants made: by calling ``what`` with ``args``, then setting ``items``."""

    what: object
    args: Any
    items: dict[Any, Any] = field(default_factory=dict)

    @property
    def function(self) -> str:
        """The full name of what was to be called; empty if it has none, or no positional arguments."""
        return self.what.name if isinstance(self.what, Symbol) and isinstance(self.args, tuple) else ""


@dataclass(frozen=True, slots=True)
class Persistent:
    """A reference to something beside the pickle."""

    key: object


def read_pickle(data: bytes) -> object:
    """What ``data`` describes: plain Python values, and notes of everything else.

    Memory and time are bounded by the length of ``data`` and MOST_OPCODES. Raises CodeError, DamagedError.
    """
    machine = _Machine()
    try:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(data)):
            if count >= MOST_OPCODES:
                raise DamagedError("its pickle is longer than that of any model")
            machine.follow(opcode.name, argument)
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AttributeError, RecursionError) as error:
        raise error if isinstance(error, DamagedError) else DamagedError("its pickle is damaged") from error
    if len(machine.stack) != 1:
        raise DamagedError("its pickle is damaged")
    return machine.stack[0]


class _Machine:
    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.marks: list[int] = []
        self.memo: dict[int, Any] = {}

    def follow(self, opcode: str, argument: Any) -> None:
        if opcode in LITERALS:
            self.stack.append(argument)
        elif opcode in CONSTANTS:
            self.stack.append(CONSTANTS[opcode])
        else:
            OPCODES[opcode](self, argument)

    def since_mark(self) -> list[Any]:
        start = self.marks.pop()
        values = self.stack[start:]
        del self.stack[start:]
        return values

    def pop(self, count: int) -> list[Any]:
        if count > len(self.stack):
            raise IndexError
        values = self.stack[-count:]
        del self.stack[-count:]
        return values

    def pop_one(self) -> None:
        if self.marks and self.marks[-1] == len(self.stack):
            self.marks.pop()
        else:
            self.stack.pop()

    def extend(self, values: list[Any]) -> None:
        if isinstance(self.stack[-1], list):
            self.stack[-1].extend(values)

    def set_items(self, pairs: list[Any]) -> None:
        target = self.stack[-1]
        items = target.items if isinstance(target, Made) else target
        if isinstance(items, dict):
            items.update(_pairs(pairs))

    def make(self, what: object, args: object) -> None:
        if isinstance(what, Symbol) and _runs(what.name):
            raise CodeError(what.name)
        self.stack.append(Made(what, args))

    def make_of_mark(self) -> None:
        what, *args = self.since_mark()
        self.make(what, tuple(args))


def _symbol(module: Any, name: Any) -> Symbol:
    """The name as data. Raises CodeError if it is one that runs things and no model needs it."""
    if not (isinstance(module, str) and isinstance(name, str) and re.fullmatch(r"\w+(\.\w+)*", f"{module}.{name}")):
        raise DamagedError("its pickle is damaged")
    module = EARLIER_NAMES.get(module, module)
    ours = module.partition(".")[0] in sys.stdlib_module_names and name not in HARMLESS.get(module, ())
    # A dotted name leads through what the module has imported: ``torch`` and ``os.system`` is the shell too.
    through = {module.partition(".")[0], *name.split(".")[:-1]}
    if ours or through & TOOLS or any(part in sys.stdlib_module_names for part in name.split(".")[:-1]):
        raise CodeError(f"{module}.{name}")
    return Symbol(f"{module}.{name}")


def _runs(name: str) -> bool:
    """Whether ``name`` is a function of torch or numpy that makes nothing of a model: they have some that run code."""
    in_reach = name.partition(".")[0] in ("torch", "numpy")
    is_class = name.rpartition(".")[2].lstrip("_")[:1].isupper()
    return in_reach and not is_class and not FUNCTIONS.fullmatch(name)


def _pairs(values: list[Any]) -> dict[Any, Any]:
    """Keys and values in turn, as a dict; keys that are no plain values go with what they lead to."""
    return {k: v for k, v in zip(values[::2], values[1::2], strict=True) if _is_key(k)}


def _is_key(value: object) -> bool:
    if isinstance(value, int):
        return -LARGEST_KEY < value < LARGEST_KEY
    return isinstance(value, (str, bytes, type(None), Symbol))


def _tuple_of(count: int) -> Callable[[_Machine, Any], None]:
    return lambda machine, _: machine.stack.append(tuple(machine.pop(count)))


def _remember(machine: _Machine, key: Any) -> None:
    machine.memo[len(machine.memo) if key is None else key] = machine.stack[-1]


def _global(machine: _Machine, names: str) -> None:
    machine.stack.append(_symbol(*names.split(" ", 1)))


def _instance(machine: _Machine, names: str) -> None:
    args = tuple(machine.since_mark())
    machine.make(_symbol(*names.split(" ", 1)), args)


OPCODES: dict[str, Callable[[_Machine, Any], object]] = {
    "PROTO": lambda m, _: None,
    "FRAME": lambda m, _: None,
    "STOP": lambda m, _: None,
    "MARK": lambda m, _: m.marks.append(len(m.stack)),
    "POP": lambda m, _: m.pop_one(),
    "POP_MARK": lambda m, _: m.since_mark(),
    "DUP": lambda m, _: m.stack.append(m.stack[-1]),
    "PUT": _remember,
    "BINPUT": _remember,
    "LONG_BINPUT": _remember,
    "MEMOIZE": _remember,
    "GET": lambda m, key: m.stack.append(m.memo[key]),
    "BINGET": lambda m, key: m.stack.append(m.memo[key]),
    "LONG_BINGET": lambda m, key: m.stack.append(m.memo[key]),
    "TUPLE": lambda m, _: m.stack.append(tuple(m.since_mark())),
    "TUPLE1": _tuple_of(1),
    "TUPLE2": _tuple_of(2),
    "TUPLE3": _tuple_of(3),
    "EMPTY_LIST": lambda m, _: m.stack.append([]),
    "LIST": lambda m, _: m.stack.append(m.since_mark()),
    "APPEND": lambda m, _: m.extend(m.pop(1)),
    "APPENDS": lambda m, _: m.extend(m.since_mark()),
    "EMPTY_DICT": lambda m, _: m.stack.append({}),
    "DICT": lambda m, _: m.stack.append(_pairs(m.since_mark())),
    "SETITEM": lambda m, _: m.set_items(m.pop(2)),
    "SETITEMS": lambda m, _: m.set_items(m.since_mark()),
    "EMPTY_SET": lambda m, _: m.stack.append([]),
    "ADDITEMS": lambda m, _: m.extend(m.since_mark()),
    "FROZENSET": lambda m, _: m.stack.append(m.since_mark()),
    "GLOBAL": _global,
    "STACK_GLOBAL": lambda m, _: m.stack.append(_symbol(*m.pop(2))),
    "INST": _instance,
    "OBJ": lambda m, _: m.make_of_mark(),
    "REDUCE": lambda m, _: m.make(*m.pop(2)),
    "NEWOBJ": lambda m, _: m.make(*m.pop(2)),
    "NEWOBJ_EX": lambda m, _: m.make(*m.pop(3)[:2]),
    "BUILD": lambda m, _: m.pop(1),
    "PERSID": lambda m, key: m.stack.append(Persistent(key)),
    "BINPERSID": lambda m, _: m.stack.append(Persistent(*m.pop(1))),
}
"""All opcodes but those of the extension registry and of buffers outside, which no file has."""
