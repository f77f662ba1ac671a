"""A run that SIGKILL ends at any moment, with real processes: the campaign of the benchmark, with few kills."""

import pytest

from experiments.benchmarks import kills


@pytest.mark.slow
def test_a_run_that_is_killed_again_and_again_ends_as_an_undisturbed_one(tmp_path):
    found, problems = kills.campaign(kills.Settings(kills=8, seed=1), tmp_path)
    assert not problems
    assert len(found) == 8
    assert {kill.last for kill in found} >= {"training", "committing", "fitting", "reporting"}
