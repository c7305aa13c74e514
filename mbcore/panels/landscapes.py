"""Lesson 09's second panel: the loss around four solutions, as in Li's figure 3: weight decay, batch size and test error above each."""

import numpy as np

from ..experiments import landscapes
from .base import Panel, choice, slider, toggle
from .label import label
from .style import COLOURS, axes_style

KINDS = {"filter-normalised": True, "raw": False}
PLACES = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)             # where rises can be read off
POINTS = {"lines": 41, "planes": 15}
LOSSES = (0.005, 50)                                # of the axis, and of the colours


class Landscapes(Panel):
    """Weight decay down, batch size across; along one direction or over two."""

    title = "The loss around four solutions; above each: weight decay, batch size, test error"
    task = ("Find a view of lines in which a network with the lowest test error of the four looks sharpest: "
            "its loss rises most up to the dotted lines.")
    size = (860, 500)

    def __init__(self, config=landscapes.SMALL):
        self.config, self.kept = config, {}         # kept: (shape, kind, r, place of the grid) -> Slice
        self.grid = [(d, B) for d in config.weight_decays for B in config.sizes]
        self.solutions = [landscapes.trained(config, d, B) for d, B in self.grid]
        self.shape = "lines"
        super().__init__()

    def controls(self):
        return {"shape": toggle("Draw", list(POINTS), "lines"), "kind": toggle("Direction", list(KINDS), "filter-normalised"),
                "at": choice("Read the rise at α = ±", PLACES, 0.1), "r": slider("Seed", 0, self.config.r - 1, 0)}

    def build(self, figure):
        rows = len(self.config.weight_decays)
        self.axes = figure.subplots(rows, len(self.config.sizes), sharex=True, sharey=True).ravel()
        figure.get_layout_engine().set(rect=(0, 0, 0.87, 1))        # room for the colours' scale
        styles = [("blue", "o"), ("vermillion", "s"), ("green", "^"), ("purple", "D")]
        self.lines, self.images, self.sides, self.names, self.rises = [], [], [], [], []
        for axes, (colour, marker) in zip(self.axes, styles):
            self.build_axes(axes, COLOURS[colour], marker)
        self.scale = self.build_scale(figure)
        self.show_shape("lines")
        return [*self.images, *self.lines, *[side for pair in self.sides for side in pair], *self.rises, *self.names]

    def build_axes(self, axes, colour, marker):
        c = self.config
        axes.set_title(" ")                                         # room for the label that changes
        self.lines.append(axes.plot([], [], color=colour, marker=marker, markevery=4)[0])
        self.images.append(axes.imshow(np.zeros((2, 2)), extent=(-c.far, c.far, -c.far, c.far), origin="lower", aspect="auto",
                                       vmin=np.log10(LOSSES[0]), vmax=np.log10(LOSSES[1]), cmap="cividis"))
        self.sides.append([axes.axvline(x, color=COLOURS["black"], linewidth=1.2, linestyle=":") for x in (-1, 1)])
        self.names.append(label(axes, 0.5, 1.03, transform=axes.transAxes, ha="center", va="bottom", fontsize=15))
        self.rises.append(label(axes, 0.5, 0.93, transform=axes.transAxes, ha="center", va="top", fontsize=13))

    def build_scale(self, figure):
        """The colours' scale, seen beside planes alone."""
        axes = figure.add_axes((0.885, 0.2, 0.022, 0.6))
        bar = figure.colorbar(self.images[0], cax=axes, ticks=[-2, -1, 0, 1])
        bar.ax.set_yticklabels(["0.01", "0.1", "1", "10"])
        bar.ax.set_title("loss", fontsize=13)
        return axes

    def show_shape(self, shape):
        """Lines have the loss as their height, planes as their colour."""
        self.shape, c = shape, self.config
        for k, axes in enumerate(self.axes):
            last, first = k >= len(self.axes) - len(c.sizes), k % len(c.sizes) == 0
            axes_style(axes, "α" if last else "", ("training loss" if shape == "lines" else "β") if first else "")
            axes.set(xlim=(-c.far, c.far), yscale="log" if shape == "lines" else "linear")
            axes.set(ylim=LOSSES if shape == "lines" else (-c.far, c.far))
            axes.set_yticks(*(([0.01, 0.1, 1, 10], ["0.01", "0.1", "1", "10"]) if shape == "lines" else ([-1, 0, 1],)))
            axes.minorticks_off()
        for artists, seen in ((self.images, "planes"), (self.lines, "lines"), (sum(self.sides, []), "lines"), (self.rises, "lines"),
                              ([self.scale], "planes")):
            for artist in artists:
                artist.set_visible(shape == seen)
        self.redraw_background()

    def compute(self, shape, kind, at, r):
        draw = landscapes.line if shape == "lines" else landscapes.plane
        for k, solutions in enumerate(self.solutions):
            key = shape, kind, r, k
            if key not in self.kept:
                for done, found in draw(self.config, solutions, r, POINTS[shape], KINDS[kind]):
                    yield (k + 0.99 * done) / len(self.grid), (shape, kind, at, r, {**self.found(shape, kind, r), k: found})
                self.kept[key] = found
        yield 1.0, (shape, kind, at, r, self.found(shape, kind, r))

    def found(self, shape, kind, r):
        """What is drawn already: place of the grid -> Slice."""
        return {k: self.kept[shape, kind, r, k] for k in range(len(self.grid)) if (shape, kind, r, k) in self.kept}

    def update(self, result):
        shape, kind, at, r, found = result
        if shape != self.shape:
            self.show_shape(shape)
        for k, (decay, _) in enumerate(self.grid):
            self.names[k].set_text(landscapes.title(decay, self.solutions[k], r))
            self.show(k, shape, at, found.get(k))
        return self.reading_of(shape, kind, at, r, found)

    def show(self, k, shape, at, found):
        for side, x in zip(self.sides[k], (-at, at)):
            side.set_xdata([x, x])
        if shape == "planes":
            empty = np.full((2, 2), np.nan)
            self.images[k].set_data(empty if found is None else np.log10(found.loss.T))
            return
        self.lines[k].set_data(*([[], []] if found is None else (found.alphas, found.loss)))
        self.rises[k].set_text("" if found is None else f"rises by {landscapes.rise(found, at):.2g}")

    def reading_of(self, shape, kind, at, r, found):
        errors = " / ".join(landscapes.title(d, s, r) for (d, _), s in zip(self.grid, self.solutions))
        if len(found) < len(self.grid):
            return f"Seed {r}, {kind} {shape}: drawing. Weight decay, batch size, test error: {errors}."
        if shape == "planes":
            widest = " / ".join(f"{np.nanmean(found[k].loss <= 1):.0%}" for k in found)
            return f"Seed {r}, {kind} planes. Weight decay, batch size, test error: {errors}. Share of the plane with a loss up to 1: {widest}."
        rises = " / ".join(f"{landscapes.rise(found[k], at):.2g}" for k in sorted(found))
        return f"Seed {r}, {kind} lines. Weight decay, batch size, test error: {errors}. Rise at α = ±{at:g}: {rises}."

    def reached(self, result):
        shape, kind, at, r, found = result
        if shape != "lines" or len(found) < len(self.grid):
            return False
        errors = [s.test_error[r] for s in self.solutions]
        rises = [landscapes.rise(found[k], at) for k in range(len(self.grid))]
        return bool(errors[int(np.argmax(rises))] == min(errors))
