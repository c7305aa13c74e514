"""Lesson 07's second panel: steps times the seconds of a step. The best batch lies between two knees; joules are counted beside it."""

import numpy as np

from ..checking import real
from ..experiments.critical_batch import costs
from .base import Panel, choice
from .label import label
from .style import COLOURS, axes_style

T0 = (1, 3, 10, 30, 100, 300, 1000, 3000, 10_000)               # microseconds
T1 = (0.03, 0.1, 0.3, 1, 3, 10, 30)
WORKERS = tuple(2**k for k in range(11))
WATTS = (5, 15, 50, 150, 300, 700)
WIDE = (0.75, 2000)                 # of B
DECADES = 3                         # of seconds and of joules that are shown, or more
LARGE = 359                         # the target
LINES = {                           # colour, line, width, marker and its size
    "one": ("grey", ":", 2.5, "", 0), "curve": ("black", "-", 2.5, "", 0), "points": ("black", "", 1, "o", 8),
    "knee": ("orange", "-.", 2.5, "", 0), "least": ("blue", "", 1, "*", 20), "here": ("vermillion", "", 1, "D", 15),
}
UNITS = {"seconds": "s", "joules": "J"}


class TwoKnees(Panel):
    """A machine (t0, t1, workers and their watts) and B, for one whole sweep.

    line: t0 and t1 of this machine, as of hardware.fit; they are on the sliders beside round numbers.
    """

    title = "Seconds and joules to the target loss"
    task = f"Change the machine until B = {LARGE} is the batch with the fewest seconds, and set B to it. What happens to the joules?"
    size = (900, 470)

    def __init__(self, sweep, line):
        for part in ("t0", "t1"):
            real(f"line: {part}", getattr(line, part, None))
        self.sweep, self.own, self.limits = sweep, (1e6 * line.t0, 1e6 * line.t1), {}
        self.drawn = None
        super().__init__()

    def controls(self):
        sizes = self.sweep.sizes
        return {"t0": choice("t0, µs a step", *_with(T0, self.own[0])), "t1": choice("t1, µs an example", *_with(T1, self.own[1])),
                "workers": choice("Workers", WORKERS, 1), "watts": choice("Watts a worker, assumed", WATTS, 50),
                "B": choice("Batch size B", sizes, sizes[len(sizes) // 2])}

    def compute(self, t0, t1, workers, watts, B):
        machine = 1e-6 * t0, 1e-6 * t1, watts, workers
        drawn = np.unique(np.geomspace(1, WIDE[1], 300).round())
        every = [costs(self.sweep, *which, sizes=sizes) for which in (machine, machine[:3]) for sizes in (None, drawn)]
        return machine, B, drawn, every

    # ------------------------------------------------------------------ the picture

    def build(self, figure):
        figure.get_layout_engine().set(rect=(0, 0, 1, 0.84))            # room for the legend
        self.axes = dict(zip(UNITS, figure.subplots(1, 2)))
        self.lines = {name: self.build_axes(name, axes) for name, axes in self.axes.items()}
        crit = f"statistical knee: B_crit = {self.sweep.fit.B_crit.value:.0f}"
        self.legend(figure, 0.02, 0.955, "curve", "these workers, by the fit")
        self.legend(figure, 0.02, 0.89, "one", "one worker")
        self.legend(figure, 0.34, 0.955, "crit", crit)
        self.knee = self.legend(figure, 0.34, 0.89, "knee", "")
        self.least = self.legend(figure, 0.76, 0.955, "least", "")
        self.legend(figure, 0.76, 0.89, "here", "your B")
        return [*(line for lines in self.lines.values() for line in lines.values()), self.knee, self.least]

    def build_axes(self, name, axes):
        axes_style(axes, "batch size B", f"{name} to the target loss")
        axes.set(xscale="log", yscale="log", xlim=WIDE)
        axes.axvline(self.sweep.fit.B_crit.value, **_look("crit"))
        lines = {key: axes.plot([], [], **_look(key))[0] for key in LINES}
        lines["knee"].set_transform(axes.get_xaxis_transform())
        some = (*self.sweep.sizes[:-1:2], self.sweep.sizes[-1])
        axes.set_xticks(some, [str(B) for B in some])
        self.show_limits(name, axes, 1e-2, 1)
        return lines

    def legend(self, figure, x, y, name, text):
        """A sample and its words above the axes; returns the words."""
        axes = self.axes["seconds"]
        sample, = axes.plot([x, x + 0.022, x + 0.044], [y] * 3, transform=figure.transFigure, clip_on=False, markevery=[1], **_look(name))
        sample.set_in_layout(False)
        return label(axes, x + 0.056, y, text, transform=figure.transFigure, va="center", fontsize=13)

    def show_limits(self, name, axes, least, most):
        """Whole decades, with room for the marks."""
        low = int(np.floor(np.log10(0.6 * least)))
        high = max(low + DECADES, int(np.ceil(np.log10(1.2 * most))))
        if self.limits.get(name) != (low, high):
            self.limits[name] = low, high
            axes.set_ylim(10.0**low, 10.0**high)
            axes.set_yticks([10.0**k for k in range(low, high + 1)], [_prefixed(k, UNITS[name]) for k in range(low, high + 1)])
            axes.minorticks_off()
            self.redraw_background()

    def update(self, result):
        machine, B, drawn, (here, curve, one, alone) = result
        if self.drawn != machine:
            for name in self.axes:
                self.show(name, drawn, *(getattr(found, name) for found in (here, curve, one, alone)))
                self.lines[name]["knee"].set_data([here.knee, here.knee], [0, 1])
            self.knee.set_text(f"hardware knee: {float(f'{here.knee:.3g}'):,g}{' →' * (here.knee > WIDE[1])}")
            self.least.set_text(f"fewest, B = {self.best(here)}")
            self.drawn = machine
        for name, lines in self.lines.items():
            lines["here"].set_data([B], [getattr(here, name)[self.sweep.sizes.index(B)]])
        return self.reading_of(machine, B, here, one)

    def show(self, name, drawn, here, curve, one, alone):
        lines, sizes = self.lines[name], self.sweep.sizes
        self.show_limits(name, self.axes[name], min(here.min(), one.min()), max(here.max(), one.max()))
        lines["one"].set_data(drawn, alone)
        lines["curve"].set_data(drawn, curve)
        lines["points"].set_data(sizes, here)
        lines["least"].set_data([sizes[here.argmin()]], [here.min()])

    # ------------------------------------------------------------------ words

    def best(self, found):
        return self.sweep.sizes[found.seconds.argmin()]

    def reading_of(self, machine, B, here, one):
        workers, watts, k = machine[3], machine[2], self.sweep.sizes.index(B)
        spent = lambda found, k: f"{_amount(found.seconds[k], 's')} and {_amount(found.joules[k], 'J')}"
        return (f"B = {B} on {workers} worker{'s' * (workers > 1)} of {watts} W: {spent(here, k)}. Fewest at B = {self.best(here)}: "
                f"{spent(here, here.seconds.argmin())}; theory says B = {here.B_best:,.0f}. "
                f"One worker has its fewest at B = {self.best(one)}: {spent(one, one.seconds.argmin())}.")

    def reached(self, result):
        return result[1] == LARGE == self.best(result[3][0])


def _look(name):
    colour, line, width, marker, size = LINES.get(name) or ("purple", "--", 2.5, "", 0)
    return {"color": COLOURS[colour], "linestyle": line, "linewidth": width, "marker": marker, "markersize": size,
            **({"fillstyle": "none", "markeredgewidth": 2.5} if name == "here" else {})}


def _with(values, own):
    """The options of a slider, the measured one among them, and its value."""
    own = float(f"{own:.2g}")
    return [(f"{v:g} (yours)" if v == own else f"{v:g}", v) for v in sorted({*values, own})], own


def _prefixed(k, unit):
    """10**k of a unit: 0.1 ms, 1 s, 10 kJ."""
    at, power, prefix = next(row for row in ((6, 6, "M"), (3, 3, "k"), (-1, 0, ""), (-4, -3, "m"), (-99, -6, "µ")) if k >= row[0])
    return f"{10.0 ** (k - power):g} {prefix}{unit}"


def _amount(x, unit):
    """A number to two digits, with its unit."""
    power, prefix = next((p, c) for p, c in ((6, "M"), (3, "k"), (0, ""), (-3, "m"), (-6, "µ")) if x >= 10.0**p or p == -6)
    return f"{float(f'{x / 10.0**power:.2g}'):g} {prefix}{unit}"
