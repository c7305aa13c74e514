"""Lesson 02's first panel: B copies of a graph beside the one graph with an index, a box for each line and each array."""

import functools

import numpy as np
from matplotlib.collections import LineCollection, PolyCollection
from matplotlib.textpath import TextPath

from ..experiments.pictures import KINDS, side_by_side
from .base import Panel, slider, toggle
from .label import label
from .style import COLOURS

LARGEST, PAIRS = 6, 20              # the largest B that is legible; the target
TOP, BOTTOM, HALF = 76, 508, 13     # in CSS pixels: the first and the last level, half a box
FONT = 15
FILL = {"input": "#FFFFFF", "value": COLOURS["sky"], "parameter": COLOURS["orange"]}
GREY = "#AAAAAA"


class TwoGraphs(Panel):
    """B, and what the copies do; bold is all that the loss of example 0 reads. Drawn in CSS pixels."""

    title = "The same function as B copies and as one graph with an index"
    task = f"Build a graph in which {PAIRS} ordered pairs of examples are coupled: the loss of one reads the x of the other."
    size = (900, 560)

    def __init__(self, B=2):
        self.start = B
        for kind in KINDS:
            for k in range(1, LARGEST + 1):
                side_by_side(kind, k)               # each is compiled once, here, and not behind the slider
        super().__init__()

    def controls(self):
        return {"B": slider("Batch size B", 1, LARGEST, self.start), "kind": toggle("The copies", list(KINDS), next(iter(KINDS)))}

    def build(self, figure):
        figure.get_layout_engine().set(w_pad=0, h_pad=0)
        self.axes = axes = figure.add_subplot()
        axes.set(xlim=(0, self.size[0]), ylim=(self.size[1], 0))
        axes.set_axis_off()
        axes.plot([585, 585], [20, 540], color=COLOURS["grey"], linewidth=1)
        self.lines = axes.add_collection(LineCollection([], zorder=2))
        self.heads = axes.add_collection(PolyCollection([], zorder=2.5))
        self.boxes = axes.add_collection(PolyCollection([], zorder=3))
        self.names = [label(axes, 0, 0, ha="center", va="center", fontsize=FONT, zorder=4) for _ in range(66)]
        self.heading = [[label(axes, x, y, ha="center", va="center", fontsize=size, fontweight=weight)
                         for y, size, weight in ((24, 16, "bold"), (541, 15, "normal"))] for x in (315, 742)]
        self.losses = [label(axes, 0, BOTTOM, va="center", fontsize=FONT, fontweight="bold") for _ in range(2)]
        return [self.lines, self.heads, self.boxes, *self.names, *self.losses, *(text for column in self.heading for text in column)]

    def compute(self, B, kind):
        return B, kind, side_by_side(kind, B)

    def update(self, result):
        B, kind, sides = result
        drawings = _drawings(B, *sides)
        self.show(*drawings)
        for texts, loss, words, side, drawing in zip(self.heading, self.losses, _words(B, kind, *sides), sides, drawings):
            for text, line in zip(texts, words):
                text.set_text(line)
            loss.set_position((drawing.at["L"][0] + 20, BOTTOM))
            loss.set_text(f"= {side.L:.3f}")
        return self.reading_of(B, kind, *sides)

    def show(self, *drawings):
        segments, colours, widths, heads = zip(*(edge for d in drawings for edge in d.edges()))
        self.lines.set(segments=segments, colors=colours, linewidths=widths)
        self.heads.set(verts=np.array(heads), facecolors=colours, edgecolors="none")
        polygons, fills, outlines, borders = zip(*(box for d in drawings for box in d.boxes()))
        self.boxes.set(verts=np.array(polygons), facecolors=fills, edgecolors=outlines, linewidths=borders)
        names = [name for d in drawings for name in d.names()]
        for text, (x, y, words) in zip(self.names, names + [(0, 0, "")] * (len(self.names) - len(names))):
            text.set_position((x, y))           # even where it stays: what changes, the boxes, is drawn above what does not
            text.set_text(words)

    @staticmethod
    def reading_of(B, kind, copies, index):
        coupled = copies.picture.pairs
        return (f"B = {B}, and the copies {kind}: {_size(copies.picture)}. The indexed graph: {_size(index.picture)}. "
                f"L is {copies.L:.3f} and {index.L:.3f}, the norm of its gradient by W0 {copies.gradient:.3f} and {index.gradient:.3f}. "
                f"{coupled} ordered pairs of examples are coupled.")

    def reached(self, result):
        return result[2][0].picture.pairs == PAIRS


def _drawings(B, copies, index):
    """Both, each on its own side; the copies spread over the room that they have, a target's 0.42 of a place included."""
    wide = B - 1 + 0.42
    pitch = min(140, 430 / wide)
    return _Drawing(copies.picture, 340 - pitch * wide / 2, pitch, 52, 1), _Drawing(index.picture, 752, 190, 645, B)


class _Drawing:
    """One picture in CSS pixels: copy 0 stands at x = left, the next `pitch` further; what is shared by all at x = shared.
    cards: how many rows a box with a b is drawn as."""

    def __init__(self, picture, left, pitch, shared, cards):
        self.picture, self.cards = picture, cards
        scale = (BOTTOM - TOP) / max(node.depth for node in picture.nodes.values())
        self.at = {name: (shared if node.row == -1 else left + pitch * node.row, TOP + scale * node.depth)
                   for name, node in picture.nodes.items()}

    def edges(self):
        """(points, colour, width, triangle at its end) of each."""
        for a, b in self.picture.edges:
            node, read = self.picture.nodes[a], b in self.picture.read
            points = self.wire(a, b) if node.kind == "parameter" else self.line(a, b)
            colour = COLOURS["orange"] if node.kind == "parameter" else COLOURS["black"] if read else GREY
            yield points, colour, 2.6 if read else 1.4, _triangle(*points[-2:])

    def line(self, a, b):
        """From below one box to the top of a lower one."""
        (x, y), (x1, y1) = self.at[a], self.at[b]
        return (x, y + HALF), (x1, y1 - HALF)

    def wire(self, a, b):
        """A parameter's: along its level to the box that reads it, then down into its left corner."""
        (x, y), (x1, y1) = self.at[a], self.at[b]
        end = x1 - 0.6 * _half_width(self.picture.nodes[b])
        return (x, y), (max(x, end - 14), y), (end, y1 - HALF)

    def boxes(self):
        """(polygon, fill, outline, line width) of each, the hindmost card first."""
        for name, node in self.picture.nodes.items():
            (x, y), w = self.at[name], _half_width(node)
            bold = name in self.picture.read
            for card in reversed(range(self.cards if node.batched else 1)):
                border = 0.8 if card else 2 if bold else 1.2
                yield _polygon(node.kind, x + 4 * card, y - 3 * card, w), FILL[node.kind], COLOURS["black"] if bold else GREY, border

    def names(self):
        return [(*self.at[name], _short(node)) for name, node in self.picture.nodes.items()]


def _polygon(kind, x, y, w):
    """A parameter has pointed sides, so that it is told by its shape too."""
    point = 7 if kind == "parameter" else 0
    return [(x - w, y - HALF), (x + w, y - HALF), (x + w + point, y), (x + w, y + HALF), (x - w, y + HALF), (x - w - point, y)]


def _triangle(start, end, size=8):
    """An arrow's head at the end of a line."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = (dx * dx + dy * dy) ** 0.5 or 1
    ux, uy = dx / length * size, dy / length * size
    return [end, (end[0] - ux - uy / 2, end[1] - uy + ux / 2), (end[0] - ux + uy / 2, end[1] - uy - ux / 2)]


def _short(node):
    """What stands in the box: indices where there is one of them, no indices in a copy, and t for target."""
    short = node.label if node.copy is None else node.label.split("[")[0]
    return short.replace("target", "t")


@functools.lru_cache(maxsize=256)
def _half_width(node):
    inches = TextPath((0, 0), _short(node), size=FONT).get_extents().width / 72
    return inches * 100 / 2 + (4 if node.kind == "parameter" else 7)


def _words(B, kind, copies, index):
    """(title, gradient) for each side."""
    own = kind == "have their own parameters"
    things = ("network", "networks") if own else ("copy", "copies")
    titles = (f"{B} {things[B > 1]}: {len(copies.picture.nodes)} boxes",
              f"{'b on all' if own else 'index b'}: {len(index.picture.nodes)} boxes")
    names = ("|sum W0_k.grad|", "|sum W0.grad[b]|") if own else ("|W0.grad|",) * 2
    return [(title, f"{name} = {side.gradient:.3f}") for title, name, side in zip(titles, names, (copies, index))]


def _size(picture):
    return f"{len(picture.nodes)} boxes, {len(picture.edges)} arrows"
