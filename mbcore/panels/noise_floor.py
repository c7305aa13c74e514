"""Lesson 05: where SGD at a constant learning rate settles, and the best batch for a budget."""

from math import nan

from ..experiments.convex import descending
from ..experiments.noise_floor import Config, predicted_floor, spent
from ..progress import last
from .base import choice, toggle
from .filling import Filling
from .label import label
from .style import COLOURS, axes_style, given

SIZES = (1, 2, 4, 8, 16, 32, 64)
RATES = (0.0125, 0.025, 0.05, 0.1, 0.2, 0.4, 0.8)
EXAMPLES, STEPS = 1024, 128
BUDGETS = (f"{EXAMPLES:,} examples", f"{STEPS} steps")
BEFORE = (64, 8)                                # trained before the first picture


class NoiseFloor(Filling):
    """Left: the loss above the minimum as it descends. Right: where it stands once the budget is spent, for every B tried."""

    title = "SGD at a constant learning rate settles above the minimum"
    task = f"Learning rate 0.2, {EXAMPLES:,} examples to spend: which B ends lowest? Try its two neighbours as well."
    size = (900, 450)

    def __init__(self, config=Config(steps=1024)):
        given("config", config, Config)
        self.config = config
        self.kept = {(B, 0.2): last(descending(B, config, (0.2,))) for B in BEFORE}
        super().__init__()

    def controls(self):
        return {"B": choice("Batch size B", SIZES, 1), "lr": choice("Learning rate", RATES, 0.2),
                "budget": toggle("Budget", BUDGETS, BUDGETS[0])}

    def build(self, figure):
        self.left, self.right = figure.subplots(1, 2, width_ratios=(1.15, 1), sharey=True)
        for axes in (self.left, self.right):
            axes.set(xscale="log", yscale="log", ylim=(3e-4, 30), yticks=[1e-3, 1e-2, 0.1, 1], yticklabels=["0.001", "0.01", "0.1", "1"])
        axes_style(self.left, " ", "loss above the minimum")
        axes_style(self.right, "batch size B", " ")
        self.right.set_title("once the budget is spent")
        self.right.set(xlim=(0.7, 90), xticks=SIZES, xticklabels=SIZES)
        return [*self.build_runs(), *self.build_budget()]

    def build_runs(self):
        line = lambda axes, colour, style, **look: axes.plot([], [], style, color=COLOURS[colour], **look)[0]
        self.older = {B: line(self.left, "sky", "-", linewidth=1.5) for B in SIZES}
        self.floor = line(self.left, "black", "--")
        self.run = line(self.left, "vermillion", "-", marker="o", markevery=3, linewidth=3)
        names = {"this B": self.run, "floor, theory": self.floor, "B before": self.older[1]}
        self.left.legend(names.values(), names, loc="upper right", ncols=2, columnspacing=1, handlelength=1.6)
        self.words = {B: label(self.left, 1, 1, fontsize=13, va="center_baseline") for B in SIZES}
        self.spent = self.left.axvline(1, 0, 0.78, color=COLOURS["grey"], linestyle=":", linewidth=2)
        start = self.kept[BEFORE[0], 0.2].excess[0].mean()
        self.left.axhline(start, color=COLOURS["grey"], linewidth=1.2)
        self.left.text(0.02, start * 1.15, "start", transform=self.left.get_yaxis_transform(), fontsize=13)
        return [*self.older.values(), *self.words.values(), self.spent, self.floor, self.run]

    def build_budget(self):
        line = lambda colour, style, **look: self.right.plot([], [], style, color=COLOURS[colour], **look)[0]
        self.floors, self.bias, self.variance = line("black", "--"), line("blue", "s-.", markersize=6), line("green", "^:")
        self.means = line("yellow", "o", markeredgecolor="black", markersize=10)
        self.here = line("vermillion", "D", markersize=16, fillstyle="none", markeredgewidth=2.5)
        names = {"at the end": self.means, "bias": self.bias, "variance": self.variance, "floor, theory": self.floors}
        self.right.legend(names.values(), names, loc="upper right", ncols=2, columnspacing=1, handlelength=1.6)
        return [self.floors, self.bias, self.variance, self.means, self.here]

    def compute(self, B, lr, budget):
        if (B, lr) in self.kept:
            yield 1.0, (B, lr, budget, self.kept[B, lr])
            return
        for done, descent in descending(B, self.config, (lr,)):
            yield done, (B, lr, budget, descent)

    def update(self, result):
        B, lr, budget, descent = result
        self.show_budget(budget)
        if descent.steps[-1] == self.config.steps:
            self.kept[B, lr] = descent
        for size, line in self.older.items():
            self.put(line, self.kept.get((size, lr)) if size != B else None, budget)
            x, y = line.get_data()
            self.words[size].set_text(f"{size}" if len(x) else "")
            self.words[size].set_position((1.15 * x[-1], y[-1]) if len(x) else (1, 1))
        self.put(self.run, descent, budget)
        floor = predicted_floor(B, lr, self.config)
        self.floor.set_data([0.5, 1e5], [floor, floor])
        ends = self.ends(lr, budget)
        self.show_ends(ends, B, lr)
        return self.reading_of(B, lr, budget, floor, descent, ends.get(B))

    def ends(self, lr, budget):
        """B -> what its run had reached when the budget was spent, for those that are trained."""
        found = {B: spent(self.kept[B, lr], STEPS if budget == BUDGETS[1] else EXAMPLES // B) for B in SIZES if (B, lr) in self.kept}
        return {B: end for B, end in found.items() if end}

    def put(self, line, descent, budget):
        if descent is None:
            line.set_data([], [])
        else:
            each = 1 if budget == BUDGETS[1] else descent.B
            line.set_data(descent.steps[1:] * each, descent.excess[1:, 0].mean(axis=-1))

    def show_budget(self, budget):
        if budget != self.face:
            by_steps = budget == BUDGETS[1]
            ticks = (1, 10, 100, 1000) if by_steps else (1, 100, 10_000)
            self.left.set(xlim=(0.8, 2500 if by_steps else 2e5), xlabel="steps" if by_steps else "examples seen", xticks=ticks,
                          xticklabels=[f"{tick:,}" for tick in ticks])
            self.spent.set_xdata([STEPS if by_steps else EXAMPLES] * 2)
            self.left.minorticks_off()
            self.right.minorticks_off()
            self.turn(budget)

    def show_ends(self, ends, B, lr):
        """The right axes: what every finished run at this learning rate had reached when the budget was spent."""
        self.floors.set_data(SIZES, [predicted_floor(size, lr, self.config) for size in SIZES])
        for line, part in (self.means, "mean"), (self.bias, "bias"), (self.variance, "variance"):
            line.set_data(list(ends), [getattr(end, part) if getattr(end, part) > 0 else nan for end in ends.values()])
        self.here.set_data([B] if B in ends else [], [ends[B].mean] if B in ends else [])

    @staticmethod
    def reading_of(B, lr, budget, floor, descent, end):
        now, theory = f"after {descent.steps[-1]:,} steps", f"theory, for small η/B, expects a floor of {floor:.2g}."
        if end is None:
            return f"B = {B}, learning rate {lr:g}: training, {now}; {theory}"
        return (f"B = {B}, learning rate {lr:g}: after {budget} the loss is {end.mean:.2g} above the minimum (bias {max(end.bias, 0):.1g}, "
                f"variance {end.variance:.2g}); {theory}")

    def reached(self, result):
        B, lr, budget, _ = result
        if (lr, budget) != (0.2, BUDGETS[0]):
            return False
        ends, at = self.ends(lr, budget), SIZES.index(B)
        return all(size in ends and ends[B].mean <= ends[size].mean for size in SIZES[max(at - 1, 0):at + 2])
