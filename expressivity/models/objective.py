"""What an image network is trained for: the cross-entropy of its classes."""

from typing import Any

import jax
import jax.numpy as jnp


def cross_entropy(logits: Any, labels: Any) -> jax.Array:
    r"""$-\log \mathrm{softmax}(z)_{y}$ for each image, shape (batch,), in float32 at least.

    Args:
        logits: (batch, classes).
        labels: (batch,), whole numbers.

    >>> import numpy as np
    >>> bool(abs(cross_entropy(np.zeros((1, 4), np.float32), np.array([2]))[0] - np.log(4)) < 1e-6)
    True
    """
    wide = logits.astype(jnp.promote_types(logits.dtype, jnp.float32))
    chosen = jnp.take_along_axis(wide, labels[:, None], axis=1)[:, 0]
    return jax.nn.logsumexp(wide, axis=1) - chosen


def objective(
    family: Any, model: Any, state: Any, x: Any, labels: Any, key: Any, layout: str | None
) -> tuple[jax.Array, Any]:
    """The mean cross-entropy of a batch in training, and the state afterwards.

    A family with an objective of its own (several widths at once) offers it as a method of the same name.
    """
    own = getattr(family, "objective", None)
    if own is not None:
        return own(model, state, x, labels, key, layout)
    logits, state = family.apply(model, state, x, training=True, key=key, layout=layout)
    return cross_entropy(logits, labels).mean(), state
