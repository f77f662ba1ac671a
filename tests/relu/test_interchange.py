"""Networks of other libraries: hand-made look-alikes always, the libraries themselves where they are installed."""

from collections import OrderedDict
from types import SimpleNamespace

import numpy as np
import pytest

import expressivity as ex
from expressivity.constructions import vardi2022
from expressivity.relu.gadgets import random_network

RNG = np.random.default_rng(0)
W1, B1, W2, B2 = RNG.standard_normal((4, 3)), RNG.standard_normal(4), RNG.standard_normal((2, 4)), np.ones(2)
X = RNG.standard_normal((20, 3))


def module(kind, **attributes):
    made = type(kind, (), {})()
    for name, value in attributes.items():
        setattr(made, name, value)
    return made


def sequential(*modules):
    return type("Sequential", (), {"__iter__": lambda self: iter(modules)})()


def linear(weight, bias):
    return module("Linear", weight=weight, bias=bias)


def relu(x):
    return np.maximum(x, 0)


def first(x):
    return x @ W1.T + B1


def second(x):
    return x @ W2.T + B2


RELU, L1, L2 = module("ReLU"), linear(W1, B1), linear(W2, B2)


@pytest.mark.parametrize(
    ("modules", "expected", "hidden_layers"),
    [
        ((L1, RELU, L2), lambda x: second(relu(first(x))), 1),
        ((L1, L2), lambda x: second(first(x)), 0),
        ((L1, RELU, L2, RELU), lambda x: relu(second(relu(first(x)))), 2),
        ((RELU, L1, RELU, L2), lambda x: second(relu(first(relu(x)))), 2),
        ((L1, RELU, RELU, module("Dropout"), L2, module("Identity")), lambda x: second(relu(first(x))), 1),
        ((sequential(L1, RELU), sequential(L2)), lambda x: second(relu(first(x))), 1),
        ((linear(W1, None), RELU, L2), lambda x: second(relu(x @ W1.T)), 1),
    ],
)
def test_a_sequential_is_the_chain_of_its_modules(modules, expected, hidden_layers):
    network = ex.from_torch(sequential(*modules))
    assert network.hidden_layers == hidden_layers
    # sums of at most five terms of order 1, in another order
    assert np.abs(ex.evaluate(network, X) - expected(X)).max() < 1e-13


def test_a_state_dict_has_a_relu_after_every_layer_but_the_last():
    state = OrderedDict([("net.0.weight", W1), ("net.0.bias", B1), ("net.2.weight", W2), ("net.2.bias", B2)])
    network = ex.from_torch(state)
    assert [w.tolist() for w, _ in network.layers] == [W1.tolist(), W2.tolist()]
    assert [b.tolist() for _, b in network.layers] == [B1.tolist(), B2.tolist()]


def test_float32_weights_are_kept_exactly():
    weight = W1.astype(np.float32)
    ((found, _),) = ex.from_torch({"weight": weight}).layers
    assert found.dtype == np.float64
    assert np.array_equal(found, weight)


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (sequential(L1, module("Tanh"), L2), ValueError, "Module 1 .* Tanh"),
        (sequential(module("Conv2d", weight=np.zeros((2, 3, 3, 3)), bias=None), RELU), ValueError, "Conv2d"),
        (sequential(L1, module("LeakyReLU"), L2), ValueError, "LeakyReLU"),
        (sequential(L2, RELU, L1), ValueError, "reads 3 numbers, but layer 1 writes 2"),
        (sequential(L2, L1), ValueError, r"\(4, 3\) follows one that writes 2"),
        (sequential(RELU), ValueError, "at least one layer"),
        (sequential(), ValueError, "at least one layer"),
        (sequential(linear(W1 * np.nan, B1)), ValueError, "NaN"),
        ({"conv.weight": np.zeros((2, 3, 3, 3))}, ValueError, r"'conv.weight' has shape \(2, 3, 3, 3\)"),
        ({"norm.running_mean": np.zeros(3)}, ValueError, "running_mean"),
        ({"a.bias": np.zeros(3)}, ValueError, "'a' without a weight"),
        ({"a.weight": np.zeros((2, 3)), "b.weight": np.zeros((2, 3))}, ValueError, "reads 3 numbers"),
        ({"a.weight": np.zeros((2, 3), complex)}, TypeError, "complex"),
        ({}, ValueError, "at least one layer"),
        (3, TypeError, "int"),
        (module("MyNet"), TypeError, "MyNet"),
    ],
)
def test_other_torch_models_are_refused(model, error, words):
    with pytest.raises(error, match=words):
        ex.from_torch(model)


def estimator(**changes):
    fields = {"coefs_": [W1.T, W2.T], "intercepts_": [B1, B2], "activation": "relu", "out_activation_": "identity"}
    return SimpleNamespace(**{**fields, **changes})


def test_an_estimator_stores_its_weights_transposed():
    assert np.abs(ex.evaluate(ex.from_sklearn(estimator()), X) - second(relu(first(X)))).max() < 1e-13
    affine = ex.from_sklearn(estimator(activation="identity"))
    assert affine.depth == 1
    assert np.abs(ex.evaluate(affine, X) - second(first(X))).max() < 1e-13


@pytest.mark.parametrize(
    ("model", "error", "words"),
    [
        (estimator(activation="tanh"), ValueError, "'tanh'"),
        (estimator(activation="logistic"), ValueError, "'logistic'"),
        (estimator(out_activation_="exp"), ValueError, "'exp'"),
        (estimator(coefs_=[W1.T]), ValueError, "1 weights and 2 intercepts"),
        (estimator(coefs_=[W2.T, W1.T]), ValueError, r"\(2, 4\) and \(4,\)"),
        (SimpleNamespace(activation="relu"), ValueError, "fit it first"),
        (SimpleNamespace(steps=[]), TypeError, "pipeline"),
        ("MLPRegressor", TypeError, "str"),
    ],
)
def test_other_estimators_are_refused(model, error, words):
    with pytest.raises(error, match=words):
        ex.from_sklearn(model)


def test_torch_itself():
    torch = pytest.importorskip("torch")
    for dtype in (torch.float32, torch.float64):
        torch.manual_seed(0)
        model = torch.nn.Sequential(torch.nn.Linear(3, 5), torch.nn.ReLU(), torch.nn.Linear(5, 2)).to(dtype)
        expected = model.double()(torch.from_numpy(X)).detach().numpy()
        for given in (model, model.state_dict()):
            assert np.abs(ex.evaluate(ex.from_torch(given), X) - expected).max() < 1e-13


def test_scikit_learn_itself():
    neural = pytest.importorskip("sklearn.neural_network")
    rng = np.random.default_rng(0)
    y = X[:, 0] * X[:, 1]
    regressor = neural.MLPRegressor(
        hidden_layer_sizes=(7, 4), solver="lbfgs", max_iter=200, random_state=0, alpha=1.0, tol=1e-2
    ).fit(X, y)
    found = ex.evaluate(ex.from_sklearn(regressor), X)[:, 0]
    assert found == pytest.approx(regressor.predict(X), rel=1e-12, abs=1e-12)
    for classes in (2, 3):
        labels = rng.integers(0, classes, len(X))
        model = neural.MLPClassifier(
            hidden_layer_sizes=(6,), solver="lbfgs", max_iter=300, random_state=0, alpha=1.0, tol=1e-2
        )
        model.fit(X, labels)
        logits = ex.evaluate(ex.from_sklearn(model), X)
        guess = (logits[:, 0] > 0) if classes == 2 else logits.argmax(1)
        assert np.array_equal(model.classes_[guess.astype(int)], model.predict(X))


@pytest.mark.parametrize(
    ("hidden", "split"), [((50,), {"inner": 3}), ((20, 20), {"inner": 4, "outer": 5}), ((6, 5, 4), {})]
)
def test_a_network_trained_on_real_data_stays_the_same_when_made_narrow(hidden, split):
    datasets, neural = pytest.importorskip("sklearn.datasets"), pytest.importorskip("sklearn.neural_network")
    x, y = datasets.load_diabetes(return_X_y=True)
    x, y = (x - x.mean(0)) / x.std(0), (y - y.mean()) / y.std()
    regressor = neural.MLPRegressor(hidden_layer_sizes=hidden, random_state=0)
    for _ in range(60):
        regressor.partial_fit(x, y)
    assert regressor.score(x, y) > 0.2  # it has learned something
    network = ex.from_sklearn(regressor)
    assert ex.evaluate(network, x)[:, 0] == pytest.approx(regressor.predict(x), rel=1e-12, abs=1e-12)
    rng = np.random.default_rng(0)
    cube = np.concatenate([x, rng.uniform(-8, 8, (500, 10))])
    sphere = rng.standard_normal((500, 10))
    sphere *= 1e3 / np.linalg.norm(sphere, axis=1, keepdims=True)
    extra = sum(split.values()) if split else len(hidden)
    for half_width, registers, groups in ((8.0, 10, (cube,)), (None, 20, (cube, sphere))):
        thin = vardi2022.narrow(network, half_width=half_width, **split)
        assert thin.width == registers + extra + 1
        for points in groups:
            expected = ex.evaluate(network, points)
            difference = np.abs(ex.evaluate(thin, points) - expected).max()
            assert difference <= 1e-10 * np.abs(expected).max()


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("widths", [(), (5,), (4, 4, 4)])
def test_onnx_says_the_same(tmp_path, dtype, widths):
    onnx = pytest.importorskip("onnx")
    from onnx.reference import ReferenceEvaluator

    network = random_network(3, widths, 1)
    path = ex.to_onnx(network, tmp_path / "net.onnx", dtype)
    model = onnx.load(path)
    assert [node.op_type for node in model.graph.node].count("Relu") == network.hidden_layers
    (found,) = ReferenceEvaluator(model).run(None, {"x": X.astype(dtype)})
    bound = ex.relu.rounding_bound(network, X.min(0), X.max(0), dtype)
    assert found.dtype == dtype
    assert np.abs(found - ex.evaluate(network, X.astype(dtype), dtype)).max() <= 2 * bound
    assert [file.name for file in tmp_path.iterdir()] == ["net.onnx"]


def test_onnx_refuses(tmp_path):
    pytest.importorskip("onnx")
    network = ex.ReLUNetwork.from_layers([([[1e200]], [0.0])])
    with pytest.raises(ValueError, match="W1 does not fit into float32"):
        ex.to_onnx(network, tmp_path / "net.onnx", np.float32)
    with pytest.raises(ValueError, match="int32"):
        ex.to_onnx(network, tmp_path / "net.onnx", np.int32)
    with pytest.raises(TypeError, match="str"):
        ex.to_onnx("net", tmp_path / "net.onnx")  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError, match="nowhere"):
        ex.to_onnx(network, tmp_path / "nowhere" / "net.onnx")
    assert list(tmp_path.iterdir()) == []
