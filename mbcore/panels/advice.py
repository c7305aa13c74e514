"""Lesson 13's panel: what `advise` measures, drawn on one axis, and what follows from it; and what another batch size would cost."""

import numpy as np

from .. import data
from ..advise import NEAR, Advice, advising
from ..experiments.models import MLP
from .base import Panel, choice, toggle
from .label import label
from .style import COLOURS, axes_style, given

TASKS = {"digits": data.digits, "four clouds": data.gaussians, "a teacher": data.teacher}
SIZES = tuple(2**k for k in range(11))          # every task has more examples than the last
TWICE = 2.0             # times the least: the target's limit


class AdvicePanel(Panel):
    """Three tasks, measured now; the newest advice in front. Curves are multiples of the least, so that they share an axis."""

    title = "Which batch size? Measured on this machine, in seconds"
    task = "Measure all three tasks. Then, for the one that wants the largest batch, find the largest B that takes at most twice the least time."
    size = (880, 440)

    def __init__(self, digits=None, seconds=2.0, j=32):
        """digits: Advice on that task and this network, if it is there already."""
        if digits is not None:
            given("digits", digits, Advice)
        self.j, self.seconds = j, seconds
        self.measured = {} if digits is None else {("digits", seconds): digits}         # (task, seconds) -> Advice
        super().__init__()

    def controls(self):
        return {"B": choice("Your batch size B", SIZES, 32), "seconds": choice("Seconds to measure", (2.0, 4.0, 8.0), self.seconds),
                "task": toggle("Task", list(TASKS), "digits")}

    def build(self, figure):
        self.axes = axes = figure.add_subplot()
        axes_style(axes, "batch size B", "multiples of the least")
        axes.set(xscale="log", yscale="log", xlim=(0.8, 3000), ylim=(0.8, 100), xticks=[1, 10, 100, 1000], xticklabels=["1", "10", "100", "1000"],
                 yticks=[1, 10, 100], yticklabels=["1", "10", "100"])
        plot = lambda style, colour, name, **look: axes.plot([], [], style, color=COLOURS[colour], label=name, **look)[0]
        self.range = axes.axvspan(1, 2, color="#A6D3F0", label="the recommended range")
        self.steps = plot("s--", "orange", "steps to a loss", markevery=2)
        self.clock = plot("^:", "green", "one step's seconds", markevery=2)
        self.ends = [plot("-", "grey", name, linewidth=1.5) for name in ("if B_crit is at an end", None)]
        self.middle = plot("-", "black", "seconds to a loss", linewidth=3)
        self.advised = plot("D", "vermillion", "start here", markersize=14)
        self.yours = plot("o", "blue", "your B", markersize=17, markerfacecolor="none", markeredgewidth=3)
        figure.get_layout_engine().set(rect=(0, 0, 0.65, 1))
        axes.legend(loc="upper left", bbox_to_anchor=(1.02, 1.0)).set_in_layout(False)
        self.words = label(axes, 1.05, 0.34, transform=axes.transAxes, va="top", fontsize=14)
        return [self.range, *self.ends, self.steps, self.clock, self.middle, self.advised, self.yours, self.words]

    def compute(self, B, seconds, task):
        if (task, seconds) in self.measured:
            yield 1.0, (task, B, self.measured[task, seconds])
            return
        made = TASKS[task]()
        i, y = made.x_train.shape[1], len(made.classes)
        net = MLP.with_index("b").compile(b=32, i=i, j=self.j, y=y).init(np.random.default_rng(0))
        for fraction, advice in advising(net, made, seconds=seconds):
            if fraction >= 1:
                self.measured[task, seconds] = advice
            yield fraction, (task, B, advice)

    def update(self, result):
        task, B, advice = result
        if advice.why_not is not None:
            self.words.set_text("no batch size follows")
            return f"{task}: no batch size follows from this measurement: {advice.why_not}."
        if advice.batch is None:
            said = [] if advice.line is None else [f"one step: {1e6 * advice.line.t0:.0f} µs + B x {1e6 * advice.line.t1:.2g} µs"]
            return f"{task}: measuring … {'; '.join(said)}"
        c = advice.curves
        self.range.set_bounds(advice.low, 0, advice.high - advice.low, 1)
        self.steps.set_data(c.B, c.steps[1])
        self.clock.set_data(c.B, c.step_seconds / c.step_seconds[0])
        for line, seconds in zip((*self.ends, self.middle), (c.seconds[0], c.seconds[2], c.seconds[1])):
            line.set_data(c.B, seconds)
        self.advised.set_data([advice.batch], [costs(advice, advice.batch)[1]])
        took = costs(advice, B)
        self.yours.set_data([B], [took[1]])
        self.words.set_text(f"start with B = {advice.batch}\n{advice.low} to {advice.high}: within {NEAR:g}x\nlearning rate near {advice.lr:.2g}\n"
                            f"knee of the machine: {advice.line.knee:.0f}\nB_crit: {advice.B_crit[0]:.0f} to {advice.B_crit[2]:.0f}\n"
                            f"memory holds {float(f'{advice.largest:.2g}'):,.0f}")
        return (f"{task}: start with B = {advice.batch}, learning rate near {advice.lr:.2g}; {advice.low} to {advice.high} should do nearly as well. "
                f"Your B = {B} takes {took[1]:.1f} times the least time, and at most {max(took):.1f} times, wherever B_crit lies between its ends.")

    def reached(self, result):
        task, B, advice = result
        newest = {name: found for (name, _), found in self.measured.items()}
        if len(newest) < len(TASKS) or None in (advice.batch, *(found.batch for found in newest.values())):
            return False
        return (advice.batch == max(found.batch for found in newest.values())
                and B == max(size for size in SIZES if costs(advice, size)[1] <= TWICE))


def costs(advice, B):
    """Seconds to a loss with this batch size, in multiples of the least, for B_crit at its lower end, its middle, its upper end."""
    c = advice.curves
    return tuple(float(np.interp(np.log(B), np.log(c.B), seconds)) for seconds in c.seconds)
