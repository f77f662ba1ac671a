"""The parts of the experiment on slimmable networks: errors at every width, laws that must hold, claims, the figure."""

from collections.abc import Sequence
from typing import Any

import numpy as np

SEPARATE, SWITCHABLE = "trained apart", "slimmable"
UNIVERSAL, CUT = "universally slimmable", "cut from the widest"
COLOURS = {SEPARATE: "#222222", SWITCHABLE: "#1f77b4", UNIVERSAL: "#d95f02", CUT: "#8a8a8a"}
MARKERS = {SEPARATE: "o", SWITCHABLE: "s", UNIVERSAL: "D", CUT: "x"}
TEXT = (
    "Left: the part of the test images told wrong against the width, the line through the mean over seeds, the dots "
    "single networks. Networks trained apart have weights of their own at each width; the others take the first "
    "channels of one set. Cut from the widest: the network trained at the widest width alone, narrowed, its moments "
    "taken anew. Middle: published errors on ImageNet, not run here. Right: numbers kept and multiply-accumulates of a "
    "forward pass in training, over those of the widest network."
)

# width: (published MFLOPs, top-1 error in %) of one universally slimmable MobileNet v1 on ImageNet (`yu2019universal`)
US_MOBILENET = {
    1.0: (568, 28.2), 0.975: (543, 28.3), 0.95: (517, 28.4), 0.925: (490, 28.7), 0.9: (466, 28.7), 0.875: (443, 29.1),
    0.85: (421, 29.4), 0.825: (389, 29.7), 0.8: (366, 30.2), 0.775: (345, 30.3), 0.75: (325, 30.5), 0.725: (306, 30.9),
    0.7: (287, 31.2), 0.675: (267, 31.7), 0.65: (249, 32.2), 0.625: (232, 32.5), 0.6: (217, 33.2), 0.575: (201, 33.7),
    0.55: (177, 34.4), 0.525: (162, 35.0), 0.5: (149, 35.8), 0.475: (136, 36.5), 0.45: (124, 37.3), 0.425: (114, 38.1),
    0.4: (100, 39.0), 0.375: (89, 40.0), 0.35: (80, 41.0), 0.325: (71, 41.9), 0.3: (64, 42.7), 0.275: (48, 44.2),
    0.25: (41, 44.3),
}  # fmt: skip
# width: (one slimmable MobileNet v1, MobileNets trained apart), top-1 error in % on ImageNet (`yu2019`)
S_MOBILENET = {1.0: (28.5, 29.1), 0.75: (30.5, 31.6), 0.5: (35.2, 36.7), 0.25: (46.9, 50.2)}


def published() -> Any:
    """The 31 published points with the multiply-accumulates that are counted here."""
    import pandas as pd

    import expressivity as ex

    rows = []
    for width, (mflops, error) in US_MOBILENET.items():
        # at least 1 channel in the published rule; 8 is the least multiple of 8, and no width here comes below it
        macs = ex.macs(ex.MobileNet(), ex.Width(width, divisor=8, rounding="divisible"), 224)
        row = {"width": width, "published_mflops": mflops, "macs": macs, "published_error": error}
        slim, apart = S_MOBILENET.get(width, (float("nan"),) * 2)
        rows.append(row | {"published_slimmable_error": slim, "published_apart_error": apart})
    return pd.DataFrame(rows)


def logits(family: Any, model: Any, state: Any, task: Any, size: int = 250) -> np.ndarray:
    """The logits of the test set by a stand-alone network."""
    images = task.test.images
    parts = [family.apply(model, state, task.pipe(images[i : i + size]))[0] for i in range(0, len(images), size)]
    return np.concatenate([np.asarray(part) for part in parts])


def recalibrated(family: Any, model: Any, state: Any, task: Any, batch: int) -> Any:
    """The state with the mean of the moments of up to 20 batches of training images, spread over the set."""
    import jax

    order = np.random.default_rng(0).permutation(len(task.train))[: 20 * batch]
    parts = [order[i : i + batch] for i in range(0, len(order) - batch + 1, batch)]
    found = [
        family.apply(model, state, task.pipe(task.train.images[part]), training=True, decay=0.0)[1] for part in parts
    ]
    return jax.tree.map(lambda *leaves: np.mean(leaves, axis=0, dtype=np.asarray(leaves[0]).dtype), *found)


def nested_gap(slim: Any, model: Any, state: Any, task: Any) -> float:
    """The largest difference of logits between the network run at a width and one made at that width alone.

    The latter starts from `init` at that width, and every one of its arrays is set to the leading part of the wide one.
    """
    import jax

    import expressivity as ex

    x = task.pipe(task.test.images[:50])
    worst = 0.0
    for index, width in enumerate(slim.widths):
        wide = dict(iter(model.shared)) | dict(iter(model.norms[index if slim.sandwich is None else 0]))
        wide = {f"{name}/{f}": getattr(layer, f) for name, layer in wide.items() for f in vars(layer)}
        wide |= {f"{name}/{f}": getattr(layer, f) for name, layer in state[index] for f in ("mean", "variance")}
        alone = slim.family.init(jax.random.key(1), width, task.input_size)
        cut = [np.asarray(wide[n])[tuple(map(slice, np.shape(old)))] for n, old in ex.models.tensors(*alone)]
        expected = slim.family.apply(*ex.models.with_tensors(*alone, cut), x)[0]
        found = slim.family.apply(*slim.at(model, state, index), x)[0]
        worst = max(worst, float(abs(np.asarray(found) - np.asarray(expected)).max()))
    return worst


def masked_gap(slim: Any, model: Any, state: Any, task: Any) -> float:
    """The largest difference of logits between cut and masked networks, over the largest logit, in float64."""
    import jax

    with jax.enable_x64(True):
        model, state = jax.tree.map(np.float64, (model, state))
        x = np.float64(task.pipe(task.test.images[:20]))
        worst = 0.0
        dims = [max(slim.width_dims(width).values()) for width in slim.widths]
        for index in range(1, len(dims)):
            share = (dims[index] - dims[-1]) / (dims[0] - dims[-1])
            cut = np.asarray(slim.family.apply(*slim.at(model, state, index), x, True)[0])
            masked = np.asarray(slim.family.apply(slim.masked(model, share), state[0], x, True)[0])
            worst = max(worst, float(abs(cut - masked).max() / abs(cut).max()))
    return worst


def costs(family: Any, widths: Sequence[Any], slim: Any, universal: Any, task: Any) -> Any:
    """One row a way of training: numbers kept, and multiply-accumulates of one image's forward passes in a step."""
    import pandas as pd

    import expressivity as ex

    macs = [ex.macs(family, width, task.input_size) for width in widths]
    kept = [ex.parameters(family, width, task.input_size) for width in widths]
    norms = [ex.models.batch_norm_parameters(family, width) for width in widths]
    drawn = universal.sandwich * macs[0]  # a drawn width is the widest network with zeros
    rows = [
        {"method": SEPARATE, "networks": len(widths), "parameters": sum(kept), "macs": sum(macs)},
        {"method": SWITCHABLE, "networks": 1, "parameters": kept[0] + sum(norms[1:]), "macs": sum(macs)},
        {"method": UNIVERSAL, "networks": 1, "parameters": kept[0], "macs": macs[0] + macs[-1] + drawn},
        {"method": CUT, "networks": 1, "parameters": kept[0], "macs": macs[0]},
    ]
    frame = pd.DataFrame(rows)
    return frame.assign(parameters_share=frame["parameters"] / kept[0], macs_share=frame["macs"] / macs[0])


def counted(laws: Any, cost: Any, table: Any) -> list[Any]:
    """The claims that are proved or counted."""
    import expressivity as ex
    from experiments._images import Claim, holds

    four = tuple(ex.Width(alpha) for alpha in (1, 0.75, 0.5, 0.25))
    slim = ex.models.Slimmable(ex.MobileNet(), four)
    norms = sum(ex.models.batch_norm_parameters(ex.MobileNet(), width) for width in four)
    gap, masked = float(laws["nested_gap"].max()), float(laws["masked_gap"].max())
    equal = int((table["macs"] // 10**6 == table["published_mflops"]).sum())
    macs = cost.set_index("method")["macs"]
    return [
        Claim(f"The network at a width is the stand-alone one with the cut weights: differs by {gap:g}.",
              holds(gap == 0), True),
        Claim(f"Zeros in the place of a cut give the same logits: within {masked:.1e} of the largest.",
              holds(masked < 1e-9), True),
        Claim(f"A slimmable MobileNet of four widths has {slim.parameters:,} trained numbers, {norms:,} of them of "
              "batch norm.", holds((slim.parameters, norms) == (4264808, 54720)), True),
        Claim(f"Our multiply-accumulates, cut to millions, are the published ones at {equal} of {len(table)} widths of "
              "MobileNet.", holds(equal == len(table)), True),
        Claim(f"A step of all widths at once costs what one of each network apart does: {macs[SWITCHABLE]:,} and "
              f"{macs[SEPARATE]:,} multiply-accumulates.", holds(macs[SWITCHABLE] == macs[SEPARATE]), True),
    ]  # fmt: skip


def measured(errors: Any, widths: Sequence[str], count: int) -> list[Any]:
    """The claims about errors."""
    from experiments._images import Claim, compare

    def of(method: str, width: str) -> list[float]:
        rows = errors[(errors["method"] == method) & (errors["width_rule"] == width)]
        return rows.sort_values("seed")["error"].tolist()

    claims = []
    for method in (SWITCHABLE, UNIVERSAL):
        for width in widths:
            word, text = compare(of(method, width), of(SEPARATE, width), count)
            claims.append(
                Claim(f"At {width} the {method} network tells fewer wrong than one trained apart: {text}.", word)
            )
    for width in widths[1:]:
        word, text = compare(of(SWITCHABLE, width), of(CUT, width), count)
        claims.append(Claim(f"At {width} the slimmable network tells fewer wrong than a mere cut: {text}.", word))
    word, text = compare(of(UNIVERSAL, widths[-1]), of(SWITCHABLE, widths[-1]), count)
    claims.append(Claim(f"At {widths[-1]} the sandwich with its teacher beats the sum over widths: {text}.", word))
    return claims


def draw(errors: Any, cost: Any, table: Any, title: str) -> Any:
    """Errors against width, the published ones, and what each way costs."""
    import matplotlib.pyplot as plt

    figure, (left, middle, right) = plt.subplots(
        1, 3, figsize=(11.5, 3.9), layout="constrained", gridspec_kw={"width_ratios": (1.25, 1, 0.95)}
    )
    for method in (CUT, SEPARATE, SWITCHABLE, UNIVERSAL):
        rows = errors[errors["method"] == method]
        mean = rows.groupby("factor")["error"].mean()
        style = {"color": COLOURS[method], "marker": MARKERS[method]}
        beside = 0.012 * (list(COLOURS).index(method) - 1.5)  # so that dots of different kinds do not hide each other
        left.plot(mean.index, 100 * mean, label=method, ms=5, lw=1.3, ls="--" if method == CUT else "-", **style)
        left.plot(rows["factor"] + beside, 100 * rows["error"], ls="", ms=2.5, alpha=0.5, **style)
    left.set(yscale="log", xlabel="width multiplier", ylabel="test images told wrong (%)")
    low, high = 100 * errors["error"].min(), 100 * errors["error"].max()
    ticks = [t for t in (5, 7, 10, 15, 20, 25, 30, 40, 50, 60, 80, 90) if 0.9 * low <= t <= 1.1 * high]
    left.set_yticks(ticks, [str(t) for t in ticks])
    left.yaxis.minorticks_off()
    left.set_title(title, fontsize="medium", loc="left")
    left.legend(frameon=False, fontsize="small")
    four = table.dropna(subset="published_slimmable_error")
    middle.plot(
        table["width"],
        table["published_error"],
        ".-",
        color=COLOURS[UNIVERSAL],
        ms=4,
        lw=1,
        label="one net at 31 widths",
    )
    middle.plot(
        four["width"],
        four["published_slimmable_error"],
        "s",
        color=COLOURS[SWITCHABLE],
        ms=5,
        label="one net at 4 widths",
    )
    middle.plot(
        four["width"], four["published_apart_error"], "o", color=COLOURS[SEPARATE], ms=5, label="4 nets trained apart"
    )
    middle.set(xlabel="width multiplier", ylabel="ImageNet top-1 error (%)")
    middle.set_title("published: MobileNet v1", fontsize="medium", loc="left")
    middle.legend(frameon=False, fontsize="small")
    places = np.arange(len(cost))[::-1]
    for offset, column, colour, label in (
        (0.19, "parameters_share", "#4a4a4a", "numbers kept"),
        (-0.19, "macs_share", "#b8b8b8", "MACs of a step"),
    ):
        bars = right.barh(places + offset, cost[column], 0.36, color=colour, label=label)
        right.bar_label(bars, [f"{value:.2f}" for value in cost[column]], padding=2, fontsize="small")
    right.set_yticks(places, [name.replace(" ", "\n", 1) for name in cost["method"]])
    right.set(
        xlabel="over the widest network's", xlim=(0, 1.22 * float(cost[["parameters_share", "macs_share"]].max().max()))
    )
    right.set_title("cost of all widths", fontsize="medium", loc="left")
    right.legend(frameon=False, fontsize="small", loc="lower right")
    for ax in (left, middle):
        ax.set_xticks((0.25, 0.5, 0.75, 1.0))
    for ax in (left, middle, right):
        ax.spines[["top", "right"]].set_visible(False)
    return figure
