"""Lesson 03's first panel: one entry of W0.grad is the mean of B numbers, one from each example."""

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.patches import Rectangle

from ..experiments.conventions import HIDDEN, contributions
from .base import Panel, slider
from .label import label
from .style import COLOURS, axes_style

LARGEST = 32                                    # examples
ENOUGH = 16                                     # examples for the target
SIGNS = LinearSegmentedColormap.from_list("signs", [COLOURS["blue"], "#F7F7F7", COLOURS["orange"]])
SCALES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5)       # what the height of the axis may stand for


class Contributions(Panel):
    """B, hidden unit j, pixel i; at the left W0.grad[j,:] as a picture, at the right the contributions to its pixel i.

    The vertical axis runs from -1 to 1; what 1 stands for is written beside it and changes with the entry.
    """

    title = "One entry of W0.grad, and the B numbers it is the mean of"
    task = (f"With B = {ENOUGH} or more, find an entry for which more than half of the examples lie on one side of zero, "
            "and the mean on the other.")
    size = (900, 440)
    colours = 64        # pale ones too

    def __init__(self, B=8, j=3, i=28):
        self.start = B, j, i
        super().__init__()

    def controls(self):
        B, j, i = self.start
        return {"B": slider("Batch size B", 1, LARGEST, B), "j": slider("Hidden unit j", 0, HIDDEN - 1, j),
                "i": slider("Pixel i", 0, 63, i)}

    def build(self, figure):
        self.picture_axes, self.axes = figure.subplots(1, 2, width_ratios=(1, 1.9))
        return [*self.build_picture(self.picture_axes), *self.build_stems(self.axes)]

    def build_picture(self, axes):
        axes.set(xticks=[], yticks=[], aspect="equal")
        axes.spines[:].set_visible(False)
        axes.set_title("W0.grad[j,:], 8 × 8 pixels")
        axes.set_xlabel("orange: above zero\nblue: below zero\nframe: the pixel i")
        self.image = axes.pcolormesh(np.zeros((8, 8)), cmap=SIGNS)      # an image is resampled at each draw: five times as slow
        axes.invert_yaxis()
        self.frame = axes.add_patch(Rectangle((0, 0), 1, 1, fill=False, edgecolor="black", linewidth=4))
        return [self.image, self.frame]

    def build_stems(self, axes):
        axes_style(axes, "example b", "h~.grad[b,j] · x[b,i]")
        axes.set(xlim=(-1, LARGEST), ylim=(-1.1, 1.5), xticks=range(0, LARGEST, 4), yticks=[-1, 0, 1], yticklabels=["−0.005", "0", ""])
        axes.set_title("one number from each example; dashed: mean")
        axes.tick_params(axis="y", labelcolor="white")          # room for the numbers that change
        axes.axhline(0, color="black", linewidth=1)
        beside = {"transform": axes.get_yaxis_transform(), "ha": "right", "va": "center", "fontsize": 13}
        self.numbers = [label(axes, -0.02, y, **beside) for y in (-1, 0, 1)]
        self.stems = axes.add_collection(LineCollection([], colors=COLOURS["grey"], linewidths=2))
        self.up, = axes.plot([], [], "^", color=COLOURS["orange"], markeredgecolor="black", markersize=9)
        self.down, = axes.plot([], [], "v", color=COLOURS["blue"], markeredgecolor="black", markersize=9)
        self.zero, = axes.plot([], [], "o", color="white", markeredgecolor="black", markersize=6)
        self.mean, = axes.plot([], [], "--", color="black", linewidth=3)
        self.words = label(axes, -0.5, 1.27, va="center", fontsize=15, fontweight="bold")
        return [self.stems, self.up, self.down, self.zero, self.mean, self.words, *self.numbers]

    def compute(self, B, j, i):
        return B, j, i, contributions(B, j, i)

    def update(self, result):
        B, j, i, found = result
        self.show_picture(found.row, i)
        self.show_stems(B, found)
        up, down, zero = found.signs
        self.words.set_text(f"W0.grad[{j},{i}] = mean = {_signed(found.entry)}")
        return (f"B = {B}: W0.grad[{j},{i}] is the mean of {B} number{'s' * (B > 1)}, {up} above zero, {down} below, {zero} exactly zero. "
                f"The mean is {_signed(found.entry)}, the longest {_signed(max(found.each, key=abs))}.")

    def show_picture(self, row, i):
        largest = abs(row).max() or 1
        self.image.set_array(row.reshape(8, 8))
        self.image.set_clim(-largest, largest)
        self.frame.set_xy((i % 8, i // 8))

    def show_stems(self, B, found):
        scale = next(s for s in SCALES if s >= abs(found.each).max())
        heights, b = found.each / scale, np.arange(B)
        self.stems.set_segments([((k, 0), (k, y)) for k, y in enumerate(heights)])
        for line, there in ((self.up, heights > 0), (self.down, heights < 0), (self.zero, heights == 0)):
            line.set_data(b[there], heights[there])
        self.mean.set_data([-1, LARGEST], [found.entry / scale] * 2)
        for text, number in zip(self.numbers, (f"−{scale:g}", "0", f"{scale:g}")):
            text.set_text(number)

    def reached(self, result):
        B, _, _, found = result
        return B >= ENOUGH and found.outvoted


def _signed(value):
    return f"{value:+.4f}".replace("-", "−") if round(value, 4) else "0" if value == 0 else f"{value:+.1g}".replace("-", "−")
