"""Small networks that larger ones are made of."""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from expressivity.relu.network import ReLUNetwork


def random_network(input_dim: int, widths: Sequence[int], seed: int) -> ReLUNetwork:
    r"""A scalar network with weights i.i.d. $\mathcal N(0, 1)$ and biases uniform on $[-1, 1)$.

    The law of the targets in Lu et al. (2017). NumPy's PCG64 generator is used, so a seed means the same network on
    every machine and in every precision.

    >>> random_network(2, (18, 18), seed=0).width
    18
    """
    rng = np.random.default_rng(seed)
    sizes = [input_dim, *widths, 1]
    layers = [
        (rng.standard_normal((outputs, inputs)), rng.uniform(-1.0, 1.0, outputs)) for inputs, outputs in pairwise(sizes)
    ]
    return ReLUNetwork.from_layers(layers)
