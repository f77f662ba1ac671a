"""Is any network below a floor? Narrow networks, random, trained to minimise the error, and perturbed, try to be.

Claim. No narrow network has an error below a floor that applies to it, beyond the half-width of the measurement: not a
random one, not one with random hidden layers and the output layer that fits best, not one that gradient descent drove
to the least error of its class in the very norm of the floor, and not a trained one perturbed at random.

Method. For every target and every shape of hidden layers many networks start at random scales and minimise the mean,
the mean square or (for the sup norm) the mean 16th power of the error on fresh points and the points where the proofs
look. Random, trained and perturbed networks are measured in L1, L2 and sup by deterministic quadrature in float64, and
compared with the best floor for their shape. The table has one row a network and norm. Many more networks have random
hidden layers and the affine output that minimises the mean square; of each batch of them, "fitted" in the table, the
one that comes nearest to the floor has a row, and the column `tries` says of how many.

`default` is about 120,000 networks, `paper` about 1,000,000. The exit status is 0 if the claim held, 1 if not, 2 if the
run was refused.
"""

import dataclasses
import itertools
import pathlib
import sys
import time
from typing import Any, Literal

from experiments import _run

NORMS = ("L1", "L2", "sup")
_BATCH = 128
COLUMNS = (
    "family",
    "width",
    "hidden_layers",
    "hidden_widths",
    "minimised",
    "stage",
    "seed",
    "tries",
    "status",
    "norm",
    "error",
    "half_width",
    "floor",
    "theorem",
)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        targets: Pairs (name, n).
        depths: Hidden layers of the networks of widths n - 1 and n; n - 1 is also followed by wide layers.
        seeds: Networks of each shape and norm, each measured at three stages.
        steps, batch, learning_rate: Of Adam with linear decay.
        order: Points an axis of the quadrature, by dimension.
        fitted: Networks of each shape with random hidden layers and a fitted output.
        coarse: Points an axis of the quadrature for those.
    """

    targets: tuple[tuple[str, int], ...] = (
        ("norm_squared", 2),
        ("product", 2),
        ("cosine_norm", 2),
        ("parabola_ridge", 2),
        ("ball_indicator", 2),
        ("max_affine", 2),
        ("norm_squared", 3),
    )
    depths: tuple[int, ...] = (1, 2, 4)
    seeds: int = 24
    steps: int = 600
    batch: int = 256
    learning_rate: float = 1e-2
    order: dict[int, int] = dataclasses.field(default_factory=lambda: {2: 96, 3: 24})
    fitted: int = 2048
    coarse: dict[int, int] = dataclasses.field(default_factory=lambda: {2: 32, 3: 12})


SMOKE = Settings(targets=(("norm_squared", 2),), depths=(1,), seeds=6, steps=100, batch=64, order={2: 48}, fitted=256)
PAPER = Settings(seeds=240, steps=2000, order={2: 160, 3: 32}, fitted=16_384, coarse={2: 48, 3: 16})
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: some minutes on two cores; paper: meant for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/search_violations")
    """Output folder."""
    seeds: int | None = None
    """Networks of every shape and norm."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""


def shapes(n: int, depths: tuple[int, ...]) -> list[tuple[int, ...]]:
    """Hidden widths that some floor may speak about."""
    narrow = [(width,) * depth for width in (n - 1, n) for depth in depths]
    return [*narrow, (n - 1, 16, 16)]


def floors(target: Any, widths: tuple[int, ...]) -> dict[str, Any]:
    """The best certificate for networks of these hidden widths, by norm."""
    from expressivity import certificates

    if len(set(widths)) == 1:
        return {norm: certificates.floor(target, widths[0], len(widths), norm) for norm in NORMS}
    return {norm: certificates.first_layer(target, widths[0], norm) for norm in NORMS}


def search(target: Any, widths: tuple[int, ...], norm: str, settings: Settings) -> list[dict[str, Any]]:
    """Errors of random, trained and perturbed networks of one shape, with their floors."""
    import jax
    import numpy as np

    import expressivity as ex
    from expressivity.norms import rule

    found = floors(target, widths)
    grid = rule(target, settings.order[target.dim])
    key = jax.random.key(0)
    begin = _random(target.dim, widths, settings.seeds, key)
    end = _minimise(begin, target, norm, settings, jax.random.fold_in(key, 1))
    rng = np.random.default_rng(0)
    shaken = jax.tree.map(lambda w: w * (1 + 0.02 * rng.standard_normal(w.shape)), end)
    rows = []
    for stage, networks in (("random", begin), ("trained", end), ("perturbed", shaken)):
        for seed in range(settings.seeds):
            layers = [(np.float64(w[seed]), np.float64(b[seed])) for w, b in networks]
            if not all(np.all(np.isfinite(a)) for layer in layers for a in layer):
                continue
            outputs = ex.evaluate(ex.ReLUNetwork.from_layers(layers), grid.points)[:, 0]
            for measured in NORMS:
                error, half_width = (float(v) for v in grid.norms(outputs, measured))
                origin = {"minimised": norm, "stage": stage, "seed": seed, "tries": 1}
                rows.append(_row(target, widths, origin, found[measured], error, half_width))
    return rows


def fitted(target: Any, widths: tuple[int, ...], settings: Settings) -> list[dict[str, Any]]:
    """Of every batch of networks with random hidden layers and a fitted output, the one nearest to each floor."""
    import jax
    import numpy as np

    import expressivity as ex
    from expressivity.norms import rule

    found, grid = floors(target, widths), rule(target, settings.coarse[target.dim])
    fine, root = slice(0, grid.bounds[0]), np.sqrt(grid.weights[0])
    key, rows = jax.random.fold_in(jax.random.key(0), 2), []
    for number in range(-(-settings.fitted // _BATCH)):
        *hidden, _ = _random(target.dim, widths, _BATCH, jax.random.fold_in(key, number))
        eye = np.broadcast_to(np.eye(widths[-1]), (_BATCH, widths[-1], widths[-1]))
        with jax.enable_x64(True):
            layers = [(np.float64(w), np.float64(b)) for w, b in hidden]
            nets = jax.vmap(ex.ReLUNetwork.from_layers)([*layers, (eye, np.zeros(eye.shape[:2]))])
        features = ex.relu.evaluate_many(nets, grid.points)
        design = np.concatenate([features, np.ones((*features.shape[:2], 1))], axis=-1)
        weighted = design[:, fine] * root[:, None]
        transposed = weighted.transpose(0, 2, 1)
        gram, moments = transposed @ weighted, transposed @ (grid.values[fine] * root)
        solution = np.linalg.pinv(gram, rcond=1e-12, hermitian=True) @ moments[..., None]
        outputs = (design @ solution)[..., 0]
        for measured in NORMS:
            errors, half_widths = grid.norms(outputs, measured)
            nearest = int(np.argmin(errors + half_widths))
            origin = {"minimised": "L2", "stage": "fitted", "seed": number, "tries": _BATCH}
            error, half_width = float(errors[nearest]), float(half_widths[nearest])
            rows.append(_row(target, widths, origin, found[measured], error, half_width))
    return rows


def _row(target: Any, widths: tuple[int, ...], origin: dict[str, Any], floor: Any, error: float, half: float) -> dict:
    return {
        "family": f"{target.name}, n={target.dim}",
        "width": max(widths),
        "hidden_layers": len(widths),
        "hidden_widths": "-".join(map(str, widths)),
        **origin,
        "status": "ok",
        "norm": floor.norm,
        "error": error,
        "half_width": half,
        "floor": floor.value,
        "theorem": floor.theorem.number,
    }


def _random(n: int, widths: tuple[int, ...], count: int, key: Any) -> list[tuple[Any, Any]]:
    """Stacked weights and biases of `count` networks, the output layers of scales from 0.03 to 3."""
    import jax
    import jax.numpy as jnp

    sizes, layers = (n, *widths, 1), []
    for number, (inputs, outputs) in enumerate(itertools.pairwise(sizes)):
        a, b = jax.random.split(jax.random.fold_in(key, number))
        weight = jax.random.normal(a, (count, outputs, inputs)) * (2 / inputs) ** 0.5
        layers.append((weight, jax.random.uniform(b, (count, outputs), minval=-0.5, maxval=1.0)))
    scale = 10 ** jnp.linspace(-1.5, 0.5, count)
    weight, bias = layers[-1]
    layers[-1] = (weight * scale[:, None, None], bias)
    return layers


def _minimise(networks: list[tuple[Any, Any]], target: Any, norm: str, settings: Settings, key: Any) -> Any:
    """All networks after Adam on the error in the norm."""
    import jax
    import jax.numpy as jnp
    import optax

    witness = jnp.asarray(target.witness_points[:64], dtype=jnp.float32)
    power = {"L1": 1, "L2": 2, "sup": 16}[norm]

    def outputs(layers: Any, x: Any) -> Any:
        *hidden, (weight, bias) = layers
        for w, b in hidden:
            x = jax.nn.relu(x @ w.T + b[None])
        return (x @ weight.T + bias[None])[:, 0]

    def loss(layers: Any, x: Any) -> Any:
        gap = jnp.abs(outputs(layers, x) - target.batch(x))
        if power < 3:
            return jnp.mean(gap**power)
        # scaled by the largest, so that no power overflows
        largest = jax.lax.stop_gradient(gap.max()) + 1e-9
        return largest * jnp.mean((gap / largest) ** power + 1e-30) ** (1 / power)

    optimiser = optax.adam(optax.linear_schedule(settings.learning_rate, 0.0, settings.steps))

    def one(layers: Any) -> Any:
        def step(state: Any, number: Any) -> Any:
            layers, memory = state
            x = target.measure.sample(jax.random.fold_in(key, number), settings.batch)
            x = jnp.concatenate([x, witness]) if norm == "sup" else x
            updates, memory = optimiser.update(jax.grad(loss)(layers, x), memory, layers)
            return (optax.apply_updates(layers, updates), memory), None

        (layers, _), _ = jax.lax.scan(step, (layers, optimiser.init(layers)), jnp.arange(settings.steps))
        return layers

    return jax.jit(jax.vmap(one))(networks)


def check(table: Any) -> list[tuple[str, bool]]:
    """The sentences of the verdict."""
    bounded = table[table["floor"] > 0]
    below = bounded[bounded["error"] < bounded["floor"] - bounded["half_width"] - 1e-9 * bounded["floor"]]
    networks = int(bounded.drop_duplicates(["family", "hidden_widths", "minimised", "stage", "seed"])["tries"].sum())
    tries = int(bounded["tries"].sum())
    sentences = [(f"none of {networks} networks is below a floor that applies to it; {tries} tries", below.empty)]
    for theorem, rows in bounded.groupby("theorem"):
        ratio = float(((rows["error"] + rows["half_width"]) / rows["floor"]).min())
        margin = float((rows["error"] + rows["half_width"] - rows["floor"]).min())
        text = (
            f"{theorem}: least error over floor {ratio:.6f}, least margin {margin:.3g}, in {rows['tries'].sum()} tries"
        )
        sentences.append((text, ratio >= 1 - 1e-9))
    return sentences


def draw_figure(table: Any) -> Any:
    """How far above their floors networks stay: error over floor, by norm and stage."""
    import matplotlib.pyplot as plt
    import numpy as np

    figure, axes = plt.subplots(1, 3, figsize=(11, 3.6), layout="constrained", sharey=True)
    for ax, norm in zip(axes, NORMS, strict=True):
        rows = table[(table["norm"] == norm) & (table["floor"] > 0)]
        for stage in ("random", "fitted", "perturbed", "trained"):
            ratio = (rows.loc[rows["stage"] == stage, "error"] / rows.loc[rows["stage"] == stage, "floor"]).to_numpy()
            if len(ratio):
                ax.plot(np.sort(ratio), np.arange(1, len(ratio) + 1) / len(ratio), label=stage)
        ax.axvline(1.0, color="black", linewidth=1)
        ax.set(xscale="log", xlabel="error / floor", title=norm, xlim=(0.8, 30))
    axes[0].set_ylabel("share of networks at or below")
    axes[0].legend()
    return figure


def experiment(options: Options) -> int:
    """The whole run; returns the exit status."""
    import pandas as pd

    begun = time.perf_counter()
    settings = _run.chosen(PRESETS, options)
    _run.start_jax(options.platform)
    from experiments import _cases, _depth
    from expressivity import sweeps

    rows: list[dict[str, Any]] = []
    with sweeps.Store(options.out) as store:
        cells = _depth.Cells(store)
        shared = {k: v for k, v in _run.settings(settings).items() if k not in ("targets", "depths")}
        for name, n in settings.targets:
            target = _cases.target(name, n)
            for widths in shapes(n, settings.depths):
                address = {"target": name, "n": n, "widths": widths, **shared}
                rows += cells.rows("fitted", address, lambda t=target, w=widths: fitted(t, w, settings))
                for norm in NORMS:
                    address = {"target": name, "n": n, "widths": widths, "norm": norm, **shared}
                    rows += cells.rows("search", address, lambda t=target, w=widths, m=norm: search(t, w, m, settings))
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        claim = _run.claim(__doc__)
        return _depth.finish(
            cells,
            options,
            settings,
            "Search for violated floors",
            claim,
            check(table),
            {"table": table},
            draw_figure(table),
            "Errors of networks over the floors that apply to them; 1 is where the theorems forbid to go below.",
            begun,
        )


if __name__ == "__main__":
    sys.exit(_run.main("search_violations", Options, experiment, __doc__ or ""))
