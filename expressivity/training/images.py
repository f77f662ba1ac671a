"""Training of image networks: all seeds of one width, on the same batches."""

import concurrent.futures
import dataclasses
import functools
import math
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import jax
import numpy as np

from expressivity.models.family import WidthLike, as_width
from expressivity.training import image_devices
from expressivity.training import image_program as program
from expressivity.training.devices import shared
from expressivity.training.groups import LOSS_STEPS, in_precision
from expressivity.training.image_devices import Spread
from expressivity.training.image_task import ImageTask
from expressivity.training.loop import whole_numbers
from expressivity.training.recipes import Recipe
from expressivity.training.states import OtherRun, Snapshot, checked, checked_step, like, to_numpy

CHUNK = 50  # steps of a call, if the images of so many batches fit into CHUNK_BYTES
CHUNK_BYTES = 48 * 2**20
TEST_BATCH = {"batch_last": 100, "nhwc": 250}  # on CPUs what a layer holds of more images leaves the cache
TEST_BYTES = 64 * 2**20
STATISTICS_IMAGES = 2048  # are read to recompute the moments of batch norm

DRIVERS = ("auto", "scan", "step")
BATCHINGS = ("auto", "loop", "vmap")


@dataclasses.dataclass(frozen=True, eq=False)
class ImageTrainingResult:
    """What training gave, by seed.

    Args:
        networks: The trained (model, state), arrays in NumPy, of the seeds that are finite ("ok").
        status: "ok", or "diverged" where a loss or a weight became NaN or infinite.
        loss: The mean training loss of the last 100 steps (of all, if there are fewer).
        curve: One row an evaluation and seed: seed, step, train_loss (mean since the evaluation before), and, on the
            test set, error (part of the images not told right) and cross_entropy.
        logits: Of the test images at the end, (images, classes), by seed.
        batching: "loop" or "vmap", as it was done.
        driver: "scan" or "step", as it was done.
        compile_seconds: Time spent in compiling programs; 0 where they were there.
        run_seconds: The rest of the time.
    """

    networks: dict[int, tuple[Any, Any]]
    status: dict[int, str]
    loss: dict[int, float]
    curve: list[dict[str, Any]]
    logits: dict[int, np.ndarray]
    batching: str
    driver: str
    compile_seconds: float
    run_seconds: float


def train_images(
    family: Any,
    width: WidthLike,
    task: ImageTask,
    seeds: Sequence[int],
    recipe: Recipe,
    *,
    evaluations: int = 1,
    driver: str = "auto",
    batching: str = "auto",
    layout: str | None = None,
    devices: Any = None,
    progress: Callable[[int, int, np.ndarray], None] | None = None,
    resume: Snapshot | None = None,
    keep: Callable[[Callable[[], Snapshot]], None] | None = None,
    root: int = 0,
) -> ImageTrainingResult:
    """Trains one network of a width for every seed, all on the same batches, by the mean cross-entropy.

    The network of seed s starts as `family.init(fold_in(key(root), s), width)`; step t reads the batch of `(root, t)`,
    augmented by `(root, t)`; dropout draws from `(root, s, t)`. On CPU the result of a seed does not depend on which
    other seeds are trained with it, bit for bit, and a run that goes on from a snapshot is the same run, bit for bit.

    How it is computed: on CPUs in the layout with the batch last, where every convolution is a matrix product that may
    stand in a loop of the program, seeds one after the other in two lanes; on accelerators with `lax.conv` in NHWC and
    seeds side by side under `vmap`. A gradient of `lax.conv` inside a loop on CPU is 30 to 70 times slower than
    outside, so that combination takes one step a call.

    Args:
        family: The networks, an image family.
        width: One width.
        task: The images.
        seeds: Whole numbers.
        recipe: Steps, batch size, learning rate (one, or one a seed), optimiser, schedule, weight decay,
            initialisation, parametrisation, precision.
        evaluations: How many times the test set is read, at equal distances; the last time at the end.
        driver: "scan" takes many steps in one call, "step" one; "auto" chooses.
        batching: "loop" trains seeds one after the other, "vmap" in one program; "auto" chooses.
        devices: The devices of this process that train, as `train` takes them: seeds under `vmap` are spread over them,
            otherwise the batch is, on as many as divide it. None takes one on CPU, and all elsewhere.
        layout: "batch_last" or "nhwc"; by default "batch_last" on CPU and "nhwc" elsewhere.
        progress: Called with (steps done, steps, losses of the last step).
        resume: A snapshot to go on from.
        keep: Called after every call of the program with a function that makes a snapshot.
        root: Randomness of the whole run.

    Raises:
        TypeError: If an argument is not of its type.
        ValueError: If the family has another number of classes than the task, images are too small for it, an option is
            unknown, a loop with a gradient of `lax.conv` is asked for on CPU, or a snapshot is of another run.

    >>> import expressivity as ex
    >>> from expressivity import data, training
    >>> sets = [data.fashion_mnist(split).first(4) for split in ("train", "test")]
    >>> family = ex.AllConv6(classes=10, channels=(4, 8))
    >>> result = training.train_images(family, 1, training.ImageTask(*sets), (0,), ex.Recipe(4, 8, 0.01, "momentum"))
    >>> result.status, result.driver
    ({0: 'ok'}, 'scan')
    """
    begun = time.perf_counter()
    seeds, rule = whole_numbers("seed", seeds, 0), as_width(width)
    _check(family, task, recipe, evaluations, driver, batching)
    cpu = jax.default_backend() == "cpu"
    layout = layout or ("batch_last" if cpu else "nhwc")
    driver, batching = _choice(driver, batching, layout, cpu)
    spread = image_devices.spread(devices, batching, len(seeds), recipe.batch_size)
    places = spread.places if spread else len(seeds)
    bytes_a_step = recipe.batch_size * math.prod(task.train.input_size)
    shape = program.ImageShape(
        family=family,
        width=rule,
        input_size=task.train.input_size,
        pipe=task.pipe.unscaled,  # pyright: ignore[reportOptionalMemberAccess]
        batch=recipe.batch_size,
        chunk=max(1, min(CHUNK, recipe.steps, CHUNK_BYTES // bytes_a_step)),
        optimiser=recipe.optimiser,
        decay=recipe.decay,
        precision=recipe.precision,
        layout=layout,
        driver=driver,
        nets=places if batching == "vmap" else 0,
        double=jax.numpy.result_type(float) == np.float64,
    )
    shape.specs  # noqa: B018 - refuses images that are too small
    test_batch = max(1, min(TEST_BATCH[layout], len(task.test), TEST_BYTES // math.prod(task.test.input_size)))
    made, compile_seconds = program.compiled(shape, test_batch, recipe.statistics, spread)
    run = _Run(shape, made, task, recipe, seeds, root, test_batch, spread)
    if resume is not None:
        run.restore(resume)
    stops = sorted({max(1, round(recipe.steps * (i + 1) / evaluations)) for i in range(evaluations)})
    lanes = min(2, os.cpu_count() or 1) if cpu and not spread else 1
    with concurrent.futures.ThreadPoolExecutor(lanes + 1) as pool:
        coming: Any = pool.submit(run.batches, run.step, stops) if run.step < recipe.steps else None
        while run.step < recipe.steps:
            first, count, images, labels = coming.result()
            if first + count < recipe.steps:
                coming = pool.submit(run.batches, first + count, stops)
            run.advance(pool, lanes, images, labels, count)
            if run.step in stops:
                run.evaluate()
            if progress is not None:
                progress(run.step, recipe.steps, run.history[-1])
            if keep is not None:
                keep(run.snapshot)
    return run.result(batching, driver, compile_seconds, begun)


class _Run:
    """How far a run is, and its arrays; a lane is one call of the program: one seed, or all of them under `vmap`."""

    def __init__(
        self,
        shape: program.ImageShape,
        made: program.ImageProgram,
        task: ImageTask,
        recipe: Recipe,
        seeds: tuple[int, ...],
        root: int,
        test_batch: int,
        spread: Spread | None = None,
    ) -> None:
        self.shape, self.made, self.task, self.recipe, self.seeds = shape, made, task, recipe, seeds
        self.root, self.test_batch, self.step, self.spread = root, test_batch, 0, spread
        takes = spread.shardings()[0] if spread else (None,) * 7
        self.place, images, labels, _, whole, own_place, _ = takes[:7]
        self.data_places = images, labels
        key = jax.random.key(root)
        self.augmentation = jax.random.fold_in(key, 2**32 - 3)
        own = [jax.random.fold_in(key, seed) for seed in seeds]
        factors = shape.factors(recipe.parametrisation)
        fresh = [program.fresh(shape, key, recipe.initialisation, factors) for key in own]
        self.constants = program.constants(shape, task.pipe, fresh[0][0], factors)  # pyright: ignore[reportArgumentType]
        drops = [jax.random.fold_in(key, 2**32 - 4) for key in own]
        if shape.nets:
            fresh, drops = [jax.tree.map(lambda *leaves: jax.numpy.stack(leaves), *fresh)], [jax.numpy.stack(drops)]
            if spread:
                fresh, drops = jax.tree.map(lambda leaf: spread.filled(leaf, len(seeds)), (fresh, drops))
        # copies: the program overwrites its arguments
        copied = [jax.tree.map(lambda leaf: jax.numpy.array(leaf, copy=True), one) for one in fresh]
        self.carries = [shared((model, state, made.start(model)), self.place) for model, state in copied]
        self.augmentation = shared(self.augmentation, whole)
        self.drops = [shared(keys, own_place) for keys in drops]
        self.factors = recipe.factors()
        self.rates = recipe.rates(len(seeds))
        self.rates = np.concatenate([self.rates, np.repeat(self.rates[:1], max(shape.nets - len(seeds), 0))])
        self.history = np.zeros((0, len(seeds)))
        self.since = np.zeros((0, len(seeds)))
        self.healthy = np.ones(len(seeds), bool)
        self.curve: list[dict[str, Any]] = []
        self.last_logits: list[np.ndarray] = []

    def batches(self, first: int, stops: list[int]) -> tuple[int, int, np.ndarray, np.ndarray]:
        """The images of the next call: up to the next evaluation, filled up to the length that is compiled."""
        stop = min(stop for stop in stops if stop > first)
        count = min(self.shape.chunk, stop - first)
        places = self.task.places(self.root, first, count, self.recipe.batch_size)
        images = np.zeros((self.shape.chunk, self.shape.batch, *self.shape.input_size), np.uint8)
        labels = np.zeros((self.shape.chunk, self.shape.batch), np.int32)
        images[:count], labels[:count] = self.task.train.images[places], self.task.train.labels[places]
        return first, count, images, labels

    def advance(self, pool: Any, lanes: int, images: np.ndarray, labels: np.ndarray, count: int) -> None:
        """`count` steps of all networks."""
        double = self.shape.double
        device = [jax.device_put(array, where) for array, where in zip((images, labels), self.data_places, strict=True)]
        numbers = list(range(len(self.carries)))
        work = functools.partial(in_precision, double, self._lane, device, count)
        done = [pool.submit(work, numbers[lane::lanes]) for lane in range(lanes)]
        losses = np.zeros((count, len(self.seeds)))
        for future in done:
            for number, found in future.result().items():
                losses[:, slice(None) if self.shape.nets else slice(number, number + 1)] = found[:, : len(self.seeds)]
        self.healthy &= np.isfinite(losses).all(0)
        self.history = np.concatenate([self.history, losses])[-LOSS_STEPS:]
        self.since = np.concatenate([self.since, losses])
        self.step += count

    def _lane(self, device: list[Any], count: int, numbers: list[int]) -> dict[int, np.ndarray]:
        shape, found = self.shape, {}
        calls = [(0, count)] if shape.driver == "scan" else [(i, 1) for i in range(count)]
        factor = np.zeros(shape.chunk)
        factor[:count] = self.factors[self.step : self.step + count]
        real = np.float64 if shape.double else np.float32
        for number in numbers:
            rates = (factor[:, None] * (self.rates if shape.nets else self.rates[number : number + 1])).astype(real)
            losses, decay = np.zeros(rates.shape), real(self.recipe.weight_decay)
            own = self.augmentation, self.drops[number], rates, decay, self.constants
            for first, steps in calls:
                self.carries[number], part = self.made.run(
                    self.carries[number], *device, np.int32(self.step), *own, np.int32(first), np.int32(steps)
                )
                losses[first : first + steps] = np.asarray(part)[first : first + steps]
            found[number] = losses[:count]
        return found

    def read_test(self) -> None:
        """The logits of the test set by the networks as they are now."""
        self.last_logits = []
        for carry in self.tested():
            logits = program.logits(self.made, carry, self.task.test.images, self.test_batch, self.constants)
            self.last_logits += list(logits)[: len(self.seeds)] if self.shape.nets else [logits]

    def evaluate(self) -> None:
        """Reads the test set and adds a row a seed to the curve."""
        self.read_test()
        test = self.task.test
        for number, (seed, logits) in enumerate(zip(self.seeds, self.last_logits, strict=True)):
            losses = cross_entropies(logits, test.labels)
            row = {
                "seed": seed,
                "step": self.step,
                "train_loss": float(self.since[:, number].mean()),
                "error": float((logits.argmax(1) != test.labels).mean()),
                "cross_entropy": float(losses.mean()),
            }
            self.curve.append({k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()})
        self.since = self.since[:0]

    def tested(self) -> list[Any]:
        """The carries with the moments that the test set is read with."""
        carries = [image_devices.gathered(carry, self.spread) for carry in self.carries]
        if self.made.moments is None:
            return carries
        # spread over the set, which may be sorted by class
        total, size = len(self.task.train), self.recipe.batch_size
        count = max(1, min(total, STATISTICS_IMAGES) // size) * size
        images = self.task.train.images[np.random.default_rng(0).permutation(total)[np.arange(count) % total]]
        return [program.recomputed(self.shape, self.made, carry, images, self.constants) for carry in carries]

    def snapshot(self) -> Snapshot:
        """The run as it is now."""
        arrays = {"history": self.history, "since": self.since, "healthy": self.healthy.copy()}
        for number, carry in enumerate(self.carries):
            arrays |= {f"{number}/{place}": self._kept(leaf) for place, leaf in enumerate(jax.tree.leaves(carry))}
        return Snapshot(self.step, arrays, list(self.curve))

    def _kept(self, leaf: Any) -> np.ndarray:
        """An array in NumPy, without places that are only filled up."""
        array = to_numpy(leaf)
        return array[: len(self.seeds)] if self.shape.nets else array

    def restore(self, snapshot: Snapshot) -> None:
        """Goes on from a snapshot of the same run.

        Raises:
            OtherRun: If its arrays are not those of this run.
        """
        step, nets = checked_step(snapshot.step, self.recipe.steps), len(self.seeds)
        history = checked(snapshot.arrays, "history", (min(step, LOSS_STEPS), nets), float)
        healthy = checked(snapshot.arrays, "healthy", (nets,), bool)
        since = snapshot.arrays.get("since")
        if since is None or since.ndim != 2 or since.shape[1] != nets:
            raise OtherRun("The snapshot is of another run: its losses are not those of these seeds; start afresh.")
        carries, total = [], len(snapshot.arrays)
        for number, carry in enumerate(self.carries):
            leaves, tree = jax.tree.flatten(carry)
            now = [self._kept(leaf) for leaf in leaves]
            found = [checked(snapshot.arrays, f"{number}/{i}", old.shape, old.dtype) for i, old in enumerate(now)]
            if self.spread:
                found = [self.spread.filled(new, nets) for new in found]
            carry = tree.unflatten([like(new, leaf) for new, leaf in zip(found, leaves, strict=True)])
            carries.append(shared(carry, self.place))
            total -= len(leaves)
        if total != 3:
            raise OtherRun("The snapshot is of another run: it holds more arrays than this one; start afresh.")
        self.carries, self.step, self.curve = carries, step, list(snapshot.curve)
        self.history, self.since, self.healthy = history, since, healthy.copy()

    def result(self, batching: str, driver: str, compile_seconds: float, begun: float) -> ImageTrainingResult:
        """What it gave, once all steps are taken."""
        if not self.last_logits:  # it went on from a snapshot taken at the very end
            self.read_test()
        nets: list[Any] = []
        for carry in self.tested():
            model_state = jax.tree.map(np.asarray, carry[:2])
            split = [
                jax.tree.map(lambda leaf, i=i: leaf[i], model_state)
                for i in range(min(self.shape.nets, len(self.seeds)))
            ]
            nets += split or [model_state]
        networks, status, loss, logits = {}, {}, {}, {}
        for number, seed in enumerate(self.seeds):
            finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(nets[number]))
            ok = bool(self.healthy[number] and finite)
            status[seed] = "ok" if ok else "diverged"
            loss[seed] = float(self.history[:, number].mean()) if ok else math.nan
            if ok:
                networks[seed], logits[seed] = nets[number], self.last_logits[number]
        seconds = time.perf_counter() - begun - compile_seconds
        return ImageTrainingResult(
            networks, status, loss, self.curve, logits, batching, driver, compile_seconds, seconds
        )


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The cross-entropy of each image, in float64."""
    wide = logits.astype(np.float64)
    top = wide.max(1, keepdims=True)
    return np.log(np.exp(wide - top).sum(1)) + top[:, 0] - wide[np.arange(len(labels)), labels]


def _choice(driver: str, batching: str, layout: str, cpu: bool) -> tuple[str, str]:
    slow = cpu and layout == "nhwc"
    if driver == "scan" and slow:
        raise ValueError(
            'The driver "scan" would put a gradient of lax.conv into a loop on CPU, which is 30 to 70 times slower '
            'than outside; take the layout "batch_last" or the driver "step".'
        )
    chosen = ("step" if slow else "scan") if driver == "auto" else driver
    return chosen, ("loop" if cpu else "vmap") if batching == "auto" else batching


def _check(family: Any, task: Any, recipe: Recipe, evaluations: int, driver: str, batching: str) -> None:
    if not isinstance(task, ImageTask):
        raise TypeError(f"This loop learns a training.ImageTask; got {task!r}.")
    if not callable(getattr(getattr(family, "family", family), "layers", None)):
        raise TypeError(f"This loop trains image families such as expressivity.AllConv6(); got {family!r}.")
    classes = getattr(family, "family", family).classes
    if classes != task.classes:
        raise ValueError(
            f"The family tells {classes} classes apart, {task.name!r} has {task.classes}; give the family "
            f"classes={task.classes}."
        )
    if isinstance(evaluations, bool) or not hasattr(evaluations, "__index__") or evaluations < 1:
        raise ValueError(f"The test set is read at least once; got evaluations={evaluations!r}.")
    for what, value, choices in (("driver", driver, DRIVERS), ("batching", batching, BATCHINGS)):
        if value not in choices:
            raise ValueError(f"A {what} is one of {', '.join(choices)}; got {value!r}.")
    if not isinstance(recipe, Recipe):
        raise TypeError(f"Training needs an expressivity.Recipe; got {recipe!r}.")
