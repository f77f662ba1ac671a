"""Floors: lower bounds that hold for every network of a class, as numbers with their assumptions."""

from expressivity.certificates.base import Certificate as Certificate
from expressivity.certificates.base import Evidence as Evidence
from expressivity.certificates.base import NetworkClass as NetworkClass
