import importlib.util
import io
import pathlib
import pickle
import struct
import sys
import types
import zipfile

import jax
import numpy as np
import pytest

import expressivity as ex
from expressivity.models import pretrained, protobuf, torch_files

RNG = np.random.default_rng(0)
A = RNG.normal(size=(3, 2, 2, 3)).astype(np.float32)
B = RNG.normal(size=(5,))


# writers of the formats, from their public descriptions


def varint(value):
    value %= 1 << 64
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def part(number, value):
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    return varint(number << 3 | 2) + varint(len(value)) + value


def graph_tensor(array, code, packed):
    dims = b"".join(part(2, part(1, size)) for size in array.shape)
    values = {"raw": part(4, array.tobytes()), "list": part(5 if code == 1 else 6, array.tobytes())}
    if packed == "repeated":
        values[packed] = part(5, array.ravel()[:1].tobytes())
    return part(1, code) + part(2, dims) + values[packed]


def graph_node(name, tensor, op=b"Const"):
    entry = part(1, b"value") + part(2, part(8, tensor))
    return part(1, part(1, name.encode()) + part(2, op) + part(5, entry))


@pytest.mark.parametrize("packed", ["raw", "list"])
def test_constants_of_a_graph(tmp_path, packed):
    nodes = graph_node("a", graph_tensor(A, 1, packed)) + graph_node("b", graph_tensor(B, 2, packed))
    (tmp_path / "net.pb").write_bytes(nodes + graph_node("c", b"", op=b"Conv2D"))
    found = ex.models.read(tmp_path / "net.pb")
    assert list(found) == ["a", "b"]
    np.testing.assert_array_equal(found["a"], A)
    np.testing.assert_array_equal(found["b"], B)


def test_one_value_stands_for_all(tmp_path):
    array = np.full((2, 3), 0.5, np.float32)
    (tmp_path / "net.pb").write_bytes(graph_node("a", graph_tensor(array, 1, "repeated")))
    np.testing.assert_array_equal(ex.models.read(tmp_path / "net.pb")["a"], array)


@pytest.mark.parametrize("raw", [True, False])
def test_initialisers_of_onnx(tmp_path, raw):
    whole = np.array([-1, 2**40])
    tensors = b""
    for name, array, code, field in (("a", A, 1, 4), ("b", B, 11, 10), ("n", whole, 7, 7)):
        dims = b"".join(part(1, size) for size in array.shape)
        if raw:
            values = part(9, array.tobytes())
        else:
            values = part(field, b"".join(map(varint, map(int, array))) if code == 7 else array.tobytes())
        tensors += part(5, dims + part(2, code) + values + part(8, name.encode()))
    (tmp_path / "net.onnx").write_bytes(part(1, 8) + part(7, tensors))
    found = ex.models.read(tmp_path / "net.onnx")
    for name, array in (("a", A), ("b", B), ("n", whole)):
        np.testing.assert_array_equal(found[name], array)
        assert found[name].dtype == array.dtype


def test_half_precision_kinds():
    values = np.array([1.5, -0.25, 3.0], np.float32)
    np.testing.assert_array_equal(protobuf.from_bytes(values.astype("<f2").tobytes(), "<f2"), values)
    upper = (values.view(np.uint32) >> 16).astype("<u2").tobytes()
    np.testing.assert_array_equal(protobuf.from_bytes(upper, "bf16"), values)


class Storage:
    def __init__(self, kind, key, array):
        self.kind, self.key, self.array = kind, key, array


def fake_torch(monkeypatch):
    torch, utils = types.ModuleType("torch"), types.ModuleType("torch._utils")
    for name in ("FloatStorage", "DoubleStorage"):
        kind = type(name, (), {"__module__": "torch"})
        setattr(torch, name, kind)

    def _rebuild_tensor_v2(*arguments):
        return arguments

    _rebuild_tensor_v2.__module__, _rebuild_tensor_v2.__qualname__ = "torch._utils", "_rebuild_tensor_v2"
    utils._rebuild_tensor_v2 = _rebuild_tensor_v2
    monkeypatch.setitem(sys.modules, "torch", torch)
    monkeypatch.setitem(sys.modules, "torch._utils", utils)
    return torch, utils


class Tensor:
    def __init__(self, utils, storage, offset, shape, strides):
        self.call = (utils._rebuild_tensor_v2, (storage, offset, shape, strides, False, {}))

    def __reduce__(self):
        return self.call


def torch_pickle(root, legacy):
    class Pickler(pickle.Pickler):
        def persistent_id(self, value):
            if isinstance(value, Storage):
                parts = ("storage", value.kind, value.key, "cpu", value.array.size)
                return (*parts, None) if legacy else parts
            return None

    file = io.BytesIO()
    Pickler(file, protocol=2).dump(root)
    return file.getvalue()


@pytest.mark.parametrize("legacy", [False, True])
def test_files_of_torch(tmp_path, monkeypatch, legacy):
    torch, utils = fake_torch(monkeypatch)
    first, second = Storage(torch.FloatStorage, "0", A.ravel()), Storage(torch.DoubleStorage, "1", B)
    root = {
        "epoch": 3,
        "state_dict": {
            "conv.weight": Tensor(utils, first, 0, A.shape, (12, 6, 3, 1)),
            "turned": Tensor(utils, first, 1, (2, 3), (1, 2)),
            "bias": Tensor(utils, second, 0, (5,), (1,)),
        },
    }
    path = tmp_path / "net.pth"
    if legacy:
        head = [pickle.dumps(value, protocol=2) for value in (torch_files.MAGIC, 1001, {"little_endian": True})]
        tail = [pickle.dumps(["0", "1"], protocol=2)]
        memory = [struct.pack("<q", s.array.size) + s.array.tobytes() for s in (first, second)]
        path.write_bytes(b"".join([*head, torch_pickle(root, legacy), *tail, *memory]))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("net/data.pkl", torch_pickle(root, legacy))
            for storage in (first, second):
                archive.writestr(f"net/data/{storage.key}", storage.array.tobytes())
    monkeypatch.undo()
    found = ex.models.read(path)
    assert list(found) == ["state_dict.conv.weight", "state_dict.turned", "state_dict.bias"]
    np.testing.assert_array_equal(found["state_dict.conv.weight"], A)
    np.testing.assert_array_equal(found["state_dict.turned"], A.ravel()[1:7].reshape(3, 2).T)
    np.testing.assert_array_equal(found["state_dict.bias"], B)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"net.pth is not a file of torch.save, or is damaged"):
        ex.models.read(path)


def test_a_pickle_is_never_run(tmp_path):
    class Harm:
        def __reduce__(self):
            return (pathlib.Path.touch, (tmp_path / "harm",))

    built = torch_files.parse_pickle(io.BytesIO(pickle.dumps({"weight": Harm()})))
    assert isinstance(built["weight"], torch_files.Unknown)
    assert not (tmp_path / "harm").exists()
    pickle.loads(pickle.dumps(Harm()))  # what a program that runs pickles does
    assert (tmp_path / "harm").exists()


def test_a_tensor_beyond_its_storage_is_refused(tmp_path, monkeypatch):
    torch, utils = fake_torch(monkeypatch)
    storage = Storage(torch.FloatStorage, "0", np.zeros(6, np.float32))
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        archive.writestr("net/data.pkl", torch_pickle({"w": Tensor(utils, storage, 0, (2, 4), (4, 1))}, False))
        archive.writestr("net/data/0", storage.array.tobytes())
    with pytest.raises(ValueError, match="the tensor w needs 8 numbers, its storage has 6"):
        ex.models.read(tmp_path / "net.pt")


@pytest.mark.parametrize("ending", [".npz", ".pb", ".onnx", ".tflite", ".pt"])
def test_files_of_another_kind_are_refused(tmp_path, ending):
    path = tmp_path / f"net{ending}"
    for content in (b"", b"not weights at all, but a line of text\n", bytes(range(256))):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=f"net{ending}"):
            ex.models.read(path)


def test_missing_files_and_endings(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"There is no file .*nothing.npz"):
        ex.models.read(tmp_path / "nothing.npz")
    with pytest.raises(ValueError, match=r"files ending in .npz.*got 'net.h5'"):
        ex.models.read(tmp_path / "net.h5")


def test_python_objects_in_npz_are_refused(tmp_path):
    np.savez(tmp_path / "net.npz", a=np.array([{}], dtype=object))
    with pytest.raises(ValueError, match=r"net.npz is not an npz file of plain arrays"):
        ex.models.read(tmp_path / "net.npz")


def randomised(family, width, size):
    model, state = family.init(jax.random.key(1), width, size)
    arrays = [RNG.uniform(0.5, 1.5, array.shape) * (1 if array.ndim == 1 else 0.1) for _, array in
              ex.models.tensors(model, state)]  # fmt: skip
    return ex.models.with_tensors(model, state, [np.float32(array) for array in arrays])


@pytest.mark.parametrize("layout", ["HWIO", "OIHW"])
def test_loading_in_order_gives_the_same_model(layout):
    family, width = ex.MobileNet(classes=7), ex.Width(0.25)
    model, state = randomised(family, width, 32)
    arrays = {}
    for name, array in ex.models.tensors(model, state):
        array = np.asarray(array)
        if layout == "OIHW":
            array = array.transpose(3, 2, 0, 1) if array.ndim == 4 else array.T
        arrays[f"theirs.{name}"] = array
    arrays["num_batches_tracked"] = np.array(3)
    loaded, moments, report = ex.models.load(family, arrays, width, 32, layout=layout)
    assert report.complete
    assert not report.unused
    assert all(theirs == f"theirs.{ours}" for ours, theirs in report.matched)
    for (_, new), (_, old) in zip(ex.models.tensors(loaded, moments), ex.models.tensors(model, state), strict=True):
        np.testing.assert_array_equal(new, old)


def test_what_does_not_fit_is_reported():
    family = ex.AllConv6(1, classes=3)
    model, state = family.init(jax.random.key(0), ex.Width(), 32)
    arrays = {name: np.asarray(array) for name, array in ex.models.tensors(model, state)}
    arrays["fc/bias"], arrays["extra"] = np.zeros(4), np.zeros(2)
    del arrays["conv2/bias"]
    with pytest.raises(ValueError, match="10 tensors loaded, 1 missing, 1 of another shape, 1 of the file unused"):
        ex.models.load(family, arrays, ex.Width(), 32, names=lambda name: name)
    loaded, _, report = ex.models.load(family, arrays, ex.Width(), 32, names={n: n for n in arrays}, strict=False)
    assert (report.missing, report.unused) == (("conv2/bias",), ("extra",))
    assert report.misshapen == (("fc/bias", (3,), "fc/bias", (4,)),)
    np.testing.assert_array_equal(loaded["conv3"].kernel, model["conv3"].kernel)
    with pytest.raises(ValueError, match="got 'CHWN'"):
        ex.models.load(family, arrays, ex.Width(), 32, layout="CHWN")


@pytest.mark.parametrize(
    ("family", "width"),
    [(ex.MobileNet(classes=7, shallow=True), ex.Width(0.25)), (ex.AllConv6(1, classes=7, batch_norm=True), ex.Width())],
    ids=["without bias", "with bias"],
)
def test_folded_weights_compute_the_same(family, width):
    model, state = randomised(family, width, 32)
    layers = ex.models.folded(family, model, state, 32)
    arrays = {}
    for name, (kernel, bias) in layers.items():
        arrays[f"{name}.w"], arrays[f"{name}.b"] = kernel, bias
    again, moments, report = ex.models.load_folded(family, arrays, width, 32)
    assert report.complete
    x = np.float32(RNG.uniform(size=(2, 32, 32, 3)))
    apply = jax.jit(family.apply)
    one, two = apply(model, state, x)[0], apply(again, moments, x)[0]
    np.testing.assert_allclose(one, two, rtol=0, atol=3e-5 * float(abs(one).max()))  # rounding of 18 layers


def test_a_norm_before_its_convolution_cannot_be_unfolded():
    family = ex.WideResNet(10, 10)
    specs = [spec for spec in family.layers() if spec.kind != "batch_norm"]
    arrays = {f"{s.name}.w": np.zeros(s.shapes["kernel"]) for s in specs}
    arrays |= {f"{s.name}.b": np.zeros(s.shapes["kernel"][-1]) for s in specs}
    # the stem is read by the first norm and by the sum after it
    with pytest.raises(ValueError, match="group1_1_bn1 does not follow a convolution alone"):
        ex.models.load_folded(family, arrays, ex.Width())


def test_dead_filters_of_the_trained_first_layers(data_folder):
    layers = ex.models.read(data_folder / "pretrained" / "first_layers.npz")
    net = {
        part: layers[f"mobilenet_v1_1.0__{part}"] for part in ("w", "gamma", "beta", "moving_mean", "moving_variance")
    }
    kernel, _ = ex.models.fold_batch_norm(
        net["w"], None, net["gamma"], net["beta"], net["moving_mean"], net["moving_variance"], 1e-3
    )
    assert len(ex.models.dead_filters(kernel)) == 9
    assert len(ex.models.dead_filters(layers["alexnet__w"])) == 0
    assert len(ex.models.dead_filters(layers["vgg16__w"])) == 0


@pytest.fixture(scope="module")
def photographs():
    """Twenty labelled photographs that the package foolbox ships, as (paths, labels)."""
    spec = importlib.util.find_spec("foolbox")
    if spec is None or spec.origin is None:
        pytest.skip("the photographs are not here: install foolbox")
    paths = sorted((pathlib.Path(spec.origin).parent / "data").glob("imagenet_*.jpg"))
    return paths, np.array([int(path.stem.split("_")[2]) for path in paths])


def counts(family, model, state, photographs, size):
    from PIL import Image

    paths, labels = photographs
    images = [
        np.asarray(Image.open(path).convert("RGB").resize((size, size), Image.Resampling.BILINEAR)) for path in paths
    ]
    x = np.float32(np.stack(images)) / 127.5 - 1
    order = np.argsort(-np.asarray(jax.jit(family.apply)(model, state, x)[0]), axis=1)
    hits = order == labels[:, None] + 1
    return int(hits[:, 0].sum()), int(hits[:, :5].sum())


@pytest.mark.parametrize(
    ("alpha", "size", "expected"), [(0.25, 128, (8, 15)), (0.5, 160, (13, 19)), (0.75, 192, (16, 20))]
)
def test_trained_mobilenets_on_photographs(data_folder, photographs, alpha, size, expected):
    arrays = ex.models.read(data_folder / "pretrained" / f"mobilenet_v1_{alpha}_{size}_quant.tflite")
    family = ex.MobileNet(classes=1001)
    model, state, report = ex.models.load_folded(family, arrays, ex.Width(alpha), size)
    assert len(report.matched) == 137
    assert counts(family, model, state, photographs, size) == expected


def test_a_damaged_tflite_file(data_folder, tmp_path):
    whole = (data_folder / "pretrained" / "mobilenet_v1_0.25_128_quant.tflite").read_bytes()
    for length in (7, 8, 100, len(whole) // 2):
        (tmp_path / "net.tflite").write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"net.tflite (is damaged|is no TFLite model)"):
            ex.models.read(tmp_path / "net.tflite")


def test_the_frozen_graph_of_mobilenet(photographs):
    spec = importlib.util.find_spec("nudity")
    if spec is None or spec.origin is None:
        pytest.skip("the frozen graph is not here: install nudity 0.2.3 without its dependencies")
    arrays = ex.models.read(pathlib.Path(spec.origin).parent / "files" / "retrained_graph.pb")
    family = ex.MobileNet(classes=1001)
    model, state, report = ex.models.load(family, arrays, ex.Width(), names=pretrained.mobilenet_slim_names)
    assert len(report.matched) == 137
    assert counts(family, model, state, photographs, 224) == (17, 20)
