"""Lesson 06's first panel: the time of a step against B, measured while you watch; images per second; and where memory ends."""

from dataclasses import replace

import numpy as np
from matplotlib.patches import Rectangle

from ..experiments import throughput
from ..experiments.memory import predicted
from .base import Panel, choice
from .label import label
from .style import COLOURS, axes_style, given

MEASURED = tuple(2**k for k in range(13))
SIZES = tuple(2**k for k in range(29))      # beyond those measured, the line alone, dotted
WIDTHS = (8, 16, 32, 64, 128, 256, 512, 1024)
FEW, ENOUGH = 64, 0.9                       # the target: a batch of at most so many, this near to the best
FLOOR = 0.36                                # of the right axes: below it stands the legend


class Throughput(Panel):
    """The width J of the layer, which is measured anew, and a batch size B to read off. `lines`: J -> hardware.Line, as measured."""

    title = "What a step costs, and what a larger batch buys"
    task = (f"Find a layer (J) for which a batch of {FEW} or less already gives {100 * ENOUGH:.0f} % of the best images per second. "
            "Then move B to where memory ends.")
    size = (900, 470)

    def __init__(self, config=throughput.Config(sizes=MEASURED, budget=1.2, rounds=9)):
        given("config", config, throughput.Config)
        self.config, self.under_way, self.found, self.lines, self.enough = config, {}, {}, {}, set()    # enough: J that reach the target
        self.shown = self.before = self.drawn = None        # the width in front and the one before it; the result in the picture
        super().__init__()

    def controls(self):
        return {"j": choice("Hidden units J", WIDTHS, self.config.j), "B": choice("Batch size B", SIZES, 16)}

    # ------------------------------------------------------------ the figure

    def build(self, figure):
        self.time, self.rate = figure.subplots(1, 2)
        axes_style(self.time, "batch size B", "milliseconds for one step")
        self.time.set(xscale="log", yscale="log", xlim=(0.8, 6000), xticks=[1, 10, 100, 1000], xticklabels=["1", "10", "100", "1000"],
                      ylim=(0.005, 2000), yticks=[0.01, 0.1, 1, 10, 100, 1000], yticklabels=["0.01", "0.1", "1", "10", "100", "1000"])
        axes_style(self.rate, "batch size B", "images per second")
        self.rate.set(xscale="log", yscale="log", xlim=(0.5, 3e9), xticks=[1, 1e3, 1e6, 1e9], xticklabels=["1", "1000", "1 M", "1000 M"],
                      ylim=(20, 3e9), yticks=[1e2, 1e4, 1e6, 1e8], yticklabels=["100", "10 k", "1 M", "100 M"])
        for axes in (self.time, self.rate):
            axes.minorticks_off()
        moving = [*self.build_rate(), *self.build_time()]
        self.time.legend(handles=[self.points, self.mine[0], self.line, self.earlier[0]], loc="upper left", borderaxespad=0.1)
        self.rate.legend(handles=[self.bound, self.roof, self.t4], loc="lower right", borderaxespad=0.1)
        figure.get_layout_engine().set(rect=(0, 0.07, 1, 0.93))         # room for the line about the GPU
        return moving

    def line_in(self, axes, colour, style, words="", **look):
        return axes.plot([], [], style, color=COLOURS[colour], label=words, **look)[0]

    def build_time(self):
        axes, both = self.time, (self.time, self.rate)
        self.earlier = [self.line_in(a, "grey", "s:", "the J before", linewidth=1.5, markersize=5) for a in both]
        self.parts = [self.line_in(axes, "green", style, linewidth=1.8) for style in ("--", "-.")]
        self.names = [label(axes, 1, 1, word, color=COLOURS["green"], fontsize=15, va=va, ha=ha)
                      for word, va, ha in (("t₀", "bottom", "right"), ("B t₁", "top", "left"))]
        self.line, self.curve = (self.line_in(a, "black", "-", "t₀ + B t₁", linewidth=1.5) for a in both)
        self.points, self.dots = (self.line_in(a, "blue", "o", "measured", markersize=size) for a, size in zip(both, (7, 5)))
        self.gpu = [self.line_in(a, "purple", "^", markersize=6) for a in both]
        self.interval = self.line_in(axes, "orange", "-", linewidth=7, solid_capstyle="butt")
        self.knee = self.line_in(axes, "orange", "D", markersize=12, markeredgecolor="black")
        self.stem = self.line_in(axes, "black", ":", linewidth=1.2)
        self.word = label(axes, 1, 0.006, fontsize=14)
        self.mine = [self.line_in(a, "vermillion", "o", "your B", markersize=17, fillstyle="none", markeredgewidth=3) for a in both]
        self.over = self.line_in(self.rate, "vermillion", "X", markersize=15, markeredgecolor="black")
        return [*self.earlier, *self.parts, *self.names, self.line, self.curve, *self.gpu, self.points, self.dots, self.stem,
                self.interval, self.knee, self.word, *self.mine, self.over]

    def build_rate(self):
        axes = self.rate
        self.full = axes.add_patch(Rectangle((1, FLOOR), 1, 1 - FLOOR, transform=axes.get_xaxis_transform(), facecolor=COLOURS["grey"],
                                             alpha=0.35))
        self.end = label(axes, 1, 0.98, "memory full →", transform=axes.get_xaxis_transform(), fontsize=13, va="top", ha="right")
        self.roof = self.line_in(axes, "green", "-.", "roof of this CPU", linewidth=1.8)
        self.t4 = self.line_in(axes, "purple", ":", "roof of a T4 (data sheet)")
        self.bound = self.line_in(axes, "orange", "--", f"{100 * ENOUGH:.0f} % of the best", linewidth=1.8)
        self.beyond = self.line_in(axes, "black", ":", linewidth=1.5)
        self.source = label(axes, 0.02, 0.02, transform=axes.figure.transFigure, fontsize=14, va="bottom")
        return [self.full, self.end, self.roof, self.t4, self.bound, self.beyond, self.source]

    # ------------------------------------------------------------ from a key press to a picture

    def compute(self, j, B):
        """Measure this width, unless it has been measured. Another B does not begin the measurement anew: it goes on."""
        if j not in self.under_way and j not in self.lines:
            peak = next(iter(self.found.values())).peak if self.found else None
            self.under_way = {j: throughput.running(replace(self.config, j=j, peak=peak))}
        while j in self.under_way:
            try:
                fraction, self.found[j] = next(self.under_way[j])
            except Exception:
                del self.under_way[j]
                raise
            if fraction == 1:
                self.lines[j] = self.found[j].line
                del self.under_way[j]
            yield fraction, (j, B)
        yield 1.0, (j, B)

    def update(self, result):
        (j, B), r = result, self.found[result[0]]
        if j != self.shown:
            self.shown, self.before = j, self.shown
        if r is not self.drawn:             # else only B has changed
            self.drawn = r
            self.show(self.found.get(self.before), *self.earlier)
            self.show(r, self.points, self.dots)
            self.show(r, *self.gpu, device="gpu")
            self.show_line(r.line)
            self.show_limits(r)
        self.show_choice(B, r)
        return self.reading_of(j, B, r)

    def reached(self, result):
        """Once a J has reached it, B is free to move to where memory ends."""
        (j, B), share = result, self.share_at(*result)
        if j in self.lines and B <= FEW and share is not None and share >= ENOUGH:
            self.enough.add(j)
        return j in self.enough

    def share_at(self, j, B):
        """Images per second at B over the best; None where B is not measured."""
        found = self.found[j].cpu
        return found.per_second[found.sizes.index(B)] / found.per_second.max() if B in found.sizes else None

    def show(self, r, time, rate, device="cpu"):
        found = r and getattr(r, device)
        time.set_data(*(found.sizes, 1e3 * found.seconds) if found else ([], []))
        rate.set_data(*(found.sizes, found.per_second) if found else ([], []))

    def show_line(self, line):
        """The line, its two parts, and the knee, where they cross."""
        there = line is not None and line.t0 > 0 < line.t1
        for artist in (self.line, self.curve, self.beyond, *self.parts, *self.names, self.stem, self.interval, self.knee, self.word):
            artist.set_visible(there)
        if not there:
            return
        B, t0, t1, knee = np.array(SIZES), 1e3 * line.t0, 1e3 * line.t1, line.knee
        for artist, t in zip((self.line, *self.parts), (t0 + B * t1, np.full(len(B), t0), B * t1)):
            artist.set_data(B, t)
        for artist, part in (self.curve, B[:len(MEASURED)]), (self.beyond, B[len(MEASURED) - 1:]):
            artist.set_data(part, 1e3 * part / (t0 + part * t1))
        for name, place in zip(self.names, ((5000, 1.1 * t0), (0.3 * knee, 0.2 * t0))):
            name.set_position(place)
        self.interval.set_data(np.minimum(line.knee_interval, 1e6), [t0, t0])
        self.knee.set_data([knee], [t0])
        self.stem.set_data([knee, knee], [1e-3, t0])
        left = knee < 400
        self.word.set(text=f"knee {knee:.0f}", x=knee * (1.15 if left else 0.87), ha="left" if left else "right")

    def show_limits(self, r):
        self.roof.set_data(r.sizes, r.attainable)
        self.t4.set_data(r.sizes, r.t4)
        self.bound.set_data([SIZES[0], SIZES[-1]], [ENOUGH * r.cpu.per_second.max()] * 2)
        self.full.set(x=r.fits, width=1e12)
        self.end.set_x(0.8 * r.fits)
        self.source.set_text(f"▲ GPU: {r.gpu_source}." if r.gpu else f"{r.gpu_source[0].upper()}{r.gpu_source[1:]}.")

    def show_choice(self, B, r):
        """A ring where B was measured, on the line where it was not; a cross where it does not fit."""
        found = r.cpu
        t = found.seconds[found.sizes.index(B)] if B in found.sizes else r.line and r.line.t0 + B * r.line.t1
        place = ([], []) if t is None else ([B], [B / t])
        self.mine[0].set_data([B] if t else [], [1e3 * t] if t else [])
        self.mine[1].set_data(*place if B <= r.fits else ([], []))
        self.over.set_data(*place if B > r.fits else ([], []))

    def reading_of(self, j, B, r):
        share, words, needed = self.share_at(j, B), f"J = {j}: ", predicted(self.config.i, j, self.config.y).of(B)
        if r.line is not None:
            low, high = r.line.knee_interval
            words += (f"t₀ = {1e6 * r.line.t0:.0f} µs, t₁ = {1e6 * r.line.t1:.2g} µs; the knee is at B = {r.line.knee:.0f} "
                      f"(95 %: {low:.0f} to {high:.0f}). ")
        words += f"A batch of {B:,} " + (f"gives {100 * share:.0f} % of the best images per second" if share else "was not measured")
        words += f" and needs {in_words(needed)} of the {in_words(r.free)} free; {r.fits:,} examples would fit."
        if r.cpu.own < throughput.QUIET:
            words += f" Other work took {100 - 100 * r.cpu.own:.0f} % of the CPU meanwhile."
        return words


def in_words(nbytes):
    """Bytes with three digits and a unit."""
    for unit, size in ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3):
        if nbytes >= size:
            return f"{nbytes / size:.3g} {unit}"
    return f"{nbytes} bytes"
