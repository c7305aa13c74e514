"""Lesson 05: one coordinate of the gradient over many batches, with and without replacement."""

from ..experiments.stages import NAMES
from ..experiments.variance import coordinate_averages, coordinate_running, factor
from .base import choice, toggle
from .filling import Averages
from .style import COLOURS, axes_style

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1437)
N = SIZES[-1]
WAYS = ("with replacement", "without")
UNITS = {"σ of one example": "(average − mean) / σ of one example", "own sd": "(average − mean) / its own sd"}


class OneCoordinate(Averages):
    """How many examples, drawn how, at which time of training, and the unit of the left axis."""

    title = "One coordinate of the gradient, averaged over batches of B"
    task = "Bring the scatter at B = 16 down to a quarter: which B does it? Then draw without replacement, and go to B = 1437."
    sizes = SIZES
    series = {"with replacement": ("o", "sky"), "without": ("s", "orange")}

    def __init__(self):
        coordinate_averages(2, draws=2)         # trains the network: not while a slider waits
        self.measured, self.shown = {}, None
        super().__init__()

    def controls(self):
        return {"B": choice("Batch size B", SIZES, 16), "way": toggle("Drawn", WAYS, WAYS[0]),
                "at": toggle("Training", NAMES, NAMES[0]), "unit": toggle("Left axis in", list(UNITS), "σ of one example")}

    def build(self, figure):
        moving = super().build(figure)
        axes_style(self.left, " ", "density, peak = 1")
        names = {"one example": self.single, "batch: theory": self.normal, "batch: drawn": self.bars}
        self.left.legend(names.values(), names, loc="upper center", ncols=2, columnspacing=1)
        grid = [*range(1, 64), *range(64, N, 8), *range(N - 40, N)]
        lines = [self.right.plot(grid, factor(grid, n), color=COLOURS["vermillion"], linestyle=style, zorder=1)[0] for n, style in ((None, "-"), (N, "--"))]
        self.right.legend([*lines, *self.points.values()], ["with: 1/√B", "without", "drawn with", "drawn without"], loc="lower left")
        return moving

    def drawing(self, B, way, at, unit):
        for done, found in coordinate_running(B, way == WAYS[0], at):
            yield done, (way, at, unit, found)

    def update(self, result):
        way, at, unit, found = result
        self.show_unit(unit)
        own = unit == "own sd"
        self.show(found, (found.sd or found.sigma) if own else found.sigma, single=not own)
        points = self.measured.setdefault(at, {name: {} for name in WAYS})
        if found.draws:
            points[way][found.B] = found.observed / found.sigma
        self.show_fall(points, found)
        return self.reading_of(way, at, found)

    def show_unit(self, unit):
        if unit != self.shown:
            self.left.set(xlim=(-4.2, 4.2), xlabel=UNITS[unit])
            self.shown = unit
            self.redraw_background()

    @staticmethod
    def reading_of(way, at, found):
        if found.sd == 0:
            return f"Training: {at}. Without replacement every batch of B = {N} holds all examples, so nothing is left to scatter."
        drawn = f"; {found.draws:,} batches: {found.observed:.3g}" if found.draws else ""
        far = f", and their distribution is up to {found.kolmogorov:.2f} off the normal" if found.kolmogorov >= 0 else ""
        how = "σ/√B" if way == WAYS[0] else "σ/√B · √((N−B)/(N−1))"
        return f"Training: {at}. B = {found.B}, {way}: the sd should be {how} = {found.sd:.3g}{drawn}{far}."

    def reached(self, result):
        return result[-1].B == 256
