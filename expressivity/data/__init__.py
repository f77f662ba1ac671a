"""Data that networks learn from: regression tables and labelled images."""

from expressivity.data import pipes as pipes
from expressivity.data import table as table
from expressivity.data.cifar import cifar as cifar
from expressivity.data.fashion import fashion_mnist as fashion_mnist
from expressivity.data.idx import idx_images as idx_images
from expressivity.data.idx import read_idx as read_idx
from expressivity.data.images import ImageFiles as ImageFiles
from expressivity.data.images import ImageSet as ImageSet
from expressivity.data.layouts import from_folder as from_folder
from expressivity.data.layouts import from_list as from_list
from expressivity.data.layouts import ghim as ghim
from expressivity.data.layouts import place20 as place20
from expressivity.data.layouts import places365 as places365
from expressivity.data.pipes import Pipe as Pipe
from expressivity.data.svhn_stl10 import stl10 as stl10
from expressivity.data.svhn_stl10 import svhn as svhn
from expressivity.data.table import Table as Table
from expressivity.data.table import diabetes as diabetes
