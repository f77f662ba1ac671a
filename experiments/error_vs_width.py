"""How wide must a ReLU network be for a function? Floors, ceilings, and what training finds between them.

Claim. Every trained and every constructed network lies on the right side of every proved bound: none is below a floor
for its width, none above the bound of its theorem. For |x|^2 on the disc: in the sup norm width 2 is a wall at 1/2,
however deep and however trained, and width 3 is not; in L2 width 1 is a wall at 0.8709 of the variance, which training
reaches, while width 2 is none: a constructed network is far better than the trained ones.

Method. MLPs of every width and depth are trained from many seeds on fresh points; errors in L1, L2 and sup are
measured by deterministic quadrature that contains the points where the proofs look. The best four seeds are trained
four times as long; where that helps by over 10 % the cell is marked "not converged". Constructed networks are measured
as they are, and some are trained further. Each width gets one word: impossible (a floor above the threshold), possible
(a network under it) or undetermined. The threshold is a fraction of the error of the best constant, 1/4 unless said
otherwise.

`--data FILE --target-column NAME` asks the same of a regression table (`--data diabetes` for the one that is shipped):
errors on held-out rows, no floors, because none can be proved for a finite sample.

Run it again in the same folder after an interruption: finished cells are not trained again. The exit status is 0 if the
claim held, 1 if not, 2 if the run was refused.
"""

import dataclasses
import pathlib
import sys
from typing import Annotated, Literal

from experiments import _run

TARGETS = (
    "norm_squared",
    "norm_squared_cube",
    "product",
    "cosine_norm",
    "ball_indicator",
    "random_network",
    "ridge",
    "parabola_ridge",
    "max_affine",
)
TargetName = Literal[
    "norm_squared",
    "norm_squared_cube",
    "product",
    "cosine_norm",
    "ball_indicator",
    "random_network",
    "ridge",
    "parabola_ridge",
    "max_affine",
]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a run consists of.

    Args:
        targets, dims, widths, hidden_layers, seeds: The grid.
        steps, batch_size, learning_rate: The recipe (Adam, linear decay).
        order: Points an axis of the quadrature, by dimension; None for the default rule.
        most_layers: How deep constructions may be.
        packed: Whether the widths of a depth are trained in one program; it saves compilations in short runs.
        accuracy: The threshold of "possible", as a fraction of the error of the best constant.
        longer: Up to this width (a rule) the best four seeds are trained four times as long; None for nowhere.
        longer_targets: How many of the targets get that.
        warm_layers: The deepest construction that is trained further; 0 for none.
        warm_steps: For how long.
    """

    targets: tuple[str, ...] = ("norm_squared", "product", "ridge")
    dims: tuple[int, ...] = (2,)
    widths: tuple[str, ...] = ("1", "n-1", "n", "n+1", "n+2", "n+4", "2n", "4n")
    hidden_layers: tuple[int, ...] = (2, 4, 8)
    seeds: int = 16
    steps: int = 3000
    batch_size: int = 256
    learning_rate: float = 3e-3
    order: dict[int, int] | None = dataclasses.field(default_factory=lambda: {2: 128, 3: 28, 4: 14})
    most_layers: int = 2200
    accuracy: float = 0.25
    packed: bool = True
    longer: str | None = "n+1"
    longer_targets: int = 1
    warm_layers: int = 40
    warm_steps: int = 300


SMOKE = Settings(
    targets=("norm_squared",),
    widths=("1", "n", "n+1"),
    hidden_layers=(2,),
    seeds=4,
    steps=300,
    batch_size=64,
    order={2: 48, 3: 16, 4: 8},
    most_layers=40,
    longer="n",
    warm_layers=8,
    warm_steps=20,
)
PAPER = Settings(
    targets=TARGETS,
    dims=(2, 3, 4),
    hidden_layers=(2, 4, 8, 16),
    seeds=32,
    steps=20_000,
    batch_size=512,
    order=None,
    most_layers=2200,
    packed=False,
    longer="4n",
    longer_targets=len(TARGETS) * 3,
    warm_layers=170,
    warm_steps=2000,
)
PRESETS = {"smoke": SMOKE, "default": Settings(), "paper": PAPER}


@dataclasses.dataclass(frozen=True)
class Options:
    preset: Literal["smoke", "default", "paper"] = "default"
    """smoke: seconds; default: under three minutes on two cores; paper: many hours, meant for a GPU."""
    out: pathlib.Path = pathlib.Path("runs/error_vs_width")
    """Output folder."""
    seeds: int | None = None
    """Networks of every width and depth."""
    platform: Literal["cpu", "gpu", "tpu"] | None = None
    """Where JAX computes; by default the best device there is."""
    targets: tuple[TargetName, ...] | None = None
    """Which functions."""
    dims: tuple[int, ...] | None = None
    """Input dimensions n."""
    accuracy: float | None = None
    """The threshold of "possible": this fraction of the error of the best constant."""
    data: Annotated[str | None, "a CSV file or 'diabetes'"] = None
    """A regression table in place of the targets: a CSV file with a header line, or "diabetes"."""
    target_column: str | None = None
    """The column of the table to predict; by default the last."""


def chosen(options: Options) -> Settings:
    """The settings of a preset with what the command line changes.

    Raises:
        ValueError: If a number is out of range, or a target does not exist in a dimension.
    """
    changes = {
        k: getattr(options, k) for k in ("seeds", "targets", "dims", "accuracy") if getattr(options, k) is not None
    }
    settings = dataclasses.replace(PRESETS[options.preset], **changes)
    if settings.seeds < 1:
        raise ValueError(f"--seeds is at least 1; got {settings.seeds}.")
    if not settings.dims or min(settings.dims) < 2 or max(settings.dims) > 4:
        raise ValueError(f"--dims are numbers from 2 to 4; got {' '.join(map(str, settings.dims)) or 'none'}.")
    if not settings.targets:
        raise ValueError(f"--targets needs at least one of {', '.join(TARGETS)}.")
    if not 0 < settings.accuracy < 1:
        raise ValueError(f"--accuracy lies strictly between 0 and 1; got {settings.accuracy}.")
    if options.target_column is not None and options.data is None:
        raise ValueError(f"--target-column {options.target_column} belongs to a table; give one with --data FILE.")
    return settings


def experiment(options: Options) -> int:
    """Runs, writes everything into the output folder, prints the verdict, and returns the exit status."""
    settings = chosen(options)
    if options.data is not None:
        from experiments import _table

        table = _table.read(options.data, options.target_column)
        _run.start_jax(options.platform)
        return _table.experiment(table, settings, options)
    _run.start_jax(options.platform)
    from experiments import _probe

    return _probe.experiment(settings, options, title="Error against width", claim=_run.claim(__doc__))


if __name__ == "__main__":
    sys.exit(_run.main("error_vs_width", Options, experiment, __doc__ or ""))
