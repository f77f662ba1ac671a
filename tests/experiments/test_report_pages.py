"""The pages that experiments write: closed elements, strict data, no address, every table and theorem of the run."""

import html.parser
import importlib
import json
import re

import pandas as pd
import pytest

from expressivity import theorems

VOID = {"meta", "img", "br", "input", "link", "hr", "col"}


class Reader(html.parser.HTMLParser):
    """Texts by element; every element is closed where it was opened."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.names = [], {}, set()
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.names |= {value for name, value in attrs if name == "id"}
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.setdefault(self.open[-1] if self.open else "", []).append(data)


@pytest.fixture(scope="module", params=["inner_product_separation", "sawtooth_depth"])
def run(request, tmp_path_factory):
    module = importlib.import_module(f"experiments.{request.param}")
    patch = pytest.MonkeyPatch()
    patch.setattr("experiments._run.start_jax", lambda where: None)
    out = tmp_path_factory.mktemp(request.param)
    try:
        assert module.experiment(module.Options(preset="smoke", out=out, platform="cpu")) == 0
    finally:
        patch.undo()
    return out, (out / "report.html").read_text()


def test_the_page_holds_every_table_of_the_run(run):
    out, text = run
    reader = Reader(text)
    data = json.loads(next(part for part in reader.texts["script"] if part.startswith("{")), parse_constant=pytest.fail)
    pages = {tuple(c["name"] for c in t["columns"]): t["rows"] for t in data["tables"]}
    files = [pd.read_csv(path) for path in out.glob("*.csv") if path.stem != "timings"]
    assert len(files) == len(pages)
    for table in files:
        assert pages[tuple(table.columns)] == len(table)


def test_the_page_is_one_file_with_its_parts(run):
    out, text = run
    reader = Reader(text)
    assert {"explore", "settings", "main", "data"} <= reader.names
    assert not re.search(r"https?:", text)
    assert text.count("data:image/png;base64,") == 1
    config = json.loads((out / "config.json").read_text())
    assert set(config) <= set(reader.texts["dt"])


def test_theorems_that_tables_name_are_explained(run):
    out, text = run
    named = {
        theorem
        for path in out.glob("*.csv")
        for column, values in pd.read_csv(path).items()
        if column in ("theorem", "proof", "floor_proof")
        for theorem in theorems.THEOREMS
        if any(str(value) == str(theorem) for value in values)
    }
    for theorem in named:
        assert f"<code>{theorem.page}.html</code>" in text
