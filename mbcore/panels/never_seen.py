"""Lesson 11's second panel: a mark for each training digit, by how often it was in a batch."""

import numpy as np

from ..experiments.last_batch import WAYS, Config, after_each_pass
from .base import Panel, choice, slider, toggle
from .label import label
from .style import COLOURS, axes_style, given

SIZES = (32, 64, 100, 128, 200, 256, 400, 480, 512, 600, 720, 900, 1200, 1437)
NAMES = {"without replacement": "without replacement", "without, drop_last": "without replacement, drop_last",
         "with replacement": "with replacement"}
PASSES = 6
ROWS, COLUMNS = 32, 45


class NeverSeen(Panel):
    """Batch size, passes and the way to draw; on the right the share never seen after each number of passes."""

    title = "How often each of the 1,437 training digits was in a batch"
    task = ("Draw without replacement, and yet leave out more digits in one pass than drawing with replacement does. "
            "(Which batch size makes drop_last drop most?)")
    size = (900, 400)

    def __init__(self, config=Config()):
        given("config", config, Config)
        self.config, self.kept = config, {}
        super().__init__()

    def controls(self):
        return {"B": choice("Batch size B", SIZES, 32), "epochs": slider("Passes", 1, PASSES, 1),
                "way": toggle("Draw", list(NAMES), "without, drop_last")}

    def build(self, figure):
        left, axes = figure.subplots(1, 2, width_ratios=(1.5, 1))
        left.set_axis_off()
        left.set(xlim=(-1, COLUMNS), ylim=(ROWS, -3.5))
        looks = {"never": ("s", "vermillion", 6.5), "once": (".", "grey", 4), "more often": ("o", "sky", 5)}
        self.marks = [left.plot([], [], mark, color=COLOURS[colour], markersize=size, markeredgewidth=0, label=name)[0]
                      for name, (mark, colour, size) in looks.items()]
        left.legend(handles=self.marks, loc="upper center", ncols=3, borderaxespad=0, borderpad=0, markerscale=1.6, columnspacing=1.2,
                    handletextpad=0.1)
        axes_style(axes, "passes", "share never seen")
        axes.set(xlim=(0.2, PASSES + 0.6), ylim=(-0.02, 0.75), xticks=range(1, PASSES + 1), yticks=[0, 0.2, 0.4, 0.6],
                 yticklabels=["0", "20 %", "40 %", "60 %"])
        self.theory, = axes.plot([], [], "--", color=COLOURS["blue"], label="expected")
        self.points, = axes.plot([], [], "o", color=COLOURS["vermillion"], markersize=9, label="drawn, mean of 8")
        self.here = label(axes, 0, 0, fontsize=14, ha="center", va="bottom")
        axes.legend(handles=[self.points, self.theory], loc="upper right")
        return [*self.marks, self.theory, self.points, self.here]

    def compute(self, B, epochs, way):
        if (B, way) not in self.kept:
            self.kept[B, way] = after_each_pass(self.config, *WAYS[NAMES[way]], PASSES, B)
        return epochs, B, self.kept[B, way]

    def update(self, result):
        epochs, B, found = result
        counts, now = found[epochs - 1].counts[0], found[epochs - 1]
        for mark, which in zip(self.marks, (counts == 0, counts == 1, counts > 1)):
            row, column = divmod(np.flatnonzero(which), COLUMNS)
            mark.set_data(column, row)
        passes = np.arange(1, PASSES + 1)
        self.theory.set_data(passes, [seen.expected for seen in found])
        self.points.set_data(passes[:epochs], [seen.share for seen in found[:epochs]])
        self.here.set_position((epochs, now.share + 0.03))
        self.here.set_text(f"{100 * now.share:.1f} %")
        many = "1 pass" if epochs == 1 else f"{epochs} passes"
        return (f"{now.name[0].upper()}{now.name[1:]}, B = {B}, {many}: {(counts == 0).sum():,} of {len(counts):,} digits were never seen "
                f"here, {100 * now.share:.1f} % over {len(now.counts)} draws, {100 * now.expected:.1f} % expected.")

    def reached(self, result):
        epochs, _, found = result
        n = len(found[0].counts[0])
        return epochs == 1 and not found[0].name.startswith("with ") and found[0].share > (1 - 1 / n)**n
