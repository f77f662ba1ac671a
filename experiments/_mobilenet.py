"""The parts of the experiment on MobileNet's multipliers: published tables, resizing, photographs, claims."""

import dataclasses
import hashlib
import importlib.util
import os
import pathlib
import re
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import numpy as np

# alpha: top-1 accuracy in %, millions of multiply-accumulates, millions of parameters at 224 pixels (`howard2017`)
PAPER_ALPHA = {1.0: (70.6, 569, 4.2), 0.75: (68.4, 325, 2.6), 0.5: (63.7, 149, 1.3), 0.25: (50.6, 41, 0.5)}
# pixels: top-1 accuracy in %, millions of multiply-accumulates at alpha 1 (`howard2017`)
PAPER_PIXELS = {224: (70.6, 569), 192: (69.1, 418), 160: (67.2, 290), 128: (64.4, 186)}
SHALLOW = (65.3, 307, 2.9)  # the same three numbers of the shallow network (`howard2017`)
# alpha: top-1 accuracy in % at 224, 192, 160, 128 pixels of TensorFlow's slim checkpoints, trained for longer
SLIM = {
    1.0: (70.9, 70.0, 68.0, 65.2),
    0.75: (68.4, 67.2, 65.3, 62.1),
    0.5: (63.3, 61.7, 59.1, 56.3),
    0.25: (49.8, 47.7, 45.5, 41.5),
}
PIXELS = (224, 192, 160, 128)
# file: (alpha, pixels, told right on the 20 photographs, right class among the best five)
TRAINED = {
    "mobilenet_v1_0.25_128_quant.tflite": (0.25, 128, 8, 15),
    "mobilenet_v1_0.5_160_quant.tflite": (0.5, 160, 13, 19),
    "mobilenet_v1_0.75_192_quant.tflite": (0.75, 192, 16, 20),
    "retrained_graph.pb": (1.0, 224, 17, 20),
}
PHOTOGRAPHS_SHA256 = "6103fb0bc78e595c2306f95f501f1ee0675678c114369758cf7aaf4962c5603f"
TOP = 5


def resized(images: Any, pixels: int) -> Any:
    """The images with `pixels` a side: each resized by Pillow's bilinear filter, which averages where it shrinks.

    A function of the stored images alone; what was thrown away does not come back at a larger size.

    Raises:
        ValueError: If `pixels` is below 1 or above the side of the stored images.

    >>> from expressivity.data import ImageSet
    >>> small = resized(ImageSet(np.full((2, 4, 4, 1), 9, np.uint8), np.array([0, 1]), ("a", "b")), 2)
    >>> small.images.shape, int(small.images.max())
    ((2, 2, 2, 1), 9)
    """
    from PIL import Image

    side = min(images.input_size[:2])
    if not 1 <= pixels <= side:
        raise ValueError(
            f"The images of {images.name} have {side} pixels a side and are resized to 1 to {side}, not to {pixels}; "
            "give larger images with --data."
        )
    if images.input_size[:2] == (pixels, pixels):
        return images
    made = np.empty((len(images), pixels, pixels, images.input_size[2]), np.uint8)
    for number, image in enumerate(images.images):
        plain = Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)
        small = plain.resize((pixels, pixels), Image.Resampling.BILINEAR)
        made[number] = np.asarray(small).reshape(made.shape[1:])
    return dataclasses.replace(images, images=made)


def published() -> Any:
    """One row a published number: network, alpha, pixels, its accuracy and costs in print, and the costs counted here.

    `macs_exponent` is ln(macs / macs at alpha 1) / ln(alpha), likewise for parameters.
    """
    import pandas as pd

    import expressivity as ex

    rows = []

    def add(source: str, alpha: float, pixels: int, accuracy: float, macs: Any = None, size: Any = None) -> None:
        net, width = ex.MobileNet(shallow=source == "paper, shallow"), ex.Width(alpha)
        found = {"macs": ex.macs(net, width, pixels), "parameters": ex.parameters(net, width)}
        whole = {"macs": ex.macs(ex.MobileNet(), ex.Width(), pixels), "parameters": ex.parameters(ex.MobileNet())}
        row = {"source": source, "alpha": alpha, "pixels": pixels, "published_accuracy": accuracy}
        row |= {"published_million_macs": macs, "published_million_parameters": size} | found
        scaled = alpha != 1 and source != "paper, shallow"
        row |= {f"{n}_exponent": np.log(found[n] / whole[n]) / np.log(alpha) if scaled else np.nan for n in found}
        rows.append(row)

    for alpha, numbers in PAPER_ALPHA.items():
        add("paper", alpha, 224, *numbers)
    for pixels, numbers in PAPER_PIXELS.items():
        if pixels != PIXELS[0]:
            add("paper", 1.0, pixels, *numbers)
    add("paper, shallow", 1.0, 224, *SHALLOW)
    for alpha, numbers in SLIM.items():
        for pixels, accuracy in zip(PIXELS, numbers, strict=True):
            add("slim checkpoints", alpha, pixels, accuracy)
    return pd.DataFrame(rows)


def photograph_files(folder: pathlib.Path | None) -> list[pathlib.Path]:
    """The photographs in `folder`, or those of the package foolbox where it is installed; their names end in _CLASS.

    Raises:
        FileNotFoundError: If the folder has none.
        ValueError: If a name does not end in a class from 0 to 999.
    """
    if folder is None:
        spec = importlib.util.find_spec("foolbox")
        if spec is None or spec.origin is None:
            return []
        folder = pathlib.Path(spec.origin).parent / "data"
    paths = sorted(folder.glob("imagenet_*.jpg"))
    if not paths:
        raise FileNotFoundError(f"The folder {folder} has no photographs called imagenet_NUMBER_CLASS.jpg.")
    for path in paths:
        if not re.fullmatch(r"imagenet_\d+_\d{1,3}", path.stem):
            raise ValueError(f"The photograph {path.name} does not say its class: call it imagenet_NUMBER_CLASS.jpg.")
    return paths


def weight_files(files: Sequence[pathlib.Path]) -> list[pathlib.Path]:
    """The files of trained weights: those named, or those below EXPRESSIVITY_DATA.

    Raises:
        ValueError: If a file is none of those whose widths are known here.
    """
    root = os.environ.get("EXPRESSIVITY_DATA")
    if not files and root:
        files = sorted((pathlib.Path(root) / "pretrained").glob("mobilenet_v1_*_quant.tflite"))
    for path in files:
        if path.name not in TRAINED:
            raise ValueError(f"Trained weights are read from {', '.join(TRAINED)}; got {path.name!r}.")
    return list(files)


def known(photographs: Sequence[pathlib.Path]) -> bool:
    """Whether these are the 20 photographs for which the counts are known."""
    state = hashlib.sha256()
    for path in photographs:
        state.update(path.name.encode() + path.read_bytes())
    return state.hexdigest() == PHOTOGRAPHS_SHA256


def on_photographs(weights: Sequence[pathlib.Path], photographs: Sequence[pathlib.Path]) -> Any:
    """One row a file of trained weights: alpha, pixels, photographs told right at first and among five, intervals.

    Images are resized to the network's size by the bilinear filter, out of all their pixels, and read as x / 127.5 - 1;
    class c of the name is output c + 1.
    """
    import jax
    import pandas as pd

    import expressivity as ex
    from expressivity import sweeps
    from expressivity.data.images import decode
    from expressivity.data.pipes import UNIT
    from expressivity.models.pretrained import mobilenet_slim_names

    labels = np.array([int(path.stem.rsplit("_", 1)[1]) for path in photographs])
    rows = []
    for path in weights:
        alpha, pixels, *_ = TRAINED[path.name]
        family, arrays = ex.MobileNet(classes=1001), ex.models.read(path)
        if path.suffix == ".pb":
            model, state, _ = ex.models.load(family, arrays, ex.Width(alpha), names=mobilenet_slim_names)
        else:
            model, state, _ = ex.models.load_folded(family, arrays, ex.Width(alpha), pixels)
        # JPEGs read at a scale would move one of twenty answers at 128 pixels
        images = decode(photographs, pixels, pixels, draft=False)
        logits = np.asarray(jax.jit(family.apply)(model, state, UNIT(images))[0])
        hits = np.argsort(-logits, axis=1)[:, :TOP] == labels[:, None] + 1
        right, among = int(hits[:, 0].sum()), int(hits.sum())
        low, high = sweeps.binomial_interval(right, len(labels))
        row = {"weights": path.name, "alpha": alpha, "pixels": pixels, "photographs": len(labels), "top1": right}
        row |= {"top5": among, "low": low, "high": high, "macs": ex.macs(ex.MobileNet(), ex.Width(alpha), pixels)}
        rows.append(row | {"parameters": ex.parameters(ex.MobileNet(), ex.Width(alpha))})
    return pd.DataFrame(rows)


def counted(table: Any, photographs: Any, same: bool) -> list[Any]:
    """The claims that are counted: costs against the printed ones, and the photographs where they are at hand."""
    import expressivity as ex
    from experiments._images import Claim, holds

    paper = table[table["source"] != "slim checkpoints"]
    macs = paper.dropna(subset="published_million_macs")
    close = abs(macs["macs"] / 1e6 - macs["published_million_macs"]) < 1  # printed whole, some cut and some rounded
    sizes = paper.dropna(subset="published_million_parameters")
    near = abs(sizes["parameters"] / 1e6 - sizes["published_million_parameters"]) <= 0.05
    scaled = paper[paper["macs_exponent"].notna()]
    square, less = (sorted(scaled[f"{cost}_exponent"]) for cost in ("macs", "parameters"))
    narrow, shallow = (
        (ex.parameters(net, width), ex.macs(net, width, 224))
        for net, width in ((ex.MobileNet(), ex.Width(0.75)), (ex.MobileNet(shallow=True), ex.Width()))
    )
    claims = [
        Claim(
            f"Multiply-accumulates are the printed ones, to the millions printed, at {int(close.sum())} of {len(macs)} "
            f"sizes; parameters at {int(near.sum())} of {len(sizes)}.",
            holds(close.all() and near.all()),
            True,
        ),
        Claim(
            f"Cost grows nearly as alpha squared in multiply-accumulates (exponents {square[0]:.3f} to "
            f"{square[-1]:.3f}), less in parameters ({less[0]:.3f} to {less[-1]:.3f}).",
            holds(1.89 < square[0] <= square[-1] < 2 and less[-1] < square[0]),
            True,
        ),
        Claim(
            f"Narrow (alpha 0.75) against shallow at 224 pixels: {narrow[0]:,} and {shallow[0]:,} parameters, "
            f"{narrow[1]:,} and {shallow[1]:,} multiply-accumulates; narrow has fewer numbers and "
            f"{100 * (narrow[1] / shallow[1] - 1):.1f} % more arithmetic.",
            holds((narrow, shallow) == ((2585560, 325400448), (2887976, 307323392))),
            True,
        ),
    ]
    if photographs is None:
        return claims
    each = [f"{row.alpha:g} at {row.pixels}: {row.top1} and {row.top5}" for row in photographs.itertuples()]
    text = (
        f"Trained networks on {photographs['photographs'].iloc[0]} photographs, right at first and among five: "
        f"{', '.join(each)}"
    )
    if same:
        equal = all(TRAINED[row.weights][2:] == (row.top1, row.top5) for row in photographs.itertuples())
        return [*claims, Claim(f"{text}; these are the known counts.", holds(equal), True)]
    rising = photographs.sort_values("alpha")["top1"].is_monotonic_increasing
    return [*claims, Claim(f"{text}; none falls with alpha.", holds(rising))]


def all_of(words: Sequence[str]) -> str:
    """The word for several claims at once: one that fails, fails all; one that is undetermined leaves all so."""
    from experiments._images import FALSE, HOLDS, UNDETERMINED

    return FALSE if FALSE in words else UNDETERMINED if UNDETERMINED in words or not words else HOLDS


def measured(errors: Any, count: int) -> list[Any]:
    """The claims about the networks trained here."""
    from experiments._images import Claim, compare

    def of(alpha: float, pixels: int, shallow: bool = False, column: str = "error") -> list[float]:
        rows = errors[(errors["alpha"] == alpha) & (errors["pixels"] == pixels) & (errors["shallow"] == shallow)]
        return rows.sort_values("seed")[column].tolist()

    claims, deep = [], errors[~errors["shallow"]]
    for pixels, rows in deep.groupby("pixels"):
        alphas = sorted(rows["alpha"].unique())
        found = [(low, high, *compare(of(high, pixels), of(low, pixels), count)) for low, high in pairwise(alphas)]
        if found:
            text = "; ".join(f"{high:g} against {low:g}: {text}" for low, high, _, text in found)
            sentence = f"At {pixels} pixels each larger alpha tells fewer wrong: {text}."
            claims.append(Claim(sentence, all_of([word for _, _, word, _ in found])))
        if len(alphas) > 2:
            costs = [of(alpha, pixels, column="macs")[0] for alpha in alphas[:3]]
            word, text = jump([of(alpha, pixels) for alpha in alphas[:3]], costs, count)
            claims.append(
                Claim(
                    f"At {pixels} pixels the error falls faster with ln(MACs) from alpha {alphas[0]:g} to "
                    f"{alphas[1]:g} than on to {alphas[2]:g} (a jump at the smallest): {text}.",
                    word,
                )
            )
    for alpha, rows in deep.groupby("alpha"):
        for small, large in pairwise(sorted(rows["pixels"].unique())):
            word, text = compare(of(alpha, large), of(alpha, small), count)
            claims.append(Claim(f"At alpha {alpha:g}, {large} pixels tell fewer wrong than {small}: {text}.", word))
    for pixels in errors[errors["shallow"]]["pixels"].unique():
        if not of(0.75, pixels):
            continue
        word, text = compare(of(0.75, pixels), of(1.0, pixels, True), count)
        narrow, shallow = int(of(0.75, pixels, column="macs")[0]), int(of(1.0, pixels, True, "macs")[0])
        claims.append(
            Claim(
                f"At {pixels} pixels narrow (alpha 0.75, {narrow:,} MACs) tells fewer wrong than shallow "
                f"({shallow:,} MACs): {text}.",
                word,
            )
        )
    return claims


def jump(errors: Sequence[Sequence[float]], costs: Sequence[float], count: int) -> tuple[str, str]:
    """Whether the error falls faster with ln(cost) from the first network to the second than from there to the third.

    The bend is the difference of the two slopes, in points for each factor e of cost. Its noise: the standard error
    over seeds and the binomial noise of `count` test images, each error with its weight, added in squares.

    Args:
        errors: Three lists, one error a seed, in the same order of seeds.
        costs: The three costs, rising.
        count: Images of the test set.

    >>> jump([[0.30, 0.31], [0.10, 0.11], [0.09, 0.10]], [1.0, 2.0, 4.0], 10000)[0]
    'holds'
    """
    from scipy.stats import t

    from experiments._images import FALSE, HOLDS, UNDETERMINED

    if len({len(each) for each in errors}) > 1 or len(errors[0]) < 2:
        return UNDETERMINED, "fewer than two seeds, or not the same ones"
    first, second = np.diff(np.log(np.asarray(costs, float)))
    weights = np.array([1 / first, -1 / first - 1 / second, 1 / second])
    found = np.asarray(errors, float)
    bends, rates = weights @ found, found.mean(1)
    images = 1.959963984540054 * float(np.sqrt((weights**2 * rates * (1 - rates)).sum() / count))
    seeds = float(t.ppf(0.975, len(bends) - 1)) * float(bends.std(ddof=1)) / len(bends) ** 0.5
    bend, margin = float(bends.mean()), float(np.hypot(images, seeds))
    word = HOLDS if bend > margin else FALSE if bend < -margin else UNDETERMINED
    return word, f"by {100 * bend:.1f} ± {100 * margin:.1f} points for a factor e of cost"
