"""Imports point downwards: a module imports from its own floor of the house and the floors below, never from above."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "expressivity"

FLOORS = (
    ("depth_theorems", "theorem_code", "theorems", "tracing", "width"),
    ("relu",),
    ("measures", "radial_law", "radial_measures", "radial_profiles", "radial_sampling", "target", "targets", "norms"),
    ("constructions", "certificates"),
    ("models", "data"),
    ("training",),
    ("sweeps",),
    ("plots", "report"),
    ("checking", "checks", "width_checks", "__main__"),
)
FLOOR = {name: number for number, names in enumerate(FLOORS) for name in names}
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}


def imports(path: Path, *, everywhere: bool) -> set[str]:
    """The modules of the package that a file imports, at its top or everywhere in it."""
    tree = ast.parse(path.read_text())
    found: set[str] = set()
    for node in ast.walk(tree) if everywhere else tree.body:
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} has a relative import"
            base = node.module or ""
            found |= {full if (full := f"{base}.{alias.name}") in MODULES else base for alias in node.names}
    return {name for name in found if name.split(".")[0] == "expressivity"}


def floor(module: str) -> int:
    part = module.split(".")[1]
    assert part in FLOOR, f"{module} stands on no floor; give it one in tests/test_layers.py"
    return FLOOR[part]


@pytest.mark.parametrize("module", [name for name in MODULES if name != "expressivity"])
def test_imports_point_downwards(module):
    for imported in imports(MODULES[module], everywhere=True):
        assert imported != "expressivity", f"{module} imports the menu, which imports everything"
        assert floor(imported) <= floor(module), f"{module} imports {imported}, which lies above it"


def test_no_module_imports_itself_through_others():
    # packages are left out: `from expressivity.relu.network import X` runs the package file, which imports its modules
    graph = {
        name: {
            other
            for other in imports(path, everywhere=False)
            if other in MODULES and MODULES[other].name != "__init__.py"
        }
        - {name}
        for name, path in MODULES.items()
        if path.name != "__init__.py"
    }
    order = list(TopologicalSorter(graph).static_order())  # raises CycleError where there is a cycle
    assert set(order) >= set(graph)


def test_every_floor_exists():
    present = {name.split(".")[1] for name in MODULES if name != "expressivity"}
    assert present <= set(FLOOR)
    assert {"theorems", "width", "relu", "measures", "targets", "norms", "constructions", "certificates"} <= present
