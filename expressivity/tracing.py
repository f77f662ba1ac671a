"""Functions that JAX may trace in both precisions."""

import types
from collections.abc import Callable
from typing import Any

import numpy as np


def fresh(function: Callable[..., Any]) -> Callable[[Any], Any]:
    """The same function of one argument as a new object, with NumPy arrays of its closure and globals copied.

    JAX caches a trace by the identity of the function and of the constants in it. While a trace in float64 lives, one
    of the same objects in float32 fails to compile, and the other way round; copies keep the two apart.

    >>> import numpy as np
    >>> weights = np.array([1.0, 2.0])
    >>> fresh(lambda x: weights @ x)(np.array([3.0, 4.0])).item()
    11.0
    """
    if isinstance(function, types.FunctionType):
        code = function.__code__
        cells = tuple(types.CellType(_copied(cell.cell_contents)) for cell in function.__closure__ or ())
        used = {name: _copied(value) for name in code.co_names if (value := function.__globals__.get(name)) is not None}
        copy = types.FunctionType(
            code, {**function.__globals__, **used}, function.__name__, function.__defaults__, cells or None
        )
        copy.__kwdefaults__ = function.__kwdefaults__
        return lambda x: copy(x)
    return lambda x: function(x)


def _copied(value: Any) -> Any:
    return value.copy() if isinstance(value, np.ndarray) else value
