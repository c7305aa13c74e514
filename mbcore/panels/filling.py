"""What the panels of lesson 05 share: theory is drawn at once, and the data fill in behind it as they are drawn."""

from __future__ import annotations

from time import sleep

from .turning import Turning

STEPS = 100         # about as many as an experiment yields


class Filling(Turning):
    """A panel whose computation yields theory first. A subclass gives `drawing` in place of `compute`."""

    seconds = 0.4                               # in which the data fill in, at least

    def __init__(self):
        self.pause = 0                          # the first picture is complete before it is shown
        super().__init__()
        self.pause = self.seconds / STEPS

    def drawing(self, **values):
        """Yield (fraction done, result so far), theory alone at first."""
        raise NotImplementedError

    def compute(self, **values):
        for step in self.drawing(**values):
            yield step
            sleep(self.pause)                   # so that one can watch

    def _recompute(self, patience=0):           # no patience: what is there after one step is shown, and a worker takes over
        super()._recompute(patience)
