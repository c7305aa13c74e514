"""Lesson 10's panel: perplexity against the batch size at a fixed number of characters, with its floor; RoBERTa's table beside it."""

from dataclasses import replace

import numpy as np

from ..experiments.perplexity import PUBLISHED, Config, running
from .base import Panel, choice, toggle
from .label import label
from .style import COLOURS, axes_style, given

CONFIG = Config(sizes=tuple(2**k for k in range(2, 12)), examples=2**12)
CHARACTERS = tuple(2**k for k in range(11, 15))
MODES = ("the same for every B", "retuned at each B", "in RoBERTa's proportions")
LOOKS = (("o-", "vermillion"), ("s-", "green"), ("D--", "purple"))      # of each mode
SHOWN = (4, 16, 64, 256, 1024)          # batch sizes with a tick
LOW, HIGH = 3.3, 10.5                   # of the perplexity; what is above is a triangle at the top


class Perplexity(Panel):
    """The rate, what it is for the other batch sizes, and how many characters; one sweep trains every rate at each B, the largest
    B first. The thin lines are the other rates."""

    title = "Perplexity against the batch size, at a fixed number of characters"
    task = ("Find a rate, the same for every B, at which perplexity falls and then rises, beyond doubt, as in RoBERTa's table. "
            "Then give each B its own best rate. What is left?")
    size = (900, 450)

    def __init__(self, config=CONFIG, lr=1 / 16):
        given("config", config, Config)
        self.config, self.lr, self.sweeps, self.newest, self.found = config, lr, {}, {}, set()
        super().__init__()

    def controls(self):
        rates = [(f"{lr:.3g}", lr) for lr in self.config.lrs]
        return {"lr": choice("Learning rate", rates, self.lr),
                "N": choice("Characters seen", sorted({*CHARACTERS, self.config.examples}), self.config.examples),
                "mode": toggle("Rate", list(MODES), MODES[0])}

    def build(self, figure):
        self.axes, published = figure.subplots(1, 2, width_ratios=(2.2, 1))
        self.build_published(published)
        return self.build_ours(self.axes)

    def build_ours(self, axes):
        c, A = self.config, 9
        axes_style(axes, "batch size B (grey: steps)", "held-out perplexity")
        axes.set(xscale="log", yscale="log", xlim=(c.sizes[0] / 1.3, c.sizes[-1] * 1.3), ylim=(LOW, HIGH))
        axes.set_xticks(SHOWN, labels=map(str, SHOWN))
        axes.set_yticks([4, 5, 6, 7, 8, 9], labels=["4", "5", "6", "7", "8", "9"])
        axes.minorticks_off()
        axes.xaxis.labelpad = 26                # room for the steps
        axes.axhline(A, color=COLOURS["black"], linewidth=1.5, linestyle=":")
        axes.text(c.sizes[0] * 1.6, A * 1.005, f"knows nothing: {A}", fontsize=13, va="bottom")
        self.floor = axes.axhline(1, color=COLOURS["black"], linewidth=2.5, linestyle="--")
        self.floor_says = label(axes, c.sizes[-1] * 1.2, 1, fontsize=13, va="top", ha="right")
        self.steps = [label(axes, B, -0.115, transform=axes.get_xaxis_transform(), ha="center", va="center", fontsize=13,
                            color=COLOURS["grey"]) for B in SHOWN]
        self.others = [axes.plot([], [], "-", color="#BBBBBB", linewidth=1)[0] for _ in c.lrs]
        self.bars, = axes.plot([], [], "-", linewidth=1.5)
        self.line, = axes.plot([], [])
        self.off, = axes.plot([], [], "^", markersize=10)
        return [*self.others, self.floor, self.floor_says, *self.steps, self.bars, self.line, self.off]

    def build_published(self, axes):
        axes_style(axes, "batch size (sequences)", "masked perplexity")
        B, _, lrs, perplexity = zip(*PUBLISHED)
        axes.plot(B, perplexity, "D--", color=COLOURS["purple"], markersize=9)
        axes.set(xscale="log", xlim=(130, 16_000), ylim=(3.5, 4.1), yticks=[3.6, 3.8, 4.0])
        axes.set_xticks(B, labels=["256", "2K", "8K"])
        axes.minorticks_off()
        axes.set_title("RoBERTa, published")
        for x, y, lr, ha, va in zip(B, perplexity, lrs, ("left", "center", "center"), ("bottom", "top", "bottom")):
            place = (x * (0.7 if ha == "left" else 1), y + (0.015 if va == "bottom" else -0.02))
            axes.text(*place, f"{y}\nrate {lr:g}", ha=ha, va=va, fontsize=13)
        axes.text(0.03, 0.03, "floor: not known", transform=axes.transAxes, fontsize=13)

    def compute(self, lr, N, mode):
        done, result = self.newest.get(N, (0, None))
        return (lr, mode, result) if done >= 1 else self.sweeping(lr, N, mode)

    def sweeping(self, lr, N, mode):
        """Pull the sweep over N characters further; another rate or mode goes on where the last one stopped."""
        if N not in self.sweeps:
            sizes = tuple(B for B in self.config.sizes if B <= N)
            self.sweeps[N] = running(replace(self.config, examples=N, sizes=sizes))
        while self.newest.get(N, (0,))[0] < 1:
            self.newest[N] = next(self.sweeps[N])
            yield self.newest[N][0], (lr, mode, self.newest[N][1])

    def update(self, result):
        lr, mode, r = result
        self.floor.set_ydata([r.floor] * 2)
        self.floor_says.set_y(0.99 * r.floor)
        self.floor_says.set_text(f"floor exp(H) = {r.floor:.2f}: no model is below, on average")
        for text, B in zip(self.steps, SHOWN):
            text.set_text(f"{-(-r.characters // B):,}" if B <= r.characters else "")
        for line, rate in zip(self.others, r.lrs):
            line.set_data(r.sizes, np.minimum(r.perplexity(rate)[0], 2 * HIGH))
        self.show(MODES.index(mode), lr, r)
        return self.reading_of(MODES.index(mode), lr, r)

    def show(self, mode, lr, r):
        style, colour = LOOKS[mode]
        for line in self.bars, self.line, self.off:
            line.set_color(COLOURS[colour])
        self.line.set_linestyle(style[1:])
        self.line.set_marker(style[0])
        if mode == 2:
            gap = [np.nan]
            rows = [([B, 8 * B, 32 * B], perplexities) for B, rate, perplexities in r.like_published() if rate == lr]
            B, mean = (np.concatenate([[], *(np.append(row[k], gap) for row in rows)]) for k in (0, 1))
            low = high = mean
        else:
            B, (mean, low, high) = np.array(r.sizes, float), r.perplexity(None if mode else lr)
        above = ~(mean <= HIGH) & ~np.isnan(B)
        self.line.set_data(B, np.where(above, 2 * HIGH, mean))
        self.off.set_data(B[above], np.full(above.sum(), 0.975 * HIGH))
        ends = np.stack([low, high, np.full(len(B), np.nan)], axis=1).clip(LOW, 2 * HIGH)
        self.bars.set_data(np.repeat(B[~above], 3), ends[~above].ravel())

    def reading_of(self, mode, lr, r):
        start = f"{r.characters:,} characters, "
        if mode == 2:
            return start + self.reading_of_proportions(lr, r)
        mean = r.perplexity(None if mode else lr)[0]
        best = mean.argmin()
        rates = f"its own rate at each B, {r.chosen[0]:.3g} to {r.chosen[-1]:.3g}" if mode else f"rate {lr:.3g} for every B"
        points = ", ".join(f"{_number(mean[k])} at B = {r.sizes[k]}" for k in sorted({0, int(best), len(mean) - 1}))
        return f"{start}{rates}: perplexity {points}; floor {r.floor:.2f}. {self.shape_of(mode, lr, r)}"

    def shape_of(self, mode, lr, r):
        if not r.verdicts:
            return "More batch sizes are to come."
        falls, rises = r.shape(None if mode else lr)
        if mode or (falls and rises):
            self.found.add(mode)
        return ("It falls, and then rises, beyond doubt." if falls and rises else "It only falls." if falls
                else "It rises; a fall is not seen beyond doubt." if rises else "It neither falls nor rises beyond doubt.")

    def reading_of_proportions(self, lr, r):
        rows = [(B, perplexities) for B, rate, perplexities in r.like_published() if rate == lr]
        if not rows:
            return f"rates η, 8η, 8η at B, 8B, 32B: with η = {lr:.3g}, 8η is no rate tried, or not all are done. Take a smaller η."
        B, perplexities = rows[0]
        ours = ", ".join(map(_number, perplexities))
        falls = "" if any(p[1] < 0.99 * p[0] for _, p in rows) else " No line falls from its first point to its second, as RoBERTa's does."
        return (f"rates η, 8η, 8η at B, 8B, 32B with η = {lr:.3g}: from B = {B}, perplexity {ours}; "
                f"RoBERTa's {', '.join(f'{row[-1]}' for row in PUBLISHED)}.{falls}")

    def reached(self, result):
        return {0, 1} <= self.found


def _number(perplexity):
    return f"{perplexity:.2f}" if perplexity <= HIGH else f"over {HIGH:g}"
