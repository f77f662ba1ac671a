"""Does a run that is killed again and again end with the tables of a run that nobody disturbed?

Claim: whatever a run is doing when SIGKILL ends it (training a cell, committing a file, fitting, writing the report),
starting it again in the same folder ends with the same tables and the same figure, byte for byte, and with no file left
behind; no start trains again what was committed before, and inside a cell at most the steps since the last state.

Method: the run is an experiment on fits of laws and a small sweep over images with curves, in one folder, as in
production. It runs once undisturbed. Then it is killed, a third of the times after a random part of the undisturbed
time, otherwise at a moment that it reports by itself (a training call done, a file written but not yet renamed, a fit
done, a table written), and started again. In the end it runs to its end, and everything is compared. States inside
cells follow every call of the program unless writing them takes more than a tenth of the time; what was lost is
printed. With `--share 1` they follow every call whatever that costs, and losing more than one is a failure.

    python -m experiments.benchmarks.kills --kills 30

Processes are forked from a server that has imported the package and not yet used JAX, so that a start costs little.
"""

import contextlib
import dataclasses
import hashlib
import importlib
import io
import json
import multiprocessing
import os
import pathlib
import random
import signal
import sys
import tempfile
import time
import traceback
from typing import Any

from experiments import _run
from expressivity.sweeps.states import SHARE

MOMENTS = ("training", "committing", "fitting", "reporting")
HOLD = 0.05  # seconds that a process waits at a moment that was asked for
CHUNK = 256  # steps of a call of the program, at most
PATIENCE = 600.0  # seconds that a run may take undisturbed
UNEQUAL = {"timings.csv", "environment.json", "report.html", ".lock"}  # hold times or the process


@dataclasses.dataclass(frozen=True)
class Settings:
    """How often a run is killed."""

    kills: int = 30
    seed: int = 0
    """Of the choice of moments."""
    share: float = SHARE
    """Of a cell's time that writing states may take."""
    out: pathlib.Path | None = None
    """Where both folders lie; by default a temporary one."""


@dataclasses.dataclass(frozen=True)
class Kill:
    """One process that was killed: what it said last, and how many training steps it had reported.

    Args:
        aimed: The moment it was killed at, or "any".
        last: What it reported last.
        alive: Seconds from its start to its end.
        ended: Whether it was at its end before it could be killed.
        reached: By cell, the steps that it had reported last.
        resumed: By cell, the steps of the state that it went on from.
        lost: The most steps of one cell that the process before it in this folder had reported and it did not find.
    """

    aimed: str
    last: str
    alive: float
    ended: bool
    reached: dict[str, int] = dataclasses.field(default_factory=dict)
    resumed: dict[str, int] = dataclasses.field(default_factory=dict)
    lost: int = 0


def job(folder: str, cache: str, pipe: Any, hold: str, share: float) -> None:
    """The whole run in this process; what it does goes through the pipe as (moment, detail)."""
    try:
        status = work(folder, cache, pipe, hold, share)
    except BaseException as error:
        pipe.send((f"{type(error).__name__}: {error}", traceback.format_exc()))
        raise
    pipe.send(("end", str(status)))


def work(folder: str, cache: str, pipe: Any, hold: str, share: float) -> int:
    """The run itself."""
    os.environ["JAX_COMPILATION_CACHE_DIR"] = cache
    sys.stdout = sys.stderr = io.StringIO()
    _run.start_jax("cpu")
    import expressivity as ex
    from experiments import _depth, width_laws
    from expressivity import data, sweeps, training
    from expressivity.sweeps import states, store

    run: Any = importlib.import_module("expressivity.sweeps.run")  # the package has a function of that name
    states.SHARE = share

    def tell(moment: str, detail: str = "") -> None:
        pipe.send((moment, detail))
        if moment == hold:
            time.sleep(HOLD)

    def told(module: Any, name: str, moment: str, before: bool = False) -> None:
        inner = getattr(module, name)

        def outer(*arguments: Any, **named: Any) -> Any:
            if before:
                tell(moment, str(arguments[0]))
            found = inner(*arguments, **named)
            if not before:
                tell(moment)
            return found

        setattr(module, name, outer)

    ticks, read = run._Ticks.__call__, store.Store.read_partial

    def tick(self: Any, step: int, steps: int, losses: Any) -> None:
        pipe.send(("reached", (self.label, step)))
        ticks(self, step, steps, losses)

    def read_partial(self: Any, label: str, key: str) -> Any:
        found = read(self, label, key)
        pipe.send(("resumed", (label, found.facts["step"] if found else 0)))
        return found

    run._Ticks.__call__ = tick
    store.Store.read_partial = read_partial  # pyright: ignore[reportAttributeAccessIssue]
    told(store.os, "replace", "committing", before=True)
    told(store.Store, "write_partial", "training")
    told(sweeps.SweepResult, "fit", "fitting")
    told(_run, "write_frame", "reporting")
    told(_depth, "finish", "reporting", before=True)
    width_laws.PRESETS["smoke"] = dataclasses.replace(
        width_laws.SMOKE, widths=(2, 3, 4, 6, 8), seeds=4, steps=600, resamples=100, simulations=2
    )
    options = width_laws.Options("smoke", pathlib.Path(folder) / "laws")
    status = width_laws.experiment(options)
    task = training.ImageTask(data.fashion_mnist("train").first(5), data.fashion_mnist("test").first(5))
    family = ex.AllConv6(classes=10, channels=(8, 8), batch_norm=True, dropout=0.2)
    recipe = ex.Recipe(300, 16, 0.05, "momentum")
    ex.run(ex.Sweep(family, ["0.5x", "1x"], task, 2, recipe, evaluations=20), pathlib.Path(folder) / "images")
    return status


def start(folder: pathlib.Path, cache: pathlib.Path, hold: str = "", share: float = SHARE) -> tuple[Any, Any]:
    """A process that does the job, and the end of the pipe that it talks into."""
    server = multiprocessing.get_context("forkserver")
    server.set_forkserver_preload(["experiments.width_laws", "expressivity", "expressivity.sweeps", "optax", "pandas"])
    ours, theirs = server.Pipe(duplex=False)
    process = server.Process(target=job, args=(str(folder), str(cache), theirs, hold, share), daemon=True)
    process.start()
    theirs.close()
    return process, ours


def follow(process: Any, pipe: Any, aimed: str, count: int, deadline: float) -> Kill:
    """Kills the process at the `count`-th report of the moment, or at the deadline, and says what was seen."""
    begun, last, ended = time.monotonic(), "started", False
    reached: dict[str, int] = {}
    resumed: dict[str, int] = {}
    while True:
        left = begun + deadline - time.monotonic()
        if left <= 0:
            break
        try:
            if not pipe.poll(left):
                break
            moment, detail = pipe.recv()
        except EOFError:
            ended = True
            break
        if moment in ("reached", "resumed"):
            (reached if moment == "reached" else resumed)[detail[0]] = detail[1]
            continue
        last = moment
        if moment == aimed:
            count -= 1
            if count == 0:
                time.sleep(random.random() * HOLD / 2)
                break
        ended = moment == "end"
    if not ended:
        with contextlib.suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    process.join()
    with contextlib.suppress(EOFError, OSError):  # what it said before it died; the last message may be cut short
        while pipe.poll(0):
            moment, detail = pipe.recv()
            if moment in ("reached", "resumed"):
                (reached if moment == "reached" else resumed)[detail[0]] = detail[1]
    pipe.close()
    return Kill(aimed, last, time.monotonic() - begun, ended, reached, resumed)


def content(folder: pathlib.Path) -> dict[str, str]:
    """By name, a hash of every file under the folder; of those that hold times, only that they are there."""
    return {
        str(path.relative_to(folder)): "there"
        if path.name in UNEQUAL or path.suffix == ".cell"
        else hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def committed(folder: pathlib.Path) -> dict[str, str]:
    """By name, a hash of every finished cell."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.rglob("cells/*.cell")}


def lost(before: Kill, after: Kill) -> int:
    """The most steps of one cell that a process had reported and the next one did not find."""
    both = before.reached.keys() & after.resumed.keys()
    return max((before.reached[cell] - after.resumed[cell] for cell in both), default=0)


def campaign(settings: Settings, folder: pathlib.Path) -> tuple[list[Kill], list[str]]:
    """The kills, and every difference from the undisturbed run, and every loss of more than a call, in a sentence."""
    choose = random.Random(settings.seed)
    cache = folder / "cache"
    warm = follow(*start(folder / "warm", cache), "", 0, PATIENCE)
    whole = follow(*start(folder / "whole", cache), "", 0, PATIENCE)
    if not (warm.ended and whole.ended and whole.last == "end"):
        raise RuntimeError(f"The undisturbed run did not end well; it said {whole.last!r} last.")
    kills: list[Kill] = []
    problems: list[str] = []
    finished, last = 0, None
    kept: dict[str, str] = {}
    while len(kills) < settings.kills:
        number = len(kills)
        target = folder / f"killed-{finished}"
        if number % 3 == 2:
            aimed, count, limit = "any", 0, choose.uniform(0.1, 1.0) * whole.alive
        else:
            moment = MOMENTS[(number - number // 3) % len(MOMENTS)]
            aimed, count, limit = moment, choose.randint(1, 4), 10 * whole.alive
        found = follow(*start(target, cache, aimed, settings.share), aimed, count, limit)
        found = dataclasses.replace(found, lost=lost(kills[-1], found) if kills and last == target else 0)
        if found.lost > CHUNK and settings.share == 1:
            problems.append(f"{target.name}: {found.lost} steps of a cell were lost, a call has {CHUNK}")
        last, before, kept = target, kept, committed(target)
        problems += [f"{name} was finished, and was made again" for name in before if kept.get(name) != before[name]]
        if found.ended:
            kept = {}
            finished += 1  # too late: this folder is complete, and the next one begins
        else:
            kills.append(found)
    for number in range(finished + 1):
        target = folder / f"killed-{number}"
        end = follow(*start(target, cache), "", 0, PATIENCE)
        if end.last != "end":
            problems.append(f"the run in {target.name} did not end well; it said {end.last!r} last")
        ours, theirs = content(folder / "whole"), content(target)
        problems += [f"{target.name}: {name} is missing" for name in ours if name not in theirs]
        problems += [f"{target.name}: {name} was left behind" for name in theirs if name not in ours]
        problems += [f"{target.name}: {n} differs" for n in ours if n in theirs and ours[n] != theirs[n]]
    return kills, problems


def main(settings: Settings) -> int:
    with contextlib.ExitStack() as stack:
        folder = settings.out or pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        kills, problems = campaign(settings, folder)
    for kill in kills:
        print(f"  killed at {kill.aimed:10s} after {kill.alive:5.2f} s, last report: {kill.last}")
    for problem in problems:
        print(f"  FAILS: {problem}")
    most = max((kill.lost for kill in kills), default=0)
    print(f"Steps of a cell that were lost: at most {most}; a call takes up to {CHUNK}.")
    print(json.dumps({moment: sum(kill.last == moment for kill in kills) for moment in ("started", *MOMENTS)}))
    print(f"{len(kills)} kills: the claim {'FAILS' if problems else 'holds'}.")
    return _run.FAILED if problems else _run.HELD


if __name__ == "__main__":
    import tyro

    sys.exit(main(tyro.cli(Settings, description=__doc__)))
