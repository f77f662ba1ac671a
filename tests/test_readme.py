"""The README: its library example runs as printed, its links lead somewhere, its commands exist."""

import re
from pathlib import Path

import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def test_the_library_example_runs(tmp_path, monkeypatch, capsys):
    code, images = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 22
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "README.md", "exec"), {"__name__": "readme"})
    plt.close("all")
    printed = capsys.readouterr().out
    assert "L2 error >= 0.269" in printed
    assert "sup error >= 0.5 for every network of width <= 2" in printed
    for measured, bound in re.findall(r"([\d.e-]+) <= ([\d.e-]+)", printed):
        assert float(measured) <= float(bound)
    assert (tmp_path / "runs/readme/table.csv").is_file()
    exec(compile(images, "README.md", "exec"), {"__name__": "readme"})
    assert "top-1" in capsys.readouterr().out
    assert (tmp_path / "runs/readme_images/curves.csv").is_file()


def test_links_and_commands_exist():
    for link in re.findall(r"\]\((?!https?:)([^)#]+)\)", README):
        assert (ROOT / link).exists(), link
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"(?:^|`)make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


def test_versions_agree():
    import expressivity as ex

    assert f"version: {ex.__version__}\n" in (ROOT / "CITATION.cff").read_text()
    assert f'version = "{ex.__version__}"' in (ROOT / "pyproject.toml").read_text()


def test_the_figure_is_small():
    figures = re.findall(r"!\[[^\]]*\]\(([^)]+)\)", README)
    assert figures
    for figure in figures:
        assert (ROOT / figure).stat().st_size < 300_000
