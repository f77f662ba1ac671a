"""What every experiment does around its science: folder, settings, environment, compilation cache, exit status."""

import contextlib
import dataclasses
import json
import os
import pathlib
import platform
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, TypeVar

Options = TypeVar("Options")
Settings = TypeVar("Settings")
HELD, FAILED, REFUSED = 0, 1, 2


@dataclasses.dataclass(frozen=True)
class Machines:
    """Where a run is worked at."""

    distributed: bool = False
    """This is one of several processes of one run with one --out. Slurm, Kubernetes, TPU slices and Open MPI say which
    one; elsewhere give the next three options."""
    coordinator: str | None = None
    """HOST:PORT of process 0, the same for all processes."""
    processes: int | None = None
    """How many processes there are."""
    process: int | None = None
    """The number of this process, from 0."""
    spread: bool = False
    """Every network is spread over the devices of all processes, which work at one network together: for MLPs that no
    device, or no machine, can hold."""
    cluster: str | None = None
    """Sends cells to a Dask cluster: tcp://HOST:PORT of its scheduler, or local:N for N processes here."""
    timeout: float = 300.0
    """Seconds to wait for the other processes, or for the cluster, at the beginning."""

    def __post_init__(self) -> None:
        given = {name: getattr(self, name) for name in ("coordinator", "processes", "process")}
        for name, value in given.items():
            if value is not None and not self.distributed:
                raise ValueError(f"--{name} {value} belongs to a run of several processes; add --distributed.")
        if self.distributed and self.cluster is not None:
            raise ValueError(f"--distributed and --cluster {self.cluster} are two ways for one thing; choose one.")
        if self.spread and self.cluster is not None:
            raise ValueError(f"--spread and --cluster {self.cluster} do not go together; use --distributed.")
        if self.distributed:
            from expressivity.sweeps import hosts

            hosts.check(self.coordinator, self.processes, self.process, self.timeout)


_machines, _until_end = Machines(), contextlib.ExitStack()


def main(
    name: str,
    options: type[Options],
    experiment: Callable[[Options], int],
    doc: str,
    argv: Sequence[str] | None = None,
) -> int:
    """Reads the command line into `options`, runs, and turns every foreseen refusal into one sentence.

    Returns:
        0 if the claim held, 1 if not, 2 if the run was refused.
    """
    import tyro

    global _machines, _until_end
    inline = tyro.conf.arg(name="")
    both = dataclasses.make_dataclass(
        "Both", [("experiment", Annotated[options, inline]), ("machines", Annotated[Machines, inline])]
    )
    program = f"python -m experiments.{name}"
    try:
        chosen = tyro.cli(both, args=argv, description=doc, prog=program, config=(tyro.conf.FlagCreatePairsOff,))
        _machines = chosen.machines
        with contextlib.ExitStack() as _until_end:
            return experiment(chosen.experiment)
    except (ValueError, TypeError, OSError) as error:
        print(str(error), file=sys.stderr)
    except RuntimeError as error:
        if type(error).__name__ not in ("FolderInUse", "CellsFailed", "ProcessLost"):
            raise
        print(str(error), file=sys.stderr, flush=True)
        if type(error).__name__ == "ProcessLost":
            sys.stdout.flush()
            os._exit(REFUSED)  # JAX would wait for the process that is lost, and abort
    return REFUSED


def claim(doc: str | None) -> str:
    """The claim that the docstring of an experiment states, its second paragraph, in one line.

    >>> claim("What is asked?\\n\\nClaim. It\\nholds.\\n\\nMethod. By counting.")
    'It holds.'
    """
    return " ".join((doc or "").split("\n\n")[1].removeprefix("Claim. ").split())


def chosen(presets: Mapping[str, Settings], options: Any, field: str = "seeds") -> Settings:
    """The settings of a preset, with the number of seeds of the command line in `field` where they have one.

    Raises:
        ValueError: If the number of seeds is below 1.
    """
    settings: Any = presets[options.preset]
    if options.seeds is None:
        return settings
    if options.seeds < 1:
        raise ValueError(f"--seeds is at least 1; got {options.seeds}.")
    return dataclasses.replace(settings, **{field: options.seeds}) if hasattr(settings, field) else settings


def start_jax(where: str | None) -> None:
    """Chooses the platform, switches the persistent compilation cache on, and meets the other machines.

    Called before JAX is used. The cache lies in JAX_COMPILATION_CACHE_DIR, or in the user's cache folder.
    """
    import jax

    platform = {"gpu": "cuda"}.get(where or "", where)
    if platform is not None:
        jax.config.update("jax_platforms", platform)
    from expressivity.sweeps import cluster, join, spread
    from expressivity.training import enable_compilation_cache

    home = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    cache = os.environ.get("JAX_COMPILATION_CACHE_DIR") or home / "expressivity" / "jax"
    enable_compilation_cache(cache)
    try:
        if _machines.distributed:
            where_from = _machines.coordinator, _machines.processes, _machines.process
            here = join(*where_from, _machines.timeout, stay=_machines.spread)
            if here.process:
                print(f"Process {here.process} of {here.processes} is at work; process 0 says what comes out.")
                _until_end.enter_context(contextlib.redirect_stdout(None))
        jax.local_devices()
    except (RuntimeError, AssertionError) as error:  # JAX asserts where the one platform asked for is missing
        reason = (str(error) or "no such platform").splitlines()[0]
        raise ValueError(f"JAX finds no {where or 'device'} here ({reason}).") from None
    if _machines.spread:
        _until_end.enter_context(spread.over())
    if _machines.cluster is not None:
        to = cluster.connect(_machines.cluster, timeout=_machines.timeout, platform=platform, cache=cache)
        _until_end.enter_context(to)


def write_json(path: pathlib.Path, content: Any) -> None:
    """The content as indented JSON, committed by rename."""
    from expressivity.sweeps import publish

    publish(path, (json.dumps(content, indent=2, sort_keys=True, default=str) + "\n").encode())


def write_frame(path: pathlib.Path, frame: Any) -> None:
    """A table as CSV, committed by rename."""
    from expressivity.sweeps import publish

    publish(path, frame.to_csv(index=False, lineterminator="\n").encode())


def write_page(path: pathlib.Path, text: str) -> None:
    """A page of HTML, committed by rename."""
    from expressivity.sweeps import publish

    publish(path, text.encode())


def settings(value: Any) -> dict[str, Any]:
    """A frozen dataclass of settings as JSON-ready dictionary."""
    return json.loads(json.dumps(dataclasses.asdict(value), default=str))


def environment(**more: Any) -> dict[str, Any]:
    """Where a run took place: commit, versions, devices, precision, flags, command line, and what is given besides."""
    import importlib.metadata as metadata

    import jax

    import expressivity

    packages = ("jax", "jaxlib", "numpy", "scipy", "optax", "equinox", "pandas", "matplotlib")
    return {
        "expressivity": expressivity.__version__,
        **_commit(),
        "python": platform.python_version(),
        "machine": platform.platform(),
        "cores": os.cpu_count(),
        "packages": {name: metadata.version(name) for name in packages},
        "devices": [f"{d.platform}: {d.device_kind}" for d in jax.local_devices()],
        "processes": jax.process_count(),
        "precision": "training float32, evaluation and certificates float64",
        "XLA_FLAGS": os.environ.get("XLA_FLAGS", ""),
        "command": [pathlib.Path(sys.argv[0]).name, *sys.argv[1:]],
        **more,
    }


def _commit() -> dict[str, Any]:
    """The commit of the checkout that this file lies in, and whether it was changed since; unknown without git."""

    def git(*words: str) -> str:
        found = subprocess.run(
            ["git", *words], cwd=pathlib.Path(__file__).parent, capture_output=True, text=True, check=True, timeout=10
        )
        return found.stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return {"commit": "unknown", "dirty": "unknown"}


def save_figure(figure: Any, path: pathlib.Path) -> bytes:
    """Writes `path` with the endings .png and .pdf, without time stamps, and returns the bytes of the first."""
    import io

    import matplotlib.pyplot as plt

    from expressivity.sweeps import publish

    path.parent.mkdir(exist_ok=True)
    nothing = {"png": {"Software": None}, "pdf": {"CreationDate": None, "Producer": None, "Creator": None}}
    pictures = {}
    for kind, metadata in nothing.items():
        buffer = io.BytesIO()
        figure.savefig(buffer, format=kind, dpi=200, metadata=metadata)
        pictures[kind] = buffer.getvalue()
        publish(path.with_name(f"{path.name}.{kind}"), pictures[kind])
    plt.close(figure)
    return pictures["png"]
