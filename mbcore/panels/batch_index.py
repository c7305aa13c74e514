"""Lesson 01's panel: the arrays as boxes, those with a b grow and the others do not; and what one example costs."""

from matplotlib.patches import Rectangle

from ..experiments.vector_operations import cost
from .base import Panel, choice
from .label import label
from .style import COLOURS, axes_style

SIZES = tuple(2**k for k in range(11))
WIDTHS = (8, 16, 32, 64, 128, 256)


class BatchIndex(Panel):
    """B, I and J; boxes drawn to a logarithmic scale; the cost per example, measured at each key press.

    The dotted line is the network before the last change of I or J. "2× the best" is drawn once the largest B is measured:
    of one point it would say nothing.
    """

    title = "Which arrays know about b, and what one example costs"
    task = (f"Find the smallest B whose cost per example is within 2× of the best. Measure B = {SIZES[-1]} too, "
            "and the B just below yours, to be sure.")
    size = (900, 450)

    def __init__(self, B=8, i=64, j=32):
        self.start, self.sizes, self.measured, self.before, self.shown = (B, i, j), (i, j), {}, {}, {}
        self.measured = {end: cost(end, i, j).microseconds for end in (SIZES[0], SIZES[-1])}    # a first picture with both ends
        super().__init__()

    def controls(self):
        B, i, j = self.start
        return {"B": choice("Batch size B", SIZES, B), "i": choice("Inputs I", WIDTHS, i), "j": choice("Hidden units J", WIDTHS, j)}

    def build(self, figure):
        self.boxes, self.axes = figure.subplots(1, 2, width_ratios=(1.25, 1))
        self.boxes.set(xlim=(0, 10), ylim=(0, 12))
        self.boxes.set_axis_off()
        places = {"x": (1.7, 9.8, "sky"), "h": (5.0, 9.8, "sky"), "s": (8.3, 9.8, "sky"),
                  "W0": (1.4, 3.2, "orange"), "C0": (4.1, 3.2, "orange"), "W1": (6.5, 3.2, "orange"), "C1": (9.0, 3.2, "orange")}
        self.drawn = {name: self.box(*place) for name, place in places.items()}
        for text, y in (("values: one row for each b", 11.6), ("parameters: no b", 5.2)):
            self.boxes.text(5, y, text, ha="center", fontsize=15, fontweight="bold")
        for x0, x1 in ((3.1, 3.6), (6.4, 6.9)):
            self.boxes.annotate("", (x1, 9.8), (x0, 9.8), arrowprops={"arrowstyle": "->", "lw": 2})
        return [*(artist for box in self.drawn.values() for artist in box), *self.build_cost()]

    def box(self, x, y, colour):
        patch = self.boxes.add_patch(Rectangle((x, y), 0, 0, facecolor=COLOURS[colour], edgecolor="black", linewidth=1.5))
        patch.centre = (x, y)
        return patch, label(self.boxes, x, y - 1.5, ha="center", va="top", fontsize=13)

    def build_cost(self):
        axes = self.axes
        axes_style(axes, "batch size B", "µs per example")
        axes.set(xscale="log", yscale="log", xlim=(0.8, 1300), ylim=(0.05, 2000), xticks=[1, 10, 100, 1000],
                 xticklabels=["1", "10", "100", "1000"], yticks=[0.1, 1, 10, 100, 1000], yticklabels=["0.1", "1", "10", "100", "1000"])
        axes.set_title("measured now, on one thread")
        self.earlier, = axes.plot([], [], "s:", color=COLOURS["grey"], linewidth=1.5)
        self.points, = axes.plot([], [], "o-", color=COLOURS["blue"])
        self.here, = axes.plot([], [], "D", color=COLOURS["vermillion"], markersize=13)
        self.bound = axes.axhline(1, color=COLOURS["black"], linestyle="--", linewidth=1.5)
        self.word = label(axes, 1, 1, fontsize=13, va="bottom", clip_on=True)
        return [self.bound, self.word, self.earlier, self.points, self.here]

    def compute(self, B, i, j):
        return (i, j), B, cost(B, i, j)

    def update(self, result):
        sizes, B, found = result
        if sizes != self.sizes:
            self.before = self.measured if len(self.measured) > 1 else self.before      # another network: costs of its own
            self.sizes, self.measured = sizes, {}
        self.measured = {**self.measured, B: found.microseconds}
        for name, (indices, shape, nbytes) in {**found.values, **found.parameters}.items():
            if name in self.drawn and self.shown.get(name) != shape:
                self.shown[name] = shape
                self.show(*self.drawn[name], name, indices, shape, nbytes)
        self.show_cost(B)
        x, held = found.values["x"], sum(nbytes for *_, nbytes in found.parameters.values())
        return (f"B = {B}: x[b,i] is {x[1][0]} × {x[1][1]}, {x[2]:,} bytes; the parameters hold {held:,} bytes whatever B is. "
                f"One example costs {found.microseconds:.3g} µs.")

    def show(self, patch, text, name, indices, shape, nbytes):
        scale = lambda n: 0.2 + 0.26 * (n.bit_length() - 1)
        height, width = scale(shape[0]), 0.9 * scale(shape[1]) if len(shape) > 1 else 0.2
        (x, y) = patch.centre
        patch.set_bounds(x - width / 2, y - height / 2, width, height)
        text.set_text(f"{name}[{','.join(indices)}]\n{' × '.join(map(str, shape))}\n{_bytes(nbytes)}")

    def show_cost(self, B):
        for line, costs in (self.points, self.measured), (self.earlier, self.before):
            line.set_data(*zip(*sorted(costs.items())) if costs else ([], []))
        self.here.set_data([B], [self.measured[B]])
        best = 2 * min(self.measured.values())
        shown = SIZES[-1] in self.measured
        self.bound.set(ydata=[best, best], visible=shown)
        self.word.set(position=(1, best * 1.05), text="2× the best so far", visible=shown)

    def reached(self, result):
        B = result[1]
        cheap = lambda k: self.measured[k] <= 2 * min(self.measured.values())
        smaller = SIZES[max(SIZES.index(B) - 1, 0)]
        return SIZES[-1] in self.measured and smaller in self.measured and cheap(B) and (smaller == B or not cheap(smaller))


def _bytes(n):
    return f"{n} bytes" if n < 1000 else f"{n / 1e3:.3g} kB" if n < 999_500 else f"{n / 1e6:.3g} MB"
