"""Is any constructed network above its bound? Points chosen against it, by gradient ascent and on ramps, try to be.

Claim. At no point does a constructed network leave what is proved of it: within the sup bound of its target, equal to
the network or the function that it represents, between the least and the largest of the values it looks up, equal to
the value of the cell off the ramps, and zero where it has to be zero.

Method. Instances of every construction are drawn at random: targets, cells, ramps, pieces, weights. Points are random,
or lie on the ramps, kinks, walls and corners of the instance, and just beside them; from the worst of them gradient
ascent in float64 goes on. What is proved is an interval for the value at each point. The distance from its middle over
half its length must not exceed 1; the length contains an allowance for rounding of at most 1e-7, which matters only
where equality is proved. A ratio of 1 says that a bound is attained. The table has one row an instance.

`default` tries nearly two million points in a minute and a half on two cores, `paper` forty million. The exit status
is 0 if the claim held, 1 if not, 2 if the run was refused.
"""

import dataclasses
import pathlib
import sys
import time
from typing import Any, Literal

from experiments import _run

LEAST = 1e-10  # what the figure shows for 0


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        seeds: Instances of every family.
        points: Points of each kind, random and special.
        ascents: From how many of the worst points gradient ascent starts.
        steps: Of the ascent.
    """

    seeds: int = 12
    points: int = 6000
    ascents: int = 64
    steps: int = 40


SMOKE = Settings(seeds=1, points=600, ascents=8, steps=8)
PAPER = Settings(seeds=60, points=20_000, ascents=256, steps=100)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: a minute and a half on two cores; paper: an hour."""
    out: pathlib.Path = pathlib.Path("runs/search_ceilings")
    """Output folder."""
    seeds: int | None = None
    """Instances of every family."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""


def attack(family: str, seed: int, settings: Settings) -> list[dict[str, Any]]:
    """The worst point found against one instance of a family."""
    import numpy as np

    from experiments import _ceilings

    rng = np.random.default_rng([seed, *family.encode()])
    case = _ceilings.FAMILIES[family](rng)
    sample = case.clip(np.concatenate([case.sample(rng, settings.points), case.special(rng, settings.points)]))

    found, _ = case.reached(sample)
    worst = np.argsort(found)[::-1][: settings.ascents]
    climbed = _ceilings.ascend(case, sample[worst], settings.steps)
    again, _ = case.reached(climbed)
    top, point = (again, climbed) if again.max() > found.max() else (found, sample)
    return [
        {
            "family": family,
            "width": case.network.width,
            "hidden_layers": case.network.hidden_layers,
            "seed": seed,
            "status": "ok",
            "norm": "sup",
            "error": float(top.max()),
            "n": case.network.input_dim,
            "proved": case.what,
            "tries": len(sample) + len(climbed) * (settings.steps + 1),
            "found_by": "ascent" if again.max() > found.max() else "points",
            "at": " ".join(f"{v:.17g}" for v in point[int(top.argmax())]),
        }
    ]


def check(table: Any) -> list[tuple[str, bool]]:
    """The sentences of the verdict."""
    found = []
    for family, rows in table.groupby("family", sort=False):
        worst = float(rows["error"].max())
        text = (
            f"{family}: {int(rows['tries'].sum()):,} points against {len(rows)} networks reach {worst:.6f} of what is "
            f"allowed ({rows['proved'].iloc[0]})"
        )
        found.append((text, worst <= 1.0))
    return found


def draw_figure(table: Any) -> Any:
    """What was reached, as a share of what is allowed, one row a family."""
    import matplotlib.pyplot as plt
    import numpy as np

    families = list(dict.fromkeys(table["family"]))[::-1]
    figure, ax = plt.subplots(figsize=(7.6, 0.34 * len(families) + 1.1), layout="constrained")
    for place, family in enumerate(families):
        rows = table[table["family"] == family]
        jitter = 0.22 * (2 * ((np.arange(len(rows)) * 0.618) % 1) - 1)
        for kind, marker, colour in (("points", "o", "#1f5fa8"), ("ascent", "^", "#d95f02")):
            chosen = (rows["found_by"] == kind).to_numpy()
            ax.plot(
                np.maximum(rows["error"][chosen], LEAST),
                (place + jitter)[chosen],
                marker,
                ms=4,
                color=colour,
                alpha=0.8,
            )
    ax.axvline(1.0, color="#b2182b", lw=1.2, zorder=0)
    ax.axvspan(1.0, 30.0, color="#b2182b", alpha=0.12, lw=0)
    ax.text(1.3, -0.45, "forbidden", color="#b2182b", rotation=90, va="bottom", fontsize="small")
    ax.plot([], [], "o", ms=4, color="#1f5fa8", label="worst among random and special points")
    ax.plot([], [], "^", ms=4, color="#d95f02", label="worst after gradient ascent")
    ax.set(xscale="log", xlim=(0.5 * LEAST, 4.0), ylim=(-0.6, len(families) - 0.4))
    ax.set_xlabel("reached / allowed (rounding alone where equality is proved)")
    ax.set_yticks(range(len(families)), families)
    ax.spines[["top", "right"]].set_visible(False)
    figure.legend(loc="outside lower center", ncols=2, frameon=False, fontsize="small")
    return figure


def experiment(options: Options) -> int:
    """The whole run; returns the exit status."""
    begun = time.perf_counter()
    settings = _run.chosen(PRESETS, options)
    _run.start_jax(options.platform)
    import pandas as pd

    from experiments import _ceilings, _depth
    from expressivity import sweeps

    rows: list[dict[str, Any]] = []
    with sweeps.Store(options.out) as store:
        cells = _depth.Cells(store)
        rest = {k: v for k, v in _run.settings(settings).items() if k != "seeds"}
        for family in _ceilings.FAMILIES:
            for seed in range(settings.seeds):
                address = {"family": family, "seed": seed, **rest}
                rows += cells.rows("attack", address, lambda f=family, s=seed: attack(f, s, settings))
        table = pd.DataFrame(rows)
        claim = _run.claim(__doc__)
        return _depth.finish(
            cells,
            options,
            settings,
            "Search for exceeded ceilings",
            claim,
            check(table),
            {"table": table},
            draw_figure(table),
            "What chosen points reach of what is allowed, for every construction; 1 must not be exceeded.",
            begun,
        )


if __name__ == "__main__":
    sys.exit(_run.main("search_ceilings", Options, experiment, __doc__ or ""))
