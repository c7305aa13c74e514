"""Lesson 00's panel: the batch size retrains the digits network, and the axis decides who wins."""

from dataclasses import replace

from ..experiments import one_picture
from ..progress import last
from .base import Panel, choice, toggle
from .label import label
from .style import COLOURS, axes_style, given

SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 1437)
RATES = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 10.0)
AXES = {"epochs": ("passes over the data (epochs)", (0, 10), "linear"),
        "steps": ("parameter updates (steps)", (1, 20_000), "log"),
        "seconds": ("seconds spent in steps, on this machine", (1e-3, 5), "log")}
LOSS, STEPS = 0.1, 250          # the target
BEFORE = (1024, 128, 8)         # trained before the first picture, so that it has something to compare


class OnePicture(Panel):
    """Batch size, learning rate and axis; the newest run in front of the four before it."""

    title = "The course in one picture: ten passes over 1,437 handwritten digits"
    task = f"Bring the training loss to {LOSS} within {STEPS} steps. Then look at the same run in epochs, and in seconds."
    size = (860, 420)

    def __init__(self, config=one_picture.Config()):
        given("config", config, one_picture.Config)
        self.config, self.places = config, {}
        self.kept = {(B, config.lr): self.whole(B) for B in BEFORE}         # (B, lr) -> Record of a whole run
        super().__init__()

    def controls(self):
        return {"B": choice("Batch size B", SIZES, self.config.B), "lr": choice("Learning rate", RATES, self.config.lr),
                "axis": toggle("Count in", list(AXES), "epochs")}

    def build(self, figure):
        self.axes = axes = figure.add_subplot()
        axes_style(axes, " ", "training loss")
        axes.set(yscale="log", ylim=(0.008, 8), yticks=[0.01, 0.1, 1], yticklabels=["0.01", "0.1", "1"])
        axes.axhline(LOSS, color=COLOURS["black"], linewidth=1.2, linestyle=":")
        axes.text(0.01, LOSS * 0.93, f"target loss {LOSS}", transform=axes.get_yaxis_transform(), fontsize=13, va="top")   # no run is there so early
        styles = [("grey", "-"), ("sky", "--"), ("purple", "-."), ("green", ":")]
        self.older = [axes.plot([], [], color=COLOURS[colour], linestyle=style, linewidth=2)[0] for colour, style in styles]
        self.line, = axes.plot([], [], color=COLOURS["vermillion"], marker="o", markevery=3, linewidth=3)
        self.lines = [self.line, *self.older]
        rows = [self.legend_row(k, line) for k, line in enumerate(self.lines)]
        self.samples, self.names = zip(*rows)
        axes.text(1.02, 1.0, "this run, and before", transform=axes.transAxes, fontsize=13, va="top").set_in_layout(False)
        figure.get_layout_engine().set(rect=(0, 0, 0.75, 1))        # room for the legend
        self.show_axis("epochs")
        return [*self.older, self.line, *self.samples, *self.names]

    def legend_row(self, k, line):
        """A sample of the line, and its name."""
        y = 0.88 - 0.09 * k
        sample, = self.axes.plot([1.02, 1.09], [y, y], transform=self.axes.transAxes, clip_on=False, color=line.get_color(),
                                 linestyle=line.get_linestyle(), linewidth=line.get_linewidth(), marker=line.get_marker())
        sample.set_in_layout(False)
        return sample, label(self.axes, 1.11, y, transform=self.axes.transAxes, va="center", fontsize=13)

    def compute(self, B, lr, axis):
        if (B, lr) in self.kept:
            return axis, B, lr, self.kept[B, lr]
        return self.trained(B, lr, axis)

    def whole(self, B):
        return last(one_picture.running(replace(self.config, B=B)))

    def trained(self, B, lr, axis):
        for done, record in one_picture.running(replace(self.config, B=B, lr=lr)):
            yield done, (axis, B, lr, record)

    def update(self, result):
        axis, B, lr, record = result
        self.show_axis(axis)
        if record.epochs[-1] >= self.config.epochs or record.diverged:
            self.kept.pop((B, lr), None)
            self.kept[B, lr] = record
        self.show(0, (B, lr), record, axis)
        before = [key for key in self.kept if key != (B, lr)][-4:]
        self.places = {k: key for k, key in self.places.items() if key in before}       # a run keeps its line while it is shown
        free = (k for k in range(1, 5) if k not in self.places)
        self.places.update(zip(free, [key for key in before if key not in self.places.values()]))
        for k in range(1, 5):
            key = self.places.get(k)
            self.show(k, key, self.kept.get(key), axis)
        return self.reading_of(B, lr, record, axis)

    def reached(self, result):
        record = result[-1]
        return bool(((record.loss <= LOSS) & (record.steps <= STEPS)).any())

    def show_axis(self, axis):
        if axis != self.face:
            label, limits, scale = AXES[axis]
            self.axes.set(xlabel=label, xscale=scale, xlim=limits)
            self.turn(axis)

    def show(self, k, key, record, axis):
        """Line k and its row in the legend: one run, or nothing."""
        self.samples[k].set_visible(record is not None)
        self.names[k].set_text("" if key is None else f"B = {key[0]}, lr {key[1]:g}")
        x, loss = ([], []) if record is None else (getattr(record, axis), record.loss)
        first = int(axis != "epochs")                       # a logarithm has no place for step 0
        self.lines[k].set_data(x[first:], loss[first:])

    @staticmethod
    def reading_of(B, lr, record, axis):
        if record.diverged:
            return f"B = {B}, learning rate {lr:g}: diverged after {record.steps[-1]:,} steps."
        spent = {"epochs": f"{record.epochs[-1]:.0f} epochs ({record.steps[-1]:,} steps)", "steps": f"{record.steps[-1]:,} steps",
                 "seconds": f"{record.seconds[-1]:.2f} seconds of steps"}[axis]
        return (f"B = {B}, learning rate {lr:g}: after {spent} the training loss is {record.loss[-1]:.2g} "
                f"and {100 * record.test_error[-1]:.0f} % of the test digits are wrong.")
