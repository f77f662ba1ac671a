"""The page as text: what it holds, that nothing is loaded, that no text breaks it, that colours can be told apart."""

import base64
import hashlib
import html.parser
import json
import math
import re

import numpy as np
import pandas as pd
import pytest

from expressivity import theorems
from expressivity.certificates.base import Certificate, NetworkClass
from expressivity.report import columns, levels, page, sources, theme

HOSTILE = "</script><b>\"'&\u2028"
VOID = {"meta", "img", "br", "input", "link", "hr", "col"}


class Reader(html.parser.HTMLParser):
    """Elements with their attributes and texts; closing tags have to match."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])
        if tag not in VOID:
            self.open.append((tag, len(self.elements) - 1))

    def handle_startendtag(self, tag, attrs):
        self.elements.append([tag, dict(attrs), ""])

    def handle_endtag(self, tag):
        assert self.open, tag
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open:
            self.elements[self.open[-1][1]][2] += data

    def all(self, tag):
        return [(attributes, text) for name, attributes, text in self.elements if name == tag]


def frame(task="disc"):
    rows = [
        {"family": "MLP", "task": task, "width_rule": rule, "width": w, "hidden_layers": h, "seed": s, "norm": norm}
        | {"status": "ok" if (w, s) != (2, 1) else "diverged", "half_width": 1e-3}
        | {"error": (1 + s) / w if (w, s) != (2, 1) else math.nan}
        for w, rule in ((1, "n-1"), (2, "n"), (3, "n+1"))
        for h in (2, 4)
        for s in range(3)
        for norm in ("L2", "sup")
    ]
    return pd.DataFrame(rows)


def made(title="Run", results=None, **more):
    results = frame() if results is None else results
    facts = {"seeds": 3, "widths": ["1", "n"], "nested": {"a": 1}}
    return page(title, "A claim.", True, [("1 < 2", True)], b"\x89PNG", "dots", {}, facts, results=results, **more)


def data_of(text):
    (found,) = [t for a, t in Reader(text).all("script") if a.get("type") == "application/json"]

    def refuse(name):
        raise AssertionError(f"{name} is no JSON")

    return json.loads(found, parse_constant=refuse)


def test_the_call_without_keywords_is_the_page_it_was():
    table = pd.DataFrame({"width": [1, 2], "proof": ["lu2017, Theorem 2", ""]})
    text = page("A & B", "c", False, [("x", True), ("y", False)], b"\x89PNG", "dots", {"T": table}, {"k": "v"})
    assert "The claim does not hold in this run." in text
    assert '<img alt="dots" src="data:image/png;base64,' in text
    assert "http" not in text.replace("http-equiv", "")
    assert "papers/lu2017.html" in text
    assert "Settings and environment" in text
    assert data_of(text)["figure"] is None


def test_nothing_is_loaded_and_the_policy_covers_what_runs():
    text = made()
    reader = Reader(text)
    for tag, attributes, _ in reader.elements:
        for name in ("src", "srcset", "data", "action", "poster"):
            assert attributes.get(name, "data:").startswith("data:"), (tag, attributes)
        assert not any(name.startswith("on") or name == "style" for name in attributes), (tag, attributes)
        assert tag not in ("link", "iframe", "object", "embed", "base")
    assert not re.search(r"url\(|@import|\beval\b|new Function|fetch\(|XMLHttpRequest|innerHTML|https?://", text)
    (policy,) = [a["content"] for a, _ in reader.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    inline = [("script-src", t) for a, t in reader.all("script") if "type" not in a]
    inline += [("style-src", t) for _, t in reader.all("style")]
    assert len(inline) == 2
    for directive, content in inline:
        digest = base64.b64encode(hashlib.sha256(content.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}'" in policy


def test_texts_cannot_break_the_page():
    results = frame(HOSTILE).assign(family=HOSTILE)
    more = pd.DataFrame({HOSTILE: [HOSTILE]})
    text = page(
        HOSTILE, HOSTILE, True, [(HOSTILE, True)], b"", HOSTILE, {HOSTILE: more}, {HOSTILE: HOSTILE}, results=results
    )
    reader = Reader(text)
    assert reader.all("b")[0][1] == "holds:"
    assert len(reader.all("b")) == 1
    assert len(reader.all("script")) == 2
    figure = data_of(text)["figure"]
    assert figure["tasks"] == figure["families"] == [HOSTILE]
    assert reader.all("h1")[0][1] == HOSTILE


def test_the_same_run_gives_the_same_bytes():
    assert made() == made()


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, None, np.float32("nan"), pd.NA])
def test_what_is_no_number_is_null_and_infinities_are_kept_apart(value):
    column = columns.encode_column("x", [1.0, value])
    assert column["values"] == [1.0, None]
    text = columns.cell_text(column, 1)
    assert text == {math.inf: "∞", -math.inf: "-∞"}.get(value if isinstance(value, float) else 0.0, "")
    columns.script_json(column)


def test_encoded_columns_give_back_what_was_put_in():
    rng = np.random.default_rng(0)
    values = (10.0 ** rng.uniform(-300, 300, 500) * rng.choice([-1, 1], 500)).tolist()
    column = json.loads(columns.script_json(columns.encode_column("x", values)))
    assert np.allclose(column["values"], values, rtol=5.1 * 10.0**-columns.DIGITS)
    words = rng.choice(["a", "b", ""], 50).tolist()
    column = columns.encode_column("w", words)
    assert [columns.cell_text(column, row) for row in range(50)] == words
    big = columns.encode_column("n", [2**70, 10**400])
    assert columns.cell_text(big, 0) == str(2**70)


def test_rounding_never_puts_an_error_below_its_floor():
    """Rounding is monotone: of numbers that differ in the last bit the greater is not written as the lesser."""
    rng = np.random.default_rng(1)
    floors = rng.uniform(0, 1, 2000)
    errors = np.nextafter(floors, 2)
    low = columns.encode_column("x", floors.tolist())["values"]
    high = columns.encode_column("x", errors.tolist())["values"]
    assert all(a <= b for a, b in zip(low, high, strict=True))


def test_ten_thousand_rows_stay_under_two_megabytes():
    rng = np.random.default_rng(0)
    count = 10_000
    numbers = {name: rng.lognormal(size=count) for name in ("error", "half_width", "fvu", "loss")}
    words = {"family": "MLP", "task": "norm_squared on ball(2)", "origin": "random", "status": "ok", "norm": "L2"}
    whole = {name: rng.integers(1, 2000, count) for name in ("width", "hidden_layers", "seed", "parameters")}
    text = made(results=pd.DataFrame({**numbers, **words, **whole, "steps": 3000, "base": 2}))
    assert len(text.encode()) < 1_000_000  # with a picture of 700 kB the page is under two megabytes
    assert text.count("<tr") <= 101


def test_floors_in_every_form():
    theorem = theorems.find("expressivity", "bottleneck")
    certificate = Certificate(0.5, "sup", NetworkClass(width=2), theorem)
    rows = levels.rows_of([certificate], ["t"], [1, 2, 3], [2, 4], what="floors")
    assert [(row["width"], row["norm"], row["layers"]) for row in rows] == [(1, "sup", None), (2, "sup", None)]
    table = pd.DataFrame({"task": "t", "norm": "L2", "width": [1, 2], "value": [0.1, 0.0], "proof": "p"})
    assert levels.rows_of(table, ["t", "u"], [], [], what="floors") == [
        {"task": "t", "norm": "L2", "width": 1, "value": 0.1, "text": "p", "layers": None}
    ]


def test_a_floor_for_shallow_networks_is_not_shown_as_one_for_deep_ones():
    theorem = theorems.find("expressivity", "bottleneck")
    shallow = Certificate(0.5, "sup", NetworkClass(width=3, hidden_layers=2), theorem)
    rows = levels.rows_of(shallow, ["t"], [2], [1, 2, 4], what="floors")
    assert [row["layers"] for row in rows] == [2]
    exact = Certificate(0.5, "sup", NetworkClass(hidden_widths=(2, 2)), theorem)
    assert levels.rows_of(exact, ["t"], [2], [4], what="floors") == []


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"results": pd.DataFrame({"norm": ["L2"]})}, "no column 'width'"),
        ({"task": "dim"}, "no column 'dim'"),
        ({"floors": pd.DataFrame({"width": [1]})}, "columns width and value; got width"),
        ({"floors": {1.5: 0.3}}, "is 1.5; a width is a whole number"),
        ({"floors": [0.3]}, "has no width"),
        ({"constants": 0.3}, "mapping from norms to numbers, not 0.3"),
        ({"documentation": "javascript:alert(1)"}, "not 'javascript:alert(1)'"),
        ({"results": pd.concat([frame("a"), frame("b")]), "floors": {1: 0.3}}, "name no task, and the results have 2"),
    ],
)
def test_bad_input_is_refused_in_one_sentence(arguments, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)) as caught:
        made(**arguments)
    assert "\n" not in str(caught.value)


def test_a_certificate_about_one_network_is_no_floor():
    theorem = theorems.find("expressivity", "bottleneck")
    with pytest.raises(ValueError, match="about one network"):
        made(floors={2: Certificate(0.5, "sup", NetworkClass(this=True), theorem)})
    with pytest.raises(TypeError, match="has a theorem"):
        made(certificates=["bottleneck"])


def test_certificates_lead_to_their_pages():
    theorem = theorems.find("expressivity", "bottleneck")
    certificate = Certificate(0.5, "sup", NetworkClass(width=2), theorem, ("a grid",))
    named = made(certificates=[certificate], documentation="")
    assert "<code>certificates.html</code>" in named
    assert "sup error &gt;= 0.5 for every network of width &lt;= 2, any depth; a grid" in named
    linked = made(certificates=[theorem], documentation="../docs")
    assert f'<a href="../docs/{theorem.page}.html">' in linked


def test_theorems_are_found_by_their_whole_name():
    for theorem in theorems.THEOREMS:
        found = sources.named_theorems([pd.DataFrame({"proof": [f"{theorem} (a rule)", None]})])
        assert theorem in found
        assert all(str(theorem).startswith(str(other)) for other in found)
    assert sources.named_theorems([pd.DataFrame({"proof": ["lu2017, Theorem 12"]})]) == []


@pytest.mark.parametrize("colours", [theme.LIGHT, theme.DARK, theme.PRINT], ids=["light", "dark", "paper"])
def test_contrast(colours):
    """WCAG 2.2: 4.5 for text, 3 for what has to be seen of controls and figures."""
    for ground in ("paper", "raised"):
        for name in ("ink", "soft", "link", "yes", "no"):
            assert theme.contrast(colours[name], colours[ground]) >= 4.5, (name, ground)
    for name in ("edge", "focus", "floor", "ceiling", "soft"):
        assert theme.contrast(colours[name], colours["paper"]) >= 3, name


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("count", range(1, 9))
def test_colours_of_depths_are_seen_and_ordered_in_grey(count, dark):
    shades = theme.series(count, dark=dark)
    ground = (theme.DARK if dark else theme.LIGHT)["paper"]
    assert len(set(shades)) == count
    assert all(theme.contrast(shade, ground) >= 3 for shade in shades)
    grey = [theme.luminance(shade) for shade in shades]
    assert grey == sorted(grey)


@pytest.mark.parametrize(("pair", "ratio"), [(("#777777", "#ffffff"), 4.48), (("#ff0000", "#ffffff"), 4.0)])
def test_contrast_is_the_published_one(pair, ratio):
    """Values that every WCAG calculator shows."""
    assert theme.contrast(*pair) == pytest.approx(ratio, abs=0.005)
