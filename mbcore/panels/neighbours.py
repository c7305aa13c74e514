"""Lesson 06's second panel: 31, 32 and 33 examples, timed in turns, and the interval of what the power of two gains."""

from dataclasses import replace

import numpy as np

from ..experiments import powers_of_two
from .base import Panel, choice, toggle
from .label import label
from .style import COLOURS, axes_style, given

POWERS = (8, 16, 32, 64, 128, 256)
WIDTHS = (32, 64, 128, 256, 512)
ROUNDS, ROUND = (6, 12, 25, 50, 100), 0.03      # seconds at most that a round of the three may take
MARGIN = powers_of_two.MARGIN
VIEWS = {"a step": "step time / neighbours' mean", "an example": "example time / that at n"}


class Neighbours(Panel):
    """n, the width J and the rounds in which the three are timed; another view redraws only. What was measured with this J is kept."""

    title = "Is a power of two faster than its neighbours?"
    task = (f"Settle all six powers, at one J: a power is settled when its whole interval lies above, or below, {100 * MARGIN:.0f} %. "
            "How many rounds does it take?")
    size = (900, 430)

    def __init__(self, config=powers_of_two.Config(i=64)):
        given("config", config, powers_of_two.Config)
        self.config, self.under_way, self.found = config, {}, {}        # found: (J, n) -> (rounds, whole, Result)
        super().__init__()

    def controls(self):
        return {"n": choice("Power of two n", POWERS, 32), "j": choice("Hidden units J", WIDTHS, self.config.j),
                "rounds": choice("Rounds of measuring", ROUNDS, ROUNDS[0]), "view": toggle("Show the time of", list(VIEWS), "a step")}

    # ------------------------------------------------------------ the figure

    def build(self, figure):
        self.three, self.gains = figure.subplots(1, 2, width_ratios=(1, 1.25))
        axes_style(self.three, "batch size B", VIEWS["a step"])
        self.three.set(xlim=(-0.6, 2.6), ylim=(0.68, 1.32), xticks=[0, 1, 2], xticklabels=[" "] * 3, yticks=[0.8, 0.9, 1, 1.1, 1.2])
        axes_style(self.gains, "power of two n", "gain over the neighbours, %")
        self.gains.set(xlim=(-0.6, 5.6), ylim=(-45, 45), xticks=range(6), xticklabels=map(str, POWERS), yticks=[-40, -20, 0, 10, 20, 40])
        self.gains.axhspan(100 * MARGIN, 45, color=COLOURS["yellow"], alpha=0.25, linewidth=0)
        self.gains.text(5.5, 43, "counts as a gain", ha="right", va="top", fontsize=14)
        self.gains.set_title("bars: 95 % intervals; white: not settled", fontsize=13)
        moving = [*self.build_three(), *self.build_gains()]
        figure.legend(handles=[self.straight, self.quartiles[0]], loc="outside upper left", ncols=2, columnspacing=1, handlelength=1.5,
                      borderaxespad=0)
        return moving

    def build_three(self):
        axes = self.three
        self.straight, = axes.plot([], [], "--", color=COLOURS["black"], linewidth=1.5)
        self.quartiles = [axes.plot([], [], color=COLOURS["sky"], linewidth=6, solid_capstyle="butt")[0] for _ in range(3)]
        self.points = [axes.plot([], [], marker, color=COLOURS[colour], markersize=12, markeredgecolor="black")[0]
                       for marker, colour in (("o", "blue"), ("D", "vermillion"), ("o", "blue"))]
        self.names = [label(axes, k, 0.665, ha="center", va="top", fontsize=14) for k in range(3)]
        self.word = label(axes, 0.5, 0.97, transform=axes.transAxes, ha="center", va="top", fontsize=14)
        self.straight.set_label("straight line")
        self.quartiles[0].set_label("middle half of the steps")
        return [self.straight, *self.quartiles, *self.points, *self.names, self.word]

    def build_gains(self):
        axes = self.gains
        axes.axhline(0, color=COLOURS["black"], linewidth=1.2)
        self.bars = [axes.plot([], [], color=COLOURS["blue"], linewidth=5, solid_capstyle="butt")[0] for _ in POWERS]
        self.middles = [axes.plot([], [], "D", markersize=10, markeredgecolor="black")[0] for _ in POWERS]
        return [*self.bars, *self.middles]

    # ------------------------------------------------------------ from a key press to a picture

    def compute(self, n, j, rounds, view):
        """Measure, unless this has been measured in as many rounds. Another view does not begin the measurement anew: it goes on."""
        key = (j, n, rounds)
        if key not in self.under_way and self.found.get((j, n), (None, False))[:2] != (rounds, True):
            config = replace(self.config, powers=(n,), j=j, rounds=rounds, budget=ROUND * rounds)
            self.under_way = {key: powers_of_two.running(config)}
        while key in self.under_way:
            try:
                fraction, result = next(self.under_way[key])
            except Exception:
                del self.under_way[key]
                raise
            self.found[j, n] = rounds, fraction == 1, result
            if fraction == 1:
                del self.under_way[key]
            yield fraction, (n, j, view)
        yield 1.0, (n, j, view)

    def update(self, result):
        n, j, view = result
        self.three.set_ylabel(VIEWS[view])
        self.turn(view)
        found = self.found[j, n][-1]
        self.show_three(n, found, view)
        settled = self.settled(j)
        for k, power in enumerate(POWERS):
            self.show_gain(k, "vermillion" if power == n else "blue", power in settled, self.found.get((j, power), (None,))[-1])
        return self.reading_of(n, j, found)

    def reached(self, result):
        return len(self.settled(result[1])) == len(POWERS)

    def settled(self, j):
        """The powers whose whole interval lies on one side of the margin."""
        kept = {n: found.alone[0] for (width, n), (_, whole, found) in self.found.items() if width == j and whole and found.alone}
        return {n: low > MARGIN for n, (low, high) in kept.items() if low > MARGIN or high < MARGIN}

    def show_three(self, n, found, view):
        sizes = np.array([n - 1, n, n + 1])
        t = np.array(found.seconds[0]) if found.powers else np.full(3, np.nan)
        each = 1 if view == "a step" else sizes
        one = (t[0] + t[2]) / 2 if view == "a step" else t[1] / n
        quartiles = np.array(found.measured.quartiles).T / each / one if found.powers else np.full((2, 3), np.nan)
        for k in range(3):
            self.points[k].set_data([k], [(t / each / one)[k]])
            self.quartiles[k].set_data([k, k], quartiles[:, k])
            self.names[k].set_text(str(sizes[k]))
        self.straight.set_data([0, 2], (t / each / one)[[0, 2]])
        self.word.set_text("" if found.powers else "too slow to measure")

    def show_gain(self, k, colour, settled, found):
        bar, middle = self.bars[k], self.middles[k]
        there = found is not None and bool(found.powers)
        bar.set_data([k, k] if there else [], np.clip(100 * np.array(found.alone[0]), -99, 99) if there else [])
        middle.set_data([k] if there else [], [100 * found.gain[0]] if there else [])
        bar.set_color(COLOURS[colour])
        middle.set_markerfacecolor(COLOURS[colour] if settled else "white")

    def reading_of(self, n, j, found):
        if not found.powers:
            return f"n = {n}, J = {j}: a step takes too long on this machine to be measured here."
        low, high = found.alone[0]
        times = ", ".join(f"{1e6 * t:,.0f}" for t in found.seconds[0])
        settled = self.settled(j)
        return (f"J = {j}: batches of {n - 1}, {n}, {n + 1} take {times} µs. Gain of {n}: {100 * found.gain[0]:.1f} % "
                f"(95 %: {_percent(low)} to {_percent(high)}), from {len(found.measured.rounds)} rounds. "
                f"Settled: {len(settled)} of 6, {sum(settled.values())} of them a gain.")


def _percent(x):
    return f"{100 * x:.1f} %" if np.isfinite(x) and x > -1 else "anything"
