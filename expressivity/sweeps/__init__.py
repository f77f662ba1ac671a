"""Sweeps over widths: cells, the folder that keeps them, and the table they give."""

from expressivity.sweeps.fits import Fit as Fit
from expressivity.sweeps.hosts import Host as Host
from expressivity.sweeps.hosts import here as here
from expressivity.sweeps.hosts import join as join
from expressivity.sweeps.images import binomial_interval as binomial_interval
from expressivity.sweeps.inspection import inspect as inspect
from expressivity.sweeps.inspection import merge_folders as merge_folders
from expressivity.sweeps.inspection import repair as repair
from expressivity.sweeps.party import FolderInUse as FolderInUse
from expressivity.sweeps.result import SweepResult as SweepResult
from expressivity.sweeps.result import merge as merge
from expressivity.sweeps.run import CellsFailed as CellsFailed
from expressivity.sweeps.run import collect as collect
from expressivity.sweeps.run import collect_all as collect_all
from expressivity.sweeps.run import run as run
from expressivity.sweeps.run import write_tables as write_tables
from expressivity.sweeps.store import Record as Record
from expressivity.sweeps.store import Store as Store
from expressivity.sweeps.store import publish as publish
from expressivity.sweeps.sweep import Cell as Cell
from expressivity.sweeps.sweep import Sweep as Sweep
