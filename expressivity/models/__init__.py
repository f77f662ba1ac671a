"""Families of trainable networks, one module a family; what they cost, and weights that others trained."""

# cost and tensors
from expressivity.models.accounting import activations as activations
from expressivity.models.accounting import batch_norm_parameters as batch_norm_parameters
from expressivity.models.accounting import cost_table as cost_table
from expressivity.models.accounting import macs as macs
from expressivity.models.accounting import parameters as parameters
from expressivity.models.accounting import tensors as tensors
from expressivity.models.accounting import with_tensors as with_tensors

# families
from expressivity.models.allconv6 import AllConv6 as AllConv6
from expressivity.models.convnet import ConvNet as ConvNet
from expressivity.models.convpool import ConvPoolCNNC as ConvPoolCNNC
from expressivity.models.densenet import DenseNet as DenseNet
from expressivity.models.efficientnet import EfficientNet as EfficientNet
from expressivity.models.efficientnet import compound as compound
from expressivity.models.family import Family as Family
from expressivity.models.family import as_width as as_width
from expressivity.models.filters import PairingTest as PairingTest
from expressivity.models.filters import Redundancy as Redundancy
from expressivity.models.filters import merged as merged
from expressivity.models.filters import pairing_test as pairing_test
from expressivity.models.filters import random_redundancy as random_redundancy
from expressivity.models.filters import redundancy as redundancy
from expressivity.models.gabor import ScoreNull as ScoreNull
from expressivity.models.gabor import bank_score as bank_score
from expressivity.models.gabor import colour_split as colour_split
from expressivity.models.gabor import gabor_bank as gabor_bank
from expressivity.models.gabor import scrambled as scrambled
from expressivity.models.gabor_fit import GaborFit as GaborFit
from expressivity.models.gabor_fit import fit_gabor as fit_gabor
from expressivity.models.mlp import MLP as MLP
from expressivity.models.mobilenet import MobileNet as MobileNet

# weights that others trained
from expressivity.models.pretrained import Report as Report
from expressivity.models.pretrained import dead_filters as dead_filters
from expressivity.models.pretrained import fold_batch_norm as fold_batch_norm
from expressivity.models.pretrained import folded as folded
from expressivity.models.pretrained import load as load
from expressivity.models.pretrained import load_folded as load_folded
from expressivity.models.pretrained import mobilenet_slim_names as mobilenet_slim_names
from expressivity.models.pretrained import read as read
from expressivity.models.resnet import ImageNetResNet as ImageNetResNet
from expressivity.models.resnet import SlimResNet as SlimResNet
from expressivity.models.shufflenet import ShuffleNet as ShuffleNet

# one set of weights at several widths; first layers
from expressivity.models.slimmable import Slimmable as Slimmable
from expressivity.models.slimmable import narrowed as narrowed
from expressivity.models.stem_net import StemNet as StemNet
from expressivity.models.stems import STEMS as STEMS
from expressivity.models.stems import PairingLaw as PairingLaw
from expressivity.models.stems import Stem as Stem
from expressivity.models.stems import pairing as pairing
from expressivity.models.wide_resnet import CifarResNet as CifarResNet
from expressivity.models.wide_resnet import WideResNet as WideResNet
