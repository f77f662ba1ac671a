"""The families beside other people's code, from the same random weights; needs the extra `parity`."""

import jax
import numpy as np
import pytest

import expressivity as ex

pytestmark = pytest.mark.parity

NARROW = ex.Width(0.25, rounding="floor")
PEERS = [
    ("torchvision", "resnet18", ex.ImageNetResNet(18), ex.Width(), 64),
    ("torchvision", "resnet50", ex.ImageNetResNet(50), ex.Width(), 64),
    ("torchvision", "wide_resnet50_2", ex.ImageNetResNet(50), ex.Width(2), 33),
    ("torchvision", "densenet121", ex.DenseNet(121, 32, 1000), ex.Width(), 64),
    ("torchvision", "shufflenet_v2_x0_5", ex.ShuffleNet(2), ex.Width(0.5), 64),
    ("torchvision", "shufflenet_v2_x1_0", ex.ShuffleNet(2), ex.Width(), 70),
    ("torchvision", "efficientnet_b0", ex.EfficientNet("b0"), ex.Width(), 64),
    ("timm", "mobilenetv1_100", ex.MobileNet(padding="symmetric", epsilon=1e-5), ex.Width(), 75),
    ("pytorchcv", "mobilenet_wd4", ex.MobileNet(padding="symmetric", epsilon=1e-5, activation="relu"), NARROW, 224),
    ("pytorchcv", "resnet20_cifar10", ex.CifarResNet(20, 10, "B"), ex.Width(), 32),
    ("pytorchcv", "preresnet20_cifar10", ex.WideResNet(20, 10), ex.Width(), 32),
    ("pytorchcv", "preresnet164bn_cifar10", ex.WideResNet(164, 10, block="bottleneck"), ex.Width(), 32),
    ("pytorchcv", "densenet40_k12_bc_cifar10", ex.DenseNet(40, 12, 10), ex.Width(), 32),
    ("pytorchcv", "shufflenet_g3_w1", ex.ShuffleNet(1, groups=3), ex.Width(), 224),
    ("pytorchcv", "shufflenet_g1_wd4", ex.ShuffleNet(1, groups=1), ex.Width(0.25), 224),
]


def make(package, name):
    if package == "torchvision":
        models = pytest.importorskip("torchvision").models
        options = {"init_weights": False} if name in ("googlenet",) else {}
        return getattr(models, name)(weights=None, **options)
    if package == "timm":
        return pytest.importorskip("timm").create_model(name, pretrained=False)
    provider = pytest.importorskip("pytorchcv.model_provider")
    return provider.get_model(name, pretrained=False)


@pytest.mark.parametrize(("package", "name", "family", "width", "size"), PEERS, ids=[f"{p}-{n}" for p, n, *_ in PEERS])
def test_logits_from_copied_weights(package, name, family, width, size):
    torch = pytest.importorskip("torch")
    net = make(package, name).eval()
    rng = np.random.default_rng(0)
    arrays = {}
    for key, tensor in net.state_dict().items():
        if not tensor.ndim:
            continue
        if tensor.ndim > 1:  # He's rule halved, so that sums of many blocks stay near 1
            array = rng.normal(size=tensor.shape) / np.sqrt(np.prod(tensor.shape[1:]))
        elif key.endswith(("running_var", "weight")):
            array = rng.uniform(0.5, 1.5, tensor.shape)
        else:
            array = 0.2 * rng.normal(size=tensor.shape)
        arrays[key] = array.astype(np.float32)
    net.load_state_dict({key: torch.from_numpy(array) for key, array in arrays.items()}, strict=False)
    x = rng.normal(size=(2, size, size, 3)).astype(np.float32)
    model, state, report = ex.models.load(family, arrays, width, layout="OIHW")
    assert not report.unused
    assert ex.parameters(family, width) == sum(parameter.numel() for parameter in net.parameters())
    for dtype, tolerance in ((np.float32, 1e-5), (np.float64, 1e-10)):
        with jax.enable_x64(dtype == np.float64), torch.no_grad():
            arrays_in = jax.tree.map(lambda leaf, dtype=dtype: np.asarray(leaf, dtype), (model, state))
            ours = np.asarray(jax.jit(family.apply)(*arrays_in, x.astype(dtype))[0])
            peer = net.double() if dtype == np.float64 else net
            theirs = peer(torch.from_numpy(x.astype(dtype).transpose(0, 3, 1, 2).copy())).numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance * abs(theirs).max())
