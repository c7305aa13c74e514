"""What the panels of lesson 05 share: theory is drawn at once, and the data fill in behind it as they are drawn."""

from time import sleep

from .base import Panel
from .label import label
from .style import COLOURS, axes_style

STEPS = 100         # about as many as an experiment yields
HIGHEST = 1.6       # of a bar, where the peak of the normal is 1: the legend stands above


class Filling(Panel):
    """A panel whose computation yields theory first. A subclass gives `drawing` in place of `compute`."""

    seconds = 0.8                               # in which the data fill in, at least

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


class Averages(Filling):
    """Left: one number, averages of B of them, and their normal limit, each as high as its peak. Right: how their sd falls with B."""

    size = (880, 420)
    sizes = ()                                  # of batches
    series = {}                                 # what the points on the right are: key -> (marker, colour, name)

    def build(self, figure):
        self.left, self.right = figure.subplots(1, 2, width_ratios=(1.4, 1))
        self.bars = self.left.stairs([0, 0], [0, 1, 2], fill=True, color=COLOURS["sky"], alpha=0.65)
        self.single, = self.left.plot([], [], color=COLOURS["black"], linestyle="--", linewidth=2)
        self.normal, = self.left.plot([], [], color=COLOURS["vermillion"])
        self.left.set(ylim=(0, 2.1), yticks=[0, 0.5, 1])
        self.over = label(self.left, 0.99, 0.72, transform=self.left.transAxes, ha="right", va="top", fontsize=13)
        self.build_fall()
        return [self.bars, self.single, self.normal, self.over, *self.points.values(), self.here]

    def build_fall(self):
        axes, last = self.right, self.sizes[-1]
        axes_style(axes, "batch size B", "sd of averages / σ")
        ticks = [10**k for k in range(4) if 10**k <= last]
        axes.set(xscale="log", yscale="log", xlim=(0.6, 2 * last), ylim=(0.6 / last**0.5, 1.5), xticks=ticks, yticks=[0.1, 1],
                 xticklabels=[f"{tick:,}" for tick in ticks], yticklabels=["0.1", "1"])
        axes.minorticks_off()
        self.points = {key: axes.plot([], [], marker, color=COLOURS[colour], markersize=9, markeredgecolor="black", zorder=3)[0]
                       for key, (marker, colour) in self.series.items()}
        self.here, = axes.plot([], [], "D", color=COLOURS["vermillion"], markersize=15, fillstyle="none", markeredgewidth=2.5, zorder=4)

    def show(self, found, unit, single=True):
        """The left axes, in units of `unit`."""
        peak, place = found.normal.max(), lambda x: (x - found.mean) / unit
        heights = found.heights / peak
        self.bars.set_data(heights.clip(0, HIGHEST), place(found.edges))
        self.normal.set_data(place(found.near), found.normal / peak)
        self.single.set_data(place(found.x), found.single / found.single.max())
        self.single.set_visible(single)
        self.over.set_text(f"tallest bar: {heights.max():.1f}, cut" if heights.max() > HIGHEST else "")

    def show_fall(self, measured, found):
        """The right axes: measured is {key of series: {B: sd of averages / sigma}}; the diamond is where theory expects this one."""
        for key, line in self.points.items():
            line.set_data(*zip(*sorted(measured[key].items())) if measured[key] else ([], []))
        self.here.set_data([found.B], [found.sd / found.sigma])
