"""Settings of every test: annotations checked at run time, two CPU devices, no silent promotion of ranks, no window.

Warnings are errors through `pyproject.toml`.
"""

import os
import pathlib

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import hypothesis
import jax
import jaxtyping
import matplotlib
import pytest

# Before the package is imported anywhere: the annotated arrays of its functions and modules are checked by beartype.
jaxtyping.install_import_hook("expressivity", "shape_checks.arrays_only")
jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("Agg")

# No deadline: the first example of a test compiles. In CI the examples are the same in every run.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")


@pytest.fixture(scope="session")
def data_folder() -> pathlib.Path:
    """The folder of real images that EXPRESSIVITY_DATA names; the test is skipped without one."""
    folder = os.environ.get("EXPRESSIVITY_DATA")
    if not folder:
        pytest.skip("real images are not here: set EXPRESSIVITY_DATA to the folder that holds them")
    path = pathlib.Path(folder)
    if not path.is_dir():
        pytest.skip(f"real images are not here: EXPRESSIVITY_DATA names {folder}, which is no folder")
    return path
