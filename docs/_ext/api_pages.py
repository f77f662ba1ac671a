"""Writes the pages of the interface, one a role, from the modules that are there: none can be forgotten."""

import importlib
import pkgutil
from pathlib import Path
from typing import Any

ROLES = {
    "networks": ("Networks", "Networks as mathematical objects, their calculus, and exact views of them.", ("relu",)),
    "targets": (
        "Targets, measures, errors",
        "What is approximated, in which measure, and how far a network is from it.",
        ("target", "targets", "measures", "norms", "radial_law", "radial_measures", "radial_profiles"),
    ),
    "constructions": ("Constructions", "Ceilings: networks that theorems construct.", ("constructions",)),
    "certificates": ("Certificates", "Floors: bounds that no network of a class can beat.", ("certificates",)),
    "models": ("Trainable families", "Families of networks whose width is a rule.", ("models",)),
    "training": ("Training", "Tasks, recipes and the loop.", ("data", "training")),
    "sweeps": ("Sweeps", "Many widths and seeds, stored, resumed, audited and judged.", ("sweeps",)),
    "pictures": ("Pictures and pages", "Figures and reports.", ("plots", "report")),
    "words": ("Words", "Widths, theorems, and what holds the rest together.", ()),  # and every module not named above
}


def modules(package: str = "expressivity") -> list[str]:
    """All public modules below a package that define something, in the order of their names."""
    found = importlib.import_module(package)
    return [
        info.name
        for info in pkgutil.walk_packages(found.__path__, f"{package}.")
        if not info.ispkg and not any(part.startswith("_") for part in info.name.split("."))
    ]


def pages() -> dict[str, list[str]]:
    """The modules on each page."""
    home = {part: page for page, (_, _, parts) in ROLES.items() for part in parts}
    result: dict[str, list[str]] = {page: [] for page in ROLES}
    for name in modules():
        result[home.get(name.split(".")[1], "words")].append(name)
    return result


def text(page: str, names: list[str]) -> str:
    title, words, _ = ROLES[page]
    lines = [f"# {title}", "", words, ""]
    for name in names:
        lines += [f"## {name}", "", "```{eval-rst}", f".. automodule:: {name}", "```", ""]
    return "\n".join(lines)


def write(app: Any) -> None:
    folder = Path(app.srcdir) / "api"
    folder.mkdir(exist_ok=True)
    for page, names in pages().items():
        path, content = folder / f"{page}.md", text(page, names)
        if not path.exists() or path.read_text() != content:
            path.write_text(content)


def setup(app: Any) -> dict[str, bool]:
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
