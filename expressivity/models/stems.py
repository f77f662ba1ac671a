"""First layers of well-known networks: how wide each begins, and what a layer of random filters looks like."""

import dataclasses
import math

import numpy as np

from expressivity.models.walk import Outline
from expressivity.width import Width


@dataclasses.dataclass(frozen=True)
class Stem:
    """The first convolution of a network.

    Args:
        channels: Filters.
        kernel: Side of a filter.
        stride: Pixels between two places.
        padding: Zeros on each side.
        size: Side of the image.
        inputs: Channels of the image.

    >>> stem = STEMS["vgg16"]
    >>> stem.fan_in, stem.weights, stem.output, stem.macs
    (27, 1728, 224, 86704128)
    """

    channels: int
    kernel: int
    stride: int
    padding: int
    size: int = 224
    inputs: int = 3

    @property
    def fan_in(self) -> int:
        """Numbers that one filter reads; more filters than that cannot be linearly independent."""
        return self.kernel**2 * self.inputs

    @property
    def weights(self) -> int:
        """Numbers in the kernel."""
        return self.fan_in * self.channels

    @property
    def output(self) -> int:
        """Side of the map."""
        return self._outline()[0]

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one image."""
        return self._outline()[1]

    def widened(self, width: Width) -> "Stem":
        """The stem with its filters counted by the rule.

        >>> STEMS["mobilenet_v1"].widened(Width(0.25)).channels
        8
        """
        return dataclasses.replace(self, channels=width(self.channels))

    def _outline(self) -> tuple[int, int]:
        net = Outline({})
        image = (self.size, self.size, self.inputs)
        output = net.conv("stem", image, self.channels, self.kernel, self.stride, self.padding)
        return output[0], net.specs[0].macs


STEMS: dict[str, Stem] = {
    "alexnet": Stem(96, 11, 4, 0, 227),
    "alexnet_one_tower": Stem(64, 11, 4, 2),
    "zfnet": Stem(96, 7, 2, 1),
    "vgg16": Stem(64, 3, 1, 1),
    "googlenet": Stem(64, 7, 2, 3),
    "inception_v3": Stem(32, 3, 2, 0, 299),
    "squeezenet1_0": Stem(96, 7, 2, 0),
    "squeezenet1_1": Stem(64, 3, 2, 0),
    "resnet": Stem(64, 7, 2, 3),
    "densenet121": Stem(64, 7, 2, 3),
    "densenet161": Stem(96, 7, 2, 3),
    "mobilenet_v1": Stem(32, 3, 2, 1),
    "mobilenet_v2": Stem(32, 3, 2, 1),
    "mobilenet_v3": Stem(16, 3, 2, 1),
    "shufflenet": Stem(24, 3, 2, 1),
    "efficientnet_b0": Stem(32, 3, 2, 1),
    "efficientnet_b3": Stem(40, 3, 2, 1, 300),
    "efficientnet_b4": Stem(48, 3, 2, 1, 380),
    "efficientnet_b6": Stem(56, 3, 2, 1, 528),
    "efficientnet_b7": Stem(64, 3, 2, 1, 600),
    "convnext_tiny": Stem(96, 4, 4, 0),
    "convnext_base": Stem(128, 4, 4, 0),
    "vit_b16": Stem(768, 16, 16, 0),
    "cifar_resnet": Stem(16, 3, 1, 1, 32),
    "allconv6": Stem(64, 3, 2, 1),
    "allconv6_1": Stem(16, 3, 2, 1),
}


def pairing(kernel: np.ndarray) -> np.ndarray:
    """For each filter the least cosine with another one of the layer (`shang2016`); -1 is an exact opposite.

    Args:
        kernel: Of shape (height, width, inputs, filters), at least two filters.

    Raises:
        ValueError: If there are fewer than two filters, or one is 0.

    >>> import numpy as np
    >>> pairing(np.array([[[[1.0, -2.0, 0.5]]]])).tolist()
    [-1.0, -1.0, -1.0]
    """
    filters = np.asarray(kernel, np.float64).reshape(-1, np.shape(kernel)[-1])
    norms = np.linalg.norm(filters, axis=0)
    if filters.shape[1] < 2:
        raise ValueError(f"Pairs need at least two filters; got {filters.shape[1]}.")
    if not norms.all():
        raise ValueError(f"The filters {np.flatnonzero(norms == 0).tolist()} are 0 and have no direction; drop them.")
    cosines = (filters / norms).T @ (filters / norms)
    np.fill_diagonal(cosines, np.inf)
    return np.clip(cosines.min(axis=1), -1, 1)


@dataclasses.dataclass(frozen=True)
class PairingLaw:
    r"""The exact law of the pairing cosine of one among n Gaussian filters of fan-in d.

    The cosine with one other filter has $F(t) = I_{(1+t)/2}((d-1)/2, (d-1)/2)$; the least of n - 1 of them has
    $P(\mu \le t) = 1 - (1 - F(t))^{n-1}$.

    Args:
        filters: n, at least 2.
        fan_in: d, at least 2.

    Raises:
        ValueError: If one is below 2.

    >>> round(PairingLaw(96, 363).mean(), 6)
    -0.130309
    """

    filters: int
    fan_in: int

    def __post_init__(self) -> None:
        for name in ("filters", "fan_in"):
            if getattr(self, name) < 2:
                raise ValueError(f"The law of pairing needs {name} of at least 2, not {getattr(self, name)}.")

    def cdf(self, t: float) -> float:
        r"""$P(\mu \le t)$.

        >>> PairingLaw(2, 27).cdf(0.0)
        0.5
        """
        from scipy.special import betainc, betaincc

        half = (self.fan_in - 1) / 2
        point = min(max((1 + t) / 2, 0.0), 1.0)
        if point < 0.5:  # 1 - (1 - F)^(n-1) without cancellation
            return float(-math.expm1((self.filters - 1) * math.log1p(-betainc(half, half, point))))
        return float(1 - betaincc(half, half, point) ** (self.filters - 1))

    def quantile(self, q: float) -> float:
        r"""The t with $P(\mu \le t) = q$.

        >>> round(PairingLaw(64, 147).quantile(0.5), 4)
        -0.1883
        """
        from scipy.special import betaincinv

        half = (self.fan_in - 1) / 2
        return float(2 * betaincinv(half, half, -math.expm1(math.log1p(-q) / (self.filters - 1))) - 1)

    def mean(self) -> float:
        r"""$-1 + \int_{-1}^{1} (1 - F(t))^{n-1} dt$.

        >>> round(PairingLaw(24, 27).mean(), 6)
        -0.365676
        """
        from scipy.integrate import quad

        middle = self.quantile(0.5)
        parts = ((-1.0, middle), (middle, 0.0), (0.0, 1.0)) if middle < 0 else ((-1.0, middle), (middle, 1.0))
        return -1 + sum(quad(lambda t: 1 - self.cdf(t), low, high, epsabs=1e-12)[0] for low, high in parts)

    def pdf(self, t: float) -> float:
        r"""The density, $(n-1)(1 - F(t))^{n-2} F'(t)$ with $F'(t) = (1-t^2)^{(d-3)/2} / B(1/2, (d-1)/2)$.

        >>> round(PairingLaw(2, 3).pdf(0.3), 12)
        0.5
        """
        from scipy.special import betaincc, betaln

        if not -1 < t < 1:
            return 0.0
        half = (self.fan_in - 1) / 2
        above = float(betaincc(half, half, (1 + t) / 2))
        density = math.exp((self.fan_in - 3) / 2 * math.log1p(-t * t) - betaln(0.5, half))
        return (self.filters - 1) * above ** (self.filters - 2) * density

    def variance(self) -> float:
        r"""$2 \int_{-1}^{1} (m - t)\,(F_\mu(t) - 1_{t \ge m})\,dt$ about the mean m, with $F_\mu$ the law.

        >>> round(PairingLaw(2, 27).variance() * 27, 9)
        1.0
        """
        from scipy.integrate import quad

        mean = self.mean()
        below = quad(lambda t: (mean - t) * self.cdf(t), -1.0, mean, epsabs=1e-13)[0]
        above = quad(lambda t: (t - mean) * (1 - self.cdf(t)), mean, 1.0, epsabs=1e-13)[0]
        return 2 * (below + above)
