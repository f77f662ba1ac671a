"""How wide must a neural network be? Proved floors, constructed ceilings, and what training finds between them."""

from expressivity import certificates as certificates
from expressivity import constructions as constructions
from expressivity import data as data
from expressivity import models as models
from expressivity import plots as plots
from expressivity import relu as relu
from expressivity import sweeps as sweeps
from expressivity import targets as targets
from expressivity import theorems as theorems
from expressivity import training as training

# floors and ceilings
from expressivity.certificates.base import Certificate as Certificate
from expressivity.certificates.base import Evidence as Evidence
from expressivity.certificates.base import NetworkClass as NetworkClass
from expressivity.constructions.base import Construction as Construction

# measures and targets
from expressivity.measures import Ball as Ball
from expressivity.measures import Box as Box
from expressivity.measures import Gaussian as Gaussian

# trainable families
from expressivity.models.accounting import cost_table as cost_table
from expressivity.models.accounting import macs as macs
from expressivity.models.accounting import parameters as parameters
from expressivity.models.allconv6 import AllConv6 as AllConv6
from expressivity.models.convpool import ConvPoolCNNC as ConvPoolCNNC
from expressivity.models.densenet import DenseNet as DenseNet
from expressivity.models.efficientnet import EfficientNet as EfficientNet
from expressivity.models.mlp import MLP as MLP
from expressivity.models.mobilenet import MobileNet as MobileNet
from expressivity.models.resnet import ImageNetResNet as ImageNetResNet
from expressivity.models.resnet import SlimResNet as SlimResNet
from expressivity.models.shufflenet import ShuffleNet as ShuffleNet
from expressivity.models.stem_net import StemNet as StemNet
from expressivity.models.wide_resnet import CifarResNet as CifarResNet
from expressivity.models.wide_resnet import WideResNet as WideResNet

# errors
from expressivity.norms import Estimate as Estimate
from expressivity.norms import error as error
from expressivity.norms import fvu as fvu
from expressivity.radial_measures import EldanShamir as EldanShamir
from expressivity.radial_measures import SphereProduct as SphereProduct

# networks and their calculus
from expressivity.relu.calculus import add as add
from expressivity.relu.calculus import compose as compose
from expressivity.relu.calculus import identity as identity
from expressivity.relu.calculus import pad_depth as pad_depth
from expressivity.relu.calculus import pad_width as pad_width
from expressivity.relu.calculus import parallel as parallel
from expressivity.relu.calculus import scale as scale
from expressivity.relu.calculus import stack as stack
from expressivity.relu.evaluate import evaluate as evaluate
from expressivity.relu.interchange import from_sklearn as from_sklearn
from expressivity.relu.interchange import from_torch as from_torch
from expressivity.relu.interchange import to_onnx as to_onnx
from expressivity.relu.network import ReLUNetwork as ReLUNetwork

# sweeps over widths
from expressivity.sweeps.result import SweepResult as SweepResult
from expressivity.sweeps.run import run as run
from expressivity.sweeps.sweep import Sweep as Sweep
from expressivity.target import Target as Target

# training
from expressivity.training.recipes import Recipe as Recipe

# width
from expressivity.width import Width as Width

__version__ = "0.1.0"
