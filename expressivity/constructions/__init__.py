"""Ceilings: networks that theorems construct, one module a paper."""

from expressivity.constructions import arora2018 as arora2018
from expressivity.constructions import daniely2017 as daniely2017
from expressivity.constructions import eldan_shamir2016 as eldan_shamir2016
from expressivity.constructions import hanin_sellke2017 as hanin_sellke2017
from expressivity.constructions import kidger_lyons2020 as kidger_lyons2020
from expressivity.constructions import kim2024 as kim2024
from expressivity.constructions import lu2017 as lu2017
from expressivity.constructions import montufar2014 as montufar2014
from expressivity.constructions import park2021 as park2021
from expressivity.constructions import safran_eldan_shamir2019 as safran_eldan_shamir2019
from expressivity.constructions import safran_shamir2017 as safran_shamir2017
from expressivity.constructions import telgarsky2016 as telgarsky2016
from expressivity.constructions import vardi2022 as vardi2022
from expressivity.constructions import venturi2022 as venturi2022
from expressivity.constructions import yarotsky2017 as yarotsky2017
from expressivity.constructions.base import Construction as Construction
