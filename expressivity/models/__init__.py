"""Families of trainable networks, one module a family."""

from expressivity.models.family import Family as Family
from expressivity.models.family import as_width as as_width
from expressivity.models.mlp import MLP as MLP
