"""Floors: lower bounds that hold for every network of a class, as numbers with their assumptions."""

from expressivity.certificates.base import Certificate as Certificate
from expressivity.certificates.base import Evidence as Evidence
from expressivity.certificates.base import NetworkClass as NetworkClass

# sup norm, width at most n
from expressivity.certificates.bottlenecks import bottleneck as bottleneck

# first layer narrower than n
from expressivity.certificates.constant_directions import first_layer as first_layer
from expressivity.certificates.constant_directions import kernel as kernel
from expressivity.certificates.constant_directions import subspace_distance as subspace_distance

# pieces, regions, parameters
from expressivity.certificates.counting import effective_parameters as effective_parameters
from expressivity.certificates.counting import pieces_bound as pieces_bound
from expressivity.certificates.counting import width_efficiency as width_efficiency
from expressivity.certificates.escape import Path as Path
from expressivity.certificates.escape import best_path as best_path
from expressivity.certificates.escape import escape_path as escape_path
from expressivity.certificates.escape import path as path

# the best of all
from expressivity.certificates.floors import floor as floor
from expressivity.certificates.jacobian_rank import dimension as dimension
from expressivity.certificates.line_pieces import pieces_floor as pieces_floor
from expressivity.certificates.moments import moment as moment

# width 1
from expressivity.certificates.monotone_ridges import isotonic as isotonic
from expressivity.certificates.rank import rank as rank
from expressivity.certificates.rank import rank_limit as rank_limit
from expressivity.certificates.rational_path import RationalPath as RationalPath
from expressivity.certificates.rational_path import rational_escape_path as rational_escape_path
from expressivity.certificates.rational_path import rational_path as rational_path
from expressivity.certificates.regions import montufar_lower as montufar_lower
from expressivity.certificates.regions import montufar_upper as montufar_upper
from expressivity.certificates.regions import serra as serra
from expressivity.certificates.regions import zaslavsky as zaslavsky
from expressivity.certificates.regions import zonotope_regions as zonotope_regions
from expressivity.certificates.rotations import rotation as rotation
from expressivity.certificates.tube import tube as tube
from expressivity.certificates.tube import tube_limit as tube_limit
