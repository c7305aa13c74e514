"""Text that moves. Matplotlib draws a text glyph by glyph anew, 3 to 4 ms for three short lines; here each glyph is drawn
once and pasted from then on, 0.1 ms. No kerning and no mathematics: for numbers and names in a picture that changes."""

from __future__ import annotations

import functools
from math import ceil

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.text import Text

ASCENT, DESCENT, LINE = 0.78, 0.22, 1.3         # in units of the font size


def label(axes, x, y, text="", **look):
    """A Label at data coordinates x, y; look: as for `axes.text` (ha, va, fontsize, fontweight, color, transform)."""
    text = axes.add_artist(Label(x, y, text, **{"transform": axes.transData, "verticalalignment": "baseline", **look}))
    text.set_clip_on(look.get("clip_on", False))        # add_artist turns it on
    text.set_in_layout(False)                           # it changes; the layout does not
    return text


class Label(Text):
    """A Text whose draw pastes kept glyphs. With clip_on it is left out while its point is outside the axes."""

    def draw(self, renderer):
        if not self.get_visible() or not self.get_text():
            return
        x, y = self.get_transform().transform(self.get_unitless_position())
        if self.get_clip_on() and self.axes is not None and not self.axes.bbox.contains(x, y):
            return
        pixels = np.asarray(renderer.buffer_rgba())
        size = self.get_fontsize() * renderer.dpi / 72
        lines, colour = self.get_text().split("\n"), to_rgb(self.get_color())
        first = len(pixels) - y + size * self._first_baseline(len(lines))
        for k, line in enumerate(lines):
            keep, add, base = _line(line, self.get_fontsize(), self.get_fontweight(), colour, renderer.dpi)
            left = x - keep.shape[1] * {"left": 0, "center": 0.5, "right": 1}[self.get_horizontalalignment()]
            _paste(pixels, keep, add, round(left), round(first + k * LINE * size) - base)
        self.stale = False

    def _first_baseline(self, n):
        """How far below the point the first baseline lies, in font sizes."""
        below = (n - 1) * LINE
        return {"top": ASCENT, "center": (ASCENT - DESCENT - below) / 2, "center_baseline": (ASCENT - DESCENT - below) / 2,
                "bottom": -DESCENT - below, "baseline": 0}[self.get_verticalalignment()]


def _paste(pixels, keep, add, left, top):
    """pixels = pixels * keep + add, as far as the line lies on the picture."""
    height, width = pixels.shape[:2]
    y0, y1, x0, x1 = max(top, 0), min(top + keep.shape[0], height), max(left, 0), min(left + keep.shape[1], width)
    if y0 < y1 and x0 < x1:
        part, own = pixels[y0:y1, x0:x1, :3], np.s_[y0 - top:y1 - top, x0 - left:x1 - left]
        np.multiply(part, keep[own], out=part, casting="unsafe")
        if add is not None:
            np.add(part, add[own], out=part, casting="unsafe")


@functools.lru_cache(maxsize=256)
def _line(text, size, weight, colour, dpi):
    """What one line leaves of the pixels under it, what it adds (None for black), and the row of its baseline."""
    glyphs = [_glyph(c, size, weight, dpi) for c in text]
    height, base = glyphs[0][0].shape[0], glyphs[0][2]
    pad, x = glyphs[0][3], 0.0
    alpha = np.zeros((height, ceil(sum(g[1] for g in glyphs)) + 2 * pad), np.float32)
    for ink, advance, _, _ in glyphs:
        at = round(x)
        part = alpha[:, at:at + ink.shape[1]]
        np.maximum(part, ink[:, :part.shape[1]], out=part)
        x += advance
    rows = np.flatnonzero(alpha.any(axis=1))
    first, last = (rows[0], rows[-1] + 1) if len(rows) else (0, 0)
    alpha = alpha[first:last, pad:alpha.shape[1] - pad, None]
    add = (alpha * np.float32(colour) * 255).astype(np.uint8) if any(colour) else None
    return 1 - alpha, add, base - first


@functools.lru_cache(maxsize=1024)
def _glyph(char, size, weight, dpi):
    """(alpha, advance, row of the baseline, columns left of the origin) of one character, drawn by matplotlib."""
    em = size * dpi / 72
    pad, height, base = ceil(em / 4), ceil(1.6 * em), ceil(1.2 * em)
    look = {"fontsize": size, "fontweight": weight}
    figure = Figure(dpi=dpi)
    canvas = FigureCanvasAgg(figure)
    text = figure.text(0, 0, "", **look)
    wide = []
    for shown in ("x" + char + "x", "xx"):
        text.set_text(shown)
        wide.append(text.get_window_extent(canvas.get_renderer()).width)
    figure.set_size_inches((2 * pad + ceil(2 * em)) / dpi, height / dpi)
    text.set(text=char, position=(pad / (2 * pad + ceil(2 * em)), 1 - base / height), va="baseline")
    canvas.draw()
    ink = 1 - np.asarray(canvas.buffer_rgba())[:, :, 0].astype(np.float32) / 255
    return ink, wide[0] - wide[1], base, pad
