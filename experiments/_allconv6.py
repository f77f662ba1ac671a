"""The nine allconv6 networks: costs, gains at the start, comparisons on the same test images, claims, figure."""

import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

import expressivity as ex
from experiments._images import FALSE, HOLDS, UNDETERMINED, Claim
from expressivity.models.allconv6 import CHANNELS
from expressivity.sweeps import binomial_interval

NAMES = {variant: f"allconv6_{variant}" if variant else "allconv6" for variant in range(9)}
GROUPS = ((0, 1, 2, 3, 4), (0, 5, 6, 7, 8))
PARTS = {2: "conv1 and conv2", 3: "conv3 and conv4", 4: "conv5", 6: "conv1 and conv2", 7: "conv3 and conv4", 8: "conv5"}
START = {2: 1, 3: 1, 4: 1, 6: 5, 7: 5, 8: 5}
CLOSE = 0.03  # what the original runs could not have told apart: two points of 240 test images each
Wrong = Mapping[int, np.ndarray]


def label(variant: int) -> str:
    """How figures and tables call a network."""
    return f"_{variant}" if variant else "base"


def channels(variant: int) -> tuple[int, ...]:
    """Channels of conv1 to conv5."""
    return CHANNELS[NAMES[variant]]


def costs(variant: int, pixels: int, classes: int, colours: int) -> tuple[int, int]:
    r"""(parameters, multiply-accumulates) in closed form, for the check of the counter.

    $\sum_l (9 c_{l-1} + 1) c_l + (c_5 + 1) K$ and $\sum_l 9 c_{l-1} c_l \lceil R / 2^l \rceil^2 + c_5 K$.
    """
    widths = (colours, *channels(variant))
    pairs = list(itertools.pairwise(widths))
    parameters = sum((9 * a + 1) * b for a, b in pairs) + (widths[-1] + 1) * classes
    macs = sum(9 * a * b * math.ceil(pixels / 2**l) ** 2 for l, (a, b) in enumerate(pairs, 1)) + widths[-1] * classes
    return parameters, macs


def gain(variant: int, rule: str) -> float:
    r"""By which factor conv2 to conv5 and the dense layer multiply signals at the start, rms, against borders aside.

    A convolution with $c$ inputs and kernels of deviation $s$ multiplies by $s \sqrt{9 c / 2}$ (the half is ReLU's):
    $0.01 \sqrt{9 c / 2}$ in the original, 1 with He's rule. The dense layer keeps signals in both; with MuP it
    multiplies by $m^{-1/2}$, $m$ the channels of conv5 over those of the base.
    """
    c = channels(variant)
    if rule == "original":
        return math.prod(0.01 * math.sqrt(9 * count / 2) for count in c[:-1])
    return 1.0 if rule == "he" else math.sqrt(channels(0)[-1] / c[-1])


def starting_logits(family: Any, images: Any, rule: Any, seeds: int) -> np.ndarray:
    """The mean square of the logits of fresh networks on `images`, one a seed; `rule` names the initial values."""
    import jax

    squares = []
    for seed in range(seeds):
        network = family.init(jax.random.key(seed), ex.Width(), images.shape[1:], initialisation=rule)
        squares.append((logits(family, network, images) ** 2).mean())
    return np.array(squares, np.float64)


def logits(family: Any, network: Any, images: Any) -> np.ndarray:
    """The logits of a (model, state) in the layout that compiles in a quarter of the time, for few images."""
    return np.asarray(family.apply(*network, images, layout="nhwc")[0])


def gains(variants: Sequence[int], images: Mapping[str, Any], classes: int, seeds: int) -> Any:
    """A table: gain in closed form and the measured size of logits at the start, both over those of the base."""
    import pandas as pd

    rows = []
    for rule, batch in images.items():
        base = None
        for variant in sorted({0, *variants}):
            squares = starting_logits(ex.AllConv6(variant, classes=classes), batch, rule, seeds)
            mean, error = squares.mean(), squares.std(ddof=1) / math.sqrt(seeds) / squares.mean()
            base = (mean, error) if variant == 0 else base
            assert base is not None
            row = {"network": label(variant), "initial values": rule, "gain of conv2 to conv5": gain(variant, rule)}
            row |= {"logits, rms": math.sqrt(mean), "closed ratio": gain(variant, rule) / gain(0, rule)}
            row["measured ratio"] = math.sqrt(mean / base[0])
            row["standard error"] = row["measured ratio"] * math.hypot(error, base[1] if variant else 0.0) / 2
            rows.append(row)
    return pd.DataFrame(rows)


def wrong_images(family: Any, task: Any, networks: Mapping[Any, Any], seeds: Sequence[int]) -> np.ndarray:
    """Which test images each network of `networks` (by seed) tells wrong, (seeds, images)."""
    total = len(task.test)
    size = max(n for n in range(1, min(total, 100) + 1) if total % n == 0)
    rows = []
    for seed in seeds:
        parts = [
            logits(family, networks[seed], task.pipe(task.test.images[at : at + size])).argmax(1)
            for at in range(0, total, size)
        ]
        rows.append(np.concatenate(parts) != task.test.labels)
    return np.array(rows)


def contrast(wrong: Wrong, weights: Mapping[int, float]) -> tuple[float, float]:
    r"""The mean of $\sum_v w_v \cdot \mathrm{wrong}_v$ over seeds and images, weights of sum 0, and its margin of 95 %.

    Networks of one seed saw the same batches, and all are read on the same images, so differences are taken seed by
    seed and image by image. The margin adds in squares the standard error over seeds (Student's law) and the one over
    images (normal law).
    """
    from scipy.stats import t

    base = wrong[next(iter(weights))].astype(float)  # taken off, so that networks that are alike give exactly 0
    table = np.asarray(sum(weight * (wrong[variant] - base) for variant, weight in weights.items()))
    seeds, images = table.shape
    if seeds < 2:
        return float(table.mean()), math.inf
    by_seed = float(t.ppf(0.975, seeds - 1)) * table.mean(1).std(ddof=1) / math.sqrt(seeds)
    by_image = 1.959963984540054 * table.mean(0).std(ddof=1) / math.sqrt(images)
    return float(table.mean()), math.hypot(by_seed, by_image)


def word(value: float, margin: float) -> str:
    """The word for "this is positive"."""
    return HOLDS if value > margin else FALSE if value < -margin else UNDETERMINED


def together(words: Sequence[str]) -> str:
    """The word for "all of these hold"."""
    return FALSE if FALSE in words else UNDETERMINED if UNDETERMINED in words else HOLDS


def comparisons(
    arm: str, wrong: Wrong, macs: Mapping[int, int], parameters: Mapping[int, int]
) -> tuple[Any, list[Claim]]:
    """Every claim of the article about one set of networks: a table of comparisons, and the claims with their words."""
    import pandas as pd

    rows: list[dict[str, Any]] = []
    claims: list[Claim] = []

    def better(first: int, second: int) -> str:
        value, margin = contrast(wrong, {second: 1.0, first: -1.0})
        text = f"{label(first)} is more accurate than {label(second)}"
        rows.append({"initial values": arm, "claim": text, "points": 100 * value, "margin": 100 * margin})
        rows[-1]["word"] = word(value, margin)
        return rows[-1]["word"]

    def said(first: int, second: int) -> None:
        claims.append(Claim(f"{arm}: {_points(rows[-1])}", better_words[first, second]))

    better_words: dict[tuple[int, int], str] = {}
    pairs = [(v, 1) for v in (2, 3, 4)] + [(0, v) for v in (2, 3, 4)] + [(0, 1)]
    pairs += [(v, 5) for v in (6, 7, 8)] + [(0, v) for v in (5, 6, 7, 8)] + [(5, 1)]
    for first, second in pairs:
        if {first, second} <= set(wrong):
            better_words[first, second] = better(first, second)
            said(first, second)
    near = [v for v in (5, 6, 7, 8) if v in wrong and 0 in wrong]
    if near:
        found = [contrast(wrong, {v: 1.0, 0: -1.0}) for v in near]
        inside = all(abs(value) + margin <= CLOSE for value, margin in found)
        outside = any(abs(value) - margin > CLOSE for value, margin in found)
        largest = 100 * max(abs(value) + margin for value, margin in found)
        claims.append(
            Claim(
                f"{arm}: base and {', '.join(map(label, near))} lie within {100 * CLOSE:g} points of each other (they "
                f"differ from the base by at most {largest:.1f} points)",
                HOLDS if inside else FALSE if outside else UNDETERMINED,
            )
        )
    doubled = [better_words[v, START[v]] for v in PARTS if (v, START[v]) in better_words]
    if len(doubled) == len(PARTS):
        claims.append(Claim(f"{arm}: doubling any part helps (all six doublings)", together(doubled)))
    for cost, counts in (("MAC", macs), ("parameter", parameters)):
        for start, ends in ((1, (2, 3, 4)), (5, (6, 7, 8))):
            if {start, *ends} <= set(wrong):
                claims.append(_per_cost(arm, wrong, cost, counts, start, ends))
    return pd.DataFrame(rows), claims


def _points(row: Mapping[str, Any]) -> str:
    return f"{row['claim']} ({row['points']:+.1f} ± {row['margin']:.1f} points)"


def _per_cost(arm: str, wrong: Wrong, cost: str, counts: Mapping[int, int], start: int, ends: Sequence[int]) -> Claim:
    """Whether the cheapest doubling buys the most accuracy for each unit of cost."""
    added = {v: counts[v] - counts[start] for v in ends}
    cheapest = min(ends, key=lambda v: added[v])
    words, rates = [], {}
    for v in ends:
        rates[v] = 1e8 * (wrong[start].mean() - wrong[v].mean()) / added[v]
        if v != cheapest:
            weights = {start: 1 / added[cheapest] - 1 / added[v], cheapest: -1 / added[cheapest], v: 1 / added[v]}
            words.append(word(*contrast(wrong, weights)))
    listed = ", ".join(f"{label(v)} {rates[v]:.1f}" for v in ends)
    return Claim(
        f"{arm}: from {label(start)}, doubling {PARTS[cheapest]} ({label(cheapest)}) buys the most accuracy for each "
        f"{cost} added (points a million: {listed})",
        together(words),
    )


def detectable(table: Any) -> float:
    """The median margin of the pairwise comparisons, in points: smaller differences could not have been seen."""
    return float(table["margin"].median())


def summary(
    arm: str, wrong: Wrong, losses: Mapping[int, Sequence[float]], classes: int, costs: Mapping[int, Any]
) -> Any:
    """One row a network: channels, costs, accuracy with its binomial interval, spread over seeds, accuracy per cost."""
    import pandas as pd

    rows = []
    for variant, table in sorted(wrong.items()):
        count, right = table.shape[1], 1 - table.mean(1)
        low, high = binomial_interval(round(right.mean() * count), count)
        parameters, macs = costs[variant]
        stuck = sum(loss > 0.98 * math.log(classes) for loss in losses[variant])
        rows.append(
            {
                "initial values": arm,
                "network": label(variant),
                "channels": " ".join(map(str, channels(variant))),
                "parameters": parameters,
                "MACs": macs,
                "accuracy": 100 * right.mean(),
                "low": 100 * low,
                "high": 100 * high,
                "deviation over seeds": round(100 * right.std(ddof=1), 12) if len(right) > 1 else math.nan,
                "seeds": len(right),
                "still at the start": stuck,
                "accuracy a million MACs": 1e8 * right.mean() / macs,
                "accuracy a thousand parameters": 1e5 * right.mean() / parameters,
            }
        )
    return pd.DataFrame(rows)


def initialisation_claims(wrong: Mapping[str, Wrong]) -> list[Claim]:
    """Whether a narrow network falls behind less where the initial values do not shrink its signals."""
    claims = []
    for arm in ("he", "mup"):
        for narrow in (1, 5):
            if not all(arm_ in wrong and {0, narrow} <= set(wrong[arm_]) for arm_ in ("original", arm)):
                continue
            if wrong["original"][0].shape != wrong[arm][0].shape:
                continue
            old, new = ({0: wrong[a][0], 1: wrong[a][narrow]} for a in ("original", arm))
            table = {0: old[0], 1: old[1], 2: new[0], 3: new[1]}
            value, margin = contrast(table, {1: 1.0, 0: -1.0, 3: -1.0, 2: 1.0})
            gaps = [100 * (pair[1].mean() - pair[0].mean()) for pair in (old, new)]
            claims.append(
                Claim(
                    f"part of the gap between base and {label(narrow)} is the initial values: {gaps[0]:.1f} points "
                    f"with the original ones, {gaps[1]:.1f} with {TITLES[arm]} (difference {100 * value:+.1f} ± "
                    f"{100 * margin:.1f})",
                    word(value, margin),
                )
            )
    return claims


TITLES = {"original": "the original values (0.01)", "he": "He's rule", "mup": "MuP"}
COLOURS = {0: "black", 1: "#0072B2", 2: "#E69F00", 3: "#009E73", 4: "#D55E00"}
MARKERS = {0: "s", 1: "o", 2: "^", 3: "v", 4: "D"}
TEXT = (
    "One row a choice of initial values. Left, test accuracy in training in the two groups of the article: the base "
    "with its quarter (_1) and the quarter with one part doubled (_2, _3, _4), the base with its half (_5) and the "
    "half with one part doubled (_6, _7, _8); lines are means over seeds, bands their range. Right, accuracy at the "
    "end against multiply-accumulates and against parameters, bars the exact binomial interval of 95 % of the test "
    "set; hollow marks belong to the second group."
)


def draw(curves: Any, table: Any, arms: Sequence[str]) -> Any:
    """Rows: initial values; columns: curves of both groups, accuracy against MACs and against parameters."""
    import matplotlib.pyplot as plt
    from matplotlib.lines import Line2D

    size = (12.4, 2.75 * len(arms) + 0.75)
    figure, axes = plt.subplots(len(arms), 4, figsize=size, squeeze=False, layout="constrained")
    for row, arm in zip(axes, arms, strict=True):
        mine = curves[curves["origin"] == arm]
        for ax, group in zip(row[:2], GROUPS, strict=True):
            _curves(ax, mine, group)
        end = table[table["initial values"] == arm]
        for ax, cost in zip(row[2:], ("MACs", "parameters"), strict=True):
            _costs(ax, end, cost)
        row[1].sharey(row[0])
        row[3].sharey(row[2])
        row[0].set_ylabel("test accuracy (%)")
        row[2].set_ylabel("at the end (%)")
        row[0].set_title(f"Initial values: {TITLES[arm].removeprefix('the ')}", loc="left", fontsize="medium")
        for ax in row:
            ax.grid(alpha=0.25, lw=0.6)
            ax.spines[["top", "right"]].set_visible(False)
    for ax, name in zip(axes[-1], ("step", "step", "MACs an image", "parameters"), strict=True):
        ax.set_xlabel(name)
    handles = {}
    for ax in axes[0, :2]:
        handles |= {text: handle for handle, text in zip(*ax.get_legend_handles_labels(), strict=True)}
    # two rows, the second group under the first
    shown = [v for v in (0, None, 1, 5, 2, 6, 3, 7, 4, 8) if v is None or NAMES[v] in handles]
    figure.legend(
        [Line2D([], [], ls="") if v is None else handles[NAMES[v]] for v in shown],
        ["" if v is None else f"{NAMES[v]}: {' '.join(map(str, channels(v)))}" for v in shown],
        loc="outside lower center",
        ncols=-(-len(shown) // 2),
        fontsize="small",
        frameon=False,
    )
    return figure


def _style(variant: int) -> dict[str, Any]:
    place = variant if variant < 5 else variant - 4
    hollow = variant >= 5
    return {"color": COLOURS[place], "marker": MARKERS[place], "mfc": "white" if hollow else COLOURS[place]}


def _curves(ax: Any, curves: Any, group: Sequence[int]) -> None:
    for variant in group:
        mine = curves[curves["variant"] == variant]
        if not len(mine):
            continue
        by = (100 * (1 - mine["error"])).groupby(mine["step"])
        steps = list(by.groups)
        ax.fill_between(steps, by.min(), by.max(), color=_style(variant)["color"], alpha=0.13, lw=0)
        ax.plot(
            steps, by.mean(), lw=1.4, ms=3.5, markevery=max(1, len(steps) // 8), label=NAMES[variant], **_style(variant)
        )


def _costs(ax: Any, table: Any, cost: str) -> None:
    from matplotlib.ticker import EngFormatter, LogLocator, NullLocator

    for place, row in enumerate(table.sort_values(cost).to_dict("records")):
        variant = 0 if row["network"] == "base" else int(row["network"][1:])
        error = [[row["accuracy"] - row["low"]], [row["high"] - row["accuracy"]]]
        ax.errorbar(row[cost], row["accuracy"], error, capsize=0, elinewidth=0.8, ms=6, ls="", **_style(variant))
        above = place % 2 == 1  # the label stands over the bar or under it, in turn
        ax.annotate(
            label(variant),
            (row[cost], row["high"] if above else row["low"]),
            (0, 3 if above else -3),
            textcoords="offset points",
            fontsize="x-small",
            ha="center",
            va="bottom" if above else "top",
        )
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(EngFormatter(sep=""))
    ax.xaxis.set_minor_locator(NullLocator())
    ax.margins(x=0.1, y=0.12)
