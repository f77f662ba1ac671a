"""The page in a real browser, where there is one: what it shows, how keys and pointer act, what paper gets."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest

from expressivity.report import columns, page

LONG = 10_000


def results(rows=None):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        [
            {"family": "MLP", "task": task, "width_rule": rule, "width": w, "hidden_layers": h, "seed": s, "norm": norm}
            | {"status": "ok", "half_width": 1e-4, "origin": "random", "error": (1 + rng.random()) / w}
            for task in ("disc", "</script><b>square")
            for w, rule in ((1, "n-1"), (2, "n"), (3, "n+1"), (6, "n+4"))
            for h in (2, 4)
            for s in range(5)
            for norm in ("L2", "sup")
        ]
    )
    frame.loc[0, ["status", "error"]] = ["diverged", math.nan]
    if rows is not None:
        frame = pd.concat([frame] * (rows // len(frame) + 1), ignore_index=True).iloc[:rows]
        frame = frame.assign(seed=np.arange(rows))
    return frame


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    made = tmp_path_factory.mktemp("pages")
    floors = pd.DataFrame({"task": "disc", "norm": ["L2", "sup"], "width": 1, "value": 0.6, "proof": "a proof"})
    ceilings = pd.DataFrame({"task": "disc", "norm": "L2", "width": [3, 12], "value": 0.05, "label": "built"})
    numbers = [0.0, 1.0, -2.5, 123456.0, 99999.6, 1e-5, 0.00012345678, 1e300, -4e-300, math.inf, math.nan, 2 / 3]
    numbers += (10.0 ** np.random.default_rng(0).uniform(-12, 12, 40)).round(14).tolist()
    tables = {"Numbers": pd.DataFrame({"number": numbers, "word": [f"w{i}" for i in range(len(numbers))]})}
    for name, rows in (("short", None), ("long", LONG)):
        text = page(
            "A run", "A claim.", True, [("1 < 2", True)], b"", "dots", tables, {"seeds": 5}, results=results(rows),
            floors=floors, ceilings=ceilings, constants={"L2": 1.1},
        )  # fmt: skip
        (made / f"{name}.html").write_text(text)
    return made


@pytest.fixture
def short(browser, folder):
    browser.open(folder / "short.html")
    yield browser
    assert browser.troubles() == []


@pytest.fixture
def long(browser, folder):
    browser.open(folder / "long.html")
    yield browser
    assert browser.troubles() == []


STAGE = "document.querySelector('.stage')"
LIVE = "document.querySelector('.live').textContent"


def view(browser):
    return [float(v) for v in browser.run(f"{STAGE}.dataset.view").split()]


def choose(browser, value, tag="input"):
    browser.run(f"document.querySelector('.choices {tag}[value=\"{value}\"]').click()")
    browser.settle()


def table(browser, number):
    """The texts of the rows that the page holds, spacers left out."""
    return browser.run(
        f"[...document.querySelectorAll('#table-{number} tbody tr:not(.space)')]"
        ".map(row => [...row.cells].map(cell => cell.textContent))"
    )


def test_the_page_is_ready_and_shows_every_network_of_a_norm(short):
    assert short.run("document.documentElement.dataset.ready") == "yes"
    assert short.run("performance.getEntriesByName('ready').length") == 1
    # 4 widths x 2 depths x 5 seeds, one of them diverged; a floor; two ceilings
    assert short.run(f"{STAGE}.dataset.shown") == str(40 - 1 + 1 + 2)
    assert "Without a finite error, not drawn: 1." in short.run("document.querySelector('#explorer .note').textContent")
    assert short.run("document.querySelectorAll('.floor').length") == 2  # the line and the one of the legend
    assert short.run("getComputedStyle(document.querySelector('.plot .ceiling')).strokeDasharray") != "none"
    assert short.run("getComputedStyle(document.querySelector('.plot .floor')).strokeDasharray") == "none"


def test_choices_change_what_is_shown(short):
    choose(short, "best")
    assert short.run(f"{STAGE}.dataset.shown") == str(8 + 3)
    choose(short, "median")
    assert short.run(f"{STAGE}.dataset.shown") == str(8 + 3)
    choose(short, "floors")
    assert short.run(f"{STAGE}.dataset.shown") == str(8 + 2)
    choose(short, "0")  # two hidden layers
    assert short.run(f"{STAGE}.dataset.shown") == str(4 + 2)
    choose(short, "sup")
    assert short.run(f"{STAGE}.dataset.norm") == "sup"
    assert short.run(f"{STAGE}.dataset.shown") == "4"


def test_a_linear_axis_begins_at_zero(short):
    short.run(
        "(() => { const s = [...document.querySelectorAll('select')].find(s => s.ariaLabel === 'Error axis');"
        " s.value = 'linear'; s.dispatchEvent(new Event('change')); })()"
    )
    assert view(short)[2] == 0


def test_keys_reach_every_network_and_say_it(short):
    short.run(f"{STAGE}.focus()")
    short.press("Home")
    said = {short.run(LIVE)}
    lanes = 4 * 2 + 3
    for _ in range(lanes):
        while True:  # up through a lane
            before = short.run(LIVE)
            short.press("ArrowUp")
            said.add(short.run(LIVE))
            if short.run(LIVE) == before:
                break
        short.press("ArrowRight")
        said.add(short.run(LIVE))
        while True:  # and down
            before = short.run(LIVE)
            short.press("ArrowDown")
            said.add(short.run(LIVE))
            if short.run(LIVE) == before:
                break
    assert len(said) == 42
    assert sum(text.startswith("Floor: no network of this width is lower") for text in said) == 1
    best = next(text for text in said if text.startswith("Best of") and "width 2" in text)
    for word in ("family MLP", "rule n", "hidden layers", "seed", "L2 error", "half-width 0.0001", "status ok"):
        assert word in best
    short.press("Escape")
    assert short.run("document.querySelector('.card').hidden")


def test_zoom_by_keys_wheel_and_drag_and_back(short):
    whole = view(short)
    short.run(f"{STAGE}.scrollIntoView()")
    box = short.run(f"(() => {{ const b = {STAGE}.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }})()")
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    short.mouse("mouseWheel", x, y, deltaX=0, deltaY=-60)  # not yet in the figure: the page keeps the wheel
    short.settle()
    assert view(short) == whole
    short.run(f"{STAGE}.scrollIntoView(); {STAGE}.focus()")
    short.press("+")
    near = view(short)
    assert near[1] - near[0] == pytest.approx(0.7 * (whole[1] - whole[0]), rel=1e-4)
    short.press("-")
    assert view(short) == pytest.approx(whole, abs=1e-4)
    box = short.run(f"(() => {{ const b = {STAGE}.getBoundingClientRect(); return [b.x, b.y, b.width, b.height]; }})()")
    x, y = box[0] + box[2] / 2, box[1] + box[3] / 2
    short.mouse("mouseWheel", x, y, deltaX=0, deltaY=-60)
    short.settle()
    assert view(short)[1] - view(short)[0] < 0.9 * (whole[1] - whole[0])
    short.press("0")
    assert view(short) == whole
    short.mouse("mousePressed", x, y, button="left", clickCount=1)
    short.mouse("mouseMoved", x + 100, y + 80, button="left", buttons=1)
    short.mouse("mouseReleased", x + 100, y + 80, button="left", clickCount=1)
    short.settle()
    dragged = view(short)
    plot = short.run("document.querySelector('.area').width.baseVal.value")
    assert (dragged[1] - dragged[0]) / (whole[1] - whole[0]) == pytest.approx(100 / plot, rel=0.02)
    short.run("[...document.querySelectorAll('.zoom button')].at(-1).click()")
    assert view(short) == whole


def test_the_pointer_shows_the_network_under_it(short):
    short.run(f"{STAGE}.scrollIntoView()")
    where = short.run(
        "(() => { const b = document.querySelector('.plot .floor').getBoundingClientRect();"
        " return [b.x + 20, b.y + b.height / 2]; })()"
    )
    short.mouse("mouseMoved", *where)
    short.settle()
    card = short.run("document.querySelector('.card').textContent")
    assert "no network of this width is lower" in card
    assert "0.6" in card
    assert "a proof" in card


def test_numbers_are_written_as_python_writes_them(short):
    encoded = columns.encode_frame(
        pd.DataFrame({"number": [float(r[0].replace("∞", "inf") or "nan") for r in table(short, 0)]})
    )
    static = [columns.cell_text(encoded["columns"][0], row) for row in range(encoded["rows"])]
    short.run("document.querySelector('#table-0 th:nth-child(2) button').click()")  # drawn anew by the script
    assert [row[0] for row in table(short, 0)] == static


def test_sorting_by_number_and_by_word(short):
    def head(number):
        short.run(f"document.querySelector('#table-0 th:nth-child({number}) button').click()")
        return short.run(f"document.querySelector('#table-0 th:nth-child({number})').getAttribute('aria-sort')")

    given = table(short, 0)
    assert head(1) == "ascending"
    numbers = [float(row[0].replace("∞", "inf")) for row in table(short, 0) if row[0]]
    assert numbers == sorted(numbers)
    assert table(short, 0)[-1][0] == ""  # what is missing stands last, in both directions
    assert head(1) == "descending"
    assert table(short, 0)[0][0] == "∞"
    assert table(short, 0)[-1][0] == ""
    assert head(1) == "none"
    assert table(short, 0) == given
    head(2)
    words = [row[1] for row in table(short, 0)]
    assert words == sorted(words, key=lambda word: int(word[1:]))


def test_a_long_table_holds_only_rows_in_sight_and_finds_the_others(long):
    assert long.run("document.querySelectorAll('#table-1 tbody tr').length") < 100
    assert long.run("document.querySelector('#table-1 table').getAttribute('aria-rowcount')") == str(LONG + 1)
    seed = long.run("[...document.querySelectorAll('#table-1 th')].findIndex(h => h.textContent === 'seed')")
    long.run("(() => { const s = document.querySelector('#table-1 .scroll'); s.scrollTop = s.scrollHeight; })()")
    long.settle()
    assert table(long, 1)[-1][seed] == str(LONG - 1)
    seen = {int(row[seed]) for row in table(long, 1)}
    assert seen == set(range(min(seen), LONG))

    def filtered(text):
        long.run(
            f"new Promise(done => {{ const i = document.querySelector('#table-1 input'); i.value = {text!r};"
            " i.dispatchEvent(new Event('input')); setTimeout(done, 200); })"
        )
        return long.run("document.querySelector('#table-1 .count').textContent")

    frame = results(LONG)
    assert filtered("seed=1234") == "1 of 10 000 rows"
    assert [row[seed] for row in table(long, 1)] == ["1234"]
    count = int(((frame["width"] == 2) & (frame["error"] < 0.7) & (frame["norm"] == "sup")).sum())
    assert filtered("width=2 error<0.7 sup").replace(" ", "").startswith(f"{count}of")
    assert filtered("nowhere") == "0 of 10 000 rows"
    assert table(long, 1) == []
    assert filtered("") == "10 000 rows"


def test_paper_gets_everything_and_no_control(long):
    long.run("dispatchEvent(new Event('beforeprint'))")
    long.send("Emulation.setEmulatedMedia", media="print", features=[{"name": "prefers-color-scheme", "value": "dark"}])
    try:
        assert long.run("document.querySelectorAll('#table-1 tbody tr').length") == 1000
        assert "first 1 000 of 10 000 rows" in long.run("document.querySelector('#table-1 .note').textContent")
        hidden = "nav, .tools, .zoom, .help, .choices input, .choices select"
        assert long.run(f"[...document.querySelectorAll('{hidden}')].every(e => !e.getClientRects().length)")
        style = "getComputedStyle(document.body)"
        assert long.run(f"[{style}.color, {style}.backgroundColor]") == ["rgb(0, 0, 0)", "rgb(255, 255, 255)"]
    finally:
        long.send("Emulation.setEmulatedMedia", media="", features=[])
        long.run("dispatchEvent(new Event('afterprint'))")
    assert long.run("document.querySelectorAll('#table-1 tbody tr').length") < 100


def test_paper_in_truth(short):
    assert short.printed().startswith(b"%PDF")


def test_the_page_fits_a_phone(browser, folder):
    browser.open(folder / "short.html", width=360, height=740)
    assert browser.run("document.documentElement.scrollWidth") == 360
    small = browser.run(
        "[...document.querySelectorAll('button:not(th button), select, .choices label')]"
        ".filter(e => e.getBoundingClientRect().height < 24).length"
    )
    assert small == 0  # the least size of a target in WCAG 2.2
    assert browser.troubles() == []


def test_dark_by_preference_and_by_button(browser, folder):
    browser.open(folder / "short.html", **{"prefers-color-scheme": "dark"})
    ground = "getComputedStyle(document.body).backgroundColor"
    assert browser.run(ground) == "rgb(20, 23, 27)"
    browser.run("document.querySelector('.theme').click()")
    assert browser.run(ground) == "rgb(255, 255, 255)"
    browser.run("document.querySelector('.theme').click()")
    assert browser.run(ground) == "rgb(20, 23, 27)"


def test_the_keyboard_goes_through_the_page_in_its_order_and_shows_where_it_is(short):
    places, texts = [], []
    for _ in range(40):
        short.press("Tab")
        found = short.run(
            "(() => { const e = document.activeElement, s = getComputedStyle(e); return [e.tagName, e.className,"
            " e.getBoundingClientRect().top + scrollY, s.outlineStyle, e.textContent.slice(0, 30)]; })()"
        )
        if found[0] == "BODY":
            break
        places.append(found)
        texts.append(found[4])
    assert texts[0] == "Skip to the content"
    assert all(style != "none" for *_, style, _ in places)
    assert any("stage" in name for _, name, *_ in places)
    tops = [top for _, name, top, *_ in places if "skip" not in name]
    assert all(b > a - 60 for a, b in itertools.pairwise(tops))
    assert short.run("[...document.querySelectorAll('[tabindex]')].every(e => e.tabIndex <= 0)")
    assert short.run("[...document.querySelectorAll('input, select')].every(e => e.labels.length || e.ariaLabel)")


def test_without_a_script_the_page_can_be_read(browser, folder):
    browser.send("Emulation.setScriptExecutionDisabled", value=True)
    try:
        browser.open(folder / "long.html")
    finally:
        browser.send("Emulation.setScriptExecutionDisabled", value=False)
    root = browser.send("DOM.getDocument", depth=-1)["root"]["nodeId"]
    text = browser.send("DOM.getOuterHTML", nodeId=root)["outerHTML"]
    assert "The claim holds in this run." in text
    assert text.count("<tr") > 150
    assert "9900 more rows are shown where JavaScript runs" in text
