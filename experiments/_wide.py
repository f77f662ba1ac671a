"""Pairs of networks that cost the same: found by counting, timed in turns, judged with a margin."""

import dataclasses
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

COSTS = ("parameters", "macs")


class Net(NamedTuple):
    """One network of a family: what is trained, its width, and its name in tables."""

    family: Any
    width: Any
    name: str


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two networks whose cost nearly agrees.

    Args:
        thin, wide: The deeper and the wider one.
        by: The cost that agrees, "parameters" or "macs".
        gap: (cost of the wide one - cost of the thin one) / cost of the thin one.
    """

    thin: Net
    wide: Net
    by: str
    gap: float


def cost(net: Net, by: str, size: Any) -> int:
    """Parameters or multiply-accumulates of a network that reads images of that size, counted layer by layer.

    >>> import expressivity as ex
    >>> cost(Net(ex.WideResNet(40), ex.Width(4), "WRN-40-4"), "parameters", 32)
    8949210
    """
    import expressivity as ex

    if by not in COSTS:
        raise ValueError(f"Networks are compared at equal {' or '.join(COSTS)}; got {by!r}.")
    return getattr(ex, by)(net.family, net.width, size)


def equal_pairs(thin: Iterable[Net], wide: Iterable[Net], by: str, size: Any, within: float = 0.1) -> list[Pair]:
    """For each thin network the wide one nearest in cost, where they differ by less than the part `within`.

    Args:
        thin, wide: The candidates.
        by: "parameters" or "macs".
        size: (height, width, channels) of the images.
        within: The part of the thin network's cost that they may differ by.

    Raises:
        ValueError: If `by` is no cost, or `within` is not positive.

    >>> import expressivity as ex
    >>> wide = [Net(ex.WideResNet(10), ex.Width(k), f"WRN-10-{k:g}") for k in (1, 1.5, 2)]
    >>> pairs = equal_pairs([Net(ex.WideResNet(16), ex.Width(1), "WRN-16-1")], wide, "parameters", (28, 28, 1))
    >>> [(pair.wide.name, round(pair.gap, 4)) for pair in pairs]
    [('WRN-10-1.5', -0.0152)]
    """
    if not within > 0:
        raise ValueError(f"Two networks may differ in cost by a positive part; got {within}.")
    costs = [(net, cost(net, by, size)) for net in wide]
    pairs = []
    for net in thin:
        own = cost(net, by, size)
        if costs:
            other, near = min(costs, key=lambda found: abs(found[1] - own))
            if abs(near - own) < within * own:
                pairs.append(Pair(net, other, by, (near - own) / own))
    return pairs


def halved(images: Any) -> Any:
    """The set with every 2x2 square of pixels replaced by its mean, halves rounded up.

    Raises:
        ValueError: If a side is odd.
    """
    height, width, _ = images.input_size
    if height % 2 or width % 2:
        raise ValueError(f"Images are halved from even sides; those of {images.name} have {height}x{width} pixels.")
    parts = [images.images[:, i::2, j::2].astype(np.uint16) for i in (0, 1) for j in (0, 1)]
    small = ((parts[0] + parts[1] + parts[2] + parts[3] + 2) // 4).astype(np.uint8)
    return dataclasses.replace(images, images=small, name=f"{images.name} {height // 2}x{width // 2}")


def halved_task(task: Any) -> Any:
    """A task with both sets halved; channels get mean 0 and deviation 1 anew."""
    from expressivity.training import ImageTask

    return ImageTask(halved(task.train), halved(task.test))


def step_times(nets: Sequence[Net], task: Any, recipe: Any, rounds: int) -> list[dict[str, Any]]:
    """Seconds a training step of one network, measured in turns: each network once a round.

    Every measurement is a run of one seed over `recipe`, its programs compiled before (the first round is thrown
    away), the reading of the test set at its end included.
    """
    from expressivity.training import train_images

    rows = []
    for turn in range(rounds + 1):
        for net in nets:
            done = train_images(net.family, net.width, task, (0,), recipe)
            if turn:
                rows.append({"network": net.name, "round": turn, "seconds_a_step": done.run_seconds / recipe.steps})
    return rows


def as_good(wide: Sequence[float], thin: Sequence[float], count: int, slack: float) -> tuple[str, str]:
    """Whether the wide networks tell at most a part `slack` of the images more wrong than the thin ones.

    The difference of the mean errors has the noise of `_images.compare` (seeds by Welch's standard error, and the
    binomial noise of `count` images): beyond it on the one side of `slack` the word is "holds", on the other "does not
    hold", else "undetermined".
    """
    from experiments import _images

    shifted = [error + slack for error in thin]
    word, _ = _images.compare(wide, shifted, count)
    if len(wide) < 2 or len(thin) < 2:
        return word, "fewer than two seeds"
    _, text = _images.compare(wide, thin, count)
    return word, text


def faster(wide: Sequence[float], thin: Sequence[float]) -> tuple[str, str]:
    """Whether a step of the wide network takes less time: all its measurements below all of the thin one's.

    >>> faster([1.0, 1.1], [1.5, 1.6])[0], faster([1.0, 1.6], [1.5, 1.7])[0], faster([2.0, 2.1], [1.5, 1.6])[0]
    ('holds', 'undetermined', 'does not hold')
    """
    a, b = np.asarray(wide), np.asarray(thin)
    text = f"{1000 * np.median(a):.1f} ms against {1000 * np.median(b):.1f} ms a step, medians of {len(a)}"
    if len(a) < 2 or len(b) < 2:
        return "undetermined", text
    return ("holds" if a.max() < b.min() else "does not hold" if a.min() > b.max() else "undetermined"), text
