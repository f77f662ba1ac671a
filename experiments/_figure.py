"""The figure of the main experiment: one row a target, one column a norm."""

from typing import Any

import numpy as np

import expressivity as ex
from experiments import _cases
from expressivity import sweeps
from expressivity.sweeps import measure

TEXT = (
    "Errors of networks against their width, one panel a norm: proved floors solid, constructed ceilings dashed, seeds "
    "as dots, the best of each depth filled."
)
_SOURCES = {
    "coding": "coding network (Kim et al. 2024)",
    "cap string": "cap string (Hanin, Sellke 2017)",
    "tangent planes": "max of tangent planes",
    "step": "step network (Lu et al. 2017)",
}
ROWS = 3  # targets in the main figure; each has a figure of its own where there are more


def draw(cases: list[Any]) -> Any:
    """One row a target, one column a norm, one legend a row."""
    import matplotlib.pyplot as plt

    columns = [norm for norm in ("L2", "sup", "L1") if any(norm in measure.norms_of(c.target) for c in cases)]
    size = (3.5 * len(columns) + 2.6, 2.9 * len(cases) + 0.3)
    figure, axes = plt.subplots(len(cases), len(columns), figsize=size, squeeze=False, layout="constrained")
    for row, case in zip(axes, cases, strict=True):
        table = sweeps.merge([r for r in (case.trained, case.longer) if r is not None]).table
        for number, (ax, norm) in enumerate(zip(row, columns, strict=True)):
            if norm not in measure.norms_of(case.target):
                ax.set_axis_off()
                continue
            ex.plots.error_against_width(
                table,
                floors=case.floors,
                ceilings=ceiling_levels(case.ceilings),
                ax=ax,
                norm=norm,
                constant=case.constants[norm],
                legend=False,
            )
            if norm == "sup" and case.path_value > 0.01 * case.constants[norm]:
                label = "coding network is at least here (escape path)"
                place = sorted(table["width"].unique()).index(case.target.dim)
                style = {"marker": "^", "ms": 8, "mfc": "white", "mec": "black", "ls": "", "zorder": 8}
                ax.plot([place], [case.path_value], label=label, gid="path", **style)
            ax.set_title(f"{_cases.title(case.target)}" if number == 0 else "", fontsize="medium", loc="left")
            if case is not cases[-1]:
                ax.set_xlabel("")
        entries = {label: handle for ax in row for handle, label in zip(*ax.get_legend_handles_labels(), strict=True)}
        if case is not cases[0]:
            entries = {k: v for k, v in entries.items() if k.startswith("ceiling")}
        order = sorted(entries, key=lambda label: (not label.startswith("floor"), label.startswith("ceiling")))
        row[-1].legend(
            [entries[label] for label in order],
            order,
            loc="upper left",
            bbox_to_anchor=(1.02, 1.0),
            borderaxespad=0.0,
            frameon=False,
            fontsize="small",
        )
    return figure


def reached(ceilings: Any) -> Any:
    """The rows of constructions with a column `value`: an error that the network certainly does not exceed.

    In the sup norm that is the proved bound, or nothing; in L1 and L2 the lesser of bound and measured error.
    """
    measured = (ceilings["error"] + ceilings["half_width"]).where(ceilings["norm"] != "sup")
    return ceilings.assign(value=np.fmin(measured, ceilings["bound"])).dropna(subset="value")


def ceiling_levels(ceilings: Any) -> Any:
    """The constructed networks as levels to draw."""
    levels = reached(ceilings)
    names = [
        f"{_SOURCES.get(row.construction, row.construction)}, {row.hidden_layers} hidden layers"
        for row in levels.itertuples()
    ]
    kept = [name for name in ("task", "norm", "width", "value", "label") if name in {*levels.columns, "label"}]
    return levels.assign(label=names)[kept]
