"""``mx.gluon.data``: datasets of arrays, the order of their examples, and batches of them."""

from ... import namespace
from . import batchify
from .dataloader import DataLoader
from .dataset import ArrayDataset, Dataset, SimpleDataset
from .sampler import BatchSampler, FilterSampler, IntervalSampler, RandomSampler, Sampler, SequentialSampler

__all__ = [
    "ArrayDataset", "BatchSampler", "DataLoader", "Dataset", "FilterSampler", "IntervalSampler",
    "RandomSampler", "Sampler", "SequentialSampler", "SimpleDataset", "batchify",
]  # fmt: skip

namespace.complete(__name__)
__getattr__ = namespace.missing_from(__name__, namespace.REST)
