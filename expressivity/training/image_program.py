"""The compiled program that takes optimiser steps of image networks, and the one that reads their logits."""

import concurrent.futures
import dataclasses
import functools
import threading
import time
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from expressivity.data.pipes import Pipe
from expressivity.models.objective import objective
from expressivity.training.devices import NETS
from expressivity.training.image_devices import Spread
from expressivity.training.parametrisation import leaf_factors, scaled
from expressivity.training.recipes import RATE_INSIDE, Recipe
from expressivity.width import Width


@dataclasses.dataclass(frozen=True)
class ImageShape:
    """All that a training program depends on. Images, rates, weight decay, the number of steps and `Constants` are
    arguments of it, so that trainings that differ in these alone share one program.

    Args:
        family: The family.
        width: Its width.
        input_size: (height, width, channels) of stored images.
        pipe: From stored images to what the network reads; its mean and deviation are not looked at.
        batch: Images in a batch.
        chunk: Steps of one call.
        optimiser: As in a `Recipe`.
        decay: As in a `Recipe`.
        precision: "float32" or "bfloat16".
        layout: "batch_last" or "nhwc".
        driver: "scan" takes many steps in one call, "step" one.
        nets: Networks of one call, 0 for one without a leading axis.
        double: Whether JAX is set to float64.
    """

    family: Any
    width: Width
    input_size: tuple[int, int, int]
    pipe: Pipe
    batch: int
    chunk: int
    optimiser: Any
    decay: str
    precision: str
    layout: str
    driver: str
    nets: int
    double: bool = False

    @property
    def read_size(self) -> tuple[int, int, int]:
        """(height, width, channels) of what the network reads."""
        return self.pipe.output_size(self.input_size)

    @property
    def specs(self) -> Any:
        """The layers of the network as shapes."""
        return getattr(self.family, "family", self.family).layers(self.width, self.read_size)

    def factors(self, parametrisation: Any) -> Any:
        """The factors by layer of the parametrisation of a `Recipe`, or None."""
        if parametrisation is None:
            return None
        return parametrisation.factors(self.family, self.width, self.read_size, self.optimiser)


class Constants(NamedTuple):
    """Numbers that stay the same in a training, and that its program takes as arguments.

    Args:
        scale: Mean and deviation of each channel of the input, (2, channels), as in `Pipe.scale`.
        rates: The factor of the learning rate of every array of the model, in the order of its leaves.
    """

    scale: Any
    rates: Any


def constants(shape: ImageShape, pipe: Pipe, model: Any, factors: Any = None) -> Constants:
    """The constants of a training with that pipe of a model (or of stacked models) with factors by layer."""
    rates, _ = leaf_factors(model, shape.specs, shape.decay, factors)
    return Constants(pipe.scale(shape.input_size[2]), np.array(rates, np.float64 if shape.double else np.float32))


# (model, state of the model, state of the optimiser)
Carry = tuple[Any, Any, Any]


def step_function(shape: ImageShape) -> Any:
    """One step of one network: (carry, images uint8, labels, key of the step, key of the network, rate, weight decay,
    constants) -> (carry, loss)."""
    import optax

    recipe = Recipe(1, 1, 1.0, shape.optimiser)
    transformation = recipe.transformation()
    inside = isinstance(shape.optimiser, str) and shape.optimiser in RATE_INSIDE
    dtype = jnp.bfloat16 if shape.precision == "bfloat16" else (jnp.float64 if shape.double else jnp.float32)

    def step(
        carry: Carry, images: Any, labels: Any, key: Any, own: Any, rate: Any, weight_decay: Any, constants: Constants
    ) -> Any:
        model, state, memory = carry
        x = shape.pipe(images, key, constants.scale).astype(dtype)

        def loss_of(model: Any) -> Any:
            return objective(shape.family, model, state, x, labels, own, shape.layout)

        (loss, after), gradient = jax.value_and_grad(loss_of, has_aux=True)(model)
        leaves, tree = jax.tree.flatten(gradient)
        weights = jax.tree.leaves(model)
        _, decays = leaf_factors(model, shape.specs, shape.decay, None)
        leaves = [
            g + weight_decay * share * w if share else g for g, w, share in zip(leaves, weights, decays, strict=True)
        ]
        if inside:
            leaves = [rate * constants.rates[i] * g for i, g in enumerate(leaves)]
        updates, memory = transformation.update(tree.unflatten(leaves), memory, model)
        if not inside:
            moved = [rate * constants.rates[i] * u for i, u in enumerate(jax.tree.leaves(updates))]
            updates = tree.unflatten(moved)
        return (optax.apply_updates(model, updates), after, memory), loss

    return step


def chunk_function(shape: ImageShape) -> Any:
    """What is compiled: `count` steps on the batches from `first` on.

    (carry, images (chunk, batch, ...) uint8, labels (chunk, batch), number of the first batch, key of the augmentation,
    key(s) of the network(s), rates (chunk, nets), weight decay, constants, first, count) -> (carry, losses (chunk,
    nets)). With the driver "step" exactly one step is taken, with no loop in the program.
    """
    one = step_function(shape)
    many = jax.vmap(one, (0, None, None, None, 0, 0, None, None)) if shape.nets else one

    def chunk(
        carry: Carry,
        images: Any,
        labels: Any,
        number: Any,
        key: Any,
        own: Any,
        rates: Any,
        weight_decay: Any,
        constants: Constants,
        first: Any,
        count: Any,
    ) -> Any:
        def body(i: Any, held: Any) -> Any:
            carry, losses = held
            at = functools.partial(jax.lax.dynamic_index_in_dim, index=i, keepdims=False)
            step = number + i
            keys = jax.vmap(jax.random.fold_in, (0, None))(own, step) if shape.nets else jax.random.fold_in(own, step)
            rate = at(rates) if shape.nets else at(rates)[0]
            now = jax.random.fold_in(key, step)
            carry, loss = many(carry, at(images), at(labels), now, keys, rate, weight_decay, constants)
            return carry, jax.lax.dynamic_update_index_in_dim(losses, loss.reshape(-1).astype(losses.dtype), i, 0)

        held = carry, jnp.zeros_like(rates)
        if shape.driver == "step":
            return body(first, held)
        return jax.lax.fori_loop(first, first + count, body, held)

    return chunk


def start_function(shape: ImageShape) -> Any:
    """The optimiser's memory for a model (or for stacked models)."""
    init = Recipe(1, 1, 1.0, shape.optimiser).transformation().init
    return jax.vmap(init) if shape.nets else init


def logits_function(shape: ImageShape) -> Any:
    """(model, state, images uint8, constants) -> logits (batch, classes) in inference, in the precision that JAX is
    set to."""

    def logits(model: Any, state: Any, images: Any, constants: Constants) -> Any:
        x = shape.pipe(images, None, constants.scale).astype(jnp.float64 if shape.double else jnp.float32)
        return shape.family.apply(model, state, x, layout=shape.layout)[0]

    return jax.vmap(logits, (0, 0, None, None)) if shape.nets else logits


def moments_function(shape: ImageShape) -> Any:
    """(model, state, images uint8, key, constants) -> the moments of that batch in the place of the state."""

    def moments(model: Any, state: Any, images: Any, key: Any, constants: Constants) -> Any:
        x = shape.pipe(images, None, constants.scale).astype(jnp.float64 if shape.double else jnp.float32)
        return shape.family.apply(model, state, x, training=True, key=key, layout=shape.layout, decay=0.0)[1]

    return jax.vmap(moments, (0, 0, None, None, None)) if shape.nets else moments


def arguments(shape: ImageShape, carry: Carry) -> tuple[Any, ...]:
    """What `chunk_function` takes, as shapes and dtypes; `carry` may hold arrays or shapes."""
    real, whole = jnp.float64 if shape.double else jnp.float32, jax.ShapeDtypeStruct((), jnp.int32)
    key = jax.eval_shape(lambda: jax.random.key(0))
    own = jax.eval_shape(lambda: jax.random.split(jax.random.key(0), shape.nets)) if shape.nets else key
    images = jax.ShapeDtypeStruct((shape.chunk, shape.batch, *shape.input_size), jnp.uint8)
    labels = jax.ShapeDtypeStruct((shape.chunk, shape.batch), jnp.int32)
    rates = jax.ShapeDtypeStruct((shape.chunk, max(shape.nets, 1)), real)
    shapes = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), carry)
    decay = jax.ShapeDtypeStruct((), real)
    return shapes, images, labels, whole, key, own, rates, decay, _constant_shapes(shape, carry[0]), whole, whole


def _constant_shapes(shape: ImageShape, model: Any) -> Constants:
    real, count = jnp.float64 if shape.double else jnp.float32, len(jax.tree.leaves(model))
    scale = jax.ShapeDtypeStruct((2, shape.input_size[2]), jnp.float32)
    return Constants(scale, jax.ShapeDtypeStruct((count,), real))


def fresh(shape: ImageShape, key: Any, initialisation: str, factors: Any = None) -> tuple[Any, Any]:
    """One (model, state) as training starts from it, with the factors by layer of its parametrisation."""
    model, state = shape.family.init(key, shape.width, shape.read_size, initialisation=initialisation)
    return scaled(model, factors), state


@dataclasses.dataclass(frozen=True)
class ImageProgram:
    """The compiled programs of one shape."""

    run: Any
    start: Any
    logits: Any
    moments: Any


_lock = threading.Lock()


def on_devices(shape: ImageShape, spread: Spread, mesh: Any = None) -> Any:
    """`chunk_function` for several devices, jitted; the mesh may be abstract, to lower it for devices elsewhere."""
    where = spread.mesh if mesh is None else mesh
    takes, gives = spread.shardings(where)
    if spread.along == NETS:
        own = dataclasses.replace(shape, nets=shape.nets // len(spread.devices))
        inside, outside = spread.partitions()
        function = jax.shard_map(chunk_function(own), mesh=where, in_specs=inside, out_specs=outside, check_vma=False)
    else:
        function = chunk_function(shape)
    return jax.jit(function, donate_argnums=(0,), in_shardings=takes, out_shardings=gives)


@functools.lru_cache(maxsize=32)
def _compiled(shape: ImageShape, test_batch: int, statistics: str, spread: Spread | None) -> ImageProgram:
    with jax.enable_x64(shape.double):
        model, state = jax.eval_shape(lambda: fresh(shape, jax.random.key(0), "original"))
        if shape.nets:
            model, state = jax.tree.map(
                lambda leaf: jax.ShapeDtypeStruct((shape.nets, *leaf.shape), leaf.dtype), (model, state)
            )
        memory = jax.eval_shape(start_function(shape), model)
        shapes = arguments(shape, (model, state, memory))
        images = jax.ShapeDtypeStruct((test_batch, *shape.input_size), jnp.uint8)
        chunk = on_devices(shape, spread) if spread else jax.jit(chunk_function(shape), donate_argnums=(0,))
        lowered = [
            chunk.lower(*shapes),
            jax.jit(start_function(shape)).lower(model),
            jax.jit(logits_function(shape)).lower(model, state, images, shapes[8]),
        ]
        if statistics == "recomputed" and jax.tree.leaves(state):
            images = jax.ShapeDtypeStruct((shape.batch, *shape.input_size), jnp.uint8)
            lowered.append(jax.jit(moments_function(shape)).lower(model, state, images, shapes[4], shapes[8]))
    with concurrent.futures.ThreadPoolExecutor() as pool:  # XLA compiles a program on one core, and lets go of the GIL
        run, start, logits, *moments = pool.map(lambda one: one.compile(), lowered)
    return ImageProgram(run, start, logits, moments[0] if moments else None)


def compiled(
    shape: ImageShape, test_batch: int, statistics: str = "running", spread: Spread | None = None
) -> tuple[ImageProgram, float]:
    """The programs of that shape, and the seconds that compiling them took now (0 if they were there).

    Only the one that trains is for several devices.
    """
    with _lock:
        begun = time.perf_counter()
        before = _compiled.cache_info().misses
        program = _compiled(shape, test_batch, statistics, spread)
        return program, time.perf_counter() - begun if _compiled.cache_info().misses > before else 0.0


def recomputed(
    shape: ImageShape, program: ImageProgram, carry: Carry, images: np.ndarray, constants: Constants
) -> Carry:
    """The carry with the mean of the moments of batches of `images` in the place of the running ones."""
    if program.moments is None:
        return carry
    key, total, count = jax.random.key(0), None, len(images) // shape.batch
    for number in range(count):
        part = images[number * shape.batch : (number + 1) * shape.batch]
        found = program.moments(carry[0], carry[1], part, key, constants)
        total = found if total is None else jax.tree.map(jnp.add, total, found)
    return carry[0], jax.tree.map(lambda leaf: leaf / count, total), carry[2]


def logits(program: ImageProgram, carry: Carry, images: np.ndarray, size: int, constants: Constants) -> np.ndarray:
    """The logits of all `images`, (images, classes), or (nets, images, classes); the last batch is filled up."""
    parts = []
    for first in range(0, len(images), size):
        part = images[first : first + size]
        filled = np.concatenate([part, np.repeat(part[:1], size - len(part), axis=0)])
        parts.append(np.asarray(program.logits(carry[0], carry[1], filled, constants))[..., : len(part), :])
    return np.concatenate(parts, axis=-2)
