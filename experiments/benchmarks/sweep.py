"""How fast are many narrow networks trained, beside what people use for it?

Claim: the training engine takes at least 100 times as many model-steps a second as a loop in PyTorch at widths 3 to
8, 15 times as many as `torch.func`, 5 times as many as the best hand-batched PyTorch and 6 times as many as the
textbook `jax.vmap`; at width 16 at least 30, 6, 3 and 3 times; at width 64 it reaches 70 % of the speed of a large
matrix product.

Method: every peer trains ReLU networks (4 -> width, six hidden layers -> 1) with Adam on |x|, with minibatches of 512
points drawn from 4,096 at every step. A model-step is one step of one network. Peers take turns in every round, so
that a slow moment of the machine hits all of them; a ratio is taken within each round, and its median and extremes are
given. Times are of whole runs, initialisation and sampling included, compilation not. All nets of the engine and of
the peers marked "shared" see one minibatch; the other peers draw one for each net, as they are usually written.

    python -m experiments.benchmarks.sweep --widths 3 4 8 16 64

PyTorch is in the extra `parity`; without it the peers in JAX are timed. Two to five minutes on two cores.
"""

import dataclasses
import os
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Run = Callable[[int], tuple[int, float | None]]


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is timed."""

    widths: tuple[int, ...] = (3, 4, 5, 8, 16, 64)
    seeds: int = 16
    hidden_layers: int = 6
    batch: int = 512
    rounds: int = 5
    steps: int = 100
    """Steps of a run of the slower peers; the engine and the compiled ones take 20 times as many."""
    torch_threads: int = 0
    """Threads of PyTorch; 0 leaves its default. On a machine that others use, 1 is kinder to it."""
    peers: tuple[str, ...] = ()
    """Names of the peers; all that are installed if empty."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """What every peer gets."""

    n: int
    depth: int
    seeds: int
    batch: int
    X: np.ndarray
    Y: np.ndarray


def engine(cfg: Any, width: int) -> Run:
    """`expressivity.training.train` on a table, a new root (and so new networks and minibatches) for every run."""
    import expressivity as ex
    from expressivity import training

    task = training.TableTask(cfg.X, cfg.Y, "benchmark")
    family = ex.MLP(cfg.X.shape[1], 1, hidden_layers=cfg.depth)
    root = 0

    def run(steps: int) -> tuple[int, float]:
        nonlocal root
        root += 1
        recipe = ex.Recipe(20 * steps, cfg.batch, 1e-3, schedule="constant")
        result = training.train(family, (width,), task, range(cfg.seeds), recipe, root=root)
        return 20 * steps * cfg.seeds, float(np.mean(list(result.loss.values())))

    return run


def _sizes(cfg: Any, width: int) -> list[tuple[int, int]]:
    return [(cfg.X.shape[1], width), *[(width, width)] * (cfg.depth - 1), (width, 1)]


def torch_loop(cfg: Any, width: int, fused: bool = False) -> Run:
    """`nn.Sequential` and one net after the other (one is timed)."""
    import torch  # type: ignore[import-not-found]

    x_all, y_all = torch.tensor(cfg.X), torch.tensor(cfg.Y)

    def run(steps: int) -> tuple[int, float]:
        layers: list[Any] = []
        for inputs, outputs in _sizes(cfg, width):
            layers += [torch.nn.Linear(inputs, outputs), torch.nn.ReLU()]
        model = torch.nn.Sequential(*layers[:-1])
        optimiser = torch.optim.Adam(model.parameters(), 1e-3, fused=fused)
        loss = torch.zeros(())
        for _ in range(steps):
            rows = torch.randint(0, len(x_all), (cfg.batch,))
            loss = ((model(x_all[rows]) - y_all[rows]) ** 2).mean()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return steps, loss.item()

    return run


def torch_func(cfg: Any, width: int) -> Run:
    """`torch.func`: vmap of grad over the nets, Adam by foreach operations."""
    import torch as library  # type: ignore[import-not-found]
    from torch.func import grad, vmap  # type: ignore[import-not-found]

    torch: Any = library  # the foreach operations are not in its list of public names
    x_all, y_all = torch.tensor(cfg.X), torch.tensor(cfg.Y)

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        last = len(parameters) - 2
        for number in range(0, len(parameters), 2):
            x = x @ parameters[number] + parameters[number + 1]
            x = torch.relu(x) if number < last else x
        return ((x - y) ** 2).mean()

    gradient = vmap(grad(loss))

    def run(steps: int) -> tuple[int, None]:
        parameters = _torch_parameters(cfg, width)
        mean, square = ([torch.zeros_like(p) for p in parameters] for _ in range(2))
        for step in range(1, steps + 1):
            rows = torch.randint(0, len(x_all), (cfg.seeds, cfg.batch))
            found = list(gradient(parameters, x_all[rows], y_all[rows]))
            torch._foreach_lerp_(mean, found, 0.1)
            torch._foreach_mul_(square, 0.999)
            torch._foreach_addcmul_(square, found, found, value=0.001)
            scale = torch._foreach_sqrt(square)
            torch._foreach_mul_(scale, (1 - 0.999**step) ** -0.5)
            torch._foreach_add_(scale, 1e-8)
            torch._foreach_addcdiv_(parameters, mean, scale, value=-1e-3 / (1 - 0.9**step))
        return steps * cfg.seeds, None

    return run


def _torch_parameters(cfg: Any, width: int) -> list[Any]:
    import torch  # type: ignore[import-not-found]

    parameters = []
    for inputs, outputs in _sizes(cfg, width):
        parameters += [torch.randn(cfg.seeds, inputs, outputs) * (2 / inputs) ** 0.5, torch.zeros(cfg.seeds, outputs)]
    return parameters


def torch_batched(cfg: Any, width: int, layout: str = "batch", shared: bool = False) -> Run:
    """Batched matrix products over the nets, automatic differentiation, fused Adam; two layouts."""
    import torch  # type: ignore[import-not-found]

    x_all, y_all = torch.tensor(cfg.X), torch.tensor(cfg.Y)

    def run(steps: int) -> tuple[int, float]:
        parameters = _torch_parameters(cfg, width)
        if layout == "feature":
            parameters = [p.mT.contiguous() if p.ndim == 3 else p for p in parameters]
        parameters = [p.requires_grad_() for p in parameters]
        optimiser = torch.optim.Adam(parameters, 1e-3, fused=True)
        last, loss = len(parameters) - 2, torch.zeros(())
        for _ in range(steps):
            if shared:
                rows = torch.randint(0, len(x_all), (cfg.batch,))
                x, y = x_all[rows].expand(cfg.seeds, -1, -1), y_all[rows]
            else:
                rows = torch.randint(0, len(x_all), (cfg.seeds, cfg.batch))
                x, y = x_all[rows], y_all[rows]
            x, y = (x.mT.contiguous(), y.mT) if layout == "feature" else (x, y)
            for number in range(0, len(parameters), 2):
                weight, bias = parameters[number], parameters[number + 1]
                if layout == "feature":
                    x = torch.baddbmm(bias[:, :, None], weight, x)
                else:
                    x = torch.baddbmm(bias[:, None], x, weight)
                x = torch.relu(x) if number < last else x
            loss = ((x - y) ** 2).mean((1, 2)).sum()
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        return steps * cfg.seeds, loss.item() / cfg.seeds

    return run


def jax_vmap(cfg: Any, width: int) -> Run:
    """The textbook: `x @ W`, `optax.adam`, `lax.scan` over steps, `vmap` over nets."""
    import jax
    import jax.numpy as jnp
    import optax

    x_all, y_all, optimiser = jnp.array(cfg.X), jnp.array(cfg.Y), optax.adam(1e-3)

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        for number, (weight, bias) in enumerate(parameters):
            x = x @ weight + bias
            x = jax.nn.relu(x) if number < cfg.depth else x
        return ((x - y) ** 2).mean()

    def train(key: Any, keys: Any) -> Any:
        sizes = _sizes(cfg, width)
        parameters = [
            (jax.random.normal(k, size) * (2 / size[0]) ** 0.5, jnp.zeros(size[1]))
            for k, size in zip(jax.random.split(key, len(sizes)), sizes, strict=True)
        ]

        def step(carry: Any, key: Any) -> Any:
            parameters, state = carry
            rows = jax.random.randint(key, (cfg.batch,), 0, len(x_all))
            value, gradient = jax.value_and_grad(loss)(parameters, x_all[rows], y_all[rows])
            updates, state = optimiser.update(gradient, state)
            return (optax.apply_updates(parameters, updates), state), value

        return jax.lax.scan(step, (parameters, optimiser.init(parameters)), keys)[1][-1]

    program = jax.jit(jax.vmap(train))

    def run(steps: int) -> tuple[int, float]:
        keys = jax.random.split(jax.random.key(1), (cfg.seeds, 5 * steps))
        value = program(jax.random.split(jax.random.key(0), cfg.seeds), keys)
        return 5 * steps * cfg.seeds, float(value.mean())

    return run


PEERS: dict[str, Callable[[Any, int], Run]] = {
    "torch loop": torch_loop,
    "torch loop, fused Adam": lambda cfg, width: torch_loop(cfg, width, fused=True),
    "torch.func": torch_func,
    "torch batched": torch_batched,
    "torch batched, shared": lambda cfg, width: torch_batched(cfg, width, shared=True),
    "torch batched by feature, shared": lambda cfg, width: torch_batched(cfg, width, "feature", True),
    "jax.vmap": jax_vmap,
}

# name of the rival -> (its peers, the least ratio at widths 3 to 8, the least at width 16)
GOALS = {
    "torch loop": (("torch loop",), 100, 30),
    "torch.func": (("torch.func",), 15, 6),
    "best batched torch": (tuple(name for name in PEERS if name.startswith("torch batched")), 5, 3),
    "jax.vmap": (("jax.vmap",), 6, 3),
}


def flops(n: int, width: int, hidden_layers: int, batch: int) -> float:
    """Operations of one model-step: three products a layer, two in the first, whose input needs no gradient."""
    hidden = 3 * 2 * width * width * (hidden_layers - 1) + 3 * 2 * width
    return batch * (hidden + 2 * 2 * n * width)


def gemm_peak(size: int = 2048) -> float:
    """Operations a second of a large float32 matrix product, on all cores."""
    import jax
    import jax.numpy as jnp

    a = jnp.ones((size, size), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    jax.block_until_ready(product(a))
    begun = time.perf_counter()
    jax.block_until_ready(product(a))
    return 2 * size**3 / (time.perf_counter() - begun)


def _busy() -> tuple[float, float] | None:
    """Seconds of all cores that were busy, by everybody and by this process (Linux)."""
    try:
        ticks = [int(word) for word in Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]]
    except OSError:
        return None
    used = sum(ticks[:3]) + sum(ticks[5:8])
    return used / os.sysconf("SC_CLK_TCK"), sum(os.times()[:4])


def time_width(cfg: Problem, width: int, settings: Settings, names: list[str]) -> dict[str, Any]:
    """Seconds a model-step in every round, by peer; the peak in every round; the share of the cores others used."""
    runs, first = {}, {}
    for name in names:
        begun = time.perf_counter()
        runs[name] = engine(cfg, width) if name == "engine" else PEERS[name](cfg, width)
        runs[name](settings.steps)
        first[name] = time.perf_counter() - begun
    seconds: dict[str, list[float]] = {name: [] for name in names}
    cpu: dict[str, list[float]] = {name: [] for name in names}
    peaks, before, begun = [], _busy(), time.perf_counter()
    for _ in range(settings.rounds):
        for name, run in runs.items():
            start, used = time.perf_counter(), time.process_time()
            done, _ = run(settings.steps)
            seconds[name].append((time.perf_counter() - start) / done)
            cpu[name].append((time.process_time() - used) / done)
        peaks.append(gemm_peak())
    after, wall = _busy(), time.perf_counter() - begun
    others = None
    if before and after:
        others = (after[0] - before[0] - after[1] + before[1]) / wall / (os.cpu_count() or 1)
    return {"seconds": seconds, "cpu": cpu, "peaks": peaks, "first": first, "others": others}


def ratios(seconds: dict[str, list[float]], rivals: list[str]) -> np.ndarray:
    """How many times faster the engine is than the best of the rivals, in every round."""
    return np.min([seconds[name] for name in rivals], axis=0) / np.array(seconds["engine"])


def main(settings: Settings) -> int:
    installed = list(PEERS)
    try:
        import torch  # type: ignore[import-not-found]

        if settings.torch_threads:
            torch.set_num_threads(settings.torch_threads)
    except ImportError:
        installed = [name for name in installed if not name.startswith("torch")]
        print("PyTorch is not installed (extra `parity`); its peers are left out.")
    names = [*(settings.peers or installed), "engine"]
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (4096, 4)).astype(np.float32)
    y = np.linalg.norm(x, axis=1, keepdims=True).astype(np.float32)
    cfg = Problem(4, settings.hidden_layers, settings.seeds, settings.batch, x, y)
    held = True
    for width in settings.widths:
        found = time_width(cfg, width, settings, names)
        seconds, peak = found["seconds"], max(found["peaks"])
        print(
            f"\nwidth {width}: model-steps/s, median [least, most] of {settings.rounds} rounds; first call, compiling"
        )
        for name in names:
            rates = sorted(1 / s for s in seconds[name])
            middle = statistics.median(rates)
            print(
                f"  {name:34s}{middle:10,.0f}  [{rates[0]:,.0f}, {rates[-1]:,.0f}]  "
                f"{min(found['cpu'][name]) * 1e6:9.1f} us {found['first'][name]:6.1f} s",
                flush=True,
            )
        for rival, (peers, narrow, wide) in GOALS.items():
            there = [name for name in peers if name in names]
            if there:
                values = ratios(seconds, there)
                goal = narrow if 3 <= width <= 8 else wide if width == 16 else None
                verdict = ""
                if goal is not None:
                    good = statistics.median(values) >= goal
                    held &= good
                    verdict = f"goal {goal}: {'holds' if good else 'missed'}"
                cpu = min(min(found["cpu"][name]) for name in there) / min(found["cpu"]["engine"])
                print(
                    f"  engine / {rival:25s}{statistics.median(values):8.1f}  "
                    f"[{min(values):.1f}, {max(values):.1f}]  in CPU time "
                    f"{cpu:.1f}  {verdict}"
                )
        speed = flops(4, width, settings.hidden_layers, settings.batch) / np.array(seconds["engine"])
        share = statistics.median(speed / np.array(found["peaks"]))
        verdict = ""
        if width == 64:
            held &= share >= 0.7
            verdict = f"goal 70 %: {'holds' if share >= 0.7 else 'missed'}"
        print(
            f"  engine {statistics.median(speed) / 1e9:.0f} GFLOP/s, {share:.0%} of a large matrix product in its "
            f"round (best {peak / 1e9:.0f} GFLOP/s)  {verdict}"
        )
        if found["others"] is not None:
            print(f"  other processes used {found['others']:.0%} of the cores meanwhile")
    print(f"\nThe goals {'hold' if held else 'do not all hold'} in this run.")
    return 0 if held else 1


if __name__ == "__main__":
    import tyro

    sys.exit(main(tyro.cli(Settings, description=__doc__)))
