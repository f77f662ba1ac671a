"""`python -m expressivity`: the environment, the experiments, and a check of every theorem at a small size.

Ends with status 1 if a theorem fails. `--json` prints the rows as JSON, and nothing else.
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
    found["devices"] = ", ".join(f"{d.platform}:{d.device_kind}" for d in jax.devices())
    return found


def experiments() -> list[tuple[str, str]]:
    """Name and first line of each experiment, where the folder `experiments` of the repository is at hand."""
    folder = pathlib.Path(__file__).resolve().parent.parent / "experiments"
    found = []
    for path in sorted(folder.glob("[!_]*.py")):
        text = path.read_text(encoding="utf-8").lstrip("r")
        found.append((path.stem, text.removeprefix('"""').split("\n")[0].rstrip('"')))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the checks and prints the table; 0 if all of them hold, 1 if not."""
    parser = argparse.ArgumentParser(prog="python -m expressivity", description=(__doc__ or "").split("\n\n")[1])
    parser.add_argument("--json", action="store_true", help="print the rows as JSON")
    options = parser.parse_args(arguments)
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
