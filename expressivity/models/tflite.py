"""Trained weights in TFLite files, read without TensorFlow."""

import dataclasses
import os
import pathlib
import struct

import numpy as np

TYPES = {0: "<f4", 1: "<f2", 2: "<i4", 3: "u1", 4: "<i8", 6: "?", 7: "<i2", 9: "i1", 10: "<f8"}
CONVOLUTION, DEPTHWISE, DENSE = 3, 4, 9


@dataclasses.dataclass(frozen=True)
class _Table:
    """A flatbuffer table: `field` gives the place of a field's value, or None where it has the default."""

    data: bytes
    place: int

    def _unpack(self, form: str, place: int) -> int:
        if place < 0:
            raise struct.error("a place before the file")
        return struct.unpack_from(form, self.data, place)[0]

    def field(self, number: int) -> int | None:
        table = self.place - self._unpack("<i", self.place)
        if 4 + 2 * number >= self._unpack("<H", table):
            return None
        offset = self._unpack("<H", table + 4 + 2 * number)
        return self.place + offset if offset else None

    def number(self, field: int, form: str = "<i", default: int = 0) -> int:
        place = self.field(field)
        return default if place is None else self._unpack(form, place)

    def _vector(self, field: int) -> tuple[int, int]:
        place = self.field(field)
        if place is None:
            return 0, 0
        place += self._unpack("<I", place)
        return place + 4, self._unpack("<I", place)

    def array(self, field: int, dtype: str) -> np.ndarray:
        start, count = self._vector(field)
        size = np.dtype(dtype).itemsize * count
        if start + size > len(self.data):
            raise struct.error("an array beyond the end")
        return np.frombuffer(self.data, dtype, count, start) if count else np.zeros(0, dtype)

    def tables(self, field: int) -> list["_Table"]:
        start, count = self._vector(field)
        places = range(start, start + 4 * count, 4)
        return [_Table(self.data, place + self._unpack("<I", place)) for place in places]

    def table(self, field: int) -> "_Table | None":
        place = self.field(field)
        return None if place is None else _Table(self.data, place + self._unpack("<I", place))


def read_tflite(path: str | os.PathLike[str]) -> dict[str, np.ndarray]:
    """Name -> kernel and bias of every convolution and dense layer, in the order in which they are computed.

    Quantised tensors come as scale (q - zero point) in float32. Kernels are turned to (height, width, inputs / groups,
    outputs), dense ones to (inputs, outputs).

    Raises:
        ValueError: If the file is no TFLite model or ends in the middle.
    """
    data = pathlib.Path(path).read_bytes()
    if data[4:8] != b"TFL3":
        raise ValueError(f"{path} is no TFLite model: bytes 4 to 8 are {data[4:8]!r}, not b'TFL3'.")
    try:
        return _layers(_Table(data, struct.unpack_from("<I", data)[0]))
    except (struct.error, IndexError, ValueError, UnicodeDecodeError) as error:
        raise ValueError(f"The TFLite model {path} is damaged: {error}.") from None


def _layers(model: _Table) -> dict[str, np.ndarray]:
    codes = [max(code.number(0, "<b"), code.number(3)) for code in model.tables(1)]
    graph = model.tables(2)[0]
    tensors, buffers = graph.tables(0), model.tables(4)
    found = {}
    for operator in graph.tables(3):
        code = codes[operator.number(0, "<I")]
        if code not in (CONVOLUTION, DEPTHWISE, DENSE):
            continue
        for part, index in zip(("kernel", "bias"), operator.array(1, "<i4")[1:3], strict=False):
            if index >= 0:
                tensor = tensors[index]
                array = _dequantised(tensor, buffers)
                if part == "kernel":
                    # stored as OHWI, depthwise (1, h, w, c), dense (outputs, inputs)
                    order = {CONVOLUTION: (1, 2, 3, 0), DEPTHWISE: (1, 2, 0, 3), DENSE: (1, 0)}[code]
                    array = np.ascontiguousarray(array.transpose(order))
                found[tensor.array(3, "u1").tobytes().decode()] = array
    return found


def _dequantised(tensor: _Table, buffers: list[_Table]) -> np.ndarray:
    dtype = TYPES.get(tensor.number(1, "<b"))
    if dtype is None:
        raise ValueError(f"a tensor has the type number {tensor.number(1, '<b')}, which is none of numbers")
    shape = tuple(tensor.array(0, "<i4"))
    raw = buffers[tensor.number(2, "<I")].array(0, "u1").tobytes()
    values = np.frombuffer(raw, dtype).reshape(shape)
    quantisation = tensor.table(4)
    scale = np.zeros(0) if quantisation is None else quantisation.array(2, "<f4")
    if quantisation is None or not len(scale):
        return values
    zero = quantisation.array(3, "<i8")
    axis = [1] * values.ndim
    if len(scale) > 1:
        axis[quantisation.number(6)] = len(scale)
    zero = zero if len(zero) == len(scale) else np.zeros(len(scale), np.int64)
    return (scale.reshape(axis) * (values - zero.reshape(axis))).astype(np.float32)
