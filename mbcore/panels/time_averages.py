"""Lesson 04's third panel: averages of gradients over time, while the parameters stand still and while they move."""

from ..experiments.time_averages import averaged, streaming
from .base import Panel, choice
from .label import label
from .style import COLOURS, axes_style

WINDOWS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)
RATES = (0.0, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 4.0)
STEPS, SHOWN = 240, 100         # of a run, and of the picture on the left
WEIGHT = -7                     # in the gradient: C1[3]
LONG, LEFT = 16, 0.5            # the target


class TimeAverages(Panel):
    """N and the learning rate; on the left one weight's gradient, on the right what is left of the noise for every N."""

    title = "Averages over time: quiet, but late"
    task = (f"Find a learning rate at which averaging {LONG} gradients or more over time removes less than half of the error, "
            "whichever average you take.")
    size = (900, 450)

    def __init__(self, N=8):
        self.first, self.runs = N, {}
        super().__init__()

    def controls(self):
        return {"N": choice("Average over N", WINDOWS, self.first),
                "lr": choice("Learning rate", [("0: stand still", 0.0), *((f"{lr:g}", lr) for lr in RATES[1:])], 0.0)}

    def build(self, figure):
        self.time, self.noise = figure.subplots(1, 2, width_ratios=(1.15, 1))
        return [*self.build_time(self.time), *self.build_noise(self.noise)]

    def build_time(self, axes):
        axes_style(axes, f"step, the last {SHOWN} of {STEPS}", "gradient of C1[3]")
        axes.set(xlim=(0, SHOWN), ylim=(-0.25, 0.35), xticks=[0, 50, 100], yticks=[-0.2, 0, 0.2])
        axes.set_title("dots: batches of 8, dashes: all examples", fontsize=13, loc="left")
        self.dots, = axes.plot([], [], "o", color=COLOURS["grey"], markersize=4)
        self.rolling, = axes.plot([], [], "s-", color=COLOURS["blue"], markevery=(8, 16))
        self.exponential, = axes.plot([], [], "o-", color=COLOURS["vermillion"], markevery=16, linewidth=3)
        self.true, = axes.plot([], [], "--", color=COLOURS["black"])
        return [self.dots, self.rolling, self.exponential, self.true]

    def build_noise(self, axes):
        axes_style(axes, "N", "error / error of one batch")
        axes.set(xscale="log", yscale="log", xlim=(0.85, 40), ylim=(0.01, 2), xticks=[1, 2, 4, 8, 16, 32], yticks=[0.01, 0.03, 0.1, 0.3, 1],
                 xticklabels=["1", "2", "4", "8", "16", "32"], yticklabels=["0.01", "0.03", "0.1", "0.3", "1"])
        axes.minorticks_off()
        axes.plot(WINDOWS, [1 / N for N in WINDOWS], ":", color=COLOURS["blue"], linewidth=2)
        axes.plot(WINDOWS, [1 / (2 * N - 1) for N in WINDOWS], ":", color=COLOURS["vermillion"], linewidth=2)
        axes.axhline(LEFT, color=COLOURS["black"], linewidth=1)
        axes.set_title("dotted: 1/N and 1/(2N-1)", fontsize=13, loc="left")
        looks = ("s", "blue"), ("o", "vermillion")
        self.lines = [axes.plot([], [], marker + "-", color=COLOURS[colour])[0] for marker, colour in looks]
        self.here = [axes.plot([], [], marker, color=COLOURS[colour], markersize=15)[0] for marker, colour in looks]
        legend = ("\u25a0\n ", "blue"), (" \n\u25cf", "vermillion"), ("    mean of the last N\n    exponential, 1/N", "black")
        names = [label(axes, 0.03, 0.04, text, color=COLOURS[colour], va="bottom", fontsize=14, transform=axes.transAxes)
                 for text, colour in legend]
        return [*self.lines, *self.here, *names]

    def compute(self, N, lr):
        if lr in self.runs:
            return N, lr, *self.runs[lr]
        return self.running(N, lr)

    def running(self, N, lr):
        for done, stream in streaming(lr, STEPS):
            if done == 1:
                self.runs[lr] = stream, stream.errors(WINDOWS)
            yield done, (N, lr, stream, self.runs[lr][1] if done == 1 else {})

    def update(self, result):
        N, lr, stream, errors = result
        g, true = (a[:, WEIGHT] for a in (stream.g, stream.true))
        last = range(max(0, len(g) - SHOWN), len(g))
        at = [k - last[0] for k in last]
        for line, values in zip((self.rolling, self.exponential, self.dots, self.true), (*averaged(g, N), g, true)):
            line.set_data(at, values[last[0]:])
        for k in (0, 1):
            self.lines[k].set_data(list(errors), [pair[k] for pair in errors.values()])
            self.here[k].set_data([N], [errors[N][k]]) if errors else self.here[k].set_data([], [])
        if not errors:
            return f"Training at learning rate {lr:g}: {len(g)} of {STEPS} steps."
        moving = "the parameters stand still" if not lr else f"training at learning rate {lr:g}"
        rolling, exponential = (f"{100 * left:.0f} %" for left in errors[N])
        return (f"N = {N}, {moving}: the mean of the last {N} leaves {rolling} of a batch's error (theory {100 / N:.0f} %), "
                f"the exponential average {exponential} (theory {100 / (2 * N - 1):.0f} %).")

    def reached(self, result):
        N, _, _, errors = result
        return N >= LONG and min(errors[N]) > LEFT
