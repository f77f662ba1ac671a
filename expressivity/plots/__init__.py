"""Pictures of tables and objects with named fields. They compute nothing and train nothing."""

from expressivity.plots.width import error_against_width as error_against_width
