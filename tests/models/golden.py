"""Weights and inputs that any program can make again: a counter-based generator of uniform numbers."""

import json
import pathlib

import numpy as np

import expressivity as ex

VISION = json.loads((pathlib.Path(__file__).parents[1] / "data" / "vision.json").read_text())


def uniform(tensor, shape):
    """Uniform numbers of tensor number `tensor`: splitmix64 of the flat index."""
    count = int(np.prod(shape))
    with np.errstate(over="ignore"):
        z = (np.arange(1, count + 1, dtype=np.uint64) + np.uint64(tensor * 0x1000003)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
    return ((z >> np.uint64(11)) * 2.0**-53).reshape(shape)


def fill(named):
    """Golden values of tensors given as (name, array), numbered from 1."""
    arrays = []
    for number, (name, array) in enumerate(named, 1):
        u = uniform(number, array.shape)
        field = name.rsplit("/", 1)[1]
        if field == "kernel":
            arrays.append((2 * u - 1) * np.sqrt(6 / np.prod(array.shape[:-1])))
        elif field in ("bias", "shift"):
            arrays.append(u - 0.5)
        elif field == "mean":
            arrays.append(0.2 * (u - 0.5))
        else:
            arrays.append(0.5 + u)
    return arrays


def family(row):
    arguments = {name: tuple(v) if isinstance(v, list) else v for name, v in row["arguments"].items()}
    return getattr(ex, row["family"])(**arguments), ex.Width(**row["width"])
