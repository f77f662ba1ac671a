"""What the experiment on first layers measures on filters, what it says about them, and its figure."""

import math
import os
import pathlib
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np

from experiments._images import HOLDS, UNDETERMINED, Claim, compare, holds
from expressivity import models, plots

TEXT = (
    "First-layer filters of a narrow, a middle and the widest network as pictures, the error against the width, and "
    "Gabor scores and pairing cosines of the widest first layers beside those of random filters."
)
ALIKE = 0.9  # the cosine at which filters are merged
COPIES = 19  # scrambled copies of each filter: one in twenty beats all of them by chance
LEAST_SIZE = 7  # of filters whose score can tell Gabor functions from noise
COUNTED = {"MobileNet v1 1.0": (9, 32), "AlexNet": (0, 64), "VGG-16": (0, 64)}  # near-dead filters, filters


def measure(kernel: np.ndarray, layers: int, seed: int) -> dict[str, Any]:
    """The statistics of one first layer, batch norm folded; those of the live filters but for the first three."""
    dead = models.dead_filters(kernel)
    live = np.delete(kernel, dead, axis=-1)
    size, _, inputs, filters = kernel.shape
    row: dict[str, Any] = {
        "fan_in": size**2 * inputs,
        "dead": len(dead),
        "rank": int(np.linalg.matrix_rank(kernel.reshape(-1, filters))),
        "kept_at_0.9": len(models.merged(live, ALIKE)),
    }
    if live.shape[-1] > 1:
        found, law = models.redundancy(live), models.random_redundancy(live.shape[-1], row["fan_in"])
        test = models.pairing_test(live, layers, seed)
        row |= {
            "mean_cosine": found.mean_cosine,
            "mean_cosine_random": law["mean_cosine"],
            "alike": found.alike,
            "participation": found.participation,
            "entropy_rank": found.entropy_rank,
            "pairing": test.mean,
            "pairing_random": test.expected,
            "pairing_bound": test.bound,
            "pairing_p": test.p_value,
            "paired": test.paired,
        }
    score, null = scores(live), models.ScoreNull(size)
    split, fit = models.colour_split(live), models.fit_gabor(live, starts=2, steps=30)
    copies = np.array([models.bank_score(models.scrambled(live, number)).score for number in range(COPIES)])
    usable = ~np.isnan(score)
    return row | {
        "score": float(np.nanmedian(score)) if usable.any() else float("nan"),
        "score_random_99": float(null.quantile(0.99)),
        "scored": int(usable.sum()),
        "above_99": int((score[usable] > null.quantile(0.99)).sum()),
        "above_copies": int((score[usable] > copies[:, usable].max(0)).sum()),
        "fit": float(np.nanmedian(fit.correlation)) if usable.any() else float("nan"),
        "separable": float(np.median(split.separable)),
        "achromatic": float(np.median(split.achromatic)),
    }


def scores(kernel: np.ndarray) -> np.ndarray:
    """Gabor scores of the filters."""
    return models.bank_score(kernel).score


def trained_by_others() -> dict[str, np.ndarray]:
    """First layers of networks trained on ImageNet, batch norm folded, from the folder EXPRESSIVITY_DATA; else none."""
    folder = os.environ.get("EXPRESSIVITY_DATA")
    path = pathlib.Path(folder or ".") / "pretrained" / "first_layers.npz"
    if not folder or not path.is_file():
        return {}
    arrays = models.read(path)
    parts = [arrays[f"mobilenet_v1_1.0__{part}"] for part in ("gamma", "beta", "moving_mean", "moving_variance")]
    mobilenet, _ = models.fold_batch_norm(
        arrays["mobilenet_v1_1.0__w"], None, parts[0], parts[1], parts[2], parts[3], 1e-3
    )
    return {"AlexNet": arrays["alexnet__w"], "VGG-16": arrays["vgg16__w"], "MobileNet v1 1.0": mobilenet}


def claims(
    table: Any,
    others: Any,
    layers: Mapping[tuple[int, int, int], np.ndarray],
    families: Sequence[Any],
    images: int,
    input_size: tuple[int, int, int],
) -> list[Claim]:
    """The sentences of the verdict: first what is proved or counted, then what was measured."""
    found = _counted(table, families, input_size)
    if others is not None:
        found += _counted_of_others(others)
    for kernel, rows in table.groupby("kernel"):
        found += _measured(int(kernel), rows, images)
    if others is not None:
        for number, row in enumerate(others.to_dict("records")):
            found += [_pairs(f"the live filters of {row['network']}", others[number : number + 1]), _about_other(row)]
    return found


def _counted(table: Any, families: Sequence[Any], input_size: tuple[int, int, int]) -> list[Claim]:
    limit = np.minimum(table["width"], table["fan_in"])
    wide = table[table["width"] > table["fan_in"]]
    within = (table["rank"] <= limit).all()
    several = table.dropna(subset="participation") if "participation" in table else table[:0]
    alive = np.minimum(several["width"] - several["dead"], several["fan_in"])
    slack = 1 + 1e-9
    ordered = bool(
        (
            (several["participation"] >= 1 / slack)
            & (several["participation"] <= several["entropy_rank"] * slack)
            & (several["entropy_rank"] <= alive * slack)
        ).all()
    )
    exact = True
    for family in families:
        k, chain = family.kernel, family.body
        behind = sum(9 * a * b + 2 * b for a, b in pairwise(chain))
        behind += 2 * chain[0] + (chain[-1] + 1) * family.classes
        rows = table[table["kernel"] == k]
        exact &= bool((rows["parameters"] == rows["width"] * (k**2 * input_size[2] + 2 + 9 * chain[0]) + behind).all())
    return [
        Claim(
            f"in all {len(table)} networks the rank of the first layer is at most filters and fan-in; {len(wide)} have "
            f"more filters than fan-in" + (f" and rank {wide['rank'].max()} at most" if len(wide) else ""),
            holds(within),
            True,
        ),
        Claim(
            f"in all {len(several)} networks with two live filters the participation ratio is at most the entropy "
            "rank, and that at most filters and fan-in",
            holds(ordered),
            True,
        ),
        Claim(f"the parameters of all {len(table)} networks are linear in the width, as counted", holds(exact), True),
    ]


def _counted_of_others(others: Any) -> list[Claim]:
    rows = {row["network"]: row for row in others.to_dict("records")}
    text = ", ".join(f"{name} {rows[name]['dead']} of {count}" for name, (_, count) in COUNTED.items())
    good = all(rows[name]["dead"] == dead for name, (dead, _) in COUNTED.items())
    return [Claim(f"near-dead filters after folding batch norm, as known: {text}", holds(good), True)]


def _measured(kernel: int, rows: Any, images: int) -> list[Claim]:
    by_width = {int(width): group for width, group in rows.groupby("width")}
    widths = sorted(by_width)
    narrow, wide = widths[0], widths[-1]
    name = f"with {kernel}x{kernel} filters"
    found = []
    pairs = [(narrow, wide)] + ([(widths[-2], wide)] if len(widths) > 2 else [])
    for less, more in pairs:
        word, text = compare(by_width[more]["error"].tolist(), by_width[less]["error"].tolist(), images)
        found.append(Claim(f"{name} {more} filters tell fewer images wrong than {less}: {text}", word))
    top = by_width[wide]
    filters, dead, kept = (int(top[column].sum()) for column in ("width", "dead", "kept_at_0.9"))
    found.append(Claim(f"{name} some of the {filters} filters of the widest layers die: {dead} did", holds(dead > 0)))
    found.append(
        Claim(
            f"{name} some live filters of the widest layers have a cosine of {ALIKE} with another: merging leaves "
            f"{kept} of {filters - dead}",
            holds(kept < filters - dead),
        )
    )
    if "pairing" in top and top["pairing"].notna().any():
        found.append(_pairs(f"{name} the filters of the widest layers", top))
    found += _gabor(name, kernel, int(top["scored"].sum()), int(top["above_99"].sum()), int(top["above_copies"].sum()))
    return found


def _pairs(name: str, top: Any) -> Claim:
    """Each layer is tested at 5 % divided by their number, so that all together err with probability at most 5 %."""
    usable = top.dropna(subset="pairing")
    least = np.minimum(usable["pairing_bound"], usable["pairing_p"])
    called = int((least <= 0.05 / len(usable)).sum())
    return Claim(
        f"{name} come in pairs of opposites more than random ones: mean least cosine "
        f"{usable['pairing'].mean():.3f}, exactly {usable['pairing_random'].mean():.3f} for random filters, "
        f"{called} of {len(usable)} layers beyond 5 % together (bound by the law {usable['pairing_bound'].min():.2g}, "
        f"least p {usable['pairing_p'].min():.2g})",
        HOLDS if called == len(usable) else UNDETERMINED,
    )


def _gabor(name: str, kernel: int, scored: int, above: int, beyond: int) -> list[Claim]:
    from scipy.stats import binom

    level = float(models.ScoreNull(kernel).quantile(0.95)) if kernel >= 3 else 1.0
    if kernel < LEAST_SIZE:
        return [
            Claim(
                f"{name} the filters look like Gabor functions: one in twenty random ones scores above {level:.2f}, so "
                "that no score can tell",
                UNDETERMINED,
            )
        ]
    found = []
    for sentence, count, chance in (
        ("more filters of the widest layers score above the 99 % point of white noise than chance gives", above, 0.01),
        ("more of them score above all copies with the same spectrum and random phases than chance", beyond, 1 / 20),
    ):
        p = float(binom.sf(count - 1, scored, chance)) if scored else 1.0
        text = f"{name} {sentence}: {count} of {scored}, {chance * scored:.1f} expected, p = {p:.2g}"
        found.append(Claim(text, HOLDS if p <= 0.05 else UNDETERMINED))
    return found


def _about_other(row: Mapping[str, Any]) -> Claim:
    size = {363: 11, 27: 3}[int(row["fan_in"])]
    name = str(row["network"])
    if size < LEAST_SIZE:
        return _gabor(f"in {name}", size, row["scored"], row["above_99"], row["above_copies"])[0]
    white, copies = _gabor(name, size, row["scored"], row["above_99"], row["above_copies"])
    word = HOLDS if (white.word, copies.word) == (HOLDS, HOLDS) else UNDETERMINED
    return Claim(
        f"{name} has Gabor-like filters: {row['above_99']} of {row['scored']} score above the 99 % point of white "
        f"noise, {row['above_copies']} above {COPIES} copies with random phases",
        word,
    )


def draw(table: Any, layers: Mapping[tuple[int, int, int], np.ndarray], others: Mapping[str, np.ndarray]) -> Any:
    """Pictures of filters above, error, scores and pairs of the largest kernel below, then layers of other people."""
    import matplotlib.pyplot as plt

    kernel = int(table["kernel"].max())
    rows = table[table["kernel"] == kernel]
    widths = sorted({int(width) for width in rows["width"]})
    narrow = max((w for w in widths if w <= 8), default=widths[0])
    between = [w for w in widths if narrow < w < widths[-1]]
    middle = min(between, key=lambda w: abs(math.log(w**2 / (narrow * widths[-1]))), default=widths[-1])
    shown = [narrow, middle, widths[-1]]
    down = 3 if others else 2
    figure, axes = plt.subplots(down, 3, figsize=(10.2, 3.2 * down), layout="constrained")
    for ax in axes[0, len(set(shown)) :]:
        ax.set_axis_off()
    for ax, width in zip(axes[0], dict.fromkeys(shown), strict=False):
        filters = layers[kernel, width, int(rows.loc[rows["width"] == width, "seed"].min())]
        _pictures(ax, filters, f"{width} filters of {kernel}x{kernel}")
    _errors(axes[1, 0], rows, widths)
    top = [
        np.delete(filters, models.dead_filters(filters), -1)
        for (k, width, _), filters in layers.items()
        if (k, width) == (kernel, widths[-1])
    ]
    if kernel >= 3:
        learned, null = np.concatenate([scores(part) for part in top]), models.ScoreNull(kernel).sample()
        plots.scores_against_null(learned, null, axes[1, 1], label=f"{widths[-1]} filters, all seeds")
    if top[0].shape[-1] > 1:
        plots.pairing_histogram(models.pairing_test(top[0], layers=1), axes[1, 2])
    for ax, (name, filters) in zip(axes[2] if others else (), others.items(), strict=True):
        _pictures(ax, filters, name)
    return figure


def _pictures(ax: Any, filters: np.ndarray, title: str) -> None:
    dead = models.dead_filters(filters)
    if filters.shape[2] in (1, 3):
        plots.filter_grid(filters, ax, dead=dead.tolist())
    ax.set_title(title + (f", {len(dead)} dead" if len(dead) else ""), fontsize="medium", loc="left")


def _errors(ax: Any, rows: Any, widths: list[int]) -> None:
    ax.plot(rows["width"], rows["error"], "o", ms=3.5, mfc="none", mec="#1f5fa8", label="one network")
    medians = rows.groupby("width")["error"].median()
    ax.plot(medians.index, medians, color="#1f5fa8", lw=1.4, label="median of the seeds")
    fan_in = int(rows["fan_in"].iloc[0])
    if widths[0] <= fan_in <= widths[-1]:
        ax.axvline(fan_in, color="0.5", lw=1.0, ls=(0, (3, 2)), label=f"fan-in {fan_in}")
    ax.set_xscale("log", base=2)
    ax.set_xticks(widths, [str(width) for width in widths])
    ax.minorticks_off()
    ax.set(xlabel="filters in the first layer", ylabel="part of the test images told wrong")
    ax.spines[["top", "right"]].set_visible(False)
    ax.legend(frameon=False, fontsize="small", loc="lower left")
