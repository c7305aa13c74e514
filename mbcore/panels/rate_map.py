"""Lesson 08's second panel: the loss for every learning rate and batch size, filled in column by column."""

from dataclasses import replace

import numpy as np
from matplotlib.colors import LogNorm

from ..experiments.scaling_rules import Config, mapping
from .base import Panel, choice
from .style import COLOURS, given

EPOCHS = (1, 2, 3, 5)
OPENS, ASKED = 3, 5     # passes: of the first picture, and of the task
NEAR = 2                # a loss within so many times the lowest of the map counts as near it


class RateMap(Panel):
    """Colour: training loss after some passes. Rings: the best rate for each B. A cursor to point at a cell."""

    title = "Training loss after a few passes, for each batch size and learning rate"
    task = f"After {ASKED} passes, point at the largest batch size that comes within {NEAR:g} times the lowest loss of the map, at its best rate."
    size = (880, 430)
    colours = 64

    def __init__(self, config=Config()):
        given("config", config, Config)
        self.config, self.maps = config, {}
        super().__init__()

    def controls(self):
        c = self.config
        return {"epochs": choice("Passes", EPOCHS, OPENS), "B": choice("Point at B", c.sizes, c.sizes[0]),
                "lr": choice("Point at rate", c.rates, c.rates[len(c.rates) // 2])}

    def build(self, figure):
        c = self.config
        axes = figure.add_subplot()
        axes.set(xlabel="batch size B", ylabel="learning rate", xticks=range(len(c.sizes)), xticklabels=c.sizes, yticks=range(len(c.rates)),
                 yticklabels=[f"{lr:g}" for lr in c.rates], xlim=(-0.5, len(c.sizes) - 0.5), ylim=(-0.5, len(c.rates) - 0.5))
        axes.grid(False)
        axes.set_facecolor("#DDDDDD")
        self.image = axes.imshow(np.full((len(c.rates), len(c.sizes)), np.nan), aspect="auto", origin="lower", norm=LogNorm(0.03, 3), zorder=1)
        bar = figure.colorbar(self.image, ax=axes, pad=0.02, ticks=[0.03, 0.1, 0.3, 1, 3])
        bar.ax.set_yticklabels(["0.03", "0.1", "0.3", "1", "3"])
        bar.minorticks_off()
        bar.set_label("training loss")
        ring = {"markersize": 15, "markerfacecolor": "none", "zorder": 3}        # white with a dark edge: seen on every colour
        self.edge, = axes.plot([], [], "o", markeredgecolor="black", markeredgewidth=6, **ring)
        self.best, = axes.plot([], [], "o", markeredgecolor="white", markeredgewidth=3, **ring)
        self.wild, = axes.plot([], [], "x", markersize=11, color=COLOURS["vermillion"], markeredgewidth=2.5, zorder=3)
        self.cursor, = axes.plot([], [], "s", markersize=26, markerfacecolor="none", markeredgecolor=COLOURS["vermillion"], markeredgewidth=4, zorder=4)
        return [self.image, self.edge, self.best, self.wild, self.cursor]

    def compute(self, epochs, B, lr):
        if epochs in self.maps:
            yield 1.0, (self.maps[epochs], B, lr)
            return
        for done, found in mapping(replace(self.config, map_epochs=epochs)):
            if done >= 1:
                self.maps[epochs] = found["map"]
            yield done, (found["map"], B, lr)

    def update(self, result):
        found, B, lr = result
        loss = np.where(np.isinf(found.loss), np.nan, found.loss)
        self.image.set_data(np.ma.masked_invalid(np.clip(loss, 0.03, 3).T))
        columns = [k for k in range(len(found.sizes)) if np.isfinite(loss[k]).any()]
        for ring in (self.best, self.edge):
            ring.set_data(columns, [int(np.nanargmin(loss[k])) for k in columns])
        self.wild.set_data(*np.nonzero(np.isinf(found.loss) | (loss > 3)))
        k, n = found.sizes.index(B), found.rates.index(lr)
        self.cursor.set_data([k], [n])
        here, name = found.loss[k, n], f"B = {B}, learning rate {lr:g}, {found.epochs} pass{'es' * (found.epochs > 1)}"
        if np.isnan(here):
            return f"{name}: not trained yet."
        ended = "a seed diverged" if np.isinf(here) else f"training loss {here:.2g}"
        return f"{name}: {ended}. The best rate for this B is {found.rates[int(np.nanargmin(loss[k]))]:g}, with {np.nanmin(loss[k]):.2g}."

    def reached(self, result):
        found, B, lr = result
        if found.epochs != ASKED or not np.isfinite(found.loss).any(axis=1).all():
            return False
        least = np.where(np.isfinite(found.loss), found.loss, np.inf).min(axis=1)
        k = max(k for k in range(len(found.sizes)) if least[k] <= NEAR * least.min())
        return B == found.sizes[k] and found.loss[k, found.rates.index(lr)] == least[k]
