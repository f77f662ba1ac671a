"""Settings of every test: annotations checked at run time, two CPU devices, no silent promotion of ranks, no window.

Warnings are errors through `pyproject.toml`.
"""

import atexit
import gc
import importlib
import os
import pathlib
import shutil
import tempfile

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import hypothesis
import jax
import jaxtyping
import matplotlib
import pytest

# Before the package is imported anywhere: the annotated arrays of its functions and modules are checked by beartype.
jaxtyping.install_import_hook("expressivity", "shape_checks.arrays_only")
jax.config.update("jax_numpy_rank_promotion", "raise")
# Each process of the tests, with what it starts, keeps its compiled programs apart: none of a run before is found, and
# none that another worker is just writing (JAX does not write them in one step).
PROGRAMS = tempfile.mkdtemp(prefix="expressivity-tests-")
atexit.register(shutil.rmtree, PROGRAMS, ignore_errors=True)
os.environ["JAX_COMPILATION_CACHE_DIR"] = PROGRAMS
jax.config.update("jax_compilation_cache_dir", PROGRAMS)
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
matplotlib.use("Agg")
# Programs and traces are many objects that live long: to look through them again after every 700 new ones takes a
# minute of the suite.
gc.set_threshold(50_000)

# No deadline: the first example of a test compiles. In CI the examples are the same in every run.
hypothesis.settings.register_profile("default", deadline=None)
hypothesis.settings.register_profile("ci", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("ci" if os.environ.get("CI") else "default")

# Folders of tests whose time goes into compiling networks and their trainings, which is what they compare: with few
# optimisations that takes two thirds of the time, here and in the processes that a test starts. Programs are optimised
# as users get them in all other folders, where rounding is looked at, and in modules that say `OPTIMISED = True`.
QUICKLY_COMPILED = ("models", "training", "experiments", "sweeps")
QUICKLY = "JAX_DISABLE_MOST_OPTIMIZATIONS"


@pytest.fixture(autouse=True, scope="module")
def _optimisation(request: pytest.FixtureRequest):
    quick = request.path.parent.name in QUICKLY_COMPILED and not getattr(request.module, "OPTIMISED", False)
    if quick:
        os.environ[QUICKLY] = "1"
        jax.config.update(QUICKLY.lower(), True)
    yield
    if quick:
        os.environ.pop(QUICKLY)
        jax.config.update(QUICKLY.lower(), False)
        jax.clear_caches()
        for name in ("program", "image_program", "wide"):
            for made in vars(importlib.import_module(f"expressivity.training.{name}")).values():
                if hasattr(made, "cache_clear") and hasattr(made, "cache_info"):
                    made.cache_clear()


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
