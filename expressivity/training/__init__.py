"""Training of many networks at once."""

from expressivity.training.embed import deepen as deepen
from expressivity.training.embed import perturb as perturb
from expressivity.training.embed import widen as widen
from expressivity.training.image_task import ImageTask as ImageTask
from expressivity.training.images import ImageTrainingResult as ImageTrainingResult
from expressivity.training.images import train_images as train_images
from expressivity.training.loop import TrainingResult as TrainingResult
from expressivity.training.loop import programs as programs
from expressivity.training.loop import train as train
from expressivity.training.parametrisation import MuP as MuP
from expressivity.training.program import enable_compilation_cache as enable_compilation_cache
from expressivity.training.recipes import Recipe as Recipe
from expressivity.training.schedules import Schedule as Schedule
from expressivity.training.task import AbstractTask as AbstractTask
from expressivity.training.task import TableTask as TableTask
from expressivity.training.task import TargetTask as TargetTask
