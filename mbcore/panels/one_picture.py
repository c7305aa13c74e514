"""Lesson 00's panel: the batch size retrains the digits network, and the axis decides who wins."""

from dataclasses import replace

from ..experiments import one_picture
from .base import Panel, choice, toggle
from .style import COLOURS, axes_style

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1437)
RATES = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
AXES = {"epochs": ("passes over the data (epochs)", (0, 10), "linear"),
        "steps": ("parameter updates (steps)", (1, 20_000), "log"),
        "seconds": ("seconds spent in steps, on this machine", (1e-3, 5), "log")}
LOSS, STEPS = 0.1, 250          # the target


class OnePicture(Panel):
    """Batch size, learning rate and axis; the newest run in front of the four before it."""

    title = "The course in one picture: ten passes over 1,437 handwritten digits"
    task = f"Bring the training loss to {LOSS} within {STEPS} steps. Then look at the same run in epochs, and in seconds."
    size = (860, 420)

    def __init__(self, config=one_picture.Config()):
        self.config, self.kept, self.axis = config, {}, None
        super().__init__()

    def controls(self):
        return {"B": choice("Batch size B", SIZES, self.config.B), "lr": choice("Learning rate", RATES, self.config.lr),
                "axis": toggle("Count in", list(AXES), "epochs")}

    def build(self, figure):
        self.axes = axes = figure.add_subplot()
        axes_style(axes, " ", "training loss")
        axes.set(yscale="log", ylim=(0.008, 8), yticks=[0.01, 0.1, 1], yticklabels=["0.01", "0.1", "1"])
        axes.axhline(LOSS, color=COLOURS["black"], linewidth=1.2, linestyle=":")
        axes.text(0.995, LOSS * 1.06, f"target loss {LOSS}", ha="right", transform=axes.get_yaxis_transform(), fontsize=13)
        self.older = [axes.plot([], [], color=COLOURS["grey"], linewidth=1.6, linestyle=style)[0] for style in ("-", "--", "-.", ":")]
        self.names = [axes.text(0, 0, "", color=COLOURS["grey"], fontsize=13, va="center", clip_on=False) for _ in self.older]
        self.line, = axes.plot([], [], color=COLOURS["vermillion"], marker="o", markevery=4)
        self.name = axes.text(0, 0, "", color=COLOURS["vermillion"], fontsize=16, fontweight="bold", va="center", clip_on=False)
        figure.get_layout_engine().set(rect=(0, 0, 0.9, 1))         # room for the names at the ends of the lines
        self.show_axis("epochs")
        return [*self.older, *self.names, self.line, self.name]

    def compute(self, B, lr, axis):
        if (B, lr) in self.kept:
            return axis, B, lr, self.kept[B, lr]
        return self.trained(B, lr, axis)

    def trained(self, B, lr, axis):
        for done, record in one_picture.run(replace(self.config, B=B, lr=lr)):
            yield done, (axis, B, lr, record)

    def update(self, result):
        axis, B, lr, record = result
        self.show_axis(axis)
        before = [run for run in self.kept.items() if run[0] != (B, lr)][-4:]
        if record.epochs[-1] >= self.config.epochs or record.diverged:
            self.kept.pop((B, lr), None)
            self.kept[B, lr] = record
        for k, (line, name) in enumerate(zip(self.older, self.names)):
            run = before[k] if k < len(before) else None
            self.show(line, name, run and run[1], axis, run and f"B={run[0][0]}" + (f", lr {run[0][1]:g}" if run[0][1] != lr else ""))
        self.show(self.line, self.name, record, axis, f"B={B}")
        return self.reading_of(B, lr, record, axis)

    def reached(self, result):
        record = result[-1]
        return bool(((record.loss <= LOSS) & (record.steps <= STEPS)).any())

    def show_axis(self, axis):
        if axis != self.axis:
            label, limits, scale = AXES[axis]
            self.axes.set(xlabel=label, xscale=scale, xlim=limits)
            self.axis = axis
            self.redraw_background()

    def show(self, line, name, record, axis, text):
        if record is None:
            line.set_data([], [])
            name.set_text("")
            return
        x = getattr(record, axis)
        first = int(x[0] == 0 and axis != "epochs")                 # a logarithm has no place for step 0
        line.set_data(x[first:], record.loss[first:])
        name.set_position((x[-1], min(max(record.loss[-1], 0.008), 8)))
        name.set_text("  " + text)

    @staticmethod
    def reading_of(B, lr, record, axis):
        if record.diverged:
            return f"B = {B}, learning rate {lr:g}: diverged after {record.steps[-1]:,} steps."
        spent = {"epochs": f"{record.epochs[-1]:.0f} epochs ({record.steps[-1]:,} steps)", "steps": f"{record.steps[-1]:,} steps",
                 "seconds": f"{record.seconds[-1]:.2f} seconds of steps"}[axis]
        return (f"B = {B}, learning rate {lr:g}: after {spent} the training loss is {record.loss[-1]:.2g} "
                f"and {100 * record.test_error[-1]:.0f} % of the test digits are wrong.")
