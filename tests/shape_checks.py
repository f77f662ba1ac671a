"""Which annotations the tests check at run time: those of arrays, which say shapes and kinds.

Plain types are left to pyright, so that a test of bad input meets the package's own sentence.
"""

import typing
from collections.abc import Callable
from typing import Any

import jaxtyping
from beartype import beartype


def speaks_of_arrays(annotation: Any) -> bool:
    """Whether an annotation such as `tuple[Float[Array, "n"], int]` holds the annotation of an array."""
    if isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray):
        return True
    return any(speaks_of_arrays(part) for part in typing.get_args(annotation))


def arrays_only(function: Callable[..., Any]) -> Callable[..., Any]:
    """`function`, its arguments and result checked by beartype where they are annotated as arrays."""
    function.__annotations__ = {
        name: annotation for name, annotation in function.__annotations__.items() if speaks_of_arrays(annotation)
    }
    return beartype(function)
