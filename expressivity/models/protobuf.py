"""Trained weights in protocol-buffer files: frozen TensorFlow graphs and ONNX initialisers, read without either."""

import os
import pathlib
import struct
from collections.abc import Iterator

import numpy as np

GRAPH_TYPES = {1: "<f4", 2: "<f8", 3: "<i4", 4: "u1", 5: "<i2", 6: "i1", 9: "<i8", 10: "?", 14: "bf16", 19: "<f2"}
ONNX_TYPES = {1: "<f4", 2: "u1", 3: "i1", 5: "<i2", 6: "<i4", 7: "<i8", 9: "?", 10: "<f2", 11: "<f8", 16: "bf16"}
# field -> how one value is packed, for values that are not in one raw string
GRAPH_VALUES = {5: "<f4", 6: "<f8", 7: "varint", 10: "varint", 11: "varint", 13: "varint"}
ONNX_VALUES = {4: "<f4", 5: "varint", 7: "varint", 10: "<f8", 11: "varint"}


def read_graph(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Name -> array of every numeric constant of a frozen TensorFlow GraphDef, as stored (kernels HWIO).

    Raises:
        ValueError: If the file is no GraphDef or ends in the middle.
    """
    nodes = [dict_of(node) for node in _messages(pathlib.Path(path), 1, "a frozen TensorFlow graph")]
    found = {}
    for node in nodes:
        if node.get(2, [b""])[0] != b"Const":
            continue
        for entry in map(dict_of, node.get(5, [])):
            if entry.get(1, [b""])[0] == b"value":
                tensor = dict_of(dict_of(entry[2][0]).get(8, [b""])[0])
                code = tensor.get(1, [0])[0]
                if code in GRAPH_TYPES:
                    shape = [
                        _signed(dict_of(dim).get(1, [0])[0]) for dim in dict_of(tensor.get(2, [b""])[0]).get(2, [])
                    ]
                    raw = tensor.get(4, [None])[0]
                    name = node[1][0].decode()
                    found[name] = _array(raw, tensor, GRAPH_VALUES, GRAPH_TYPES[code], shape, f"{name} in {path}")
    if not found:
        raise ValueError(f"{path} holds no constants; it is no frozen TensorFlow graph.")
    return found


def read_onnx(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Name -> array of every initialiser of an ONNX model, as stored (kernels OIHW).

    Raises:
        ValueError: If the file is no ONNX model, ends in the middle, or keeps its weights in another file.
    """
    graphs = _messages(pathlib.Path(path), 7, "an ONNX model")
    found = {}
    for tensor in (dict_of(tensor) for graph in graphs for tensor in dict_of(graph).get(5, [])):
        name = tensor.get(8, [b""])[0].decode()
        if tensor.get(14, [0])[0] == 1:
            raise ValueError(f"{path} keeps the weights of {name} in another file; save the model in one file.")
        code = tensor.get(2, [0])[0]
        if code in ONNX_TYPES:
            shape = [_signed(dim) for dim in _numbers(tensor.get(1, []), "varint")]
            raw = tensor.get(9, [None])[0]
            found[name] = _array(raw, tensor, ONNX_VALUES, ONNX_TYPES[code], shape, f"{name} in {path}")
    if not found:
        raise ValueError(f"{path} holds no initialisers; it is no ONNX model with weights.")
    return found


def fields(data: bytes) -> Iterator[tuple[int, int | bytes]]:
    """(field number, value) of one message: whole numbers, and bytes for everything with a length.

    Raises:
        ValueError: If the message ends in the middle or has a wire type that does not exist.

    >>> list(fields(bytes([0x08, 0x96, 0x01, 0x12, 0x02, 0x68, 0x69])))
    [(1, 150), (2, b'hi')]
    """
    place = 0
    while place < len(data):
        tag, place = _varint(data, place)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            value, place = _varint(data, place)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, place = data[place : place + size], place + size
        elif wire == 2:
            size, place = _varint(data, place)
            value, place = data[place : place + size], place + size
        else:
            raise ValueError(f"wire type {wire} does not exist")
        if place > len(data):
            raise ValueError("it ends in the middle of a field")
        yield number, value


def dict_of(data: bytes) -> dict[int, list]:
    """Field number -> list of its values in one message.

    >>> dict_of(bytes([0x08, 0x01, 0x08, 0x02]))
    {1: [1, 2]}
    """
    found: dict[int, list] = {}
    for number, value in fields(data):
        found.setdefault(number, []).append(value)
    return found


def _messages(path: pathlib.Path, field: int, what: str) -> list[bytes]:
    try:
        values = dict_of(path.read_bytes()).get(field, [])
    except ValueError as error:
        raise ValueError(f"{path} is not {what}, or is damaged: {error}.") from None
    return [value for value in values if isinstance(value, bytes)]


def _varint(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if place >= len(data) or shift > 63:
            raise ValueError("it ends in the middle of a number")
        byte = data[place]
        value |= (byte & 0x7F) << shift
        place, shift = place + 1, shift + 7
        if byte < 0x80:
            return value, place


def _signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def _numbers(values: list, kind: str) -> list:
    """Values that are packed in one string, one by one, or both."""
    found: list = []
    for value in values:
        if kind != "varint":
            found.extend(struct.unpack(f"<{len(value) // int(kind[2])}{'f' if kind == '<f4' else 'd'}", value))
        elif isinstance(value, int):
            found.append(_signed(value))
        else:
            place = 0
            while place < len(value):
                number, place = _varint(value, place)
                found.append(_signed(number))
    return found


def _array(
    raw: bytes | None, tensor: dict[int, list], kinds: dict[int, str], dtype: str, shape: list[int], what: str
) -> np.ndarray:
    count = int(np.prod(shape, dtype=np.int64))
    if min(shape, default=0) < 0:
        raise ValueError(f"The tensor {what} has the shape {shape}.")
    if raw is not None:
        flat = from_bytes(raw, dtype)
    else:
        values = next(((kind, tensor[field]) for field, kind in kinds.items() if field in tensor), ("varint", []))
        numbers = _numbers(values[1], values[0])
        half = dtype in ("<f2", "bf16")
        flat = np.array(numbers, np.uint16).tobytes() if half else np.array(numbers, dtype)
        flat = from_bytes(flat, dtype) if isinstance(flat, bytes) else flat
        if 0 < len(flat) < count:  # trailing repetitions of the last value are left out
            flat = np.concatenate([flat, np.full(count - len(flat), flat[-1], flat.dtype)])
    if len(flat) != count:
        raise ValueError(f"The tensor {what} has {len(flat)} numbers; its shape {shape} says {count}.")
    return flat.reshape(shape)


def from_bytes(raw: bytes, dtype: str) -> np.ndarray:
    """The numbers in `raw`; "bf16" becomes float32.

    >>> from_bytes(bytes([0x80, 0x3F]), "bf16")
    array([1.], dtype=float32)
    """
    if dtype == "bf16":
        return (np.frombuffer(raw[: len(raw) // 2 * 2], "<u2").astype(np.uint32) << 16).view(np.float32)
    size = np.dtype(dtype).itemsize
    return np.frombuffer(raw[: len(raw) // size * size], dtype)
