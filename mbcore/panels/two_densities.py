"""Lesson 05: numbers of variance 1 and 10, and averages of them."""

from ..experiments.variance import densities, densities_running, factor
from .base import choice, slider
from .filling import Averages
from .style import COLOURS, axes_style

SIZES = (1, 2, 3, 4, 5, 6, 8, 10, 12, 16, 20, 25, 32, 40, 50, 64, 80, 100)


class TwoDensities(Averages):
    """The variance of the numbers, and how many are averaged."""

    title = "Averages of B normal numbers"
    task = "Numbers of variance 10: how many must you average, so that averages scatter as little as single numbers of variance 1?"
    sizes = SIZES
    series = {"": ("o", "sky")}

    def __init__(self):
        self.measured = {}
        super().__init__()

    def controls(self):
        return {"variance": slider("Variance of one number", 1.0, 10.0, 10.0, step=0.5), "B": choice("Numbers in an average, B", SIZES, 1)}

    def build(self, figure):
        moving = super().build(figure)
        axes_style(self.left, "value", "density, peak = 1")
        self.left.set(xlim=(-10, 10))
        one = densities(1, 1)
        self.plain, = self.left.plot(one.x, one.single / one.single.max(), color=COLOURS["green"], linestyle=":", linewidth=3.5)
        names = {"one, variance 1": self.plain, "one number": self.single, "average: theory": self.normal, "average: drawn": self.bars}
        self.left.legend(names.values(), names, loc="upper center", ncols=2, columnspacing=1)
        root, = self.right.plot(SIZES, factor(SIZES), color=COLOURS["vermillion"], zorder=1)
        line, = self.right.plot(SIZES, factor(SIZES) ** 2, color=COLOURS["grey"], linestyle="-.", zorder=1)
        self.right.legend([root, line, self.points[""]], ["1/√B", "1/B", "drawn"], loc="lower left")
        return [*moving, self.plain]

    def drawing(self, variance, B):
        for done, found in densities_running(variance, B):
            yield done, (variance, found)

    def update(self, result):
        variance, found = result
        self.show(found, 1)
        self.plain.stale = True                 # it belongs above the bars, which change
        if found.draws:
            self.measured[found.B] = found.observed / found.sigma
        self.show_fall({"": self.measured}, found)
        drawn = f"; {found.draws:,} drawn averages: {found.observed:.2f}" if found.draws else ""
        return (f"Variance {variance:g}, σ = {found.sigma:.2f}. Averages of B = {found.B} should scatter by σ/√B = {found.sd:.2f}{drawn}.")

    def reached(self, result):
        variance, found = result
        return variance == 10 and found.B == 10
