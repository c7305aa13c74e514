"""Lesson 02's second panel: what the two graphs cost against B; counts are exact, times are measured at each key press."""

from ..experiments.graph_costs import LARGEST, QUICK, beyond, costs, curves
from .base import Panel, choice, toggle
from .label import label
from .style import COLOURS, axes_style

SIZES = tuple(2**k for k in range(LARGEST.bit_length()))
YARDSTICK = 8                       # copies; the time of their step is to be filled
LOOK = {"copies": {"color": COLOURS["vermillion"], "marker": "s"}, "index": {"color": COLOURS["blue"], "marker": "o"}}
SIGNS = {"copies": "\u25a0", "index": "\u25cf"}          # the markers, as characters
COUNTS = {"nodes and calls": ("calls", "calls in both passes; dashed: nodes", (3, 3e5)),
          "bytes": ("bytes", "bytes of the arrays and of the graph", (1e4, 1e9))}      # in the control -> name, title, limits


class GraphCosts(Panel):
    """B; nodes, calls, bytes and time of the copies and of the indexed graph.

    earlier: pairs (Cost of the copies, Cost of the index) that were measured before this panel.
    """

    title = "What the copies cost, and what the index costs"
    task = (f"Fill the time of a step with {YARDSTICK} copies (dotted line): find the largest B whose indexed step is no slower. "
            "Measure the next B too, to be sure.")
    size = (900, 390)

    def __init__(self, earlier=(), B=2):
        self.start, self.step = B, {"copies": {}, "index": {}}         # side -> {B: ms}
        for pair in earlier:
            self.keep(dict(zip(LOOK, pair)))
        for size in SIZES:
            found = costs(size)                                         # each is built here, and not behind the slider
            if size <= QUICK:
                self.keep(found)
        self.limit = min(1e3 * costs(YARDSTICK)["copies"].step for _ in range(9))
        self.step["copies"][YARDSTICK] = self.limit
        super().__init__()

    def keep(self, found):
        for side, cost in found.items():
            if cost.step:
                self.step[side][cost.B] = 1e3 * cost.step

    def controls(self):
        return {"B": choice("Batch size B", SIZES, self.start), "count": toggle("Count", list(COUNTS), next(iter(COUNTS)))}

    def build(self, figure):
        self.counted, self.timed = figure.subplots(1, 2)
        for axes in (self.counted, self.timed):
            axes_style(axes, "batch size B", "")
            axes.set(xscale="log", yscale="log", xlim=(0.7, 8000), xticks=[1, 16, 256, 4096], xticklabels=["1", "16", "256", "4096"])
            axes.minorticks_off()
            axes.grid(visible=False, axis="x")
        self.build_counts()
        return [*self.build_times(), *self.build_here()]

    def build_counts(self):
        """What stands still for as long as the same is counted. The copies have marks where they are built."""
        self.exact, self.nodes = {}, {}
        for side, look in LOOK.items():
            marks = [k for k, B in enumerate(SIZES) if side == "index" or B <= QUICK]
            self.exact[side], = self.counted.plot([], [], **look, markevery=marks)
            self.nodes[side], = self.counted.plot([], [], color=look["color"], linestyle="--", linewidth=1.8)

    def build_times(self):
        axes = self.timed
        axes.set_title("ms for a step")
        axes.set(ylim=(0.02, 2000), yticks=[0.1, 1, 10, 100, 1000], yticklabels=["0.1", "1", "10", "100", "1000"])
        axes.axhline(self.limit, color=COLOURS["black"], linestyle=":", linewidth=2)
        axes.text(7000, 0.026, f"dotted: {YARDSTICK} copies", fontsize=14, ha="right")
        self.lines = {side: axes.plot([], [], **look)[0] for side, look in LOOK.items()}
        self.guess, = axes.plot([], [], "--", color=LOOK["copies"]["color"], linewidth=1.8)
        return [self.guess, *self.lines.values()]

    def build_here(self):
        """The diamonds at B, and their numbers in a corner of each plot."""
        self.here = [axes.plot([], [], "D", color="none", markeredgecolor=COLOURS["black"], markeredgewidth=2, markersize=14)[0]
                     for axes in (self.counted, self.timed)]
        self.numbers = [{side: label(axes, 0.03, y, transform=axes.transAxes, va="top", fontsize=15, color=LOOK[side]["color"])
                         for side, y in (("copies", 0.98), ("index", 0.9))} for axes in (self.counted, self.timed)]
        return [*self.here, *(text for numbers in self.numbers for text in numbers.values())]

    def compute(self, B, count):
        return B, count, costs(B)

    def update(self, result):
        B, count, found = result
        self.keep(found)
        self.show_count(count)
        for side, line in self.lines.items():
            line.set_data(*zip(*sorted(self.step[side].items())))
        self.guess.set_data(*zip(*beyond(self.step["copies"]).items()))
        name = COUNTS[count][0]
        exact = {side: curves()[side][name][SIZES.index(B)] for side in LOOK}
        step = {side: self.step[side][B] for side in LOOK if B in self.step[side]}
        formats = _bytes if name == "bytes" else "{:,}".format, _ms
        for here, numbers, values, words in zip(self.here, self.numbers, (exact, step), formats):
            here.set_data([B] * len(values), list(values.values()))
            for side, text in numbers.items():
                text.set_text(f"{SIGNS[side]} {side}: " + (words(values[side]) if side in values else "not built"))
        return self.reading_of(B, found)

    def show_count(self, count):
        if count == self.face:
            return
        name, title, limits = COUNTS[count]
        for side, found in curves().items():
            self.exact[side].set_data(found["B"], found[name])
            self.nodes[side].set_data(*(found["B"], found["nodes"]) if name == "calls" else ([], []))
        self.counted.title.set_text(title)
        self.counted.set_ylim(limits)
        self.turn(count)

    def reading_of(self, B, found):
        copies, index, took = found["copies"], found["index"], self.step["copies"].get(B)
        other = f", {took:.2g} ms with the copies" if took else "; so many copies were not built"
        return (f"B = {B:,}: the copies have {copies.nodes:,} nodes and {copies.calls:,} calls, the index {index.nodes} and {index.calls}. "
                f"A step takes {1e3 * index.step:.2g} ms with the index{other}. {YARDSTICK} copies take {self.limit:.2g} ms.")

    def reached(self, result):
        B = result[0]
        step, following = self.step["index"], min(2 * B, LARGEST)
        return step[B] <= self.limit and (B == LARGEST or step.get(following, 0) > self.limit)


def _bytes(value):
    return f"{value / 1e3:,.0f} kB" if value < 1e6 else f"{value / 1e6:,.1f} MB"


def _ms(value):
    return f"{value:.2g} ms"
