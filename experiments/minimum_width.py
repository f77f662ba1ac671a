"""The least width, by norm and domain: what is known, networks that attain it, and certificates that forbid less.

Claim. For ReLU networks with one output the least width is n + 1 in Lp of all of space, max(n, 2) in Lp of a cube and
n + 1 in the sup norm on a cube. In each of the three, for one target, a certificate forbids one unit less, and a
network of that very width is built whose measured error is below what the certificate leaves to narrower ones. The
published results that we know of agree with each other and with these numbers.

Method. Known results are rows of `_landscape.py`, each with how we know it: read in the paper, in its abstract, or
second hand. The target is the product of the cos(pi x_i / 2) on [-1, 1]^n, continued by 0. Networks on all of space
are also evaluated at points up to 10^6 from the origin, where they must vanish. That no narrower network is integrable
is a theorem; as an illustration random networks and the coding network of width n are followed along escape paths to
the distance 10^6, where they still have the value they started with.

`default` takes a minute on two cores, and no GPU helps. The exit status is 0 if the claim held, 1 if not, 2 if the run
was refused.
"""

import dataclasses
import pathlib
import sys
import time
from typing import Any, Literal

from experiments import _landscape, _run
from experiments._landscape import COMPACT, GIVEN, SPACE, UNIFORM

FAR = 1e6
MEASURED, PROVED = "#1f5fa8", "#b2182b"


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        dims: Input dimensions n; the figure shows the first.
        cells: Cells an axis of networks that look up cells, by dimension.
        mesh: Of the string of caps, by dimension.
        units: Of the network with one hidden layer that the register model computes.
        panels: Intervals an axis of the quadrature, by dimension.
        walks: Random networks that are followed along escape paths.
    """

    dims: tuple[int, ...] = (2,)
    cells: dict[int, int] = dataclasses.field(default_factory=lambda: {1: 64, 2: 24, 3: 8})
    mesh: dict[int, float] = dataclasses.field(default_factory=lambda: {1: 0.01, 2: 0.14, 3: 0.6})
    units: int = 150
    panels: dict[int, int] = dataclasses.field(default_factory=lambda: {1: 400, 2: 48, 3: 16})
    walks: int = 20


SMOKE = Settings(cells={2: 12}, mesh={2: 0.4}, units=60, panels={2: 24}, walks=4)
PAPER = Settings(dims=(2, 1, 3), cells={1: 128, 2: 40, 3: 12}, mesh={1: 0.01, 2: 0.1, 3: 0.35}, units=300, walks=200)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: a minute on two cores; paper: dimensions 1 to 3, minutes on two cores."""
    out: pathlib.Path = pathlib.Path("runs/minimum_width")
    """Output folder."""
    seeds: int | None = None
    """Random networks that are followed along escape paths."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""


def builders(n: int, settings: Settings) -> dict[str, Any]:
    """Functions that build a network for the target, by name: (domain, network, bound in the norm of the domain)."""
    from experiments.construction_depth import RAMP, bump
    from expressivity.constructions import hanin_sellke2017, kidger_lyons2020, kim2024, lu2017, park2021

    target, cells = bump(n), settings.cells[n]

    def step() -> Any:
        made = lu2017.approximate(target, cells=cells)
        return SPACE, made.network, made.error_bound

    def single() -> Any:
        lower, upper, heights = _cells(target, cells)
        ramp = min(2 / cells, (2 / cells) ** 2) / 4
        net = lu2017.single_sum_network(lower, upper, heights, ramp=ramp, half_width=1.0)
        return SPACE, net, lu2017.approximate(target, cells=cells).error_bound

    def registers() -> Any:
        shallow = _ridge_fit(target, settings.units)
        return SPACE, kidger_lyons2020.cut_off(shallow, half_width=1.0, ramp=1e-3, floor=0.0, ceiling=1.0), None

    def space_code() -> Any:
        made = park2021.coding_network(target, levels=cells, radius=1.0, ramp=2 * RAMP)
        return SPACE, made.network, made.error_bound

    def cube_code() -> Any:
        made = kim2024.coding_network(target, levels=cells, ramp=RAMP)
        return COMPACT, made.network, made.error_bound

    def caps() -> Any:
        made = hanin_sellke2017.cap_string(target, mesh=settings.mesh[n])
        return UNIFORM, made.network, made.error_bound

    return {
        "step network": step,
        "step network, one sum": single,
        "register model, cut off": registers,
        "coding network on space": space_code,
        "coding network on the cube": cube_code,
        "string of caps": caps,
    }


def _cells(target: Any, count: int) -> tuple[Any, Any, Any]:
    import numpy as np

    axis = np.linspace(-1.0, 1.0, count + 1)
    lower = np.stack(np.meshgrid(*[axis[:-1]] * target.dim, indexing="ij"), -1).reshape(-1, target.dim)
    upper = lower + 2 / count
    return lower, upper, target.values((lower + upper) / 2)


def _ridge_fit(target: Any, units: int) -> Any:
    """One hidden layer of random units, the output weights by least squares on a grid."""
    import numpy as np

    import expressivity as ex

    rng = np.random.default_rng(0)
    n = target.dim
    weight = rng.standard_normal((units, n))
    weight /= np.linalg.norm(weight, axis=1, keepdims=True)
    bias = rng.uniform(-1.0, 1.0, units) * np.abs(weight).sum(1)
    axis = np.linspace(-1.0, 1.0, max(12, round(4000 ** (1 / n))))
    points = np.stack(np.meshgrid(*[axis] * n, indexing="ij"), -1).reshape(-1, n)
    features = np.column_stack([np.maximum(points @ weight.T + bias, 0.0), np.ones(len(points))])
    fitted = np.linalg.lstsq(features, target.values(points), rcond=1e-7)[0]
    return ex.ReLUNetwork.from_layers([(weight, bias), (fitted[None, :-1], fitted[-1:])])


def network_row(n: int, name: str, settings: Settings) -> list[dict[str, Any]]:
    """One built network: its width, its measured error in the norm of its domain, and what it is far away."""
    import numpy as np

    import expressivity as ex
    from experiments.construction_depth import aligned_rule, bump

    domain, net, bound = builders(n, settings)[name]()
    target = bump(n)
    norm = "sup" if domain == UNIFORM else "L1"
    kind = {"step network": "step", "step network, one sum": "step", "string of caps": "string"}.get(name, "code")
    size = settings.panels[n] if kind == "string" or name == "register model, cut off" else settings.cells[n]
    found = []
    for nodes in (2, 3):
        points, weights = aligned_rule(kind, n, size, settings.panels[n], nodes)
        gap = np.abs(ex.evaluate(net, points)[:, 0] - target.values(points))
        found.append(float(gap.max()) if norm == "sup" else float(weights @ gap))
    if norm == "sup":
        witness = target.witness_points
        found[1] = max(*found, float(np.abs(ex.evaluate(net, witness)[:, 0] - target.values(witness)).max()))
    far = float("nan")
    if domain == SPACE:
        rng = np.random.default_rng(1)
        points = rng.uniform(-1.0, 1.0, (2000, n))
        outside = np.sign(rng.standard_normal(2000)) * 10 ** rng.uniform(0.01, np.log10(FAR), 2000)
        points[np.arange(2000), rng.integers(0, n, 2000)] = outside
        far = float(np.abs(ex.evaluate(net, points)).max())
    return [
        {
            "family": name,
            "kind": "network",
            "domain": domain,
            "n": n,
            "width": net.width,
            "hidden_layers": net.hidden_layers,
            "seed": 0,
            "status": "ok",
            "norm": norm,
            "error": found[1],
            "half_width": 0.0 if norm == "sup" else 4 * abs(found[1] - found[0]),
            "bound": float("nan") if bound is None else bound,
            "largest_far_away": far,
        }
    ]


def compiled_rows(n: int) -> list[dict[str, Any]]:
    """Given networks with one and two hidden layers, made narrow: the largest relative difference, far out as well."""
    import numpy as np

    import expressivity as ex
    from expressivity.constructions import vardi2022
    from expressivity.relu import gadgets

    rng = np.random.default_rng(0)
    points = rng.uniform(-1.0, 1.0, (2000, n))
    rows = []
    for widths in ((40,), (16, 16)):
        wide = gadgets.random_network(n, widths, 0)
        for half_width, where in ((1.0, "on the cube"), (None, "on all of space")):
            thin = vardi2022.narrow(wide, half_width=half_width)
            x = points if half_width is not None else 1000 * points
            want = ex.evaluate(wide, x)[:, 0]
            gap = np.abs(ex.evaluate(thin, x)[:, 0] - want).max() / np.abs(want).max()
            rows.append(
                {
                    "family": f"compiler {where}, from {len(widths)} hidden layer{'s' if len(widths) > 1 else ''}",
                    "kind": "network",
                    "domain": GIVEN,
                    "n": n,
                    "width": thin.width,
                    "hidden_layers": thin.hidden_layers,
                    "seed": 0,
                    "status": "ok",
                    "norm": "sup",
                    "error": float(gap),
                    "half_width": 0.0,
                    "bound": 1e-9,
                    "largest_far_away": float("nan"),
                }
            )
    return rows


def floor_rows(n: int) -> list[dict[str, Any]]:
    """What certificates forbid one unit below the least width."""
    import numpy as np

    from experiments.construction_depth import aligned_rule, bump
    from expressivity import certificates, theorems

    target = bump(n)
    points, weights = aligned_rule("string", n, 1, 16, 6)
    size = float(weights @ np.abs(target.values(points)))
    found = [(SPACE, n, "L1", size, str(theorems.find("lu2017", "Theorem 2")), "the error of 0, which attains it")]
    narrow = max(n, 2) - 1
    lower = certificates.floor(target, narrow, norm="L1")
    found.append((COMPACT, narrow, lower.norm, lower.value, str(lower.theorem), "; ".join(lower.assumptions)))
    wall = certificates.floor(target, n, norm="sup")
    found.append((UNIFORM, n, "sup", wall.value, str(wall.theorem), "; ".join(wall.assumptions)))
    return [
        {
            "family": theorem,
            "kind": "certificate",
            "domain": domain,
            "n": n,
            "width": width,
            "hidden_layers": float("nan"),
            "seed": 0,
            "status": "ok",
            "norm": norm,
            "error": value,
            "half_width": 0.0,
            "bound": float("nan"),
            "largest_far_away": float("nan"),
            "assumptions": note,
        }
        for domain, width, norm, value, theorem, note in found
    ]


def walk_rows(n: int, count: int, levels: int) -> list[dict[str, Any]]:
    """Networks of width n from a point where they are not 0 to the distance `FAR`: their value at both ends."""
    import numpy as np

    import expressivity as ex
    from experiments.construction_depth import bump
    from expressivity import certificates
    from expressivity.constructions import kim2024
    from expressivity.relu import gadgets

    # longer ramps than where errors are measured: rounding grows like the distance over the ramp
    start = np.full(n, 0.05)
    nets = [kim2024.coding_network(bump(n), levels=levels, ramp=2.0**-10).network]
    nets += [gadgets.random_network(n, (n, n, n), seed) for seed in range(count)]
    rows = []
    for number, net in enumerate(nets):
        path = certificates.escape_path(net, start, ex.Box(n, -FAR, FAR))
        begin, end = (float(v) for v in ex.evaluate(net, path.points[[0, -1]])[:, 0])
        rows.append(
            {
                "network": "coding network" if number == 0 else f"random, seed {number - 1}",
                "n": n,
                "width": net.width,
                "value_at_start": begin,
                "value_far_away": end,
                "distance": float(np.abs(path.points[-1]).max()),
                "segments": len(path.points) - 1,
            }
        )
    return rows


def check(table: Any, walks: Any, dims: tuple[int, ...], sharp: bool) -> list[tuple[str, bool]]:
    """The sentences of the verdict."""
    found: list[tuple[str, bool]] = []
    for n in dims:
        for domain, width in _landscape.thresholds(n).items():
            rows = table[(table["n"] == n) & (table["domain"] == domain)]
            floors, nets = rows[rows["kind"] == "certificate"], rows[rows["kind"] == "network"]
            floor = floors.iloc[0]
            at = nets[(nets["width"] == width) & (nets["norm"] == floor["norm"])]
            best = float((at["error"] + at["half_width"]).min())
            text = (
                f"n = {n}, {domain}: at width {floor['width']} no {floor['norm']} error is below {floor['error']:.4f}; "
                f"at width {width} a network has {best:.4f}"
            )
            below = best < floor["error"] if sharp else best < 1.0
            found.append((text, bool(floor["width"] == width - 1 and floor["error"] > 0 and below)))
    bounded = table[(table["kind"] == "network") & table["bound"].notna()]
    under = bounded["error"] - bounded["half_width"] <= bounded["bound"]
    found.append((f"{int(under.sum())} of {len(under)} measured errors are under their bound", bool(under.all())))
    far = table[table["domain"].eq(SPACE) & table["kind"].eq("network")]["largest_far_away"]
    found.append(
        (f"the networks on all of space are at most {far.max():.2g} outside the cube, up to {FAR:g}", far.max() <= 1e-9)
    )
    if len(walks):
        drift = (walks["value_far_away"] - walks["value_at_start"]).abs() / walks["value_at_start"].abs()
        alive = walks["value_at_start"].abs() > 1e-6
        found.append(
            (
                f"{int(alive.sum())} networks of width n are followed to the distance {walks['distance'].min():.3g}; "
                f"their values change by a factor of 1 + {drift[alive].max():.2g} at most",
                bool(alive.any() and drift[alive].max() < 1e-4),
            )
        )
    return found


def landscape(dims: tuple[int, ...]) -> Any:
    """The known results as a table, with the widths they give for one output."""
    import pandas as pd

    rows = []
    for r in _landscape.RESULTS:
        row: dict[str, Any] = {"paper": r.key, "place": r.place, "domain": r.domain, "activation": r.activation}
        row |= {"statement": r.statement, "known": _landscape.SOURCES[r.known]}
        for n in dims:
            row[f"at least, n = {n}"] = r.least(n, 1) if r.least is not None and r.scalar else None
            row[f"enough, n = {n}"] = r.enough(n, 1) if r.enough is not None and r.scalar else None
        rows.append(row)
    return pd.DataFrame(rows).convert_dtypes()


def experiment(options: Options) -> int:
    """Builds, measures, certifies, draws, and returns the exit status."""
    begun = time.perf_counter()
    settings = _run.chosen(PRESETS, options, "walks")
    _run.start_jax(options.platform)
    import pandas as pd

    from experiments import _depth, _landscape_figure
    from expressivity import sweeps

    rows: list[dict[str, Any]] = []
    walks: list[dict[str, Any]] = []
    with sweeps.Store(options.out) as store:
        cells = _depth.Cells(store)
        for n in settings.dims:
            shared = {"n": n, "cells": settings.cells[n], "panels": settings.panels[n]}
            shared |= {"mesh": settings.mesh[n], "units": settings.units}
            for name in builders(n, settings):
                address = {"name": name, **shared}
                rows += cells.rows("network", address, lambda n=n, name=name: network_row(n, name, settings))
            rows += cells.rows("compiler", {"n": n}, lambda n=n: compiled_rows(n))
            rows += cells.rows("certificate", {"n": n}, lambda n=n: floor_rows(n))
            if n > 1:
                levels = settings.cells[n]
                address = {"n": n, "count": settings.walks, "levels": levels}
                walks += cells.rows("walk", address, lambda n=n, m=levels: walk_rows(n, settings.walks, m))
        table, walked = pd.DataFrame(rows), pd.DataFrame(walks)
        known = landscape(settings.dims)
        claim = _run.claim(__doc__)
        return _depth.finish(
            cells,
            options,
            settings,
            "The least width",
            claim,
            check(table, walked, settings.dims, sharp=options.preset != "smoke"),
            {"landscape": known, "table": table, "walks": walked},
            _landscape_figure.draw(table[table["n"] == settings.dims[0]], settings.dims[0]),
            "Known results on the least width as bars, networks built here as dots, certificates as diamonds.",
            begun,
        )


if __name__ == "__main__":
    sys.exit(_run.main("minimum_width", Options, experiment, __doc__ or ""))
