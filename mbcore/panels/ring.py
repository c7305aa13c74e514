"""Lesson 12's first panel: a ring all-reduce, one message at a time."""

from math import cos, pi, sin

import numpy as np
from matplotlib.patches import FancyArrowPatch, Rectangle

from ..experiments.ring import bytes_sent, ring
from .base import Panel, slider
from .label import label
from .style import COLOURS

MOST = 8                # workers
WIDE, HIGH = 0.62, 0.13             # of a worker's row of chunks
OWN, SOME, ALL = "white", "#CFE8F7", COLOURS["sky"]     # a chunk: own values only, the sum of some workers' values, of all


class Ring(Panel):
    """K workers in a circle, each with K chunks of a gradient; a slider takes one step of the ring after the other."""

    title = "A ring all-reduce: who sends which chunk to whom"
    task = "Take K = 6. Go to the first step after which every chunk is complete somewhere, and no further."
    size = (880, 520)
    numbers = 1440      # in the gradient, float64; divisible by 2 to 6 and by 8

    def __init__(self):
        self.shown = {}             # what each cell and arrow shows
        super().__init__()

    def controls(self):
        self.workers, self.step = slider("Workers K", 3, MOST, 4), slider("Step", 0, 2 * (MOST - 1), 1)
        return {"K": self.workers, "step": self.step}

    def build(self, figure):
        self.axes = axes = figure.subplots()
        axes.set(xlim=(-1.76, 1.76), ylim=(-1.13, 1.0))
        axes.set_axis_off()
        self.cells = [[axes.add_patch(Rectangle((0, 0), 0, 0)) for _ in range(MOST)] for _ in range(MOST)]
        self.names = [label(axes, 0, 0, ha="center", va="center", fontsize=14, fontweight="bold") for _ in range(MOST)]
        self.counts = [[label(axes, 0, 0, ha="center", va="center", fontsize=14) for _ in range(MOST)] for _ in range(MOST)]
        self.arrows = [axes.add_patch(FancyArrowPatch((0, 0), (0, 0), arrowstyle="-|>", mutation_scale=22, linewidth=2.5,
                                                      color=COLOURS["vermillion"])) for _ in range(MOST)]
        self.middle = label(axes, 0, 0, ha="center", va="center", fontsize=15)
        self.build_key(axes)
        return [*(c for row in self.cells for c in row), *self.arrows, *self.names, *(c for row in self.counts for c in row), self.middle]

    @staticmethod
    def build_key(axes):
        rows = [(OWN, "black", "its own value"), (SOME, "black", "a sum of some"), (ALL, "black", "the sum of all"),
                (OWN, COLOURS["vermillion"], "just came in")]
        for k, (face, edge, text) in enumerate(rows):
            x = -1.55 + 0.8 * k
            axes.add_patch(Rectangle((x, -1.085), 0.09, 0.07, facecolor=face, edgecolor=edge, linewidth=1.2 if edge == "black" else 3))
            axes.text(x + 0.13, -1.05, text, fontsize=13, va="center")

    def compute(self, K, step):
        states = ring(K, np.ones((K, self.numbers)))
        return K, states[:min(step, len(states) - 1) + 1], len(states) - 1

    def update(self, result):
        K, states, steps = result
        state = states[-1]
        for k in range(MOST):
            self.show_worker(k, K, state)
            if (K, k < len(state.sent)) != self.shown.get(k):           # what does not change is not drawn anew
                self.shown[k] = K, k < len(state.sent)
                self.show_message(k, K, state)
        sent = int(bytes_sent(states).max())
        whole = "whole gradient" if sent == 8 * self.numbers else f"{sent / (8 * self.numbers):.2f} of the gradient"
        self.middle.set_text(f"step {state.step} of {steps}\n{state.phase}\neach has sent\n{whole}")
        complete = int((state.summed == K).any(axis=0).sum())
        return (f"K = {K}, step {state.step} of {steps} ({state.phase}): each worker has sent {sent:,} bytes of a gradient of {8 * self.numbers:,}; "
                f"{complete} of {K} chunks are complete somewhere, {int((state.summed == K).sum())} of {K * K} in all.")

    def place(self, k, K, radius=0.8):
        angle = pi / 2 - 2 * pi * k / K
        return 1.68 * radius * cos(angle), radius * sin(angle) - 0.02

    def show_worker(self, k, K, state):
        """The worker's name, and its chunks as cells with the number of workers that each sums."""
        came = {chunk for _, to, chunk, _ in state.sent if to == k}
        for c in range(MOST):
            now = (K, int(state.summed[k, c]), c in came) if k < K and c < K else None
            if now != self.shown.get((k, c)):
                self.shown[k, c] = now
                self.show_chunk(k, c, *now or (K, 0, False))

    def show_chunk(self, k, c, K, count, came):
        """One cell; count 0 where there is none."""
        (x, y), width, cell = self.place(k, K), WIDE / K, self.cells[k][c]
        x += c * width - WIDE / 2
        cell.set_visible(count > 0)
        self.counts[k][c].set_text(str(count) if count else "")
        cell.set_bounds(x, y - HIGH / 2, width, HIGH)
        cell.set(facecolor=ALL if count == K else SOME if count > 1 else OWN, edgecolor=COLOURS["vermillion"] if came else "black",
                 linewidth=3.5 if came else 1.2, zorder=1.5 if came else 1)
        self.counts[k][c].set_position((x + width / 2, y))

    def show_message(self, n, K, state):
        """A worker's name, and the arrow from it to the next."""
        x, y = self.place(n, K)
        self.names[n].set_position((x, y + 0.115))
        self.names[n].set_text(f"worker {n}" if n < K else "")
        self.arrows[n].set_visible(n < len(state.sent))
        if n < len(state.sent):
            k, to, _, _ = state.sent[n]
            (x0, y0), (x1, y1) = self.place(k, K, 0.52), self.place(to, K, 0.52)
            self.arrows[n].set_positions((x0 + 0.2 * (x1 - x0), y0 + 0.2 * (y1 - y0)), (x0 + 0.8 * (x1 - x0), y0 + 0.8 * (y1 - y0)))

    def reached(self, result):
        K, states, _ = result
        first = next((s.step for s in states if (s.summed == K).any(axis=0).all()), None)
        return K == 6 and first == states[-1].step
