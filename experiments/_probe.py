"""The main experiment for functions: train, construct, certify, audit, draw, and give the verdict."""

import dataclasses
import functools
import math
import time
from typing import Any

import numpy as np

import expressivity as ex
from experiments import _cases, _figure, _run
from expressivity import certificates, sweeps
from expressivity.sweeps import measure
from expressivity.sweeps.audit import Floors, audit
from expressivity.sweeps.result import SweepResult
from expressivity.sweeps.summary import summary
from expressivity.sweeps.verdict import best_constant, verdicts

NORMS = ("L1", "L2", "sup")
DISC_FLOOR = 0.870896  # least fraction of the variance of |x|^2 on the disc that a network of width 1 leaves


@dataclasses.dataclass
class Case:
    """Everything about one target."""

    target: ex.Target
    trained: SweepResult
    longer: SweepResult | None
    warm: SweepResult | None
    floors: Any
    ceilings: Any
    audit: Any
    summary: Any
    verdicts: Any
    path_value: float
    constants: dict[str, float]


def experiment(settings: Any, options: Any, *, title: str, claim: str) -> int:
    """All cases in one folder; returns the exit status."""
    import pandas as pd

    begun = time.perf_counter()
    targets = [_cases.target(name, n) for n in settings.dims for name in settings.targets]
    with sweeps.Store(options.out) as store:
        _run.write_json(store.folder / "config.json", {"preset": options.preset, **_run.settings(settings)})
        cases = [probe(target, settings, store, number) for number, target in enumerate(targets)]
        everything = sweeps.merge([r for c in cases for r in (c.trained, c.longer, c.warm) if r is not None])
        sweeps.write_tables(store, everything)
        frames = {
            name: pd.concat([getattr(case, name) for case in cases], ignore_index=True)
            for name in ("summary", "verdicts", "floors", "ceilings", "audit")
        }
        for name, frame in frames.items():
            _run.write_frame(store.folder / f"{name}.csv", frame)
        checks = check(cases, thorough=options.preset != "smoke")
        holds = all(held for _, held in checks)
        picture = _run.save_figure(_figure.draw(cases[: _figure.ROWS]), store.folder / "figure")
        for case in cases if len(cases) > _figure.ROWS else []:
            name = f"{case.target.name}_n{case.target.dim}"
            _run.save_figure(_figure.draw([case]), store.folder / "figures" / name)
        seconds = {
            "compile_seconds": round(float(everything.timings["compile_seconds"].sum()), 2),
            "run_seconds": round(float(everything.timings["run_seconds"].sum()), 2),
            "measure_seconds": round(float(everything.timings["measure_seconds"].sum()), 2),
            "wall_seconds": round(time.perf_counter() - begun, 2),
            "networks_trained": len(everything.table) // len(NORMS),
        }
        environment = _run.environment(**seconds)
        _run.write_json(store.folder / "environment.json", environment)
        from expressivity.report import page

        tables = {
            f"Verdicts (possible: at most {settings.accuracy:g} of the error of the best constant)": frames["verdicts"],
            "Floors: no network of the width is lower": frames["floors"],
            "Ceilings: constructed networks": frames["ceilings"],
            "Trained networks": frames["summary"],
        }
        text = page(
            title,
            claim,
            holds,
            checks,
            picture,
            _figure.TEXT,
            tables,
            _run.settings(settings),
            results=everything,
            floors=frames["floors"],
            ceilings=_figure.ceiling_levels(frames["ceilings"]),
            constants={(_task(case.target), norm): value for case in cases for norm, value in case.constants.items()},
            environment=environment,
        )
        _run.write_page(store.folder / "report.html", text)
    for case in cases:
        print(_words(case))
    for sentence, held in checks:
        print(f"  {'holds' if held else 'FAILS'}: {sentence}")
    print(f"The claim {'holds' if holds else 'does not hold'}. Figure and tables are in {options.out}.")
    return _run.HELD if holds else _run.FAILED


def probe(target: ex.Target, settings: Any, store: sweeps.Store, number: int) -> Case:
    """One target: all trainings, floors, constructions, and what follows from them."""
    import pandas as pd

    n = target.dim
    order = None if settings.order is None else settings.order[n]
    widths = [ex.Width.parse(text) for text in settings.widths]
    families = [ex.MLP(n, hidden_layers=layers) for layers in settings.hidden_layers]
    recipe = ex.Recipe(settings.steps, settings.batch_size, settings.learning_rate)
    name = f"{target.name}, n = {n}"
    sweep = ex.Sweep(families, widths, target, settings.seeds, recipe, packed=settings.packed)
    trained = sweeps.collect(sweep, store, order=order, title=name)
    longer = None
    if settings.longer is not None and number < settings.longer_targets:
        longer = train_longer(trained, sweep, ex.Width.parse(settings.longer)(n), store, order)

    built = _cases.constructions(target, settings.most_layers)
    grid = measure.grid(target, order)
    ceilings = measure_constructions(built, target, grid)
    warm = train_further(built, target, settings, store, order)

    units = sorted({width(n) for width in widths})
    found = Floors(target)
    floors = floor_table(found, units, target)
    results = [r for r in (trained, longer, warm) if r is not None]
    checked = pd.concat([audit(result, target, found) for result in results], ignore_index=True)
    constants = {norm: best_constant(grid, norm) for norm in measure.norms_of(target)}
    thresholds = {norm: settings.accuracy * value for norm, value in constants.items()}
    words = verdicts(units, thresholds, floors, networks_table(results, ceilings, target, thresholds))
    words.insert(0, "task", _task(target))
    return Case(
        target,
        trained,
        longer,
        warm,
        floors,
        ceilings,
        checked,
        summary(trained, longer, warm),
        words,
        coding_path(built, target),
        constants,
    )


def _task(target: ex.Target) -> str:
    return f"{target.name} on {target.measure.name}"


def train_longer(
    trained: SweepResult, sweep: ex.Sweep, widest: int, store: sweeps.Store, order: int | None
) -> SweepResult | None:
    """The best four seeds (in L2) of each width up to `widest`, at its best depth, with four times the steps."""
    task: Any = sweep.task
    best = trained.best()
    best = best[(best["norm"] == "L2") & (best["width"] <= widest)]
    recipe = dataclasses.replace(sweep.recipe, steps=4 * sweep.recipe.steps)
    each = []
    for width, rows in best.groupby("width"):
        depth = int(rows.loc[rows["error"].idxmin(), "hidden_layers"])
        table = trained.table
        cell = table[(table["norm"] == "L2") & (table["width"] == width) & (table["hidden_layers"] == depth)]
        seeds = cell[cell["status"] == "ok"].nsmallest(4, "error")["seed"].tolist()
        family = ex.MLP(task.dim, hidden_layers=depth)
        rules = str(cell["width_rule"].iloc[0]).split(" = ")
        rule = next((text for text in rules if "n" in text), rules[0])
        each.append(ex.Sweep(family, rule, task, sorted(seeds), recipe))
    return sweeps.merge(sweeps.collect_all(each, store, order=order, title=f"{task.name}, longer")) if each else None


def train_further(
    built: list[_cases.Built], target: ex.Target, settings: Any, store: sweeps.Store, order: int | None
) -> SweepResult | None:
    """Warm starts: small constructions, once as they are and three times with weights changed by 1e-3, trained on."""
    import jax

    from expressivity.training import perturb

    small = _cases.constructions(target, settings.warm_layers) if settings.warm_layers else []
    each = []
    for name, construction, _ in small:
        network = construction.network
        if not 0 < network.hidden_layers <= settings.warm_layers:
            continue
        width = network.width
        starts = {(width, seed): perturb(network, jax.random.key(seed), 1e-3 if seed else 0.0) for seed in range(4)}
        family = ex.MLP(target.dim, hidden_layers=network.hidden_layers)
        recipe = ex.Recipe(settings.warm_steps, settings.batch_size, 1e-5)
        each.append(ex.Sweep(family, [width], target, 4, recipe, origin=name, starts=starts))
    title = f"{target.name}, from constructions"
    return sweeps.merge(sweeps.collect_all(each, store, order=order, title=title)) if each else None


def measure_constructions(built: list[_cases.Built], target: ex.Target, grid: Any) -> Any:
    """One row a construction and norm: its proved bound (empty where there is none) and its measured error.

    A coding network keeps within the range of the target, so what a rule may miss on its thin ramps is at most their
    share of the measure times the range to the power p; the half-width contains it. In the sup norm a maximum over
    points is only a lower bound for a network with thin ramps; there `bound` is what counts.
    """
    import pandas as pd

    span = 2 * best_constant(grid, "sup")
    rows = []
    for name, made, unseen in built:
        for found in measure.against_target(functools.partial(ex.evaluate, made.network), target, grid):
            bound, error, half_width = made.bound(found["norm"]), found["error"], found["half_width"]
            if found["norm"] == "L1":
                half_width += span * unseen
            elif found["norm"] == "L2":
                half_width += math.sqrt(error**2 + span**2 * unseen) - error
            rows.append(
                {
                    "task": _task(target),
                    "construction": name,
                    "width": made.network.width,
                    "hidden_layers": made.network.hidden_layers,
                    "norm": found["norm"],
                    "bound": bound if math.isfinite(bound) else float("nan"),
                    "error": error,
                    "half_width": half_width,
                    "fvu": found["fvu"],
                    "holds": bool(error - half_width <= bound + 1e-9),
                    "theorem": str(made.theorem),
                }
            )
    return pd.DataFrame(rows)


def floor_table(found: Floors, units: list[int], target: ex.Target) -> Any:
    """One row a width and norm: the best floor for every network of the width, whatever its depth."""
    import pandas as pd

    rows = []
    for width in units:
        for norm in measure.norms_of(target):
            floor = found(width, None, norm)
            proof = f"{floor.theorem}" + (f" ({'; '.join(floor.assumptions)})" if floor.assumptions else "")
            rows.append({"task": _task(target), "norm": norm, "width": width, "value": floor.value, "proof": proof})
    return pd.DataFrame(rows)


def networks_table(results: list[SweepResult], ceilings: Any, target: ex.Target, thresholds: dict[str, float]) -> Any:
    """Trained and constructed networks in one table, as the verdicts read it.

    In the sup norm only the best trained network of each width that comes under the threshold is kept, its error
    searched for anew on the full rule: elsewhere a maximum over points is no upper bound.
    """
    import pandas as pd

    rows = []
    for result in results:
        usable = result.table[result.table["status"] == "ok"]
        sup = usable["norm"] == "sup"
        least = usable[sup].groupby("width")["error"].idxmin()
        keep = usable[~sup | usable.index.isin(least)]
        for row in keep.itertuples():
            error, half_width = row.error, row.half_width
            if row.norm == "sup":
                if error > thresholds["sup"]:
                    continue
                network = result.networks[row.family, row.width, row.hidden_layers, row.seed]
                found = ex.error(network, target, "sup")
                error, half_width = found.value, found.half_width
            start = "" if row.origin == "random" else f", from {row.origin}"
            name = f"trained, {row.hidden_layers} hidden layers, seed {row.seed}, {row.steps} steps{start}"
            rows.append((row.norm, row.width, error, half_width, name))
    for row in _figure.reached(ceilings).itertuples():
        rows.append((row.norm, row.width, row.value, 0.0, f"{row.construction}, {row.hidden_layers} hidden layers"))
    return pd.DataFrame(rows, columns=["norm", "width", "error", "half_width", "name"])


def coding_path(built: list[_cases.Built], target: ex.Target) -> float:
    """The sup error that the path from the centre certifies for the coding network; NaN if it was not built."""
    for name, made, _ in built:
        if name == "coding" and made.network.width <= target.dim:
            start = np.asarray(target.measure.center)  # type: ignore[attr-defined]
            return certificates.path(made.network, target, start).value
    return float("nan")


def check(cases: list[Case], thorough: bool) -> list[tuple[str, bool]]:
    """The claim, sentence by sentence, with the numbers of this run."""
    checks = []
    for case in cases:
        wrong = case.audit[~case.audit["holds"]]
        closest = (
            case.audit.loc[case.audit[case.audit["floor"] > 0]["margin"].idxmin()]
            if (case.audit["floor"] > 0).any()
            else None
        )
        count = f"{len(wrong)} of {len(case.audit)}"
        text = f"{_task(case.target)}: {count} measured errors of trained networks lie below a floor"
        if closest is not None:
            text += f" (closest: {closest['norm']} at width {closest['width']}, {closest['margin']:.2g} above)"
        checks.append((text, wrong.empty))
        over = case.ceilings[~case.ceilings["holds"]]
        bounded = int(case.ceilings["bound"].notna().sum())
        checks.append((f"{_task(case.target)}: {len(over)} of {bounded} proved ceilings are exceeded", over.empty))
        if thorough and case.target.name == "norm_squared" and case.target.dim == 2:
            checks += check_disc(case)
    return checks


def check_disc(case: Case) -> list[tuple[str, bool]]:
    """What |x|^2 on the disc must show."""
    results = [r for r in (case.trained, case.longer, case.warm) if r is not None]
    table = sweeps.merge(results).table
    table = table[table["status"] == "ok"]

    def best(width: int, norm: str, column: str = "error") -> float:
        return float(table[(table["width"] == width) & (table["norm"] == norm)][column].min())

    narrow = min(best(1, "sup"), best(2, "sup"))
    ridge, flat = best(1, "L2", "fvu"), best(2, "L2")
    coding = case.ceilings[(case.ceilings["construction"] == "coding") & (case.ceilings["norm"] == "L2")]
    coded = float((coding["error"] + coding["half_width"]).iloc[0])
    return [
        (f"no network of width 1 or 2 is below the sup floor 1/2; the least is {narrow:.6f}", narrow >= 0.5 - 1e-12),
        (
            f"no network of width 1 leaves less than {DISC_FLOOR} of the variance; the best leaves {ridge:.6f} < 0.88",
            DISC_FLOOR - 1e-5 <= ridge < 0.88,
        ),
        (
            f"the coding network of width 2 has L2 error at most {coded:.4f}, the best trained one {flat:.4f}",
            coded < flat / 2,
        ),
        (
            f"its sup error is certified by an escape path to be at least {case.path_value:.9f}",
            case.path_value >= 0.5 - 1e-8,
        ),
        (
            f"the sup error drops at width 3: {best(3, 'sup'):.4f} against {best(2, 'sup'):.4f}",
            best(3, "sup") < best(2, "sup") / 2,
        ),
    ]


def _words(case: Case) -> str:
    """The verdicts of one target, one line a norm."""
    lines = [f"{_task(case.target)}, n = {case.target.dim}"]
    for norm, rows in case.verdicts.groupby("norm", sort=False):
        parts = [f"width {row.width}: {row.verdict}" for row in rows.itertuples()]
        lines.append(f"  {norm} error at most {rows['threshold'].iloc[0]:.4g}: " + ", ".join(parts))
    return "\n".join(lines)
