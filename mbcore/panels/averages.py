"""Lesson 05: averages of normal numbers, and of one coordinate of the gradient over many batches."""

from ..experiments.stages import NAMES
from ..experiments.variance import coordinate_averages, coordinate_running, densities, densities_running, factor
from .base import choice, slider, toggle
from .filling import Filling
from .label import label
from .style import COLOURS, axes_style

SIZES = (1, 2, 3, 4, 6, 8, 10, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 1024, 1437)
N = SIZES[-1]
NUMBERS, GRADIENTS = "normal numbers", {f"gradient, {name}": name for name in NAMES}
WAYS = ("with replacement", "without")
KINDS = {WAYS[0]: ("^", "green"), WAYS[1]: ("s", "orange"), NUMBERS: ("o", "sky")}
HIGHEST = 1.6       # of a bar, where the peak of the normal is 1: the legend stands above


class Averages(Filling):
    """Left: one number, averages of B of them, and their normal limit, each as high as its peak. Right: how their sd falls with B."""

    title = "Averages of B scatter less"
    task = ("Numbers of variance 10: find the B whose averages scatter like single numbers of variance 1. "
            "Then take a gradient: which B has a quarter of the scatter at B = 16? "
            "Last, draw without replacement: where is no scatter left?")
    size = (880, 430)

    def __init__(self):
        for name in NAMES:                      # the first one trains the network: not while a slider waits
            coordinate_averages(2, at=name, draws=2)
        self.measured = {}
        super().__init__()

    def controls(self):
        return {"B": choice("Batch size B", SIZES, 1), "variance": slider("Variance of one number", 1.0, 10.0, 10.0, step=0.5),
                "of": toggle("Averages of", [NUMBERS, *GRADIENTS], NUMBERS), "way": toggle("Batches drawn", WAYS, WAYS[0]),
                "scale": toggle("Left axis", ("one scale", "own sd"), "one scale")}

    def build(self, figure):
        self.left, self.right = figure.subplots(1, 2, width_ratios=(1.4, 1))
        return [*self.build_densities(self.left), *self.build_fall(self.right)]

    def build_densities(self, axes):
        axes_style(axes, " ", "density, peak = 1")
        axes.set(ylim=(0, 2.15), yticks=[0, 0.5, 1])
        self.bars = axes.stairs([0, 0], [0, 1, 2], fill=True, color=COLOURS["sky"], alpha=0.65)
        one = densities(1, 1)
        self.plain, = axes.plot(one.x, one.single / one.single.max(), color=COLOURS["green"], linestyle=":", linewidth=3.5)
        self.single, = axes.plot([], [], color=COLOURS["black"], linestyle="--", linewidth=2)
        self.normal, = axes.plot([], [], color=COLOURS["vermillion"])
        self.over = label(axes, 0.99, 0.75, transform=axes.transAxes, ha="right", va="top", fontsize=13)
        names = {"one, variance 1": self.plain, "one": self.single, "average, theory": self.normal, "average, drawn": self.bars}
        axes.legend(names.values(), names, loc="upper center", ncols=2, columnspacing=1)
        return [self.bars, self.plain, self.single, self.normal, self.over]

    def build_fall(self, axes):
        axes_style(axes, "batch size B", "sd of averages / σ of one")
        axes.set(xscale="log", yscale="log", xlim=(0.6, 2 * N), ylim=(0.015, 1.6), xticks=[1, 10, 100, 1000], yticks=[0.1, 1],
                 xticklabels=["1", "10", "100", "1,000"], yticklabels=["0.1", "1"])
        axes.minorticks_off()
        grid = [*range(1, 64), *range(64, N, 8), *range(N - 40, N)]
        curves = {"1/√B": (factor(grid), "vermillion", "-"), "without": (factor(grid, N), "vermillion", "--"),
                  "1/B": (factor(grid) ** 2, "grey", "-.")}
        lines = [axes.plot(grid, y, color=COLOURS[colour], linestyle=style, zorder=1)[0] for y, colour, style in curves.values()]
        self.points = {kind: axes.plot([], [], marker, color=COLOURS[colour], markersize=9, markeredgecolor="black", zorder=3)[0]
                       for kind, (marker, colour) in KINDS.items()}
        self.here, = axes.plot([], [], "D", color=COLOURS["vermillion"], markersize=15, fillstyle="none", markeredgewidth=2.5, zorder=4)
        axes.add_artist(axes.legend(lines, curves, loc="upper right"))
        axes.legend(self.points.values(), ["with", "without", "numbers"], loc="lower left", handlelength=1)
        return [*self.points.values(), self.here]

    def compute(self, B, variance, of, way, scale):
        running = densities_running(variance, B) if of == NUMBERS else coordinate_running(B, way == WAYS[0], GRADIENTS[of])
        for done, found in running:
            yield done, (variance, of, way, scale, found)

    def update(self, result):
        variance, of, way, scale, found = result
        numbers, own = of == NUMBERS, scale == "own sd"
        self._controls["variance"].disabled, self._controls["way"].disabled = not numbers, numbers
        self.show_axis(numbers, own)
        self.show_densities(found, (found.sd or found.sigma) if own else 1 if numbers else found.sigma)
        self.single.set_visible(not own)
        self.plain.set_visible(numbers and not own)
        self.plain.stale = True                 # it belongs above the bars, which change
        points = self.measured.setdefault(of, {kind: {} for kind in KINDS})
        if found.draws:
            points[NUMBERS if numbers else way][found.B] = found.observed / found.sigma
        for kind, line in self.points.items():
            line.set_data(*zip(*sorted(points[kind].items())) if points[kind] else ([], []))
        self.here.set_data([found.B], [found.sd / found.sigma])
        return self.reading_of(*result)

    def show_axis(self, numbers, own):
        name = "own sd" if own else "value" if numbers else "σ of one example"
        if name != self.face:
            reach = 10 if name == "value" else 4.2
            self.left.set(xlim=(-reach, reach), xlabel="value" if name == "value" else f"(average − mean) / {name}")
            self.turn(name)

    def show_densities(self, found, unit):
        peak, place = found.normal.max(), lambda x: (x - found.mean) / unit
        heights = found.heights / peak
        self.bars.set_data(heights.clip(0, HIGHEST), place(found.edges))
        self.normal.set_data(place(found.near), found.normal / peak)
        self.single.set_data(place(found.x), found.single / found.single.max())
        self.over.set_text(f"tallest bar:\n{heights.max():.1f}, cut" if heights.max() > HIGHEST else "")

    @staticmethod
    def reading_of(variance, of, way, scale, found):
        who = f"Numbers of variance {variance:g}" if of == NUMBERS else f"One coordinate of the {of}, {way}"
        if found.sd == 0:
            return f"{who}: every batch of B = {N} holds all examples, so nothing is left to scatter."
        how = "σ/√B · √((N−B)/(N−1))" if of != NUMBERS and way == WAYS[1] else "σ/√B"
        drawn = f"; {found.draws:,} drawn ones by {found.observed:.3g}" if found.draws else ""
        far = f". Their distribution is up to {found.kolmogorov:.2f} off the normal" if of != NUMBERS and found.kolmogorov >= 0 else ""
        return f"{who}: averages of B = {found.B} should scatter by {how} = {found.sd:.3g}{drawn}{far}."

    def reached(self, result):
        variance, of, _, _, found = result
        return (variance, found.B) == (10, 10) if of == NUMBERS else found.B == 256 or found.sd == 0
