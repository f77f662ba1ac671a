"""Data that networks learn from: regression tables."""

from expressivity.data import table as table
from expressivity.data.table import Table as Table
from expressivity.data.table import diabetes as diabetes
