"""The updater of the 1.x dialect."""

from ...optimizer import updater


class Updater(updater.Updater):
    __doc__ = updater.Updater.__doc__

    @property
    def aggregate_updates(self):
        return self.optimizer.aggregate_num > 0
