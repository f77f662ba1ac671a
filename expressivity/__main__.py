"""`python -m expressivity`: the environment, the experiments, and a check of every theorem at a small size.

Ends with status 1 if a theorem fails. `--json` prints the rows as JSON, and nothing else. `runs DIR` says how far a run
is, `runs DIR --verify` and `runs DIR --repair` look after its files, `runs DIR DIR2 --into DIR3` merges.
"""

import argparse
import dataclasses
import json
import math
import pathlib
import platform
import sys
from collections.abc import Sequence
from importlib import metadata

from expressivity import checks


def environment() -> dict[str, str]:
    """Versions of what results depend on, and the devices.

    >>> "jax" in environment()
    True
    """
    import jax

    packages = ("width-expressivity", "jax", "jaxlib", "equinox", "optax", "numpy", "scipy")
    found = {"python": platform.python_version(), "platform": platform.platform()}
    for name in packages:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    found["devices"] = ", ".join(f"{d.platform}:{d.device_kind}" for d in jax.local_devices())
    return found


def experiments() -> list[tuple[str, str]]:
    """Name and first line of each experiment, where the folder `experiments` of the repository is at hand."""
    folder = pathlib.Path(__file__).resolve().parent.parent / "experiments"
    found = []
    for path in sorted(folder.glob("[!_]*.py")):
        text = path.read_text(encoding="utf-8").lstrip("r")
        found.append((path.stem, text.removeprefix('"""').split("\n")[0].rstrip('"')))
    return found


def runs(arguments: Sequence[str]) -> int:
    """`runs DIR`: how far a run is; 0, or 1 with `--verify` where a file is damaged, or 2 where it is refused."""
    from expressivity.sweeps import inspection, store

    parser = argparse.ArgumentParser(prog="python -m expressivity runs", description="Looks after the folder of a run.")
    parser.add_argument("folders", nargs="+", metavar="DIR", help="the folder of a run; several with --into")
    parser.add_argument("--verify", action="store_true", help="end with status 1 where a file is damaged")
    parser.add_argument("--repair", action="store_true", help="set damaged files aside (nothing is deleted)")
    parser.add_argument("--into", metavar="DIR", help="copy the finished cells of all folders into this one")
    options = parser.parse_args(arguments)
    try:
        if options.into is not None:
            new = inspection.merge_folders(options.folders, options.into)
            print(f"{options.into}: {new} cells are new.")
            return 0
        damaged = 0
        for folder in options.folders:
            if options.repair:
                for cell in inspection.repair(folder):
                    print(f"set aside: {cell.name}, which {cell.reason}")
            state = inspection.inspect(folder)
            print(inspection.text(state))
            damaged += len(state.damaged)
        return 1 if options.verify and damaged else 0
    except (ValueError, OSError, store.FolderInUse) as error:
        print(str(error), file=sys.stderr)
        return 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the checks and prints the table; 0 if all of them hold, 1 if not. With `runs` first, see `runs`."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == ["runs"]:
        return runs(given[1:])
    parser = argparse.ArgumentParser(prog="python -m expressivity", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(given)
    if options.json:
        found = list(checks.rows())
        records = [{**dataclasses.asdict(row), "holds": row.holds} for row in found]
        # JSON knows no infinity: a margin that is none is null
        records = [{k: None if v in (math.inf, -math.inf) or v != v else v for k, v in r.items()} for r in records]
        print(json.dumps(records, indent=2, allow_nan=False))
        return 0 if all(row.holds for row in found) else 1
    for name, version in environment().items():
        print(f"{name:20} {version}")
    print()
    for name, line in experiments():
        print(f"python -m experiments.{name:20} {line}")
    print()
    found = list(checks.rows())
    print(checks.table(found))
    failed = [row for row in found if not row.holds]
    print()
    if failed:
        print(f"{len(failed)} of {len(found)} FAILED: " + "; ".join(f"{row.paper}, {row.theorem}" for row in failed))
        return 1
    print(f"All {len(found)} hold; the smallest margin is {min(row.margin for row in found):.3g}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
