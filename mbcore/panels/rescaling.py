"""Lesson 09's first panel: Dinh's rescaling moves both measures of sharpness, and the function not at all."""

from dataclasses import replace

import numpy as np

from ..experiments import flat_minima
from .base import Panel, choice, slider
from .label import label
from .style import COLOURS, axes_style

CONFIG = replace(flat_minima.Config(), r=6, eps=(1e-3,))        # six seeds and one box: what the lesson runs
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
LIMITS = {"eigenvalue": (0.3, 300), "sharpness": (0.08, 30)}
NAMES = {"eigenvalue": "largest eigenvalue of the Hessian", "sharpness": "Keskar's sharpness φ"}


class Rescaling(Panel):
    """Alpha and the seed: the small batch's network at every alpha tried, beside the large batch's as it is."""

    title = "One function, many sharpnesses: the small batch's network, rescaled by α"
    task = ("Make the small batch's network sharper than the large batch's, by the largest eigenvalue, with as little as you can: "
            "an α at which it is, with a neighbour nearer to 1 tried at which it is not.")
    size = (860, 380)

    def __init__(self, config=CONFIG):
        self.config, self.kept = config, {}         # kept: (r, alpha) -> Measures
        self.large = {}                             # r -> Measures of the large batch's network
        super().__init__()

    def controls(self):
        return {"alpha": choice("Rescale by α", ALPHAS, 1.0), "r": slider("Seed", 0, self.config.r - 1, 0)}

    def build(self, figure):
        figure.get_layout_engine().set(rect=(0, 0, 1, 0.86))        # room for the line above both
        self.axes = dict(zip(NAMES, figure.subplots(1, 2)))
        self.tried, self.here, self.lines, self.words, self.values = {}, {}, {}, {}, {}
        for name, axes in self.axes.items():
            self.build_axes(name, axes)
        self.same = label(self.axes["eigenvalue"], 0.02, 0.93, transform=figure.transFigure, va="center", fontsize=15)
        moving = (self.tried, self.lines, self.here, self.words, self.values)
        return [artist for group in moving for artist in group.values()] + [self.same]

    def build_axes(self, name, axes):
        axes_style(axes, "α: W0 and C0 times α, W1 divided by α", "")
        axes.set(xscale="log", yscale="log", xlim=(0.08, 12.5), ylim=LIMITS[name], xticks=[0.1, 0.3, 1, 3, 10],
                 xticklabels=["0.1", "0.3", "1", "3", "10"])
        axes.set_title(NAMES[name])
        axes.minorticks_off()
        ticks = [t for t in (0.1, 1, 10, 100) if LIMITS[name][0] <= t <= LIMITS[name][1]]
        axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
        self.lines[name] = axes.axhline(1, color=COLOURS["vermillion"], linestyle="--")
        self.tried[name], = axes.plot([], [], color=COLOURS["blue"], marker="o", linewidth=1.2, linestyle=":")
        self.here[name], = axes.plot([], [], color=COLOURS["blue"], marker="D", markersize=13, linestyle="")
        place = {"transform": axes.transAxes, "ha": "center", "va": "top", "fontsize": 13}
        self.words[name] = label(axes, 0.5, 0.98, color=COLOURS["vermillion"], **place)
        self.values[name] = label(axes, 0.5, 0.90, color=COLOURS["blue"], **place)

    def compute(self, alpha, r):
        if (r, alpha) not in self.kept:
            yield 0.0, (alpha, r)
            if r not in self.large:
                self.large[r] = flat_minima.rescaling(self.config, "large", 1.0, r)
                yield 0.3, (alpha, r)
            for a in dict.fromkeys((1.0, alpha)):           # as it was trained, always
                self.kept[r, a] = flat_minima.rescaling(self.config, "small", a, r)
        yield 1.0, (alpha, r)

    def update(self, result):
        alpha, r = result
        tried = sorted(a for seed, a in self.kept if seed == r)
        for name in NAMES:
            self.tried[name].set_data(tried, [value(self.kept[r, a], name) for a in tried])
            now = [alpha] if alpha in tried else []
            self.here[name].set_data(now, [value(self.kept[r, a], name) for a in now])
            self.values[name].set_text("".join(f"small batch (◆): {value(self.kept[r, a], name):.2g}" for a in now))
            self.show_large(name, self.large.get(r))
        return self.reading_of(alpha, r)

    def show_large(self, name, found):
        """The large batch's level, or nothing while it is not measured."""
        for artist in (self.lines[name], self.words[name]):
            artist.set_visible(found is not None)
        if found is not None:
            level = value(found, name)
            self.lines[name].set_ydata([level, level])
            self.words[name].set_text(f"large batch (dashed): {level:.2g}")

    def reading_of(self, alpha, r):
        if (r, alpha) not in self.kept:
            self.same.set_text(f"α = {alpha:g}: measuring")
            return f"Seed {r}, α = {alpha:g}: measuring."
        new, old, large = self.kept[r, alpha], self.kept[r, 1.0], self.large[r]
        moved = "no score moved" if new.change[0] == 0 else f"no score moved by more than {new.change[0]:.0e} of the largest"
        if new.change[0] > 1e-9:
            moved = f"scores moved by {new.change[0]:.0e} of the largest: this is another function"
        self.same.set_text(f"α = {alpha:g}: {moved}")
        pairs = [f"{short} {value(new, name):.2g} (as trained {value(old, name):.2g}, large batch {value(large, name):.2g})"
                 for name, short in (("eigenvalue", "largest eigenvalue"), ("sharpness", "Keskar's φ"))]
        return f"Seed {r}, small batch, α = {alpha:g}: {moved}. {'; '.join(pairs)}."

    def reached(self, result):
        """It is sharper here, and a neighbour nearer to 1 was tried and is not."""
        alpha, r = result
        k = ALPHAS.index(alpha)
        nearer = ALPHAS[k + (alpha < 1) - (alpha > 1)]
        return self.sharper(r, alpha) and (r, nearer) in self.kept and not self.sharper(r, nearer)

    def sharper(self, r, alpha):
        return bool(self.kept[r, alpha].eigenvalue[0] > self.large[r].eigenvalue[0])


def value(measures, name):
    """The one number of one network."""
    return float(np.ravel(getattr(measures, name))[0])
