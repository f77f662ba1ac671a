"""The main experiment for a regression table: errors on held-out rows against width, and no floor."""

import dataclasses
import time
from typing import Any

import expressivity as ex
from experiments import _run
from expressivity import sweeps
from expressivity.data import Table, diabetes
from expressivity.data.table import read_csv
from expressivity.sweeps.summary import summary

NO_FLOOR = "finite sample: no floor is claimed"


def read(source: str, target_column: str | None) -> Table:
    """The table in a CSV file, or the one that is shipped for "diabetes".

    Raises:
        ValueError: See `expressivity.data.table.read_csv`.
    """
    if source != "diabetes":
        return read_csv(source, target_column)
    table = diabetes()
    if target_column not in (None, table.target_column):
        raise ValueError(
            f"The diabetes table is there to predict {table.target_column!r}, not {target_column!r}; give your own "
            "file to predict another column."
        )
    return table


def experiment(table: Table, settings: Any, options: Any) -> int:
    """The sweep, its folder and its answer; returns the exit status."""
    begun = time.perf_counter()
    quick = options.preset == "smoke"
    depths = settings.hidden_layers if options.preset == "paper" else settings.hidden_layers[:2]
    settings = dataclasses.replace(
        settings,
        targets=(table.name,),
        dims=(table.dim,),
        hidden_layers=tuple(depths),
        seeds=settings.seeds if options.seeds is not None or quick else settings.seeds // 2,
        steps=max(400, settings.steps // 6),
        batch_size=min(settings.batch_size, 128),
        most_layers=0,
        longer=None,
        warm_layers=0,
        order=None,
    )
    widths = [w for w in settings.widths if table.dim > 1 or w != "n-1"]
    families = [ex.MLP(table.dim, hidden_layers=layers) for layers in settings.hidden_layers]
    recipe = ex.Recipe(settings.steps, settings.batch_size, settings.learning_rate)
    with sweeps.Store(options.out) as store:
        facts = {"preset": options.preset, "table": str(options.data), "target_column": table.target_column}
        _run.write_json(store.folder / "config.json", facts | _run.settings(settings))
        result = sweeps.collect(ex.Sweep(families, widths, table, settings.seeds, recipe), store, title=table.name)
        sweeps.write_tables(store, result)
        found = summary(result)
        _run.write_frame(store.folder / "summary.csv", found)
        checks = check(result, found)
        holds = all(held for _, held in checks)
        picture = _run.save_figure(draw(result, table), store.folder / "figure")
        environment = _run.environment(
            compile_seconds=round(float(result.timings["compile_seconds"].sum()), 2),
            run_seconds=round(float(result.timings["run_seconds"].sum()), 2),
            wall_seconds=round(time.perf_counter() - begun, 2),
        )
        _run.write_json(store.folder / "environment.json", environment)
        from expressivity.report import page

        claim = (
            f"Networks of every width were trained to predict {table.target_column!r} from {table.dim} features on "
            "three quarters of the rows, drawn by the seed, and measured on the others, in standard deviations of the "
            "training part. A finite sample has no floor: a wide network can pass through every row."
        )
        text = page(
            f"Error against width: {table.name}",
            claim,
            holds,
            checks,
            picture,
            f"Errors on held-out rows against the width; {NO_FLOOR}.",
            {"Trained networks": found},
            {**facts, **_run.settings(settings)},
            results=result,
            environment=environment,
        )
        _run.write_page(store.folder / "report.html", text)
    print(f"{table.name}: {table.rows} rows, n = {table.dim}; {NO_FLOOR}.")
    for sentence, held in checks:
        print(f"  {'holds' if held else 'FAILS'}: {sentence}")
    print(f"Figure and tables are in {options.out}.")
    return _run.HELD if holds else _run.FAILED


def check(result: sweeps.SweepResult, found: Any) -> list[tuple[str, bool]]:
    """What can be said honestly: which widths came near the best median, and that training worked at all."""
    rows = found[found["norm"] == "L2"]
    best = rows.loc[rows["median"].idxmin()]
    table = result.table[(result.table["norm"] == "L2") & (result.table["status"] == "ok")]
    at_best = table[(table["width"] == best["width"]) & (table["hidden_layers"] == best["hidden_layers"])]
    spread = float(at_best["error"].std(ddof=1)) / len(at_best) ** 0.5 if len(at_best) > 1 else 0.0
    near = rows[rows["median"] <= best["median"] + spread]
    least = near.loc[near["width"].idxmin()]
    median_fvu = float(at_best["fvu"].median())
    return [
        (
            f"the least median error on held-out rows is {best['median']:.4f}, at width {best['width']} with "
            f"{best['hidden_layers']} hidden layers; it leaves {median_fvu:.3f} of the variance, below 1",
            median_fvu < 1,
        ),
        (
            f"the smallest width within one standard error ({spread:.4f}) of it is {least['width']} "
            f"({least['width_rule']})",
            bool(least["width"] <= best["width"]),
        ),
    ]


def draw(result: sweeps.SweepResult, table: Table) -> Any:
    """One panel a norm."""
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.5), layout="constrained")
    for ax, norm in zip(axes, ("L2", "L1"), strict=True):
        ex.plots.error_against_width(result, ax=ax, norm=norm, legend=False)
        ax.set_title(f"{table.name}, held-out rows: {norm}", fontsize="medium", loc="left")
        ax.text(0.99, 0.98, NO_FLOOR, transform=ax.transAxes, ha="right", va="top", fontsize="small", style="italic")
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right upper", frameon=False, fontsize="small")
    return figure
