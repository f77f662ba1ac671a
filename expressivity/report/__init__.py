"""One self-contained page about a run."""

from expressivity.report.page import page as page
