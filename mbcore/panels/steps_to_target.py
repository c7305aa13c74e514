"""Lesson 07's first panel: a sweep over batch sizes, run as you watch, and counted in steps, in examples or in seconds."""

import numpy as np
from matplotlib.patches import Rectangle

from ..checking import real
from ..experiments import steps_to_target
from ..experiments.critical_batch import REGIMES, counted
from .base import Panel, choice, toggle
from .label import label
from .style import COLOURS, axes_style

UNITS = {"steps": (8, 20_000), "examples": (100, 1_000_000)}        # and their limits; those of seconds are this machine's
RATES = ("best for each B", "one for all B")
WIDE = (0.75, 2000)                     # from the left of B = 1 to the right of 1,437
HARDEST, TWICE = 0.3, 2                 # the target
SHADES = {REGIMES[0]: ("green", 0.13), REGIMES[1]: ("yellow", 0.3), REGIMES[2]: ("grey", 0.18)}
ROWS = {"B_crit": (1, "purple", "o"), "B_simple": (0, "orange", "D")}
LINES = {           # name -> what the legend says, colour, line, width, marker and its size; each above the one before it
    "steep": ("fewest examples", "black", "-.", 1.3, "", 0),
    "flat": ("fewest steps", "black", ":", 1.3, "", 0),
    "fit": ("hyperbola, fitted", "blue", "-", 2.5, "", 0),
    "best": ("best rate for each B", "blue", "", 1, "o", 9),
    "fixed": ("rate 1 for all B", "vermillion", "--", 2, "s", 7),
    "missed": ("not reached", "vermillion", "", 1, "x", 11),
    "seeds": ("one seed each", "black", "", 1, ".", 4),
    "here": ("your B", "black", "", 1, "D", 14),
}
LEGEND = ("best", "fixed", "missed", "seeds", "fit", "steep", "flat", "here")


class StepsToTarget(Panel):
    """Target loss, B, unit and learning rate. A sweep goes on while the other controls move, and is kept when it is whole.

    line: t0 and t1 of a step of this network on this machine, as of hardware.fit. configs: target loss -> Config of the sweep.
    """

    title = "How many steps, examples, seconds to a target loss?"
    task = (f"Bring the target loss to {HARDEST} and let the sweep finish. Then find the largest B that needs less than twice the "
            "examples of B = 1, both at their best rates.")
    size = (900, 520)
    colours = 64        # the pale shades of the regimes

    def __init__(self, line, configs=steps_to_target.TARGETS):
        for part in ("t0", "t1"):
            real(f"line: {part}", getattr(line, part, None))
        self.line, self.configs = line, configs
        self.going, self.found = {}, {}         # target -> the sweep's generator, (fraction, Result so far)
        self.halted = self.drawn = None
        super().__init__()

    def sweep(self, target):
        """The whole sweep to this loss: the one that was watched, or else run now."""
        with self._lock:
            for _ in self.advancing(target):
                pass
            return self.found[target][1]

    def controls(self):
        targets = list(self.configs)
        self.sizes = self.configs[targets[0]].sizes
        return {"target": choice("Target loss", targets, targets[0]), "B": choice("Batch size B", self.sizes, self.sizes[-3]),
                "unit": toggle("Count in", [*UNITS, "seconds"], "steps"), "rate": toggle("Learning rate", RATES, RATES[0])}

    # ------------------------------------------------------------------ the sweep

    def compute(self, target, **shown):
        if self.halted == target:               # it was stopped, and is not called for again
            yield 1.0, (target, self.found[target][1], shown)
        try:
            for done, result in self.advancing(target):
                yield done, (target, result, shown)
        finally:
            self.halted = target if self._job.stopped or self.halted == target else None

    def advancing(self, target):
        """Pull the sweep on from where it is; nothing is lost when this is closed."""
        if target not in self.going:
            self.going[target] = steps_to_target.running(self.configs[target])
        elif self.found[target][0] >= 1:
            yield self.found[target]
        for self.found[target] in self.going[target]:
            yield self.found[target]

    # ------------------------------------------------------------------ the picture

    def build(self, figure):
        figure.get_layout_engine().set(rect=(0, 0, 0.74, 0.985))            # room for the legend
        self.axes, self.strip = figure.subplots(2, 1, sharex=True, height_ratios=(5.2, 1))
        self.curve = np.unique(np.geomspace(1, WIDE[1], 200).round())
        axes_style(self.axes, "", " ")
        self.axes.set(xscale="log", yscale="log", xlim=WIDE)
        self.strip.set(xlabel="batch size B", ylim=(-0.6, 1.6), yticks=[0, 1], yticklabels=["B_simple", "B_crit"])
        self.strip.set_xticks(self.sizes, [str(B) for B in self.sizes])
        self.strip.minorticks_off()
        self.show_unit("steps")
        self.bands = {name: [self.band(axes, *SHADES[name]) for axes in (self.axes, self.strip)] for name in REGIMES}
        self.names = {name: label(self.axes, 1, 0.985, transform=self.axes.get_xaxis_transform(), ha="center", va="top", fontsize=13)
                      for name in REGIMES}
        self.lines = {name: self.axes.plot([], [], **_look(name))[0] for name in LINES}
        self.lines["missed"].set_transform(self.axes.get_xaxis_transform())
        self.scales = {name: self.scale(*row) for name, row in ROWS.items()}
        for k, name in enumerate(LEGEND):
            self.legend(0.95 - 0.095 * k, name)
        return [*(band for pair in self.bands.values() for band in pair), *self.names.values(), *self.lines.values(),
                *(artist for row in self.scales.values() for artist in row)]

    @staticmethod
    def band(axes, colour, alpha):
        return axes.add_patch(Rectangle((0, 0), 0, 1, fc=COLOURS[colour], alpha=alpha, lw=0, transform=axes.get_xaxis_transform()))

    def scale(self, y, colour, marker):
        """An interval and its point in the strip, and their numbers to the right of it."""
        ends = {"marker": "|", "markersize": 14, "markeredgewidth": 2, "markeredgecolor": "black"}
        bar, = self.strip.plot([], [], color=COLOURS[colour], linewidth=5, **ends)
        point, = self.strip.plot([], [], color="black", marker=marker, markersize=7)
        return bar, point, label(self.strip, 1.02, y, transform=self.strip.get_yaxis_transform(), va="center", fontsize=13)

    def legend(self, y, name):
        """A sample and what it is, to the right; they do not move."""
        sample, = self.axes.plot([1.03, 1.06, 1.09], [y] * 3, transform=self.axes.transAxes, clip_on=False, markevery=[1], **_look(name))
        for artist in (sample, self.axes.text(1.11, y, LINES[name][0], transform=self.axes.transAxes, va="center", fontsize=13)):
            artist.set_in_layout(False)

    def update(self, result):
        target, r, shown = result
        B, unit, fixed = shown["B"], shown["unit"], shown["rate"] == RATES[1]
        self.show_unit(unit)
        count = lambda steps, sizes=r.sizes: counted(steps, sizes, unit, self.line.t0, self.line.t1)
        if self.drawn != (r, unit, fixed):          # else B alone moved: what stays as it is costs nothing
            self.show_points(r, fixed, count)
            self.show_fit(r.fit, count)
            self.show_scale("B_crit", r.fit and r.fit.B_crit)
            self.show_scale("B_simple", r.noise and r.noise.B_simple)
            self.drawn = r, unit, fixed
        own = (r.S_fixed if fixed else r.S)[r.sizes.index(B)]
        self.lines["here"].set_data([B], count(np.array([own]), [B]))
        return self.reading_of(target, r, B, fixed, own)

    def show_unit(self, unit):
        if unit != self.face:
            low, high = UNITS.get(unit) or self.seconds()
            ticks = [10.0**k for k in range(-6, 7) if low <= 10.0**k <= high]
            self.axes.set(ylabel=f"{unit} to the target loss", ylim=(low, high))
            self.axes.set_yticks(ticks, [short(tick) for tick in ticks])
            self.axes.minorticks_off()
            self.turn(unit)

    def seconds(self):
        """Limits for what the sweeps may take on this machine, with room for the regimes' names."""
        ends = counted(np.array([20, 20, 1500, 70]), (1, 44, 1, 1437), "seconds", self.line.t0, self.line.t1)
        return ends.min() / 2, ends.max() * 12

    def show_points(self, r, fixed, count):
        every = np.broadcast_to(np.array(r.sizes, float)[:, None], r.retuned.shape)
        self.lines["best"].set(data=(r.sizes, count(r.S)), alpha=0.35 if fixed else 1)
        self.lines["seeds"].set_data(every.ravel(), count(r.fixed if fixed else r.retuned).ravel())
        self.lines["fixed"].set_data(*(r.sizes, count(r.S_fixed)) if fixed else ([], []))
        missed = [B for B, best, S in zip(r.sizes, r.S, r.S_fixed) if fixed and np.isfinite(best) and np.isnan(S)]
        self.lines["missed"].set_data(missed, [0.78] * len(missed))

    def show_fit(self, fit, count):
        """The curve, its two ends S_min and E_min/B, and the regimes that it parts; nothing before it is known."""
        B = self.curve
        steps = {"fit": fit.steps(B), "flat": fit.S_min.value + 0 * B, "steep": fit.E_min.value / B} if fit else {}
        for name in ("fit", "flat", "steep"):
            self.lines[name].set_data(*(B, count(steps[name], B)) if fit else ([], []))
        edges = np.array((WIDE[0], *fit.boundaries, WIDE[1]) if fit else [1.0] * 4)
        for name, left, right in zip(REGIMES, edges, edges[1:]):
            for band in self.bands[name]:
                band.set_bounds(left, 0, right - left, 1)
            self.names[name].set(x=np.sqrt(left * right), text=name.replace(" ", "\n", 1) if fit else "")

    def show_scale(self, name, estimate):
        (bar, point, text), y = self.scales[name], ROWS[name][0]
        bar.set_data(*([estimate.low, estimate.high], [y, y]) if estimate else ([], []))
        point.set_data(*([estimate.value], [y]) if estimate else ([], []))
        text.set_text(f"{estimate.value:.0f}  ({estimate.low:.0f} to {estimate.high:.0f})" if estimate else "")

    def reading_of(self, target, r, B, fixed, own):
        if not r.fit:
            rest = "it goes on when you move the target loss away and back" if self.halted == target else "the curve comes when all are in"
            return f"Loss {target:g}: {np.isfinite(r.best).sum()} of {len(r.sizes)} batch sizes so far; {rest}."
        rate = "rate 1 for all" if fixed else f"its best rate {r.best[r.sizes.index(B)]:g}"
        scales = f"B_crit is {r.fit.B_crit.value:.0f}, B_simple {r.noise.B_simple.value:.0f}."
        if np.isnan(own):
            return f"Loss {target:g}, B = {B}, {rate}: not every seed gets there in the budget. {scales}"
        first, seconds = (r.S_fixed if fixed else r.S)[0], own * (self.line.t0 + B * self.line.t1)
        beside = "" if np.isnan(first) else f", {own * B / first / r.sizes[0]:.2g} times the examples of B = {r.sizes[0]}"
        return f"Loss {target:g}, B = {B}, {rate}: {own:,.0f} steps, {own * B:,.0f} examples, {seconds:.2g} s{beside}. {scales}"

    def reached(self, result):
        target, r, shown = result
        return bool(r.extra) and target == HARDEST and shown["B"] == max(B for B, e in zip(r.sizes, r.extra) if e.value < TWICE)


def _look(name):
    _, colour, line, width, marker, size = LINES[name]
    open_ = {"fillstyle": "none", "markeredgewidth": 2.5} if name in ("here", "missed") else {}
    return {"color": COLOURS[colour], "linestyle": line, "linewidth": width, "marker": marker, "markersize": size, **open_}


def short(tick):
    """10000 as 10k."""
    return f"{tick / 1e6:g}M" if tick >= 1e6 else f"{tick / 1e3:g}k" if tick >= 1e3 else f"{tick:g}"
