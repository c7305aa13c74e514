"""Lesson 11's first panel: the loss on every batch after every update, and for how long a batch's own influence is seen."""

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from ..experiments.last_batch import CHANCE, Config, Setting, watching
from .base import Panel, choice, toggle
from .cells import Cells
from .label import label
from .style import COLOURS, axes_style, given

SIZES = (1, 2, 4, 8, 16, 32)
RATES = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 32.0)
WIDTHS = (1, 2, 4, 8, 16, 32, 64, 128)
STEPS = (1, 2, 5, 10, 20)
ORDERS = {"shuffled": "shuffled", "sorted by class": "sorted", "with replacement": "replacement"}
TOP = 2 * CHANCE                # the worst loss shown, so that chance has the middle colour
LIMITS = ((-0.1, 0.3), (-0.3, 1), (-1, 3), (-3, 3), (-3, 8))     # of the axis of the advantage, the first that holds it


class LastBatch(Panel):
    """Batch size, rate, width, steps a batch and order; the map fills row by row as the network trains, eight seeds at once."""

    title = "What the model knows of every batch, after every update"
    task = ("Make the model remember only the last batch: it knows the batch just seen better than chance, and earlier ones worse. "
            "Do it with sorted data, and then with shuffled data.")
    size = (900, 470)
    colours = 128

    def __init__(self, setting=Setting(), config=Config()):
        given("setting", setting, Setting)
        given("config", config, Config)
        self.start, self.config = setting, config
        self.kept, self.ways = {}, set()        # Setting -> its whole Memory; the orders with which the target was met
        super().__init__()

    def controls(self):
        s = self.start
        name = next(name for name, order in ORDERS.items() if order == s.order)
        return {"B": choice("Batch size B", SIZES, s.B), "lr": choice("Learning rate", RATES, s.lr),
                "j": choice("Hidden units J", WIDTHS, s.j), "steps": choice("Steps on each batch", STEPS, s.steps),
                "order": toggle("Order", list(ORDERS), name)}

    def build(self, figure):
        grid = figure.add_gridspec(2, 2, width_ratios=(1.2, 1))
        return [*self.build_map(figure, figure.add_subplot(grid[:, 0])), *self.build_course(figure.add_subplot(grid[0, 1])),
                *self.build_advantage(figure.add_subplot(grid[1, 1]))]

    def build_map(self, figure, axes):
        K = self.config.batches
        axes_style(axes, "batch k, in the order of training", "updates so far, t")
        axes.set_title("loss on batch k after t updates")
        axes.grid(False)
        axes.set(xlim=(-0.5, K - 0.5), ylim=(K + 0.5, -0.5))
        self.map = Cells(axes, 0, TOP, "cividis_r")
        bar = figure.colorbar(ScalarMappable(Normalize(0, TOP), "cividis_r"), ax=axes, ticks=[0, CHANCE, TOP], pad=0.02)
        bar.ax.set_yticklabels(["0", f"{CHANCE:.1f}", f"{TOP:.1f}+"])
        diagonal, = axes.plot([-0.5, K - 0.5], [0.5, K + 0.5], color="white", linewidth=1.5, linestyle="--")
        words = [self.boxed(axes, K * x, K * y, text) for x, y, text in ((0.26, 0.86, "seen"), (0.74, 0.14, "not yet seen"))]
        self.above = [diagonal, *(part for pair in words for part in pair)]
        return [self.map, *self.above]

    def boxed(self, axes, x, y, text):
        """A word that is legible on any colour."""
        wide = self.config.batches * (0.03 * len(text) + 0.04)
        patch = axes.add_patch(Rectangle((x - wide / 2, y - 1.4), wide, 2.8, facecolor="white", edgecolor="none", alpha=0.8))
        return patch, label(axes, x, y, text, ha="center", va="center", fontsize=13)

    def build_course(self, axes):
        K = self.config.batches
        axes_style(axes, "updates so far, t", "loss")
        axes.set(xlim=(0, K + 0.5), ylim=(0, 1.6 * TOP), yticks=[0, CHANCE, TOP], yticklabels=["0", f"{CHANCE:.1f}", f"{TOP:.1f}"])
        axes.axvspan(K / 2 + 0.5, K + 0.5, color="#EEEEEE", zorder=0)
        chance = axes.axhline(CHANCE, color=COLOURS["black"], linestyle="--", linewidth=1.5, label="chance")
        self.before, = axes.plot([], [], "s-", color=COLOURS["blue"], markersize=5, label="earlier")
        self.just, = axes.plot([], [], "o-", color=COLOURS["vermillion"], markersize=5, label="just seen")
        axes.legend(handles=[self.just, self.before, chance], loc="upper center", ncols=3, borderaxespad=0, borderpad=0,
                    columnspacing=0.6, handlelength=1.2, handletextpad=0.3, fontsize=12)
        return [self.before, self.just]

    def build_advantage(self, axes):
        self.influence = axes
        axes_style(axes, "updates since, lag", "advantage a(lag)")
        axes.set(xlim=(-0.5, self.config.batches // 2 - 0.5), xticks=range(0, self.config.batches // 2, 5))
        axes.set(yticks=[])                         # its limits change, so its ticks move: no background to draw anew
        self.zero = axes.axhline(0, color=COLOURS["black"], linewidth=1.2)
        self.ticks = [label(axes, -0.015, 0, transform=axes.get_yaxis_transform(), ha="right", va="center", fontsize=13) for _ in range(3)]
        axes.yaxis.labelpad = 38                    # room for them
        self.points, = axes.plot([], [], "D-", color=COLOURS["green"], markersize=5)
        self.bars, = axes.plot([], [], "-", color=COLOURS["green"], linewidth=1.5)
        self.rescale(LIMITS[0])
        return [self.zero, *self.ticks, self.bars, self.points]

    def rescale(self, limits):
        self.influence.set_ylim(limits)
        self.zero.set_ydata([0, 0])
        for text, y in zip(self.ticks, (limits[0], 0, limits[1])):
            text.set_y(y)
            text.set_text(f"{y:g}")

    def compute(self, B, lr, j, steps, order):
        setting = Setting(lr, j, steps, ORDERS[order], B)
        if setting in self.kept:
            return self.kept[setting]
        return self.trained(setting)

    def trained(self, setting):
        for done, memory in watching(setting, self.config):
            if done >= 1:
                self.kept[setting] = memory
            yield done, memory

    def update(self, m):
        K = self.config.batches
        shown = np.full((K + 1, K), np.nan)
        shown[:len(m.loss)] = m.loss.mean(axis=1)
        self.map.set_values(shown)
        for part in self.above:
            part.stale = True               # else the map, which changes, would cover it
        t, just, before = m.course
        for line, loss in (self.just, just), (self.before, before):
            line.set_data(t, np.minimum(loss, 1.25 * TOP))          # higher up lies the legend
        self.show_advantage(m.advantage)
        return self.reading_of(m)

    def show_advantage(self, advantage):
        if not advantage or not np.isfinite(advantage[1]).all():
            self.points.set_data([], [])
            self.bars.set_data([], [])
            return
        lags, mean, half = advantage
        low, high = mean - half, mean + half
        self.rescale(next((limits for limits in LIMITS if limits[0] <= low.min() and high.max() <= limits[1]), LIMITS[-1]))
        self.points.set_data(lags, mean)
        gap = np.full(len(lags), np.nan)
        self.bars.set_data(np.repeat(lags, 3), np.stack([low, high, gap], axis=1).ravel())

    def reading_of(self, m):
        what = f"{m.setting}"[0].upper() + f"{m.setting}"[1:]
        if not m.advantage:
            return f"{what}: training, {len(m.loss) - 1} of {self.config.batches} batches so far."
        if not np.isfinite(m.last[0]):
            return f"{what}: training diverged; nothing is remembered."
        return (f"{what}: loss {m.last[0]:.2f} on the batch just seen, {m.earlier[0]:.2f} on earlier ones, {CHANCE:.2f} by chance. "
                f"{self.known(m)}")

    def known(self, m):
        if m.remembers_only_last:
            self.ways.add(m.setting.order)
            return f"It remembers only the last batch. What it took: {self.took(m.setting)}. Done so far: {', '.join(sorted(self.ways))}."
        if m.keeps_earlier:
            return "Earlier batches are known better than chance."
        return ("The last batch is known better than chance, but that earlier ones are not is in doubt." if m.knows_last
                else "Not even the last batch is known better than chance, beyond doubt.")

    def took(self, setting):
        """What was changed from the panel's start."""
        names = {"order": "order", "B": "B", "lr": "rate", "j": "J", "steps": "steps"}
        pairs = {word: (getattr(self.start, name), getattr(setting, name)) for name, word in names.items()}
        text = lambda value: value if isinstance(value, str) else f"{value:g}"
        return ", ".join(f"{word} {text(old)} → {text(new)}" for word, (old, new) in pairs.items() if old != new) or "nothing"

    def reached(self, m):
        return {"sorted", "shuffled"} <= self.ways
