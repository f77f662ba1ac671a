"""Recipes: how a network is trained, apart from what it is and what it learns."""

import dataclasses
import math
from typing import Any

import numpy as np

from expressivity.training import schedules

SCHEDULES = schedules.NAMES
PRECISIONS = ("float32", "bfloat16")
STATISTICS = ("running", "recomputed")
DECAYS = ("kernels", "all", "no_depthwise", "caffe")
# SGD with momentum in the two ways that are in use: as PyTorch and optax have it the learning rate multiplies the
# velocity, as Caffe has it the gradient that enters it. They differ for some steps after every drop of the rate.
_NAMED = {"momentum": (0.9, False), "nesterov": (0.9, True), "caffe": (0.9, False), "caffe_nesterov": (0.9, True)}
RATE_INSIDE = frozenset({"caffe", "caffe_nesterov"})


@dataclasses.dataclass(frozen=True)
class Recipe:
    r"""Steps, batch size, learning rate, optimiser and schedule.

    At step t = 0, ..., T - 1 the update is $u_t = \eta\, s(t/T)\, g_t$, where $\eta$ is the learning rate and $g_t$ the
    optimiser's update at learning rate 1; the schedule s is $1 - t/T$ ("linear"), 1 ("constant"),
    $\tfrac12(1 + \cos \pi t/T)$ ("cosine") or a [`Schedule`](#expressivity.training.Schedule). With weight decay
    $\lambda$ the gradient that the optimiser sees is $\nabla L + \lambda w$ for the weights w that decay.

    Args:
        steps: T, the number of optimiser steps.
        batch_size: Points of one minibatch.
        learning_rate: One positive number, or a tuple with one value a seed.
        optimiser: "momentum" or "nesterov" (SGD with momentum 0.9), "caffe" or "caffe_nesterov" (the same with the
            learning rate inside the velocity), "rmsprop_momentum" (decay 0.9, momentum 0.9, ε = 1 under the root), the
            name of an optimiser of optax ("adam", "sgd", "rmsprop", "adadelta", "adamw", ...) with its default
            settings, or an optax transformation. Since the updates of a transformation are multiplied by the learning
            rate, make it for learning rate 1, as in `optax.adam(1.0)`.
        schedule: "linear", "constant", "cosine", or a `Schedule`.
        name: Names a transformation given as an object, for `fingerprint`.
        weight_decay: λ.
        decay: Which weights decay: "kernels" (no bias, scale or shift), "all", "no_depthwise" (kernels, but not the
            depthwise ones), or "caffe" (all but the biases of convolutions, whose learning rate is doubled). For an
            MLP "no_depthwise" is "kernels", and "caffe" is "all".
        initialisation: The rule by which an image family draws its kernels, see
            [`ConvNet.init`](#expressivity.models.ConvNet); an MLP knows only "original".
        parametrisation: None (standard), or [`MuP`](#expressivity.training.MuP) for image families.
        precision: "float32" (the precision that JAX is set to), or "bfloat16": images, weights and activations are
            rounded to it in the forward and backward pass of image families, while the weights themselves, the batch
            statistics and the optimiser stay in float32.
        statistics: Which moments batch norm uses on the test set: "running" (those kept in training; they lag behind in
            a short run), or "recomputed" (means over training images that are not augmented, with the final weights).

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If a number is out of range, or a name unknown.

    >>> Recipe(1000, 512, 3e-3).fingerprint
    'steps=1000 batch_size=512 learning_rate=0.003 optimiser=adam schedule=linear'
    """

    steps: int
    batch_size: int
    learning_rate: float | tuple[float, ...]
    optimiser: Any = "adam"
    schedule: Any = "linear"
    name: str | None = None
    weight_decay: float = 0.0
    decay: str = "kernels"
    initialisation: str = "original"
    parametrisation: Any = None
    precision: str = "float32"
    statistics: str = "running"

    def __post_init__(self) -> None:
        for field in ("steps", "batch_size"):
            value = getattr(self, field)
            if isinstance(value, bool) or not hasattr(value, "__index__"):
                raise TypeError(f"The {field} of a Recipe is a whole number, not {value!r}.")
            if value < 1:
                raise ValueError(f"The {field} of a Recipe is at least 1, not {value}.")
            object.__setattr__(self, field, int(value))
        rates = np.asarray(self.learning_rate)
        if rates.ndim > 1 or rates.size == 0 or rates.dtype.kind not in "fiu":
            raise TypeError(f"A learning rate is a number or one number a seed, not {self.learning_rate!r}.")
        if not np.all(np.isfinite(rates) & (rates > 0)):
            raise ValueError(f"A learning rate is finite and positive, not {self.learning_rate!r}.")
        rates = tuple(float(rate) for rate in rates) if rates.ndim else float(rates)
        object.__setattr__(self, "learning_rate", rates)
        if self.schedule not in SCHEDULES and not isinstance(self.schedule, schedules.Schedule):
            raise ValueError(
                f"The schedule of a Recipe is one of {', '.join(SCHEDULES)} or a Schedule, not {self.schedule!r}."
            )
        if not (math.isfinite(self.weight_decay) and self.weight_decay >= 0):
            raise ValueError(f"A weight decay is finite and not negative, not {self.weight_decay!r}.")
        for field, choices in (("decay", DECAYS), ("precision", PRECISIONS), ("statistics", STATISTICS)):
            if getattr(self, field) not in choices:
                raise ValueError(
                    f"The {field} of a Recipe is one of {', '.join(choices)}, not {getattr(self, field)!r}."
                )
        self.transformation()

    def transformation(self) -> Any:
        """The optax transformation, at learning rate 1.

        Raises:
            TypeError: If the optimiser is neither a name nor a transformation.
            ValueError: If optax has no optimiser of that name.
        """
        import optax

        if not isinstance(self.optimiser, str):
            if not (callable(getattr(self.optimiser, "init", None)) and callable(getattr(self.optimiser, "update", 0))):
                raise TypeError(f"An optimiser is a name or an optax transformation, not {self.optimiser!r}.")
            return self.optimiser
        if self.optimiser in _NAMED:
            momentum, nesterov = _NAMED[self.optimiser]
            return optax.sgd(1.0, momentum=momentum, nesterov=nesterov)
        if self.optimiser == "rmsprop_momentum":
            return optax.rmsprop(1.0, decay=0.9, eps=1.0, initial_scale=1.0, momentum=0.9)
        try:
            made = getattr(optax, self.optimiser)(learning_rate=1.0)
            if not isinstance(made, optax.GradientTransformation):
                raise TypeError("not an optimiser")
        except (AttributeError, TypeError):
            raise ValueError(
                f'Optax has no optimiser {self.optimiser!r} that needs only a learning rate; for instance "adam", '
                '"sgd", "momentum", "rmsprop" or "adadelta", or give an optax transformation.'
            ) from None
        return made

    def rates(self, seeds: int) -> np.ndarray:
        """The learning rate of each seed, shape (seeds,).

        Raises:
            ValueError: If the recipe holds one rate a seed, for another number of seeds.
        """
        if isinstance(self.learning_rate, tuple) and len(self.learning_rate) != seeds:
            raise ValueError(f"The recipe holds {len(self.learning_rate)} learning rates for {seeds} seeds.")
        return np.broadcast_to(np.asarray(self.learning_rate, dtype=np.float64), (seeds,))

    def factors(self) -> np.ndarray:
        """The schedule: what the learning rate is multiplied with at each step, shape (steps,).

        >>> Recipe(4, 1, 0.1).factors().tolist()
        [1.0, 0.75, 0.5, 0.25]
        """
        return schedules.factors(self.schedule, self.steps)

    @property
    def fingerprint(self) -> str:
        """Everything that the result depends on, as text; it addresses finished work.

        Raises:
            ValueError: If the optimiser is an object without a name.
        """
        if isinstance(self.optimiser, str):
            optimiser = self.optimiser
        elif self.name:
            optimiser = f"custom:{self.name}"
        else:
            raise ValueError(
                "An optimiser given as an object cannot be told from another one; name it, as in "
                'Recipe(..., optimiser=optax.adam(1.0, b1=0.5), name="adam with b1 = 0.5").'
            )
        more = {
            "weight_decay": f"{self.weight_decay} on {self.decay}"
            if self.weight_decay or self.decay == "caffe"
            else "",
            "initialisation": "" if self.initialisation == "original" else self.initialisation,
            "parametrisation": "" if self.parametrisation is None else repr(self.parametrisation),
            "precision": "" if self.precision == "float32" else self.precision,
            "statistics": "" if self.statistics == "running" else self.statistics,
        }
        text = (
            f"steps={self.steps} batch_size={self.batch_size} learning_rate={self.learning_rate!r} "
            f"optimiser={optimiser} schedule={self.schedule}"
        )
        return text + "".join(f" {name}={value}" for name, value in more.items() if value)
