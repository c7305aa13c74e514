"""Lesson 09's first panel: the straight line from a small batch's network to a large batch's, and both measures of sharpness; Dinh's
rescaling moves all of them, and the function not at all."""

from dataclasses import replace

import numpy as np

from ..experiments import flat_minima
from .base import Panel, choice, slider
from .label import label
from .style import COLOURS, axes_style, given

CONFIG = replace(flat_minima.Config(), r=6, eps=(1e-3,))        # six seeds and one box: what the lesson runs
ALPHAS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.25, 1.5, 2.0, 3.0, 5.0, 10.0)
LIMITS = {"eigenvalue": (0.3, 300), "sharpness": (0.08, 30)}
NAMES = {"eigenvalue": "largest eigenvalue of the Hessian", "sharpness": "Keskar's sharpness φ"}
POINTS = 21                                         # on the line, both ends among them
HEIGHTS = {"loss": (0.03, 300), "error": (0.3, 300)}        # of the curves; the error in per cent
CURVES = {"loss": "loss on the line", "error": "error on the line, %"}


class Rescaling(Panel):
    """Alpha and the seed. Above, loss and error from the small batch's network, rescaled, to the large batch's; below, both measures at
    every alpha tried, beside the large batch's as it is."""

    title = "From the small batch's network to the large batch's; one function, many sharpnesses"
    task = ("Make the small batch's network sharper than the large batch's, by the largest eigenvalue, with as little as you can: "
            "an α at which it is, with a neighbour nearer to 1 tried at which it is not.")
    size = (860, 500)

    def __init__(self, config=CONFIG):
        given("config", config, flat_minima.Config)
        self.config, self.kept = config, {}         # kept: (r, alpha) -> Measures
        self.between, self.drawn = {}, set()        # (r, alpha) -> (Slice on the training set, on the test set); which are whole
        self.large = {}                             # r -> Measures of the large batch's network
        super().__init__()

    def controls(self):
        return {"alpha": choice("Rescale by α", ALPHAS, 1.0), "r": slider("Seed", 0, self.config.r - 1, 0)}

    def build(self, figure):
        figure.get_layout_engine().set(rect=(0, 0, 1, 0.93), hspace=0.05)        # room for the line above all
        above, below = figure.subplots(2, 2)
        self.axes, self.curves = dict(zip(NAMES, below)), {}
        self.tried, self.here, self.lines, self.words, self.values = {}, {}, {}, {}, {}
        for name, axes in zip(CURVES, above):
            self.build_curves(name, axes)
        for name, axes in self.axes.items():
            self.build_axes(name, axes)
        self.same = label(above[0], 0.02, 0.965, transform=figure.transFigure, va="center", fontsize=15)
        moving = (self.curves, self.tried, self.lines, self.here, self.words, self.values)
        return [artist for group in moving for artist in group.values()] + [self.same]

    def build_curves(self, name, axes):
        axes_style(axes, "", "")
        axes.set(yscale="log", xlim=(-0.55, 1.55), ylim=HEIGHTS[name])
        axes.set_xticks([-0.5, 0, 0.5, 1, 1.5], ["-0.5", "0: small", "0.5", "1: large", "1.5"])
        axes.set_title(CURVES[name])
        axes.minorticks_off()
        ticks = [t for t in (0.1, 1, 10, 100) if HEIGHTS[name][0] <= t <= HEIGHTS[name][1]]
        axes.set_yticks(ticks, [f"{t:g}" for t in ticks])
        for x in (0, 1):
            axes.axvline(x, color=COLOURS["grey"], linewidth=1.5, linestyle=":")
        for part, colour, style in (("test", "green", "s--"), ("train", "black", "o-")):
            look = {"color": COLOURS[colour], "markersize": 5, "linewidth": 1.8, "markevery": 2}
            self.curves[name, part], = axes.plot([], [], style, **look)
            axes.plot([], [], style, label=part, **look)            # in the legend, which does not move
        axes.legend(loc="upper center", ncols=2, handlelength=3, borderaxespad=0.1)

    def build_axes(self, name, axes):
        axes_style(axes, "rescaled by α", "")
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
        self.values[name] = label(axes, 0.5, 0.87, color=COLOURS["blue"], **place)

    def known(self, r, alpha):
        return (r, alpha) in self.kept and (r, alpha) in self.drawn

    def compute(self, alpha, r):
        if not self.known(r, alpha):
            yield 0.0, (alpha, r)
            ends = flat_minima.trained(self.config, "small"), flat_minima.trained(self.config, "large")
            if (r, alpha) not in self.drawn:
                for done, self.between[r, alpha] in flat_minima.between(*ends, r, POINTS, alpha):
                    yield 0.3 * done, (alpha, r)
                self.drawn.add((r, alpha))
            if r not in self.large:
                self.large[r] = flat_minima.rescaling(self.config, "large", 1.0, r)
                yield 0.5, (alpha, r)
            for a in dict.fromkeys((1.0, alpha)):           # as it was trained, always
                self.kept[r, a] = flat_minima.rescaling(self.config, "small", a, r)
        yield 1.0, (alpha, r)

    def update(self, result):
        alpha, r = result
        self.show_between(self.between.get((r, alpha)))
        tried = sorted(a for seed, a in self.kept if seed == r)
        for name in NAMES:
            self.tried[name].set_data(tried, [value(self.kept[r, a], name) for a in tried])
            now = [alpha] if alpha in tried else []
            self.here[name].set_data(now, [value(self.kept[r, a], name) for a in now])
            self.values[name].set_text("".join(f"small batch (◆): {value(self.kept[r, a], name):.2g}" for a in now))
            self.show_large(name, self.large.get(r))
        return self.reading_of(alpha, r)

    def show_between(self, found):
        """Both curves of loss and of error, as far as they are there."""
        for k, part in enumerate(("train", "test")):
            for name, scale in (("loss", 1), ("error", 100)):
                x, y = ([], []) if found is None else (found[k].alphas, scale * getattr(found[k], name))
                self.curves[name, part].set_data(x, np.clip(y, *HEIGHTS[name]))

    def show_large(self, name, found):
        """The large batch's level, or nothing while it is not measured."""
        for artist in (self.lines[name], self.words[name]):
            artist.set_visible(found is not None)
        if found is not None:
            level = value(found, name)
            self.lines[name].set_ydata([level, level])
            self.words[name].set_text(f"large batch (dashed): {level:.2g}")

    def reading_of(self, alpha, r):
        if not self.known(r, alpha):
            self.same.set_text(f"α = {alpha:g}: measuring")
            return f"Seed {r}, α = {alpha:g}: measuring."
        new, old, large = self.kept[r, alpha], self.kept[r, 1.0], self.large[r]
        moved = "no score moved" if new.change[0] == 0 else f"no score moved by more than {new.change[0]:.0e} of the largest"
        if new.change[0] > 1e-9:
            moved = f"scores moved by {new.change[0]:.0e} of the largest: this is another function"
        self.same.set_text(f"α = {alpha:g}: {moved}")
        pairs = [f"{short} {value(new, name):.2g} (as trained {value(old, name):.2g}, large batch {value(large, name):.2g})"
                 for name, short in (("eigenvalue", "largest eigenvalue"), ("sharpness", "Keskar's φ"))]
        return f"Seed {r}, small batch, α = {alpha:g}: {moved}. {'; '.join(pairs)}. {self.reading_of_line(*self.between[r, alpha])}"

    def reading_of_line(self, train, test):
        """The training loss at both ends, between and beyond, and what the test loss does between."""
        inside = (train.alphas >= 0) & (train.alphas <= 1)
        small, large = (int(np.argmin(abs(train.alphas - x))) for x in (0, 1))
        return (f"On the line: training loss {train.loss[small]:.2g} at the small batch's end, {train.loss[large]:.2g} at the large one's, "
                f"at most {train.loss[inside].max():.2g} between; half the way beyond, {train.loss[0]:.2g} and {train.loss[-1]:.2g}. "
                f"Test loss {test.loss[small]:.2g}, {test.loss[large]:.2g}, at most {test.loss[inside].max():.2g}.")

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
