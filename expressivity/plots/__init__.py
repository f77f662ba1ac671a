"""Pictures of tables and objects with named fields. They train nothing."""

from expressivity.plots.filters import filter_grid as filter_grid
from expressivity.plots.filters import pairing_histogram as pairing_histogram
from expressivity.plots.filters import scores_against_null as scores_against_null
from expressivity.plots.fits import fit as fit
from expressivity.plots.partition import partition as partition
from expressivity.plots.width import error_against_width as error_against_width
