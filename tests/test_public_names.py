"""Every public name has a docstring, an example that runs and a page; every theorem has a source and a page."""

import doctest
import importlib.util
import inspect
import pkgutil
import re
from pathlib import Path

import pytest

import expressivity as ex
from expressivity import theorems

DOCS = Path(__file__).resolve().parent.parent / "docs"

MODULES = sorted(
    info.name
    for info in pkgutil.walk_packages(ex.__path__, "expressivity.")
    if not any(part.startswith("_") for part in info.name.split("."))
)


def _home(owner: object) -> str:
    return getattr(owner, "__module__", "")


def _names() -> dict[str, object]:
    """Public functions and classes by the full name under which they are defined."""
    found: dict[str, object] = {}
    for module_name in MODULES:
        for name, value in vars(importlib.import_module(module_name)).items():
            is_ours = (inspect.isclass(value) or inspect.isfunction(value)) and _home(value) == module_name
            if is_ours and not name.startswith("_"):
                found[f"{module_name}.{name}"] = value
    return found


NAMES = _names()
MENU = {name: value for name, value in vars(ex).items() if not name.startswith("_") and callable(value)}


def _members(cls: type) -> dict[str, object]:
    return {
        name: value
        for name, value in vars(cls).items()
        if not name.startswith("_")
        and (isinstance(value, property | classmethod | staticmethod) or inspect.isfunction(value))
    }


def test_the_menu_holds_only_names_with_a_home():
    assert MENU
    for name, value in MENU.items():
        assert f"{_home(value)}.{getattr(value, '__name__', name)}" in NAMES, name


@pytest.mark.parametrize("name", NAMES)
def test_docstring(name):
    value = NAMES[name]
    text = vars(value).get("__doc__") or "" if inspect.isclass(value) else inspect.getdoc(value) or ""
    assert len(text) > 10, "no docstring"
    assert not text.startswith(name.rsplit(".", 1)[1] + "("), "the docstring is the signature that dataclass wrote"


@pytest.mark.parametrize("name", [name for name, value in MENU.items() if inspect.isclass(value)])
def test_docstrings_of_members(name):
    cls = MENU[name]
    for member, value in _members(cls).items():
        assert inspect.getdoc(getattr(cls, member)) or inspect.getdoc(value), f"{name}.{member} has no docstring"


@pytest.mark.parametrize("name", MENU)
def test_names_of_the_menu_show_an_example(name):
    examples = [e for test in doctest.DocTestFinder(recurse=True).find(MENU[name]) for e in test.examples]
    assert examples, "no example in the docstring"
    assert any(example.want for example in examples), "an example shows what comes out"


def _api_pages():
    spec = importlib.util.spec_from_file_location("api_pages", DOCS / "_ext" / "api_pages.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_public_name_has_a_page():
    pages = _api_pages()
    text = "\n".join(pages.text(page, names) for page, names in pages.pages().items())
    shown = set(re.findall(r"^\.\. automodule:: ([\w.]+)$", text, flags=re.MULTILINE))
    assert {name.rsplit(".", 1)[0] for name in NAMES} <= shown
    assert shown <= set(MODULES)


def test_every_theorem_has_a_source_and_a_page():
    keys = set(re.findall(r"^@\w+\{([\w-]+),", (DOCS / "references.bib").read_text(), flags=re.MULTILINE))
    assert {theorem.key for theorem in theorems.THEOREMS} <= keys
    for theorem in theorems.THEOREMS:
        assert (DOCS / f"{theorem.page}.md").is_file(), f"{theorem} names the page {theorem.page}, which does not exist"


def test_every_citation_of_a_page_has_an_entry():
    keys = set(re.findall(r"^@\w+\{([\w-]+),", (DOCS / "references.bib").read_text(), flags=re.MULTILINE))
    for page in DOCS.rglob("*.md"):
        if "_build" in page.parts or "jupyter_execute" in page.parts:
            continue
        for group in re.findall(r"\{cite(?::\w+)?\}`([^`]+)`", page.read_text()):
            assert {key.strip() for key in group.split(",")} <= keys, page.name
