"""Ceilings: networks that theorems construct, one module a paper."""

from expressivity.constructions import daniely2017 as daniely2017
from expressivity.constructions import eldan_shamir2016 as eldan_shamir2016
from expressivity.constructions import hanin_sellke2017 as hanin_sellke2017
from expressivity.constructions import kim2024 as kim2024
from expressivity.constructions import lu2017 as lu2017
from expressivity.constructions.base import Construction as Construction
