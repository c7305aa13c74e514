"""Lesson 08's first panel: a large batch, and the changes that may give back what it loses, each switched on alone or together."""

import numpy as np

from ..experiments.scaling_rules import Config, Rung, climbed, trained
from .base import Panel, choice, toggle
from .label import label
from .style import COLOURS, axes_style, given

SIZES = (24, 48, 96, 192)
KEPT = 5                # earlier trials that stay
POINT, AT = 4.0, 96     # of test error, in percentage points; the batch of the task


class Ladder(Panel):
    """One trial at a time, six seeds each; the newest above those before it, and the small batch as a line."""

    title = "Eight passes over the digits: what gives a large batch back its accuracy?"
    task = f"At B = {AT}, in the same eight passes, end within {POINT:g} points of the small batch for sure: the whole bar left of the dashed line."
    size = (880, 430)

    def __init__(self, config=Config()):
        given("config", config, Config)
        self.config, self.kept = config, {}
        self.small = trained(config, "small batch", config.B0, config.lr0)
        self.level = 100 * float(self.small.test_error[-1].mean())
        super().__init__()

    def trial(self, B, scaling="constant", warm_up=0.0, lars=False, longer=False):
        """The Run of these settings: the one that was watched, or else trained now."""
        change = {"scaling": scaling, "warm_up": warm_up, "lars": lars, "longer": longer}
        key = B, *change.values()
        with self._lock:
            return self.kept.get(key) or climbed(self.config, B, Rung(self.name(*key), **change))

    def controls(self):
        return {"B": choice("Large batch B", SIZES, AT),
                "scaling": toggle("Learning rate", [("as it is", "constant"), ("× √(B/12)", "sqrt"), ("× B/12", "linear")], "constant"),
                "warm_up": toggle("Warm-up", [("none", 0.0), ("a fifth of the run", 0.2)], 0.0),
                "lars": toggle("Rule", [("SGD", False), ("LARS", True)], False),
                "longer": toggle("Train", [("as many passes", False), ("as many updates", True)], False)}

    def build(self, figure):
        self.axes = axes = figure.add_subplot()
        axes_style(axes, "test error, %, after the run (interval over 6 seeds)", "")
        axes.set(xscale="log", xlim=(2, 105), ylim=(-KEPT - 0.6, 1.0), yticks=[], xticks=[2, 3, 5, 10, 20, 50, 100],
                 xticklabels=["2", "3", "5", "10", "20", "50", "100"])
        axes.minorticks_off()
        axes.axvline(self.level, color=COLOURS["black"], linewidth=2)
        axes.axvline(self.level + POINT, color=COLOURS["vermillion"], linewidth=2, linestyle="--")
        axes.text(self.level * 0.985, 0.62, f"B = {self.config.B0}", fontsize=13, ha="right", va="center")
        axes.text((self.level + POINT) * 1.05, 0.62, f"+ {POINT:g} points", fontsize=13, va="center", color=COLOURS["vermillion"])
        figure.get_layout_engine().set(rect=(0.42, 0, 0.58, 1))
        rows = [self.build_row(k) for k in range(KEPT + 1)]
        self.bars, self.dots, self.names = zip(*rows)
        return [*self.bars, *self.dots, *self.names]

    def build_row(self, k):
        colour = COLOURS["blue" if k == 0 else "grey"]
        bar, = self.axes.plot([], [], color=colour, linewidth=7 if k == 0 else 4, solid_capstyle="butt")
        dot, = self.axes.plot([], [], "D" if k == 0 else "o", color=colour, markersize=12 if k == 0 else 8)
        name = label(self.axes, -0.02, -k, transform=self.axes.get_yaxis_transform(), ha="right", va="center", fontsize=14,
                     fontweight="bold" if k == 0 else "normal")
        return bar, dot, name

    def compute(self, B, **change):
        key = B, *change.values()
        if key not in self.kept:
            yield 0.01, (key, None)                     # LARS trains twice: let the progress bar show
            self.kept[key] = climbed(self.config, B, Rung(self.name(*key), **change))
        yield 1.0, (key, self.kept[key])

    @staticmethod
    def name(B, scaling, warm_up, lars, longer):
        parts = [{"constant": "", "sqrt": "√ scaling", "linear": "linear"}[scaling], "warm-up" * bool(warm_up), "LARS" * lars,
                 "as many updates" * longer]
        return f"B = {B}: {' + '.join(p for p in parts if p) or 'nothing changed'}"

    def update(self, result):
        key, run = result
        if run is None:
            return f"{self.name(*key)}: training six networks …"
        self.kept[key] = self.kept.pop(key)             # the newest is last
        for k, shown in enumerate([*reversed(list(self.kept)), *[None] * (KEPT + 1)][:KEPT + 1]):
            self.show(k, shown)
        gap, low, high = run.gap(self.small)
        return (f"{self.name(*key)}, learning rate {run.lr:.3g}, {run.updates:,} updates: test error {self.level + gap:.1f} %, "
                f"{gap:+.1f} points from B = {self.config.B0} (interval {low:+.1f} to {high:+.1f}).")

    def show(self, k, key):
        if key is None:
            self.names[k].set_text("")
            return
        gap, low, high = self.kept[key].gap(self.small)
        at = np.clip([self.level + low, self.level + high], 2.05, 100)
        self.bars[k].set_data(at, [-k, -k])
        self.dots[k].set_data([min(self.level + gap, 100)], [-k])
        self.names[k].set_text(self.name(*key))

    def reached(self, result):
        (B, *_, longer), run = result
        return B == AT and not longer and run.gap(self.small)[2] < POINT
