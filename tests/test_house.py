"""House rules that can be read off the source files or off an import in a fresh process."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
SOURCES = sorted([*(ROOT / "expressivity").rglob("*.py"), *(ROOT / "experiments").rglob("*.py")])
PRIVATE_OR_GONE = ("jax.interpreters", "jax.lib", "jax.linear_util", "jax.experimental.maps")


def _id(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _dotted(node: ast.AST) -> str:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *reversed(parts)]) if isinstance(node, ast.Name) else ""


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_modules_are_short_and_say_what_they_are(path):
    text = path.read_text()
    assert len(text.splitlines()) <= 400
    if text.strip():
        assert ast.get_docstring(ast.parse(text)), "a module begins with a line that says what it holds"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_only_public_jax(path):
    used: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            used |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            used |= {f"{node.module}.{alias.name}" for alias in node.names}
        elif isinstance(node, ast.Attribute):
            used.add(_dotted(node))
    for name in used:
        parts = name.split(".")
        if parts[0] in ("jax", "jaxlib", "equinox", "optax", "numpy", "scipy"):
            assert not any(part.startswith("_") and not part.startswith("__") for part in parts), f"{name} is private"
            assert not name.startswith(PRIVATE_OR_GONE), f"{name} is not for users of jax"


@pytest.mark.parametrize("path", SOURCES, ids=_id)
def test_nothing_global_is_switched_on_import(path):
    waiting: list[ast.AST] = [ast.parse(path.read_text())]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Call):
            assert _dotted(node.func) not in ("jax.config.update", "warnings.filterwarnings", "os.environ.setdefault")
        waiting += [
            child
            for child in ast.iter_child_nodes(node)
            if not isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        ]


def test_the_import_changes_no_setting_and_stays_light():
    program = """
import json, sys
import jax
before = dict(jax.config.values)
loaded = set(sys.modules)
import expressivity
changed = sorted(k for k in jax.config.values if jax.config.values[k] != before.get(k))
print(json.dumps({"changed": changed, "heavy": sorted(
    {name.split(".")[0] for name in set(sys.modules) - loaded}
    & {"matplotlib", "pandas", "tqdm", "tyro", "torch", "sklearn", "onnx", "PIL", "optax", "distributed"})}))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program], capture_output=True, text=True, check=True, cwd=ROOT
    )
    found = json.loads(done.stdout)
    assert found == {"changed": [], "heavy": []}
