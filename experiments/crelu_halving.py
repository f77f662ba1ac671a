"""Does concatenated ReLU halve the width a network needs?

Claim. A layer of n filters with CReLU, x -> (relu(x), relu(-x)), is a layer of 2n ReLU filters that come in exact pairs
of opposites; so a network with CReLU and half the filters holds, but for the last layer, half the parameters of the
ReLU network with as many activations. That is counted and checked here. Whether it is as accurate, and whether trained
ReLU filters come in such pairs, is measured (`shang2016`).

Method. One network with ReLU and c channels, with CReLU and c, with CReLU and c/2 is trained from several seeds. The
network with CReLU and c/2 is also written out as a ReLU network of c filters in pairs: its sums are formed in one fixed
order in float64, so that the two agree to the last bit, and by the library's own convolutions, where the difference is
reported. For each convolution of the trained ReLU networks the mean pairing cosine stands beside the exact law for
random filters.

`default` takes under three minutes on two quiet cores, `paper` (ConvPool-CNN-C, for CIFAR-10) is for a GPU. The exit
status is 0 if what is proved or counted holds, whatever the words of the measured claims, 1 if not, 2 if the run was
refused.
"""

import dataclasses
import pathlib
import sys
from typing import Any, Literal

import numpy as np

from experiments import _run

TEXT = (
    "Left: part of the test images told wrong against parameters, one hollow dot a network, the filled one the mean of "
    "the seeds. Right: mean pairing cosine of each convolution of the trained ReLU networks, one dot a network; the "
    "line is the exact mean for random filters, the band holds one cosine in nine of ten cases."
)
COLORS = {"ReLU, c": "#404040", "CReLU, c": "#1f5fa8", "CReLU, c/2": "#b2182b"}


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        network: "allconv6" or "convpool" (ConvPool-CNN-C).
        width: The multiplier that gives c.
        seeds, steps, batch_size, learning_rate: The recipe (Adam, cosine).
        layers: Random layers for the p-values of pairing.
    """

    network: str = "allconv6"
    width: float = 0.5
    seeds: int = 4
    steps: int = 400
    batch_size: int = 50
    learning_rate: float = 3e-3
    layers: int = 199


SMOKE = Settings(width=0.125, seeds=2, steps=20, batch_size=20, layers=39)
PAPER = Settings(network="convpool", width=1.0, seeds=5, steps=60_000, batch_size=100, learning_rate=1e-3, layers=999)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: under three minutes on two cores; paper: ConvPool-CNN-C at full width, for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/crelu_halving")
    """Output folder."""
    seeds: int | None = None
    """Networks of every kind."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""
    data: str | None = None
    """Images: fashion-full[:FOLDER], ghim:FOLDER, list:TRAIN.txt,TEST.txt, folder:TRAIN,TEST or cifar10:FOLDER; by
    default the extract of Fashion-MNIST in the package."""


def kinds(settings: Settings, classes: int) -> dict[str, tuple[Any, Any]]:
    """(family, width) of the three networks, by name."""
    import expressivity as ex

    def family(activation: str) -> Any:
        if settings.network == "convpool":
            return ex.ConvPoolCNNC(classes, activation)
        return ex.AllConv6(classes=classes, activation=activation)

    whole, half = ex.Width(settings.width), ex.Width(settings.width / 2)
    families = (family("relu"), whole), (family("crelu"), whole), (family("crelu"), half)
    return dict(zip(COLORS, families, strict=True))


def halving_of_parameters(relu: Any, crelu: Any) -> tuple[int, int, int]:
    """(parameters of the ReLU network, of the CReLU network with half the filters, of the last layer of both).

    The law is 2 CReLU = ReLU + last: every layer but the last has as many inputs and half the outputs, the last one is
    the same.
    """
    counts = [[spec.parameters for spec in layers] for layers in (relu, crelu)]
    if counts[0][-1] != counts[1][-1]:
        raise ValueError(f"The last layers hold {counts[0][-1]} and {counts[1][-1]} parameters; they must be the same.")
    return sum(counts[0]), sum(counts[1]), counts[0][-1]


def paired(model: Any, width: Any) -> Any:
    """The ReLU model that computes what a CReLU model does: each filter is followed by its opposite.

    A kernel K and bias b become (K, -K) and (b, -b) along the outputs; the last layer stays. `width` is that of the
    ReLU network.
    """
    from expressivity.models.layers import Conv, Layers

    layers = []
    for name, layer in model:
        if name != model.names[-1]:
            kernel, bias = np.asarray(layer.kernel), np.asarray(layer.bias)
            layer = Conv(np.concatenate([kernel, -kernel], -1), np.concatenate([bias, -bias]))
        layers.append(layer)
    return Layers(model.names, tuple(layers), width)


def filter_bank(patches: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    """patches (points, taps) times kernel (taps, filters) plus bias, each sum formed tap after tap.

    Elementwise in float64: changing the sign of a filter and its bias changes nothing but the sign of the sum.
    """
    total = np.zeros((len(patches), kernel.shape[1]))
    for tap in range(kernel.shape[0]):
        total = total + patches[:, tap, None] * kernel[None, tap]
    return total + bias[None]


def halving_to_the_bit(layer: Any, points: int = 256, seed: int = 0) -> bool:
    """Whether the ReLU layer of a trained kernel and its opposites equals its CReLU layer, bit for bit.

    The reconstruction law relu(a) - relu(-a) = a and relu(a)^2 + relu(-a)^2 = a^2 are checked on the same numbers.
    """
    kernel = np.asarray(layer.kernel, np.float64).reshape(-1, layer.kernel.shape[-1])
    bias = np.asarray(layer.bias, np.float64)
    patches = np.random.default_rng(seed).standard_normal((points, len(kernel)))
    a = filter_bank(patches, kernel, bias)
    crelu = np.concatenate([np.maximum(a, 0.0), np.maximum(-a, 0.0)], 1)
    both = np.concatenate([kernel, -kernel], 1), np.concatenate([bias, -bias])
    relu = np.maximum(filter_bank(patches, *both), 0.0)
    plus, minus = np.split(crelu, 2, axis=1)
    return bool((relu == crelu).all() and (plus - minus == a).all() and (plus**2 + minus**2 == a**2).all())


def work(store: Any, settings: Settings, task: Any) -> Any:
    """Counts, trains, checks the laws, measures pairs, judges and draws."""
    import pandas as pd

    import expressivity as ex
    from experiments import _images
    from expressivity import sweeps
    from expressivity.sweeps.result import family_label

    chosen = kinds(settings, task.classes)
    recipe = ex.Recipe(
        settings.steps, settings.batch_size, settings.learning_rate, schedule="cosine", initialisation="he"
    )
    each = [ex.Sweep(family, [width], task, settings.seeds, recipe) for family, width in chosen.values()]
    found = sweeps.collect_all(each, store, title="ReLU and CReLU")
    rows, errors, trained = [], {}, {}
    for (name, (family, width)), result in zip(chosen.items(), found, strict=True):
        good = result.table[(result.table["norm"] == "top-1") & (result.table["status"] == "ok")]
        errors[name] = good["error"].tolist()
        units = max(family.width_dims(width).values())
        keys = [(family_label(family), units, None, seed) for seed in range(settings.seeds)]
        trained[name] = [result.networks[key] for key in keys if key in result.networks]
        counts = {
            by: sum(getattr(s, by) for s in family.layers(width, task.input_size)) for by in ("parameters", "macs")
        }
        rows.append({"network": name, "channels": units, **counts, "mean_error": float(good["error"].mean())})
    if not all(trained.values()):
        lost = [name for name, nets in trained.items() if not nets]
        raise ValueError(f"All networks {lost[0]!r} diverged at the learning rate {settings.learning_rate}; lower it.")
    claims = laws(chosen, trained, task) + _compared(errors, len(task.test))
    pairs = pairing_rows(trained["ReLU, c"], settings.layers)
    for layer in dict.fromkeys(row["layer"] for row in pairs):
        some = [row for row in pairs if row["layer"] == layer]
        count = sum(row["word"] == "paired" for row in some)
        word = _images.HOLDS if count == len(some) else _images.FALSE if not count else _images.UNDETERMINED
        mean, law = (sum(row[key] for row in some) / len(some) for key in ("mean", "expected"))
        text = f"the ReLU filters of {layer} come in pairs more than random ones: {count} of {len(some)} networks"
        claims.append(_images.Claim(f"{text}, mean cosine {mean:.3f} against {law:.3f}", word))
    frames = {"networks": pd.DataFrame(rows), "pairing": pd.DataFrame(pairs)}
    figure = draw(frames["networks"], errors, pairs)
    return _images.Outcome(sweeps.merge(found), frames, claims, figure, TEXT)


def laws(chosen: Any, trained: Any, task: Any) -> list[Any]:
    """What is counted and proved: half the parameters, and the halving law on trained weights."""
    from experiments import _images

    layers = {name: family.layers(width, task.input_size) for name, (family, width) in chosen.items()}
    relu, half, last = halving_of_parameters(layers["ReLU, c"], layers["CReLU, c/2"])
    claims = [
        _images.Claim(
            f"with CReLU and half the filters the parameters are half but for the last layer: 2 x {half:,} = {relu:,} "
            f"+ {last:,}",
            _images.holds(2 * half == relu + last),
            required=True,
        )
    ]
    activation = [sum(s.activations for s in layers[name][:-1]) for name in ("ReLU, c", "CReLU, c/2")]
    claims.append(
        _images.Claim(
            f"the activations are as many: {activation[0]:,} and 2 x {activation[1]:,}",
            _images.holds(activation[0] == 2 * activation[1]),
            required=True,
        )
    )
    family = chosen["CReLU, c/2"][0]
    twin, whole = chosen["ReLU, c"]
    convolutions = [layer for model, _ in trained["CReLU, c/2"] for _, layer in list(model)[:-1]]
    bits = [halving_to_the_bit(layer) for layer in convolutions]
    claims.append(
        _images.Claim(
            f"a ReLU layer of pairs equals the CReLU layer of half as many filters to the last bit, and "
            f"relu(a) - relu(-a) = a: {sum(bits)} of {len(bits)} trained convolutions",
            _images.holds(all(bits)),
            required=True,
        )
    )
    worst, equal, size = 0.0, 0, 0.0
    model, state = trained["CReLU, c/2"][0]
    x = np.asarray(task.pipe(task.test.images[:50]))
    for layout in ("batch_last", "nhwc"):
        a = np.asarray(family.apply(model, state, x, layout=layout)[0])
        b = np.asarray(twin.apply(paired(model, whole), state, x, layout=layout)[0])
        worst, size = max(worst, float(np.abs(a - b).max())), max(size, float(np.abs(a).max()))
        equal += bool((a == b).all())
    text = "the whole trained network, written out as a ReLU network of pairs, gives the same logits"
    text += f" in float32: largest difference {worst:.2g} of {size:.2g}, to the last bit in {equal} of 2 layouts"
    return [*claims, _images.Claim(text, _images.holds(worst <= 1e-4 * size), required=True)]


def _compared(errors: Any, count: int) -> list[Any]:
    from experiments import _images

    base = errors["ReLU, c"]
    claims = []
    for name, what in (("CReLU, c", "as many"), ("CReLU, c/2", "half the")):
        word, text = _images.compare(errors[name], base, count)
        claims.append(_images.Claim(f"CReLU with {what} filters tells fewer images wrong than ReLU: {text}", word))
    return claims


def pairing_rows(networks: Any, layers: int) -> list[dict[str, Any]]:
    """One row a convolution and network: its pairing beside the law; filters that are 0 are left out."""
    import expressivity as ex

    rows = []
    for number, (model, _) in enumerate(networks):
        for name, layer in list(model)[:-1]:
            kernel = np.asarray(layer.kernel).reshape(-1, layer.kernel.shape[-1])
            kernel = kernel[:, np.linalg.norm(kernel, axis=0) > 0]
            if kernel.shape[1] < 2:
                continue
            test = ex.models.pairing_test(kernel, layers)
            low, high = test.law.quantile(0.05), test.law.quantile(0.95)
            numbers = {"mean": test.mean, "expected": test.expected, "low": low, "high": high, "p_value": test.p_value}
            shape = {"filters": test.law.filters, "fan_in": test.law.fan_in}
            rows.append({"layer": name, "network": number, **shape, **numbers, "word": test.word})
    return rows


def draw(table: Any, errors: Any, pairs: Any) -> Any:
    """Error against parameters, and pairing cosines beside their law."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(8.6, 3.6), layout="constrained")
    ax = axes[0]
    for row in table.itertuples():
        color, values = COLORS[row.network], 100 * np.asarray(errors[row.network])
        ax.plot([row.parameters] * len(values), values, "o", ms=4, mfc="none", mec=color, alpha=0.8)
        ax.plot(row.parameters, values.mean(), "o", ms=8, mfc=color, mec="black", mew=0.5, gid=row.network)
        text = f"{row.network}\n{row.parameters / 1e3:,.0f} k"
        offset: dict[str, Any] = {"xytext": (0, -9), "textcoords": "offset points", "ha": "center", "va": "top"}
        ax.annotate(text, (row.parameters, values.min()), color=color, fontsize="small", **offset)
    every = 100 * np.concatenate([np.asarray(v) for v in errors.values()])
    span = max(float(np.ptp(every)), 2.0)
    ax.set(xscale="log", xlabel="parameters", ylabel="test images told wrong, %")
    ax.set_xlim(table["parameters"].min() / 1.6, table["parameters"].max() * 1.6)
    ax.set_ylim(max(0.0, every.min() - 0.6 * span), every.max() + 0.2 * span)
    low, high = ax.get_xlim()
    ticks = [m * 10.0**e for e in range(2, 9) for m in (1, 2, 5) if low < m * 10.0**e < high]
    ax.set_xticks(ticks, [f"{tick / 1e3:g} k" for tick in ticks])
    ax.xaxis.set_minor_formatter("")

    ax = axes[1]
    names = list(dict.fromkeys(row["layer"] for row in pairs))
    for place, name in enumerate(names):
        some = [row for row in pairs if row["layer"] == name]
        ends = place + np.array([-0.36, 0.36])
        first = place == 0
        label = "random filters, 5 to 95 %" if first else None
        ax.fill_between(ends, some[0]["low"], some[0]["high"], color="0.85", lw=0, label=label)
        ax.plot(ends, [some[0]["expected"]] * 2, color="0.3", lw=1.5, label="their exact mean" if first else None)
        x = place + 0.4 * (np.arange(len(some)) - (len(some) - 1) / 2) / max(len(some), 1)
        mean = "trained ReLU network, mean of a layer" if first else None
        ax.plot(x, [row["mean"] for row in some], "o", ms=5, mfc=COLORS["CReLU, c"], mec="black", mew=0.4, label=mean)
    ax.set_xticks(range(len(names)), [f"{n}\n{_shape(pairs, n)}" for n in names], fontsize="small")
    ax.set(xlabel="convolution: filters of fan-in", ylabel="pairing cosine", ylim=(-1.02, 0.05))
    ax.legend(frameon=False, fontsize="small", loc="lower right")
    for one in axes:
        one.spines[["top", "right"]].set_visible(False)
    return figure


def _shape(pairs: Any, name: str) -> str:
    row = next(row for row in pairs if row["layer"] == name)
    return f"{row['filters']} of {row['fan_in']}"


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the claims, and returns the exit status."""
    from experiments import _images

    settings = _run.chosen(PRESETS, options)
    task = _images.task(options.data)
    return _images.experiment(
        options,
        settings,
        title="Halving by CReLU",
        claim=_run.claim(__doc__),
        work=lambda store: work(store, settings, task),
    )


if __name__ == "__main__":
    sys.exit(_run.main("crelu_halving", Options, experiment, __doc__ or ""))
