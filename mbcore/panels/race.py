"""Lesson 04's second panel: two steps of 5 against one of 10, rate by rate, drawn while they race."""

from dataclasses import replace

import numpy as np
from matplotlib.collections import LineCollection

from ..experiments import race
from .base import Panel, choice, toggle
from .label import label
from .style import COLOURS, axes_style, given

RATES = (1 / 16, 1 / 8, 1 / 4, 1 / 2, 1.0, 2.0, 4.0)
STARTS = {"the start": 0, "30 passes of training": 30}
PACES = {"the same rate": 1.0, "twice the rate": 2.0}
LIMITS = {0: (0.08, 6), 30: (0.008, 6)}          # of the loss
TICKS = {0: (0.1, 0.3, 1, 3), 30: (0.01, 0.1, 1)}
LOOK = {1.0: ("o", "blue"), 2.0: ("s", "green")}


class TwoStepsOrOne(Panel):
    """Learning rate, where the race starts, and the rate of the single step; each race stays on the right when it is run."""

    title = "Two steps of 5, or one step of 10 on the same examples"
    task = ("At the same rate for both, find a learning rate at which one step of 10 surely ends lower, its interval below the line: "
            "once from the start, and once after 30 passes of training.")
    size = (900, 450)

    def __init__(self, config=replace(race.SMALL, looks=5)):
        given("config", config, race.Config)
        self.config, self.starts, self.raced = config, {}, {}
        super().__init__()

    def controls(self):
        return {"rate": choice("Learning rate", [(f"{rate:g}", rate) for rate in RATES], 0.25),
                "start": toggle("Race from", list(STARTS), "the start"), "pace": toggle("One step of 10 at", list(PACES), "the same rate")}

    def build(self, figure):
        self.losses, self.gains = figure.subplots(1, 2, width_ratios=(1.1, 1))
        return [*self.build_losses(self.losses), *self.build_gains(self.gains)]

    def build_losses(self, axes):
        axes_style(axes, "examples seen in the race", "training loss")
        axes.set(yscale="log", xlim=(0, 1450), xticks=[0, 500, 1000])
        axes.yaxis.set_label_coords(-0.16, 0.5)             # room for the widest ticks of both starts
        axes.set_title("thin: the 16 networks, thick: their mean", fontsize=13, loc="left")
        self.arms = []
        for colour, style, marker in (("vermillion", "-", "^"), ("black", "--", "o")):
            seeds = axes.add_collection(LineCollection([], colors=COLOURS[colour], linewidths=0.8, alpha=0.4))
            mean, = axes.plot([], [], color=COLOURS[colour], linestyle=style, marker=marker, markersize=9, linewidth=3)
            self.arms.append((seeds, mean))
        legend = ("\u25b2\n ", "vermillion"), (" \n\u25cf", "black"), ("    two steps of 5\n    one step of 10", "black")
        names = [label(axes, 0.03, 0.04, text, color=COLOURS[colour], va="bottom", fontsize=14, transform=axes.transAxes)
                 for text, colour in legend]
        return [*(artist for arm in self.arms for artist in arm), *names]

    def build_gains(self, axes):
        axes_style(axes, "learning rate of the two steps", "loss of one step / of two")
        axes.set(xscale="log", yscale="log", xlim=(0.045, 5.6), ylim=(0.05, 8),
                 xticks=RATES[::2], xticklabels=[f"{rate:g}" for rate in RATES[::2]],
                 yticks=[1 / 16, 1 / 4, 1, 4], yticklabels=["1/16", "1/4", "1", "4"])
        axes.minorticks_off()
        axes.axhline(1, color=COLOURS["black"], linewidth=1.5)
        axes.text(0.02, 0.98, "two steps end lower", transform=axes.transAxes, va="top", fontsize=13)
        axes.text(0.02, 0.02, "one step ends lower", transform=axes.transAxes, fontsize=13)
        axes.set_title("\u25cf same rate  \u25a0 twice;  bars: 99 %", fontsize=13, loc="left")
        self.series = {}
        for factor, (marker, colour) in LOOK.items():
            bars = axes.add_collection(LineCollection([], colors=COLOURS[colour], linewidths=2.5))
            points, = axes.plot([], [], marker, color=COLOURS[colour], markersize=9)
            self.series[factor] = bars, points
        self.here, = axes.plot([], [], "D", color=COLOURS["purple"], markersize=17, fillstyle="none", markeredgewidth=2.5)
        return [*(artist for pair in self.series.values() for artist in pair), self.here]

    def compute(self, rate, start, pace):
        key = rate, STARTS[start], PACES[pace]
        if key in self.raced:
            return key, self.raced[key]
        return self.racing(key)

    def racing(self, key):
        rate, before, factor = key
        config = replace(self.config, rates=(rate,), factor=factor, before=(before,))
        for done, found in race.racing(config, self.starts.get(before)):
            yield done, (key, found)

    def update(self, result):
        key, found = result
        rate, before, factor = key
        if found.same:                          # it is over
            self.raced[key], self.starts[before] = found, found.start
        self.show_start(before)
        self.show_losses(found)
        self.show_gains(key)
        where = "from the start" if not before else f"after {before} passes"
        if not found.examples.size:
            return f"The {self.config.seeds} networks are trained for {before} passes before the race."
        two, one = (np.exp(np.log(arm[-1]).mean()) for arm in (found.several, found.one))
        said = (f"Learning rate {rate:g}{f', one step at {factor * rate:g}' if factor > 1 else ''}, {where}: after "
                f"{found.examples[-1]:,} examples the loss is {two:.2g} with two steps of 5 and {one:.2g} with one step of 10.")
        return f"{said} {self.compared(found)}" if found.same else said

    def compared(self, found):
        """The ratio with its interval, and each arm at the best rate it was raced at."""
        same = found.same[0]
        ratio = "Loss of one step / of two: {:.2f}, 99 % interval {:.2f} to {:.2f}.".format(*np.exp([same.mean, same.low, same.high]))
        raced = [other for (_, before, factor), other in self.raced.items() if before == found.before and factor == 1]
        if len(raced) < 2:
            return ratio
        two, one, gain = race.joined(raced).best
        low, high = np.exp([gain.low, gain.high])
        return f"{ratio} Each at its best rate so far, {two:g} for two steps and {one:g} for one: {low:.2f} to {high:.2f}."

    def reached(self, result):
        won = {before for (_, before, factor), found in self.raced.items() if factor == 1 and found.same[0].sign < 0}
        return won == set(STARTS.values())

    def show_start(self, before):
        if before != self.face:
            self.losses.set(ylim=LIMITS[before], yticks=TICKS[before], yticklabels=[f"{tick:g}" for tick in TICKS[before]])
            self.losses.minorticks_off()
            self.turn(before)

    def show_losses(self, found):
        for (seeds, mean), losses in zip(self.arms, (found.several, found.one)):
            lines = losses[:, 0].T if losses.size else []              # one rate: [seed, look]
            seeds.set_segments([np.column_stack([found.examples, line]) for line in lines])
            mean.set_data(found.examples, np.exp(np.log(lines).mean(axis=0)) if losses.size else [])

    def show_gains(self, key):
        rate, before, factor = key
        for each, (bars, points) in self.series.items():
            shown = {r: found.same[0] for (r, b, f), found in self.raced.items() if b == before and f == each}
            x = {r: r * (1.06 if each > 1 else 1 / 1.06) for r in shown}        # beside each other
            points.set_data(list(x.values()), [np.exp(s.mean) for s in shown.values()])
            bars.set_segments([[(x[r], np.exp(s.low)), (x[r], np.exp(s.high))] for r, s in shown.items()])
        now = self.raced.get(key)
        self.here.set_data(*([rate * (1.06 if factor > 1 else 1 / 1.06)], [np.exp(now.same[0].mean)]) if now else ([], []))
