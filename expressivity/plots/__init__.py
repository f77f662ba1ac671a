"""Pictures of tables and objects with named fields. They train nothing."""

from expressivity.plots.partition import partition as partition
from expressivity.plots.width import error_against_width as error_against_width
