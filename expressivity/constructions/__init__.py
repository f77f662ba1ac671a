"""Ceilings: networks that theorems construct, one module a paper."""

from expressivity.constructions.base import Construction as Construction
