"""Networks as mathematical objects: the network, its calculus, and exact views of it."""

from expressivity.relu.calculus import (
    add as add,
)
from expressivity.relu.calculus import (
    compose as compose,
)
from expressivity.relu.calculus import (
    identity as identity,
)
from expressivity.relu.calculus import (
    pad_depth as pad_depth,
)
from expressivity.relu.calculus import (
    pad_width as pad_width,
)
from expressivity.relu.calculus import (
    parallel as parallel,
)
from expressivity.relu.calculus import (
    scale as scale,
)
from expressivity.relu.calculus import (
    sparse_concat as sparse_concat,
)
from expressivity.relu.calculus import (
    stack as stack,
)
from expressivity.relu.distances import distance as distance
from expressivity.relu.evaluate import evaluate_many as evaluate_many
from expressivity.relu.exact import Pieces as Pieces
from expressivity.relu.exact import evaluate_exactly as evaluate_exactly
from expressivity.relu.exact import pieces as pieces
from expressivity.relu.network import Block as Block
from expressivity.relu.network import ReLUNetwork as ReLUNetwork
from expressivity.relu.regions import Region as Region
from expressivity.relu.regions import activation_regions as activation_regions
from expressivity.relu.regions import count_regions as count_regions
from expressivity.relu.rounding import rounding_bound as rounding_bound
from expressivity.relu.segment import breakpoints as breakpoints
