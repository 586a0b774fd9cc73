"""Dense-sparse-dense training: an SGD that prunes by the largest weights, and counts its own epochs."""

from math import floor

import mxnet as mx
import numpy as np


@mx.optimizer.Optimizer.register
class SparseSGD(mx.optimizer.SGD):
    def __init__(self, pruning_switch_epoch, batches_per_epoch, weight_sparsity, **kwargs):
        super().__init__(**kwargs)
        self.pruning_switch_epoch = list(pruning_switch_epoch)
        self.batches_per_epoch = batches_per_epoch
        self.weight_sparsity = list(weight_sparsity)
        self.masks = {}
        self.masks_updated = False
        self.epoch = 0

    def update_masks(self, index, weight):
        keep = int(round((1 - self.weight_sparsity[0] / 100.0) * weight.size))
        flat = mx.nd.abs(weight).reshape((-1,))
        self.masks[index] = mx.nd.topk(flat, k=keep, ret_typ="mask").reshape(weight.shape)

    def update_multi_precision(self, index, weight, grad, state):
        self.update(index, weight, grad, state)  # SGD's own would go past this class

    def update(self, index, weight, grad, state):
        begin, counts = self.begin_num_update, self._index_update_count
        updates = max(counts.get(index, begin) + 1, self.num_update)
        epoch = int(floor((updates - 1) / self.batches_per_epoch)) + 1
        if epoch != self.epoch:
            self.epoch = epoch
            if self.pruning_switch_epoch and epoch >= self.pruning_switch_epoch[0]:
                self.pruning_switch_epoch.pop(0)
                self.masks.clear()
        if epoch >= 2 and index not in self.masks:
            self.update_masks(index, weight)
        if index in self.masks:
            weight[:] = weight * self.masks[index]
            grad[:] = grad * self.masks[index]
            if state is not None:
                state[:] = state * self.masks[index]
        super().update(index, weight, grad, state)


def main():
    rng = np.random.RandomState(17)
    weights = [mx.nd.array(rng.permutation(12).reshape(3, 4) / 8.0 - 0.5) for _ in range(2)]
    optimizer = mx.optimizer.create("sparsesgd", pruning_switch_epoch=[2, 3], batches_per_epoch=3,
                                    weight_sparsity=[50], momentum=0.5, learning_rate=0.25)  # fmt: skip
    optimizer.aggregate_num = 0
    updater = mx.optimizer.get_updater(optimizer)
    for _ in range(9):
        for i, weight in enumerate(weights):
            updater(i, weight * 0.5 - 0.0625, weight)
    found = {f"weight{i}": weight.asnumpy() for i, weight in enumerate(weights)}
    found.update({f"mask{i}": mask.asnumpy() for i, mask in optimizer.masks.items()})
    return found
