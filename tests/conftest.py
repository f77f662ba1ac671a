"""Settings of every test: two CPU devices, no silent promotion of ranks, no window for figures."""

import os

os.environ.setdefault("XLA_FLAGS", "--xla_force_host_platform_device_count=2")

import jax
import matplotlib

jax.config.update("jax_numpy_rank_promotion", "raise")
matplotlib.use("Agg")
