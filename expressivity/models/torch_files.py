"""Trained weights in PyTorch files, zip or legacy, read without PyTorch and without running the pickles in them.

The pickle inside is read instruction by instruction. Containers, numbers and texts are built; every named function or
class stays a name, and the only one that is understood is the one that says which piece of memory a tensor is.
"""

import dataclasses
import io
import os
import pathlib
import pickletools
import zipfile
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from expressivity.models.protobuf import from_bytes

TYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "BFloat16Storage": "bf16",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "i1",
    "ByteStorage": "u1",
    "BoolStorage": "?",
}
MAGIC = 0x1950A86A20F9469CFC6C
_DAMAGE = (
    zipfile.BadZipFile,
    AttributeError,
    EOFError,
    IndexError,
    KeyError,
    OverflowError,
    RecursionError,
    TypeError,
    ValueError,
)


@dataclasses.dataclass(frozen=True)
class Name:
    """A function or class that a pickle names; it is never looked up."""

    text: str


@dataclasses.dataclass(frozen=True)
class Unknown:
    """An object that a pickle would have made by calling something."""

    of: Any


@dataclasses.dataclass(frozen=True)
class Piece:
    """A tensor: a strided view of one storage."""

    storage: Any
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read_torch(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Name -> array of every tensor in a file that `torch.save` wrote, as stored (kernels OIHW).

    Names of nested dictionaries are joined by dots. Nothing in the file is executed.

    Raises:
        ValueError: If the file is none of PyTorch's, or is damaged.
    """
    path = pathlib.Path(path)
    try:
        if zipfile.is_zipfile(path):
            return _read_zip(path)
        with path.open("rb") as file:
            return _read_legacy(file)
    except _DAMAGE as error:
        raise ValueError(f"{path} is not a file of torch.save, or is damaged: {error}.") from None


def parse_pickle(file: BinaryIO) -> Any:
    """What one pickle builds, with names in place of functions and `Unknown` in place of what calling them would give.

    Raises:
        ValueError: If the pickle is damaged or has an instruction that weights never need.

    >>> import io, pickle
    >>> parse_pickle(io.BytesIO(pickle.dumps({"a": [1, 2.5], "b": (None, "x")})))
    {'a': [1, 2.5], 'b': (None, 'x')}
    """
    stack: list[Any] = []
    marks: list[int] = []
    memo: dict[Any, Any] = {}

    def since_mark() -> list[Any]:
        place = marks.pop()
        taken = stack[place:]
        del stack[place:]
        return taken

    for code, argument, _ in pickletools.genops(file):
        match code.name:
            case "PROTO" | "FRAME":
                pass
            case "STOP":
                return stack.pop()
            case "MARK":
                marks.append(len(stack))
            case "POP":
                stack.pop()
            case "NONE":
                stack.append(None)
            case "NEWTRUE" | "NEWFALSE":
                stack.append(code.name == "NEWTRUE")
            case "EMPTY_DICT":
                stack.append({})
            case "EMPTY_LIST":
                stack.append([])
            case "EMPTY_TUPLE":
                stack.append(())
            case "TUPLE" | "LIST":
                taken = since_mark()
                stack.append(tuple(taken) if code.name == "TUPLE" else taken)
            case "TUPLE1" | "TUPLE2" | "TUPLE3":
                count = int(code.name[-1])
                stack[-count:] = [tuple(stack[-count:])]
            case "DICT":
                taken = since_mark()
                stack.append(dict(zip(taken[::2], taken[1::2], strict=True)))
            case "APPEND":
                value = stack.pop()
                _list(stack[-1]).append(value)
            case "APPENDS":
                taken = since_mark()
                _list(stack[-1]).extend(taken)
            case "SETITEM":
                value, key = stack.pop(), stack.pop()
                _set(stack[-1], [key, value])
            case "SETITEMS":
                taken = since_mark()
                _set(stack[-1], taken)
            case "GLOBAL":
                stack.append(Name(str(argument).replace(" ", ".")))
            case "STACK_GLOBAL":
                name, module = stack.pop(), stack.pop()
                stack.append(Name(f"{module}.{name}"))
            case "REDUCE" | "NEWOBJ":
                arguments, function = stack.pop(), stack.pop()
                stack.append(_made(function, arguments))
            case "BUILD":
                stack.pop()  # attributes of an object; no weight is among them
            case "BINPERSID":
                stack.append(Unknown(stack.pop()))
            case "PERSID":
                stack.append(Unknown(argument))
            case "PUT" | "BINPUT" | "LONG_BINPUT":
                memo[argument] = stack[-1]
            case "MEMOIZE":
                memo[len(memo)] = stack[-1]
            case "GET" | "BINGET" | "LONG_BINGET":
                stack.append(memo[argument])
            case _ if code.arg is not None:
                stack.append(argument)
            case _:
                raise ValueError(f"its pickle has the instruction {code.name}, which weights do not need")
    raise ValueError("its pickle does not end")


def _list(value: Any) -> list:
    if not isinstance(value, list):
        raise ValueError(f"its pickle appends to a {type(value).__name__}")
    return value


def _set(target: Any, flat: list[Any]) -> None:
    if not isinstance(target, dict):
        raise ValueError(f"its pickle sets items of a {type(target).__name__}")
    target.update(zip(flat[::2], flat[1::2], strict=True))


def _made(function: Any, arguments: Any) -> Any:
    name = function.text if isinstance(function, Name) else ""
    if name == "collections.OrderedDict":
        return dict(arguments[0]) if arguments else {}
    if name in ("torch._utils._rebuild_tensor_v2", "torch._utils._rebuild_tensor"):
        return Piece(*arguments[:4])
    if name == "torch._utils._rebuild_parameter":
        return arguments[0]
    return Unknown((function, arguments))


def _read_zip(path: pathlib.Path) -> dict[str, np.ndarray]:
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name == "data.pkl" or name.endswith("/data.pkl")]
        if len(pickles) != 1:
            raise ValueError(f"the archive has {len(pickles)} files data.pkl")
        folder = pickles[0].removesuffix("data.pkl")
        order = archive.read(folder + "byteorder") if folder + "byteorder" in archive.namelist() else b"little"
        root = parse_pickle(io.BytesIO(archive.read(pickles[0])))
        return _arrays(root, lambda key: archive.read(f"{folder}data/{key}"), swapped=order == b"big")


def _read_legacy(file: BinaryIO) -> dict[str, np.ndarray]:
    if parse_pickle(file) != MAGIC:
        raise ValueError("it does not begin with PyTorch's number")
    version, system = parse_pickle(file), parse_pickle(file)
    if version != 1001:
        raise ValueError(f"its version is {version}, not 1001")
    root, keys = parse_pickle(file), parse_pickle(file)
    sizes = {storage.of[2]: _item_size(storage) for storage in _storages(root)}
    memory = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        memory[key] = file.read(count * sizes[key])
        if len(memory[key]) != count * sizes[key]:
            raise ValueError("it ends in the middle of the weights")
    return _arrays(root, memory.__getitem__, swapped=not system.get("little_endian", True))


def _flat(value: Any, name: str = "") -> list[tuple[str, Piece]]:
    if isinstance(value, Piece):
        return [(name, value)]
    if isinstance(value, dict):
        parts = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        return []
    return [found for key, part in parts for found in _flat(part, f"{name}.{key}" if name else str(key))]


def _storages(root: Any) -> list[Unknown]:
    return [piece.storage for _, piece in _flat(root)]


def _dtype(storage: Any) -> str:
    if not isinstance(storage, Unknown) or not isinstance(storage.of, tuple) or len(storage.of) < 5:
        raise ValueError("a tensor has no storage")
    kind = storage.of[1].text.rsplit(".", 1)[-1]
    if kind not in TYPES:
        raise ValueError(f"a tensor is stored as {kind}, which is none of {', '.join(TYPES)}")
    return TYPES[kind]


def _item_size(storage: Any) -> int:
    return 2 if _dtype(storage) == "bf16" else np.dtype(_dtype(storage)).itemsize


def _arrays(root: Any, memory: Callable[[Any], bytes], swapped: bool) -> dict[str, np.ndarray]:
    found = {}
    for name, piece in _flat(root):
        if swapped:
            raise ValueError("its numbers are stored big end first")
        view = piece.storage.of[5] if len(piece.storage.of) > 5 else None
        numbers = from_bytes(memory(piece.storage.of[2]), _dtype(piece.storage))
        offset = piece.offset + (view[1] if view else 0)
        if len(piece.shape) != len(piece.strides) or min((*piece.shape, *piece.strides, offset)) < 0:
            raise ValueError(f"the tensor {name} has the shape {piece.shape} and the strides {piece.strides}")
        last = offset + sum((size - 1) * stride for size, stride in zip(piece.shape, piece.strides, strict=True))
        if 0 not in piece.shape and last >= len(numbers):
            raise ValueError(f"the tensor {name} needs {last + 1} numbers, its storage has {len(numbers)}")
        strides = [stride * numbers.itemsize for stride in piece.strides]
        view = np.lib.stride_tricks.as_strided(numbers[offset:], piece.shape, strides)
        found[name] = np.array(view)
    if not found:
        raise ValueError("it holds no tensors")
    return found
