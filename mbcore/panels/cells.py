"""A matrix as coloured cells, for a picture that changes. Matplotlib resamples an image at each draw, which takes ten times as
long as this: each pixel looks up its cell."""

import numpy as np
from matplotlib import colormaps
from matplotlib.artist import Artist


class Cells(Artist):
    """values[row, column] fill the axes, row 0 on top; low and high are the ends of the colour map, NaN is white."""

    def __init__(self, axes, low, high, cmap):
        super().__init__()
        self.low, self.high, self.values = low, high, np.full((1, 1), np.nan)
        rgba = (255 * colormaps[cmap](np.arange(256))).round().astype(np.uint8)
        self.colours = np.vstack([rgba, [[255] * 4]]).astype(np.uint8).view(np.uint32)[:, 0]      # a pixel in one number; last: white
        axes.add_artist(self)
        self.set_in_layout(False)

    def set_values(self, values):
        self.values, self.stale = values, True

    def draw(self, renderer):
        if not self.get_visible():
            return
        pixels = np.asarray(renderer.buffer_rgba()).view(np.uint32)[:, :, 0]
        x0, y0, x1, y1 = (round(edge) for edge in self.axes.bbox.extents)
        part = pixels[len(pixels) - y1:len(pixels) - y0, x0:x1]
        share = (self.values - self.low) / (self.high - self.low)
        place = np.where(np.isnan(share), 256, np.nan_to_num(255 * share.clip(0, 1)).round()).astype(int)
        rows, columns = (np.arange(n) * cells // n for n, cells in zip(part.shape, place.shape))
        part[...] = self.colours[place][rows[:, None], columns]
        self.stale = False
