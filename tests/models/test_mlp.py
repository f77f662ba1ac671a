import jax
import jax.numpy as jnp
import numpy as np
import pytest

import expressivity as ex
from expressivity.models import Family, as_width


def test_mlp_is_a_hashable_frozen_family():
    assert isinstance(ex.MLP(3), Family)
    assert ex.MLP(3, hidden_layers=2) == ex.MLP(3, 1, 2)
    assert len({ex.MLP(3), ex.MLP(3, 1, 2), ex.MLP(2)}) == 2
    with pytest.raises(AttributeError):
        ex.MLP(3).input_dim = 4  # type: ignore[misc]


@pytest.mark.parametrize(
    ("width", "units"), [("n-1", 2), ("n", 3), ("n+4", 7), ("2n", 6), (5, 5), (ex.Width(4), 12), ("0.5x", 2)]
)
def test_base_width_is_the_input_dimension(width, units):
    family = ex.MLP(3, output_dim=2, hidden_layers=4)
    assert family.units(width) == units
    assert family.width_dims(width) == {f"hidden_{layer}": units for layer in (1, 2, 3, 4)}
    network, state = family.init(jax.random.key(0), width, 3)
    assert isinstance(network, ex.ReLUNetwork)
    assert state == ()
    assert (network.input_dim, network.output_dim, network.hidden_widths) == (3, 2, (units,) * 4)
    assert network.size == units * 4 + 3 * units * (units + 1) + 2 * (units + 1)


def test_initialisation_has_the_stated_law():
    widths, nets = 40, 60
    family = ex.MLP(5, 3, hidden_layers=3)
    draws = [list(family.init(jax.random.key(seed), widths)[0].layers) for seed in range(nets)]
    for layer, fan_in in enumerate((5, 40, 40, 40)):
        weights = np.stack([net[layer][0] for net in draws]).ravel()
        assert all(np.all(net[layer][1] == 0) for net in draws)
        # five standard errors of a mean and of a variance of normal numbers
        assert abs(weights.mean()) < 5 * np.sqrt(2 / fan_in / weights.size)
        assert abs(weights.var() * fan_in / 2 - 1) < 5 * np.sqrt(2 / weights.size)


def test_keys_give_different_networks_and_the_same_key_the_same():
    family = ex.MLP(2, hidden_layers=3)
    one, two, again = (family.init(jax.random.key(k), 4)[0] for k in (0, 1, 0))
    assert all(np.array_equal(a, b) for a, b in zip(jax.tree.leaves(one), jax.tree.leaves(again), strict=True))
    assert not np.array_equal(one.blocks[0].weight, two.blocks[0].weight)


@pytest.mark.parametrize("width", [2, 5])
def test_init_under_vmap_equals_init_one_by_one(width):
    family = ex.MLP(2, hidden_layers=3)
    keys = jax.random.split(jax.random.key(3), 4)
    stacked, _ = jax.vmap(lambda key: family.init(key, width))(keys)
    for number in range(4):
        single, _ = family.init(keys[number], width)
        for a, b in zip(jax.tree.leaves(stacked), jax.tree.leaves(single), strict=True):
            # a vectorised program may round the inverse error function otherwise
            np.testing.assert_allclose(a[number], b, rtol=1e-6, atol=1e-7)


def test_precision_changes_no_more_than_rounding():
    family = ex.MLP(2, hidden_layers=2)
    single, _ = family.init(jax.random.key(0), 3)
    with jax.enable_x64(True):
        double, _ = family.init(jax.random.key(0), 3)
    assert single.blocks[0].weight.dtype == np.float32
    assert double.blocks[0].weight.dtype == np.float64
    np.testing.assert_allclose(single.blocks[0].weight, double.blocks[0].weight, rtol=1e-7)


def test_apply_equals_the_network_at_each_point():
    family = ex.MLP(3, 2, hidden_layers=2)
    network, state = family.init(jax.random.key(1), "2n")
    x = np.random.default_rng(0).standard_normal((7, 3)).astype(np.float32)
    y, after = family.apply(network, state, x)
    assert after == state
    np.testing.assert_allclose(y, jnp.stack([network(row) for row in x]), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda: ex.MLP(0), ValueError, "input_dim of an MLP is at least 1, not 0"),
        (lambda: ex.MLP(2, hidden_layers=0), ValueError, "hidden_layers of an MLP is at least 1, not 0"),
        (lambda: ex.MLP(2.5), TypeError, "2.5"),  # type: ignore[arg-type]
        (lambda: ex.MLP(1).units("n-1"), ValueError, "n-1"),
        (lambda: ex.MLP(2).units(0), ValueError, "0"),
        (lambda: ex.MLP(2).init(jax.random.key(0), 3, 4), ValueError, "reads 2 numbers; got input_size=4"),
        (lambda: ex.MLP(2).apply(ex.MLP(2).init(jax.random.key(0), 3)[0], (), np.ones(2)), ValueError, r"\(2,\)"),
        (lambda: as_width(2.5), TypeError, "2.5"),  # type: ignore[arg-type]
    ],
)
def test_bad_input_is_named(call, error, text):
    with pytest.raises(error, match=text):
        call()


def test_rows_that_are_not_there_are_refused():
    with pytest.raises(ValueError, match="numbered 0 to 2; got 3"):
        ex.MLP(3, hidden_layers=2).rows(jax.random.key(0), 7, 3, 0, 1)
    with pytest.raises(ValueError, match="Layer 1 has the rows 0 to 6; got 5 to 7"):
        ex.MLP(3, hidden_layers=2).rows(jax.random.key(0), 7, 1, 5, 8)
