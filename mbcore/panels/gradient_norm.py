"""Lesson 05: how long a batch gradient is, and how far it points away from the full one."""

import numpy as np

from ..experiments.batch_noise import norm_curve, smallest_batch
from ..experiments.stages import NAMES
from ..experiments.variance import gradients_running
from .base import choice, toggle
from .filling import Filling
from .label import label
from .style import COLOURS, axes_style

N = 1437
SIZES = (*range(1, 8), *(B for k in range(1, 9) for B in (4 * 2**k, 5 * 2**k, 6 * 2**k, 7 * 2**k) if B < N), N)      # four to an octave
WAYS = ("with replacement", "without")
DOTS = 200                                      # batches that are drawn one by one
ASIDE = 1.1 ** (0.618 * np.arange(DOTS) % 1 - 0.5)      # where they stand beside their B, so that they can be told apart


class GradientNorm(Filling):
    """Left: ||g_B||^2 against B with its two terms. Right: the angles between batch gradients and the full one."""

    title = "How long a batch gradient is, and where it points"
    task = "Find the smallest B on the slider whose noise term is no larger than the signal: at the start, in mid training, late."
    size = (900, 450)

    def __init__(self):
        self.curves = {(at, way): norm_curve(at, way == WAYS[0]) for at in NAMES for way in WAYS}     # the first one trains
        self.means, self.shown = {key: {} for key in self.curves}, None
        super().__init__()

    def controls(self):
        return {"B": choice("Batch size B", SIZES, 8), "at": toggle("Training", NAMES, NAMES[0]), "way": toggle("Drawn", WAYS, WAYS[0])}

    def build(self, figure):
        self.axes, self.right = figure.subplots(1, 2, width_ratios=(1.5, 1))
        self.build_norms(self.axes)
        self.build_angles(self.right)
        return [self.signal, self.noise, self.whole, self.dots, self.measured, self.here, self.bars, self.expected, self.word]

    def build_norms(self, axes):
        axes_style(axes, "batch size B", "squared length")
        axes.set(xscale="log", yscale="log", xlim=(0.7, 2000), ylim=(2e-5, 500), xticks=[1, 10, 100, 1000],
                 xticklabels=["1", "10", "100", "1,000"], yticks=[1e-4, 1e-3, 1e-2, 0.1, 1, 10])
        axes.minorticks_off()
        line = lambda colour, style, width=2.5: axes.plot([], [], style, color=COLOURS[colour], linewidth=width)[0]
        self.signal, self.noise, self.whole = line("black", "--"), line("blue", "-."), line("vermillion", "-", 3)
        self.dots, = axes.plot([], [], ".", color=COLOURS["sky"], markersize=5)
        self.measured, = axes.plot([], [], "o", color=COLOURS["yellow"], markeredgecolor="black", markersize=9)
        self.here, = axes.plot([], [], "D", color=COLOURS["vermillion"], markersize=15, fillstyle="none", markeredgewidth=2.5)
        names = {"‖g‖², signal": self.signal, "tr Σ/B, noise": self.noise, "their sum": self.whole, "one batch": self.dots,
                 "mean of batches": self.measured}
        axes.legend(names.values(), names, loc="upper right", ncols=2, columnspacing=1)

    def build_angles(self, axes):
        axes_style(axes, "angle to the full gradient, °", "batches, tallest bar = 1")
        axes.set(xlim=(0, 135), ylim=(0, 1.25), xticks=[0, 45, 90, 135], yticks=[0, 0.5, 1])
        axes.text(92, 1.08, "90°: no use", fontsize=13, va="top")
        axes.axvline(90, 0, 0.87, color=COLOURS["black"], linestyle=":", linewidth=2)      # the words stand above
        self.bars = axes.stairs([0, 0], [0, 1, 2], fill=True, color=COLOURS["sky"], alpha=0.65)
        self.expected, = axes.plot([], [], color=COLOURS["vermillion"])
        self.word = label(axes, 0, 1.13, fontsize=13, ha="center", va="bottom")

    def compute(self, B, at, way):
        first = smallest_batch(1, at, way == WAYS[0])
        for done, drawn in gradients_running(B, at, way == WAYS[0]):
            yield done, (B, (at, way), first, drawn)

    def update(self, result):
        B, key, _, drawn = result
        found, curve = drawn.found, self.curves[key]
        if key != self.shown:
            self.shown, (whole, signal, noise) = key, curve.squares
            for line, y in (self.whole, whole), (self.noise, noise), (self.signal, np.full(len(whole), signal)):
                line.set_data(curve.B, y)
        if len(found.sq_norms):
            self.means[key][B] = found.mean
        dots = found.sq_norms[:DOTS]
        self.dots.set_data(B * ASIDE[:len(dots)], dots)
        self.measured.set_data(*zip(*sorted(self.means[key].items())) if self.means[key] else ([], []))
        self.here.set_data([B], [found.expected])
        self.show_angles(drawn.angle)
        return self.reading_of(B, key, drawn, curve.floor**2)

    def show_angles(self, angle):
        shares, edges = angle.histogram
        self.bars.set_data(shares / (shares.max() or 1), edges)
        self.expected.set_data([angle.theory] * 2, [0, 1.1])
        self.word.set_text(f"theory {angle.theory:.0f}°")
        self.word.set_x(max(angle.theory, 25))

    @staticmethod
    def reading_of(B, key, drawn, signal):
        found = drawn.found
        seen = ""
        if len(found.sq_norms):
            seen = (f" Mean of {len(found.sq_norms):,} batches: {found.mean:.2g} ± {2 * drawn.se:.1g}; half of them are more than "
                    f"{drawn.angle.median:.0f}° off.")
        noise = found.expected - signal
        return f"Training: {key[0]}. B = {B}, {key[1]}: signal {signal:.2g} + noise {noise:.2g} = {found.expected:.2g}.{seen}"

    def reached(self, result):
        B, _, first, _ = result
        return B == next((size for size in SIZES if size >= first), None)
