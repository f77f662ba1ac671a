"""Experiments: one file is one section of a paper. Run them as `python -m experiments.NAME`."""
