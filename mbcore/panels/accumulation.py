"""Lesson 04's first panel: one batch in parts, rightly weighted and as the mean of the parts' means."""

from matplotlib.collections import PolyCollection

from ..experiments.accumulation import held, peak
from ..experiments.models import MLP
from ..experiments.parts import NORMALISED, ragged
from .base import Panel, choice, toggle
from .label import label
from .style import COLOURS, axes_style

BATCHES = (10, 20, 32, 50, 53, 64, 100, 128, 200, 256)
PARTS = (4, 5, 8, 10, 16, 20, 25, 32, 50, 64, 100, 128, 256)
KINDS = {"one each": ("equal", MLP), "by chance": ("drawn", MLP), "by its class": ("by class", MLP),
         "one each, batch norm": ("equal", NORMALISED)}
HEIGHTS = (2.2, 5, 14, 50)      # of the upper axes
OFF = 0.30                      # the target
SHOWN = 330                     # entries of the gradient: W1[y,j] and C1[y], the last


class Accumulation(Panel):
    """Optimisation batch, compute batch, and how many tokens an example holds."""

    title = "One batch, computed in parts"
    task = (f"Make the mean of means more than {100 * OFF:.0f} % off although all parts hold equally many examples, "
            "and the right weights give the gradient of one pass.")
    size = (900, 500)

    def __init__(self, B=50, compute=5):
        self.start, self.measured = (B, compute), {}
        peak(8, 4)                          # the first run makes objects that stay
        for n, one_pass in ((PARTS[0], False), (PARTS[-1], True)):
            self.measured[n, one_pass] = peak(PARTS[-1], n, parts=3)       # a first picture with both ends
        super().__init__()

    def controls(self):
        B, compute = self.start
        return {"B": choice("Optimisation batch B", BATCHES, B), "compute": choice("Compute batch", PARTS, compute),
                "tokens": toggle("Tokens in an example", list(KINDS), "one each")}

    def build(self, figure):
        grid = figure.add_gridspec(2, 2, width_ratios=(1.3, 1), height_ratios=(1.1, 1))
        places = grid[0, 0], grid[1, 0], grid[:, 1]
        weights, memory, self.scatter = (figure.add_subplot(place) for place in places)
        return [*self.build_weights(weights), *self.build_memory(memory), *self.build_scatter(self.scatter)]

    def build_weights(self, axes):
        self.weights = axes
        axes_style(axes, "share of all tokens, part by part", "weight of a token")
        axes.set(xlim=(0, 1), ylim=(0, HEIGHTS[0]), xticks=[0, 0.5, 1], xticklabels=["0", "50 %", "100 %"])
        self.bars = axes.add_collection(PolyCollection([], facecolor=COLOURS["orange"], edgecolor="black", linewidth=1, alpha=0.75))
        line = axes.axhline(1, color=COLOURS["blue"], linestyle="--", linewidth=3)
        axes.set_title("orange: mean of means    dashes: right", fontsize=13, loc="left")
        return [self.bars, line]

    def build_memory(self, axes):
        axes_style(axes, "compute batch", "memory, kB")
        axes.set(xscale="log", yscale="log", xlim=(3.3, 320), ylim=(15, 1000),
                 xticks=[5, 10, 50, 100], xticklabels=["5", "10", "50", "100"],
                 yticks=[20, 50, 100, 500], yticklabels=["20", "50", "100", "500"])
        axes.minorticks_off()
        axes.plot(PARTS, [held(n) / 1000 for n in PARTS], color=COLOURS["grey"], linewidth=2)
        axes.text(0.01, 0.97, "line: the program, computed\nmarks: everything, measured", fontsize=13, va="top", transform=axes.transAxes)
        self.peaks, = axes.plot([], [], "s", color=COLOURS["green"])
        self.here, = axes.plot([], [], "D", color=COLOURS["vermillion"], markersize=12)
        self.limit = axes.axvline(1, 0, 0.62, color=COLOURS["black"], linestyle=":", linewidth=2)
        self.limit_word = label(axes, 1, 18, "B ", fontsize=14, ha="right")
        return [self.limit, self.limit_word, self.peaks, self.here]

    def build_scatter(self, axes):
        axes_style(axes, "gradient in one pass (largest: 1)", "gradient in parts")
        axes.set_title(" \n ", fontsize=15)            # room for the words
        axes.set(xlim=(-1.1, 1.1), ylim=(-1.6, 1.6), xticks=[-1, 0, 1], yticks=[-1, 0, 1])
        axes.axline((0, 0), slope=1, color=COLOURS["black"], linewidth=1.2)
        self.wrong, = axes.plot([], [], "^", color=COLOURS["orange"], markersize=6, alpha=0.8)
        self.right, = axes.plot([], [], "o", color=COLOURS["blue"], markersize=4)
        above = {"fontsize": 14, "va": "bottom", "transform": axes.transAxes}
        signs = [label(axes, 0, 1.02, sign, color=COLOURS[colour], **above)
                 for sign, colour in (("\u25cf\n ", "blue"), (" \n\u25b2", "orange"))]
        self.word = label(axes, 0, 1.02, **above)
        return [self.wrong, self.right, *signs, self.word]

    def compute(self, B, compute, tokens):
        n, (counts, model) = min(compute, B), KINDS[tokens]
        if (n, n == B) not in self.measured:
            self.measured[n, n == B] = peak(B, n, parts=3)
        return B, compute, model, ragged(B, n, counts, model=model)

    def update(self, result):
        B, compute, model, found = result
        n = min(compute, B)
        self.show_weights(found)
        self.show_memory(B, n)
        x = found.at_once[-SHOWN:]
        scale = abs(x).max()
        for line, y in (self.right, found.right), (self.wrong, found.wrong):
            line.set_data(x / scale, y[-SHOWN:] / scale)
        right = "the same" if found.one_pass < 1e-9 else f"{100 * found.one_pass:.0f} % off"
        wrong = "the same" if found.error < 1e-9 else f"{100 * found.error:.0f} % off"
        self.word.set_text(f"    right weights: {right}\n    mean of means: {wrong}")
        most = self.measured[n, n == B] / 1000
        cut = f"{len(found.parts)} parts of {n}" + (f", the last of {found.parts[-1]}" if found.parts[-1] < n else "")
        cut = f"one pass: it cannot be smaller than the compute batch of {compute}" if compute > B else "one pass" if n == B else cut
        return (f"B = {B} in {cut}. Right weights: {right}{' to rounding' if right == 'the same' else ''}. Mean of means: {wrong}. "
                f"The program holds {held(n) / 1000:.0f} kB, {held(B) / 1000:.0f} kB in one pass; measured peak {most:.0f} kB.")

    def show_weights(self, found):
        edges = [0.0]
        for share in found.shares:
            edges.append(edges[-1] + share)
        self.bars.set_verts([[(a, 0), (a, w), (b, w), (b, 0)] for a, b, w in zip(edges, edges[1:], found.weights)])
        top = next((h for h in HEIGHTS if h > 1.15 * max(found.weights)), HEIGHTS[-1])
        if top != self.weights.get_ylim()[1]:
            self.weights.set_ylim(0, top)
            self.redraw_background()

    def show_memory(self, B, n):
        self.peaks.set_data([size for size, _ in self.measured], [most / 1000 for most in self.measured.values()])
        self.here.set_data([n], [self.measured[n, n == B] / 1000])
        self.limit.set_xdata([B, B])
        self.limit_word.set_position((B, 18))

    def reached(self, result):
        found = result[-1]
        return found.error > OFF and found.one_pass < 1e-9 and len(set(found.parts)) == 1
