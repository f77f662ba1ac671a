"""Evaluating very deep, narrow networks: `expressivity.evaluate` against a layer loop in PyTorch, in NumPy, and a scan.

Claim: at 29,052 layers of width 6 and 4,000 points `evaluate` takes at most a tenth of the time of PyTorch's layer loop
for any weights, and at most a 25th where a layer changes at most two registers.

Method: every evaluator runs once a round, rounds are interleaved, and the ratio to the reference is taken within each
round; medians are printed with the smallest and largest ratio. The first call, which compiles, is reported apart.
Ratios count, absolute figures do not; the share of the cores that other processes used is printed beside them, and the
ratio of the CPU seconds of all threads, which a busy machine disturbs less: two lanes do not count in it.

    python -m experiments.benchmarks.deep_evaluate --rounds 7

PyTorch takes part where it can be imported (extra `parity`); NumPy's loop is the reference otherwise. A few minutes on
two cores. Exit status 1 if PyTorch took part and a goal is missed.
"""

import argparse
import importlib
import importlib.util
import json
import os
import statistics
import sys
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

import expressivity as ex
from expressivity.constructions import lu2017

Evaluator = Callable[[], np.ndarray]


def bumps(count: int, pipelined: bool) -> ex.ReLUNetwork:
    """The network of Lu et al. (2017) for `count` boxes in the plane: width 6, nine or four layers a box."""
    rng = np.random.default_rng(0)
    lower = rng.uniform(-1, 0.75, (count, 2))
    heights = rng.uniform(-1, 1, count)
    return lu2017.step_network(lower, lower + 0.25, heights, ramp=1 / 64, half_width=1.0, pipelined=pipelined)


def random_registers(layers: int, changed: int, width: int = 6, seed: int = 0) -> ex.ReLUNetwork:
    """A network that changes `changed` random registers a layer by random rows and keeps the others."""
    rng = np.random.default_rng(seed)
    weights, biases = np.tile(np.eye(width), (layers, 1, 1)), np.zeros((layers, width))
    rows = np.argsort(rng.random((layers, width)), axis=1)[:, :changed]
    number = np.arange(layers)[:, None]
    weights[number, rows] = rng.uniform(-1, 1, (layers, changed, width)) / width
    biases[number, rows] = rng.uniform(-0.5, 1, (layers, changed))
    first = (rng.standard_normal((width, 2)), np.zeros(width))
    return ex.ReLUNetwork.from_stacked(first, weights, biases, (rng.standard_normal((1, width)), np.zeros(1)))


def numpy_loop(network: ex.ReLUNetwork, points: np.ndarray) -> np.ndarray:
    h, layers = points, list(network.layers)
    for weight, bias in layers[:-1]:
        h = np.maximum(h @ weight.T + bias, 0)
    return h @ layers[-1][0].T + layers[-1][1]


def torch_loop(network: ex.ReLUNetwork, points: np.ndarray, threads: int) -> Evaluator:
    torch: Any = importlib.import_module("torch")
    torch.set_num_threads(threads)
    layers = [(torch.from_numpy(w.copy()), torch.from_numpy(b.copy())) for w, b in network.layers]
    given = torch.from_numpy(points)

    def run() -> np.ndarray:
        with torch.no_grad():
            h = given
            for weight, bias in layers[:-1]:
                h = torch.relu(torch.nn.functional.linear(h, weight, bias))
            return torch.nn.functional.linear(h, *layers[-1]).numpy()

    return run


def jax_scan(network: ex.ReLUNetwork, points: np.ndarray) -> Evaluator:
    batch_major = jax.jit(lambda network, points: jax.vmap(network)(points))

    def run() -> np.ndarray:
        with jax.enable_x64(True):
            return np.asarray(batch_major(network, points))

    return run


def busy() -> tuple[float, float] | None:
    """Seconds that all processes, and this one with its children, have used so far; None where /proc is missing."""
    try:
        with open("/proc/stat") as file:
            ticks = [int(text) for text in file.readline().split()[1:9]]
    except OSError:
        return None
    everybody = (sum(ticks) - ticks[3] - ticks[4]) / os.sysconf("SC_CLK_TCK")
    return everybody, sum(os.times()[:4])


def timed(run: Evaluator) -> tuple[float, float]:
    """Seconds on the clock, and seconds of all cores together."""
    start, used = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - start, time.process_time() - used


def compare(name: str, network: ex.ReLUNetwork, points: np.ndarray, rounds: int, threads: int) -> dict[str, Any]:
    """One row an evaluator: first call, median time, and the ratio of the reference's time to it."""
    runs: dict[str, Evaluator] = {}
    if importlib.util.find_spec("torch"):
        runs["torch loop"] = torch_loop(network, points, threads)
    runs["numpy loop"] = lambda: numpy_loop(network, points)
    runs["jax scan, batch-major"] = jax_scan(network, points)
    runs["evaluate, dense"] = lambda: ex.evaluate(network, points, sparse=False)
    runs["evaluate"] = lambda: ex.evaluate(network, points)
    first = {label: timed(run)[0] for label, run in runs.items()}
    reference = runs["numpy loop"]()
    for label, run in runs.items():
        worst = float(np.abs(run() - reference).max())
        if not worst <= 1e-9 * (1 + float(np.abs(reference).max())):
            raise RuntimeError(f"{label} differs from the loop by {worst:g} on {name}.")
    before, wall = busy(), time.perf_counter()
    seconds: dict[str, list[float]] = {label: [] for label in runs}
    cores: dict[str, list[float]] = {label: [] for label in runs}
    for number in range(rounds):
        labels = list(runs)
        for label in labels[number % len(labels) :] + labels[: number % len(labels)]:
            clock, used = timed(runs[label])
            seconds[label].append(clock)
            cores[label].append(used)
    after, wall = busy(), time.perf_counter() - wall
    others = None
    if before and after:
        others = max(0.0, (after[0] - before[0] - (after[1] - before[1])) / (wall * (os.cpu_count() or 1)))
    base = next(iter(runs))
    rows = []
    for label, values in seconds.items():
        ratios = [b / v for b, v in zip(seconds[base], values, strict=True)]
        rows.append(
            {
                "evaluator": label,
                "first": first[label],
                "seconds": statistics.median(values),
                "ratio": statistics.median(ratios),
                "lowest": min(ratios),
                "highest": max(ratios),
                "cpu_ratio": min(cores[base]) / min(cores[label]),
            }
        )
    return {"network": name, "layers": network.depth, "reference": base, "others": others, "rows": rows}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--points", type=int, default=4000)
    parser.add_argument("--layers", type=int, default=29052)
    parser.add_argument("--torch-threads", type=int, default=1, help="more than one waits badly on a busy machine")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args(arguments)
    layers = options.layers
    networks = {
        "bumps": (bumps(layers // 9, pipelined=False), 25),
        "bumps, pipelined": (bumps(layers // 4, pipelined=True), 10),
        "one register a layer": (random_registers(layers, 1), 25),
        "two registers a layer": (random_registers(layers, 2), 25),
        "all registers": (random_registers(layers, 6), 10),
    }
    points = np.random.default_rng(1).uniform(-1, 1, (options.points, 2))
    status, results = 0, []
    for name, (network, goal) in networks.items():
        result = compare(name, network, points, options.rounds, options.torch_threads)
        results.append(result)
        reached = result["rows"][-1]["ratio"]
        if result["reference"] == "torch loop" and reached < goal:
            status = 1
        if options.json:
            continue
        others = "unknown" if result["others"] is None else f"{result['others']:.0%}"
        print(f"\n{name}: {result['layers']} layers, {options.points} points; others used {others} of the cores")
        faster = "times faster than " + result["reference"]
        print(f"{'evaluator':24}{'first call':>12}{'median':>10}{faster:>34}{'in CPU seconds':>18}")
        for row in result["rows"]:
            spread = f"{row['ratio']:.1f} ({row['lowest']:.1f} .. {row['highest']:.1f})"
            times = f"{row['first']:>10.3f} s{row['seconds']:>8.3f} s"
            print(f"{row['evaluator']:24}{times}{spread:>34}{row['cpu_ratio']:>18.1f}")
        print(f"goal: {goal}; reached: {reached:.1f}")
    if options.json:
        print(json.dumps(results, indent=2))
    return status


if __name__ == "__main__":
    sys.exit(main())
