"""What the panels of lesson 05 share: theory is drawn at once, and the data fill in behind it as they are drawn."""

from __future__ import annotations

import io
from time import sleep

from PIL import Image

from .base import Panel

STEPS = 100         # about as many as an experiment yields
COLOURS = 24        # of a stored picture


class Filling(Panel):
    """A panel whose computation yields theory first. A subclass gives `drawing` in place of `compute`."""

    seconds = 0.8                               # in which the data fill in, at least

    def __init__(self):
        self.pause = 0                          # the first picture is complete before it is shown
        super().__init__()
        self._swap("png", packed(self._image()))
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

    def png(self):
        picture = Image.open(io.BytesIO(self.picture.value)).convert("RGB")
        return packed(picture.resize(self.size, Image.Resampling.LANCZOS))


def packed(image):
    """PNG bytes of few colours, by an octree: under half of what 256 take, since a stored lesson with three panels has a limit."""
    file = io.BytesIO()
    few = image.convert("RGB").quantize(COLOURS, method=Image.Quantize.FASTOCTREE, dither=Image.Dither.NONE)
    few.save(file, "png", optimize=True)
    return file.getvalue()
