"""Lesson 03's second panel: the 1/B in any of three places, and what becomes of x.grad, W.grad and the step."""

from matplotlib.patches import Rectangle

from ..experiments.conventions import CONVENTIONS, convention
from .base import Panel, choice
from .label import label
from .style import COLOURS, axes_style

SIZES = (1, 2, 4, 8, 16, 32, 64)
WANTED = 16                                     # the batch size of the target
PLACES = {"loss": (3, 14.5), "parameters": (1, 14.5), "update": (0, 16.5)}       # row, column
ROWS = {"x": (2, "blue", "o"), "W": (1, "green", "s"), "update": (0, "vermillion", "D")}      # row, colour, marker


class Conventions(Panel):
    """B, and where the 1/B stands. At the left the slides' lines with a slot wherever a 1/B may stand; at the right what comes out."""

    title = "Three places for one 1/B"
    task = (f"Find a setting in which W.grad is right to every digit, and yet each step is {WANTED} times too small. "
            "There are two: which array tells them apart?")
    size = (900, 400)

    def __init__(self, B=8):
        self.start, self.shown = B, {}
        super().__init__()

    def controls(self):
        short = lambda name: name.removeprefix("in ").replace("the ", "").replace(" and ", " + ")      # what fits beside a slider
        places = [(short(name), name) for name in CONVENTIONS]
        return {"B": choice("Batch size B", SIZES, self.start), "where": choice("Place of the 1/B", places, places[0][1])}

    def build(self, figure):
        figure.set_layout_engine("none")
        self.lines = figure.add_axes((0.01, 0.18, 0.485, 0.70), xlim=(0, 40), ylim=(-0.6, 3.5))
        self.lines.set_axis_off()
        self.write()
        self.slots = {place: self.slot(row, column) for place, (row, column) in PLACES.items()}
        self.axes = figure.add_axes((0.53, 0.18, 0.45, 0.70))
        return [*(artist for slot in self.slots.values() for artist in slot), *self.build_factors(self.axes)]

    def write(self):
        """The slides' lines, one character a unit, with five characters left free for each 1/B."""
        text = ["W[j,i]      -= η       W.grad[j,i]", "W.grad[j,i] +=       h~.grad[b,j] x[b,i]",
                "x.grad[b,i] += h~.grad[b,j] W[j,i]", "L.grad[b]    ="]
        for row, line in enumerate(text):
            for column, char in enumerate(line.replace("-=", "−=")):
                if char != " ":
                    self.lines.text(column + 0.5, row, char, family="monospace", fontsize=13, ha="center", va="center")
        self.lines.text(0, 4.0, "the lines, and the places for a 1/B", fontsize=15, fontweight="bold", va="center")

    def slot(self, row, column):
        box = self.lines.add_patch(Rectangle((column + 0.8, row - 0.24), 4.4, 0.48, edgecolor="black", linewidth=1.5))
        return box, label(self.lines, column + 3, row, ha="center", va="center", fontsize=14, fontweight="bold")

    def build_factors(self, axes):
        axes_style(axes, "times what it should be", "")
        axes.set(xscale="log", xlim=(3e-7, 1e4), ylim=(-0.6, 3.5), xticks=[0.0001, 0.01, 1, 100],
                 xticklabels=["0.0001", "0.01", "1", "100"], yticks=[row for row, *_ in ROWS.values()], yticklabels=[])
        axes.minorticks_off()
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)
        axes.axvline(1, color="black", linewidth=2)
        axes.text(1, 3.05, "as it should be", ha="center", va="center", fontsize=13, backgroundcolor="white")
        axes.text(0, 4.0, "what comes out, measured", transform=axes.get_yaxis_transform(), fontsize=15, fontweight="bold", va="center")
        self.dots = {what: axes.plot([], [], marker, color=COLOURS[colour], markeredgecolor="black", markersize=14)[0]
                     for what, (_, colour, marker) in ROWS.items()}
        self.words = {what: label(axes, 1, row, va="center", fontsize=15) for what, (row, *_) in ROWS.items()}
        return [*self.dots.values(), *self.words.values()]

    def compute(self, B, where):
        return convention(B, CONVENTIONS[where])

    def update(self, found):
        for place in self.slots:
            self.show_slot(place, place in found.mean_in)
        for what, (row, *_) in ROWS.items():
            self.show_factor(what, row, getattr(found, what))
        x, W, update = (_times(getattr(found, what)) for what in ROWS)
        return (f"B = {found.B}, the 1/B {found.name}: x.grad is {x} times what it should be, W.grad {W} times, "
                f"the step {update} times.")

    def show_slot(self, place, full):
        if self.shown.get(place) != full:       # box and words change together: what changes is drawn above what does not
            self.shown[place] = full
            box, text = self.slots[place]
            box.set(facecolor=COLOURS["orange"] if full else "white", linestyle="-" if full else ":")
            text.set_text("1/B" if full else "1")

    def show_factor(self, what, row, factor):
        """The dot, and its words on the side away from the line at 1."""
        self.dots[what].set_data([factor], [row])
        aside, side = (factor / 3.2, "right") if factor < 0.999 else (factor * 3.2, "left")
        self.words[what].set(text=f"× {_times(factor)}", position=(aside, row), ha=side)

    def reached(self, found):
        return found.B == WANTED and found.is_near("W") and found.is_near("update", 1 / WANTED)


def _times(factor):
    return f"{factor:.0f}" if factor > 0.999 else f"1/{1 / factor:.0f}"
