"""Lesson 09's second panel: the loss around four solutions, as in Li's figure 3: weight decay, batch size and test error above each."""

from dataclasses import replace

import numpy as np

from ..experiments import landscapes
from .base import Panel, choice, slider, toggle
from .label import label
from .style import COLOURS, axes_style, given

KINDS = {"filter-normalised": True, "raw": False}
REACHES = (0.1, 0.2, 0.4, 0.6, 0.8, 1.0)            # how far out to look; 1 is Li's
POINTS = {"lines": 21, "planes": 15}
LOSSES = (0.005, 50)                                # of the colours
TOPS = [a * 10.0**k for k in range(-4, 3) for a in (1, 2, 5)]


class Landscapes(Panel):
    """Weight decay down, batch size across; along one direction or over two."""

    title = "The loss around four solutions; above each: weight decay, batch size, test error"
    task = ("Find a view of lines in which a network with the lowest test error of the four looks sharpest: "
            "its loss rises most from the middle to the two ends.")
    size = (860, 520)
    colours = 128

    def __init__(self, config=landscapes.SMALL):
        given("config", config, landscapes.Config)
        self.config, self.kept = config, {}         # kept: (shape, kind, at, r, place of the grid) -> Slice
        self.grid = [(d, B) for d in config.weight_decays for B in config.sizes]
        self.solutions = [landscapes.trained(config, d, B) for d, B in self.grid]
        self.shape, self.at, self.top = "lines", 1.0, 1.0
        super().__init__()

    def controls(self):
        return {"shape": toggle("Draw", list(POINTS), "lines"), "kind": toggle("Direction", list(KINDS), "filter-normalised"),
                "at": choice("Look out to α = ±", REACHES, 0.1), "r": slider("Seed", 0, self.config.r - 1, 0)}

    def build(self, figure):
        rows = len(self.config.weight_decays)
        self.axes = figure.subplots(rows, len(self.config.sizes), sharex=True, sharey=True).ravel()
        figure.get_layout_engine().set(rect=(0, 0, 0.87, 0.98))        # room for the colours' scale
        styles = [("blue", "o"), ("vermillion", "s"), ("green", "^"), ("purple", "D")]
        self.lines, self.images, self.names, self.rises = [], [], [], []
        for axes, (colour, marker) in zip(self.axes, styles):
            self.build_axes(axes, COLOURS[colour], marker)
        self.scale = self.build_scale(figure)
        self.show_limits("lines", 1.0, 1.0)
        return [*self.images, *self.lines, *self.rises, *self.names]

    def build_axes(self, axes, colour, marker):
        axes.set_title(" ")                                         # room for the label that changes
        self.lines.append(axes.plot([], [], color=colour, marker=marker, markevery=2)[0])
        self.images.append(axes.imshow(np.zeros((2, 2)), extent=(-1, 1, -1, 1), origin="lower", aspect="auto",
                                       vmin=np.log10(LOSSES[0]), vmax=np.log10(LOSSES[1]), cmap="cividis"))
        self.names.append(label(axes, 0.5, 1.03, transform=axes.transAxes, ha="center", va="bottom", fontsize=15))
        self.rises.append(label(axes, 0.5, 0.93, transform=axes.transAxes, ha="center", va="top", fontsize=13))

    def build_scale(self, figure):
        """The colours' scale, seen beside planes alone."""
        axes = figure.add_axes((0.885, 0.2, 0.022, 0.6))
        bar = figure.colorbar(self.images[0], cax=axes, ticks=[-2, -1, 0, 1])
        bar.ax.set_yticklabels(["0.01", "0.1", "1", "10"])
        bar.ax.set_title("loss", fontsize=13)
        return axes

    def show_limits(self, shape, at, top):
        """Lines have the rise as their height, up to `top`, all four the same; planes have the loss as their colour."""
        self.shape, self.at, self.top = shape, at, top
        columns = len(self.config.sizes)
        low, high, name = (-0.15 * top, 1.25 * top, "rise of the loss") if shape == "lines" else (-at, at, "β")
        for k, axes in enumerate(self.axes):
            axes_style(axes, "α" if k >= len(self.axes) - columns else "", name if k % columns == 0 else "")
            axes.set(xlim=(-at, at), ylim=(low, high))
            axes.set_xticks([-at, 0, at], [f"{-at:g}", "0", f"{at:g}"])
            axes.set_yticks(*(([0, top], ["0", f"{top:g}"]) if shape == "lines" else ([-at, 0, at], [f"{-at:g}", "0", f"{at:g}"])))
            self.images[k].set_extent((-at, at, -at, at))
        for artists, seen in ((self.images, "planes"), (self.lines, "lines"), (self.rises, "lines"), ([self.scale], "planes")):
            for artist in artists:
                artist.set_visible(shape == seen)
        self.redraw_background()

    def compute(self, shape, kind, at, r):
        draw = landscapes.line if shape == "lines" else landscapes.plane
        near = replace(self.config, near=at / 10, far=at)               # the same directions, looked at out to `at`
        for k, solutions in enumerate(self.solutions):
            key = shape, kind, at, r, k
            if key not in self.kept:
                for done, found in draw(near, solutions, r, POINTS[shape], KINDS[kind]):
                    yield (k + 0.99 * done) / len(self.grid), (shape, kind, at, r, {**self.found(shape, kind, at, r), k: found})
                self.kept[key] = found
        yield 1.0, (shape, kind, at, r, self.found(shape, kind, at, r))

    def found(self, shape, kind, at, r):
        """What is drawn already: place of the grid -> Slice."""
        return {k: self.kept[shape, kind, at, r, k] for k in range(len(self.grid)) if (shape, kind, at, r, k) in self.kept}

    def update(self, result):
        shape, kind, at, r, found = result
        top = self.top_of(found) if shape == "lines" else self.top
        if (shape, at, top) != (self.shape, self.at, self.top):
            self.show_limits(shape, at, top)
        for k, (decay, _) in enumerate(self.grid):
            self.names[k].set_text(landscapes.title(decay, self.solutions[k], r))
            self.show(k, shape, found.get(k))
        return self.reading_of(shape, kind, at, r, found)

    def top_of(self, found):
        """The height that four whole lines need; while they are drawn, it stays unless they need more."""
        highest = max((np.nanmax(above(f)) for f in found.values()), default=0)
        top = next((t for t in TOPS if t >= highest), TOPS[-1])
        return top if len(found) == len(self.grid) else max(top, self.top)

    def show(self, k, shape, found):
        if shape == "planes":
            self.images[k].set_data(np.full((2, 2), np.nan) if found is None else np.log10(found.loss.T))
            return
        self.lines[k].set_data(*([[], []] if found is None else (found.alphas, above(found))))
        mean = None if found is None else landscapes.rise(found, found.alphas[-1])
        self.rises[k].set_text("" if mean is None or np.isnan(mean) else
                               f"rises by {mean:.2g}, from {found.loss[len(found.loss) // 2]:.2g}")

    def reading_of(self, shape, kind, at, r, found):
        errors = " / ".join(landscapes.title(d, s, r) for (d, _), s in zip(self.grid, self.solutions))
        if len(found) < len(self.grid):
            return f"Seed {r}, {kind} {shape}: drawing. Weight decay, batch size, test error: {errors}."
        if shape == "planes":
            widest = " / ".join(f"{np.nanmean(found[k].loss <= 1):.0%}" for k in found)
            return (f"Seed {r}, {kind} planes. Weight decay, batch size, test error: {errors}. "
                    f"Share of the plane with a loss up to 1: {widest}.")
        rises = " / ".join(f"{landscapes.rise(found[k], at):.2g}" for k in sorted(found))
        return f"Seed {r}, {kind} lines. Weight decay, batch size, test error: {errors}. Rise at α = ±{at:g}: {rises}."

    def reached(self, result):
        shape, kind, at, r, found = result
        if shape != "lines" or len(found) < len(self.grid):
            return False
        errors = [s.test_error[r] for s in self.solutions]
        rises = [landscapes.rise(found[k], at) for k in range(len(self.grid))]
        return bool(errors[int(np.argmax(rises))] == min(errors))


def above(found):
    """What a line draws: the loss less that in the middle, or less the lowest so far while the middle is not there."""
    middle = found.loss[len(found.loss) // 2]
    return found.loss - (np.nanmin(found.loss) if np.isnan(middle) else middle)
