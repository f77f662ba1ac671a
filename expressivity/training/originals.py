"""The recipes of the original image runs, by name."""

import dataclasses
import functools
from typing import Any

from expressivity.training.recipes import Recipe
from expressivity.training.schedules import Schedule

CIFAR_IMAGES, IMAGENET_IMAGES = 50_000, 1_281_167
SOLVERS = {
    "fixed_0.01": ("constant", 0.01),
    "fixed_0.001": ("constant", 0.001),
    "exp": (Schedule("exp", gamma=0.9999), 0.01),
    "inv": (Schedule("inv", gamma=0.001, power=0.75), 0.01),
    "multistep": (Schedule("multistep", gamma=0.5, at=(10_000, 30_000, 60_000)), 0.01),
    "poly": (Schedule("poly", power=2.0), 0.01),
}


@dataclasses.dataclass(frozen=True, eq=False)
class Original:
    """A recipe, where it was published (a BibTeX key), and what the source does not say or a `Recipe` cannot."""

    recipe: Recipe
    source: str
    note: str = ""


def original_recipe(name: str, steps: int | None = None) -> Recipe:
    r"""The recipe of an original run.

    ============================ ====================================================================================
    name                         what
    ============================ ====================================================================================
    allconv6                     100,000 steps of 64 images; rate 0.01, a tenth of it after every 10,000 steps;
                                 momentum 0.9 with the rate inside the velocity; L2 0.005; biases of convolutions move
                                 twice as fast and do not decay
    allconv6_step_369            the same with drops after every 30,000 steps
    allconv6_fixed_0.01, ...     the same with other policies: fixed_0.01, fixed_0.001, exp, inv, multistep, poly
    allconv6_momentum_0, ...     the same with momentum 0, 0.8, 0.95 or 0.99
    allconv6_nesterov, ...       the same with nesterov, adadelta, adagrad, adam_1e-05, adam_0.0001, adam_0.001,
                                 adam_0.01, rmsprop_0.9, rmsprop_0.99, the rate fixed for all but nesterov
    wide_resnet                  200 epochs of CIFAR by 128; Nesterov 0.9; rate 0.1, times 0.2 after 60, 120, 160
                                 epochs; L2 0.0005 on everything
    densenet                     300 epochs of CIFAR by 64; Nesterov 0.9; rate 0.1, a tenth of it after 150 and 225
                                 epochs; L2 0.0001
    mobilenet                    100 epochs of ImageNet by 32; RMSProp with momentum; rate 0.045, times 0.94 every
                                 two epochs; L2 0.00004, none on depthwise kernels
    ============================ ====================================================================================

    An epoch has as many steps as full batches fit into the training set. What a source leaves open, and what a `Recipe`
    cannot say, is in `training.originals.originals()[name].note`.

    Args:
        name: See the table.
        steps: The length of the run; the policy is stretched in proportion. That of the original if not given.

    Raises:
        ValueError: If the name is unknown.

    >>> recipe = original_recipe("allconv6")
    >>> recipe.steps, recipe.batch_size, recipe.learning_rate, str(recipe.schedule)
    (100000, 64, 0.01, 'step(gamma=0.1, every=10000)')
    >>> str(original_recipe("wide_resnet", 2000).schedule)
    'multistep(gamma=0.2, at=(600.0, 1200.0, 1600.0))'

    Sources: `longpeng2019`, `zagoruyko_komodakis2016`, `huang2017`, `howard2017`.
    """
    known = originals()
    if name not in known:
        raise ValueError(f"The original runs are {', '.join(known)}; got {name!r}.")
    recipe = known[name].recipe
    if steps is None:
        return recipe
    schedule = recipe.schedule
    if isinstance(schedule, Schedule):
        schedule = schedule.stretched(steps / recipe.steps)
    return dataclasses.replace(recipe, steps=steps, schedule=schedule)


@functools.cache
def originals() -> dict[str, Original]:
    """All of them, with their sources and what these leave open.

    >>> print(originals()["mobilenet"].source)
    howard2017
    """
    found = _allconv6()
    epoch = CIFAR_IMAGES // 128
    found["wide_resnet"] = Original(
        Recipe(
            200 * epoch,
            128,
            0.1,
            "nesterov",
            Schedule("multistep", gamma=0.2, at=(60 * epoch, 120 * epoch, 160 * epoch)),
            weight_decay=5e-4,
            decay="all",
        ),
        "zagoruyko_komodakis2016",
        "The last batch of an epoch, which is not full, is left out here: 390 steps an epoch.",
    )
    epoch = CIFAR_IMAGES // 64
    found["densenet"] = Original(
        Recipe(
            300 * epoch,
            64,
            0.1,
            "nesterov",
            Schedule("multistep", gamma=0.1, at=(150 * epoch, 225 * epoch)),
            weight_decay=1e-4,
            decay="all",
        ),
        "huang2017",
        "That the decay acts on scales, shifts and biases too is the custom of its framework; the paper does not say. "
        "The last batch of an epoch, which is not full, is left out here.",
    )
    epoch = IMAGENET_IMAGES // 32
    found["mobilenet"] = Original(
        Recipe(
            100 * epoch,
            32,
            0.045,
            "rmsprop_momentum",
            Schedule("step", gamma=0.94, every=2 * epoch),
            weight_decay=4e-5,
            decay="no_depthwise",
        ),
        "howard2017",
        "The paper says RMSprop, asynchronous, as for Inception v3, and little or no decay on depthwise kernels. It "
        "gives no learning rate, policy, batch size, number of steps, momentum or decay: rate, policy, batch size and "
        "length are those of the Inception v3 paper, which had 50 replicas with a batch of 32 each, the decay is that "
        "of TF-slim, momentum 0.9 is a choice. Training here is synchronous.",
    )
    return found


def _allconv6() -> dict[str, Original]:
    import optax

    source = "longpeng2019"
    base = Recipe(
        100_000, 64, 0.01, "caffe", Schedule("step", gamma=0.1, every=10_000), weight_decay=0.005, decay="caffe"
    )
    found = {
        "allconv6": Original(base, source, "Batches of 16 on each of four GPUs, whose gradients are averaged: 64."),
        "allconv6_step_369": Original(
            dataclasses.replace(base, schedule=Schedule("step", gamma=0.1, every=30_000)), source
        ),
    }
    for name, (schedule, rate) in SOLVERS.items():
        found[f"allconv6_{name}"] = Original(
            dataclasses.replace(base, schedule=schedule, learning_rate=rate),
            source,
            "Taken to run for as long as the base.",
        )
    outside = "The rate multiplies the velocity, which differs from Caffe for some steps after every drop of the rate."

    def other(name: str, optimiser: Any, note: str, **changes: Any) -> None:
        text = None if isinstance(optimiser, str) else name
        recipe = dataclasses.replace(base, optimiser=optimiser, name=text, **changes)
        found[f"allconv6_{name}"] = Original(recipe, source, note)

    other("momentum_0", "sgd", "")
    for momentum in (0.8, 0.95, 0.99):
        other(f"momentum_{momentum:g}", optax.sgd(1.0, momentum=momentum), outside)
    other("nesterov", "caffe_nesterov", "")
    fixed: dict[str, Any] = {"schedule": "constant"}
    open_ = "The policy is taken to be fixed. "
    other("adadelta", "adadelta", open_ + "Memory 0.9, as optax has it.", learning_rate=1.0, **fixed)
    zero = optax.adagrad(1.0, initial_accumulator_value=0.0, eps=1e-16)
    other(
        "adagrad", zero, open_ + "The rate is taken to be that of the base; sums start at 0, as Caffe has it.", **fixed
    )
    for rate in (1e-5, 1e-4, 1e-3, 1e-2):
        other(f"adam_{rate:g}", "adam", open_ + "Momenta 0.9 and 0.999.", learning_rate=rate, **fixed)
    for memory in (0.9, 0.99):
        rms = optax.rmsprop(1.0, decay=memory, eps=1e-8)
        other(f"rmsprop_{memory:g}", rms, open_ + "The rate is taken to be that of the base.", **fixed)
    return found
