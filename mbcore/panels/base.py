"""The fast panel: controls, one figure, and one sentence that says what the figure shows.

How one key press becomes one picture: the browser sends the control's new value; `_recompute` makes a job of it, which
ends any older one; `compute` gives a result; `update` moves the artists; `_draw` copies the kept background, draws only
what moves; one image is encoded, and the browser swaps it. A job that is not done after `PATIENCE` seconds goes on in
a worker thread: the same generator, pulled further. Nothing here uses pyplot or any other state outside the panel.
"""
import inspect
import io
from base64 import b64encode
from threading import Condition, Thread, Timer
from time import perf_counter

import ipywidgets as widgets
from matplotlib import rc_context
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image
from traitlets import TraitError

from . import style
from .style import choice, slider, toggle  # noqa: F401  (subclasses take them from here)

PATIENCE = 0.1   # seconds a control waits for its computation before a worker takes over
FRAME = 1 / 12   # seconds between partial pictures
DPI = 100        # CSS pixels an inch: 13 points are 18 pixels
SCALE = 1.5
SAY = 0.1        # seconds by which words follow the picture


class _Job:
    """One computation, from a control's new value to its last picture."""

    def __init__(self, steps, patience):
        self.steps = steps
        self.fraction, self.result = 0.0, None
        self.due = perf_counter() + patience   # when the next partial picture is
        self.stopped = False                   # set by the Stop button, read between two steps


class Panel:
    """Controls, figure and reading. A subclass says what to control, build, compute and update; see each method."""

    title = ""
    task = ""           # the target to reach, a sentence
    size = (860, 400)   # of the figure, in CSS pixels
    colours = 32        # of a stored picture; a colour map needs more

    def controls(self):
        """Return the controls by name; each is a widget with a `description` and a `value`. Called once."""
        raise NotImplementedError

    def build(self, figure):
        """Create axes and artists, once; return the list of artists that move.

        The moving ones are drawn above everything else, and those that change above those that do not.
        """
        raise NotImplementedError

    def compute(self, **values):
        """Return the result for the controls' values, or yield (fraction done, result so far) up to (1.0, result).

        A generator is stopped between two yields, so it should yield a few dozen times a second.
        """
        raise NotImplementedError

    def update(self, result):
        """Give the artists their new data; return the one line that says what the figure shows."""
        raise NotImplementedError

    def reached(self, result):
        """Whether the result reaches the target; None where there is no target."""
        return None

    def __init__(self):
        self.result = self.error = None    # the last good result; the exception of the last setting, if it failed
        self._lock = Condition()           # held while computing and drawing, so that threads take turns
        self.face, self._faces, self._background = None, {}, None   # the background's name, others by name, its pixels
        self._newest = self._finished = self._job = _Job(self._steps(), 0)
        self._quiet = self._saying = False
        self._controls = self.controls()
        for name, control in self._controls.items():
            if not getattr(control, "description", "").strip():
                raise ValueError(f"control {name!r} of {type(self).__name__} needs a description: "
                                 "it is what a screen reader says")
        self._initial = {name: control.value for name, control in self._controls.items()}
        self._build_widget()
        with rc_context(style.RC):               # only here, in the caller's thread: rcParams are global
            self._build_figure()
            self._recompute(patience=float("inf"))   # complete before it is shown: stored outputs are final
            if self.error:
                self._draw(())
        self._swap("webp", style.as_webp(style.few_colours(self._image(), self.colours)))   # a notebook stores this one
        self._send_words()
        for control in self._controls.values():
            control.observe(self._changed, "value")

    # what a notebook or a test asks of a panel

    def set(self, **values):
        """Set controls by name, wait for the result, and return the reading."""
        unknown = [name for name in values if name not in self._controls]
        if unknown:
            raise ValueError(f"no control is named {', '.join(unknown)}; there are {', '.join(self._controls)}")
        self._assign(values)
        self.wait()
        self._send_words()
        return self.reading

    def wait(self, timeout=60):
        """Wait until no computation is under way; False after `timeout` seconds and the step then under way."""
        with self._lock:
            return self._lock.wait_for(lambda: self._finished is self._newest, timeout)

    def png(self):
        """The current picture as PNG bytes, one pixel for each CSS pixel."""
        picture = Image.open(io.BytesIO(self.picture.value)).convert("RGB")
        return style.as_png(style.few_colours(picture.resize(self.size, Image.Resampling.LANCZOS), self.colours))

    def close(self):
        """Stop any computation and take the panel off the page."""
        self._newest = self._finished = _Job(self._steps(), 0)
        with self._lock:
            self._job.steps.close()
        for control in self._controls.values():
            control.unobserve_all()
        for widget in (self.picture, *self._controls.values(), self.widget):
            widget.close()

    def _repr_mimebundle_(self, **kwargs):
        data = self.widget._repr_mimebundle_(**kwargs)
        data["text/plain"] = f"{self.title}\n{self.reading}"
        data["image/png"] = b64encode(self.png()).decode()   # for readers of the stored notebook, without a kernel
        width, height = self.size
        return data, {"image/png": {"width": width, "height": height}}

    # from a new value to a picture

    def _changed(self, change):
        if not self._quiet:
            self._recompute()

    def _assign(self, values):
        self._quiet = True   # several values, one computation
        try:
            for name, value in values.items():
                self._controls[name].value = value
        except TraitError as error:
            raise ValueError(f"control {name!r} does not take {value!r}: {error}") from error
        finally:
            self._quiet = False
            self._recompute()

    def _recompute(self, patience=PATIENCE):
        job = self._newest = _Job(self._steps(), patience)   # before the lock: a worker that holds it lets go
        with self._lock:
            if self._newest is not job:
                return                   # a newer callback waits for the lock and will read every value
            self._job.steps.close()      # safe: nobody pulls without the lock
            self._job, until = job, perf_counter() + patience
            while not (over := self._pull(job)) and perf_counter() < until:
                pass
            if not over:
                self._show_progress(True)
                Thread(target=self._work, args=(job,), daemon=True).start()

    def _steps(self):
        """The computation as steps (fraction done, result so far); the controls are read at the first."""
        result = self.compute(**{name: control.value for name, control in self._controls.items()})
        if inspect.isgenerator(result):
            yield from result
        else:
            yield 1.0, result

    def _work(self, job):
        over = False
        while not over:
            with self._lock:
                over = self._pull(job)

    def _pull(self, job):
        """Take one step and show what it gave, if that is due; True when the job is over. Needs the lock."""
        if self._newest is not job:
            return True
        try:
            if not job.stopped:
                job.fraction, job.result = next(job.steps, (1.0, job.result))
            over = job.stopped or job.fraction >= 1
            if over or perf_counter() >= job.due:
                self._show(job, over)
                job.due = perf_counter() + FRAME
        except Exception as error:
            over = True
            self._fail(error)
        if over and self._newest is job:
            self._finished = job
            self._show_progress(False)
            self._lock.notify_all()
        return over

    def _show(self, job, over):
        reading = self.update(job.result)
        reached = self.reached(job.result) if over and not job.stopped else None
        if self._newest is not job:      # `update` moved a control: its picture is there already
            return
        self._draw(self._moving)
        self._swap("jpeg", style.as_jpeg(self._image()))
        self.result, self.error, self._bar.value = job.result, None, job.fraction
        self._say(f"{reading} (stopped at {100 * job.fraction:.0f} %)" if job.stopped else reading, reached=reached)

    def _fail(self, error):
        self.error, self._background = error, None   # half-updated artists must not stay in the background
        last = " The picture above is the last one that worked." if self.picture.value else ""
        self._say(f"This setting could not be computed: {str(error) or type(error).__name__}.{last}", "alert")

    # the figure

    def redraw_background(self):
        """For `update`: limits, ticks or anything else that does not move has changed. Costs a full draw."""
        self._background = None

    def turn(self, face):
        """For `update`, where it is one of a few backgrounds: limits, ticks and labels are now those of this name. Each is drawn once."""
        if face != self.face:
            self._faces[self.face], self.face = self._background, face
            self._background, self._still = self._faces.get(face), None

    def _build_figure(self):
        width, height = self.size
        self.figure = Figure((width / DPI, height / DPI), dpi=DPI * SCALE, layout="constrained")
        FigureCanvasAgg(self.figure)
        self._moving = list(self.build(self.figure))
        for axis in (axis for axes in self.figure.axes for axis in (axes.xaxis, axes.yaxis)):
            size = axis.get_tick_params().get("labelsize", style.RC["xtick.labelsize"])
            axis.set_tick_params(which="both", labelsize=size)   # a full draw later would read the global size
        for artist in self._moving:
            artist.set_animated(True)    # a full draw leaves it out
        self._moving.sort(key=lambda artist: artist.zorder)

    def _draw(self, artists):
        """Draw what moves over the background. What did not change since the last picture is kept with the background,
        for as long as the same artists change: so a slider costs what it changes, not what is there."""
        canvas = self.figure.canvas
        if self._background is None:
            canvas.draw()
            self.figure.set_layout_engine("none")   # laid out by the first draw, then fixed: layout costs 70 ms
            self._background, self._still = canvas.copy_from_bbox(self.figure.bbox), None
        still, changed = [a for a in artists if not a.stale], [a for a in artists if a.stale]
        if still != self._still:
            canvas.restore_region(self._background)
            for artist in still:
                self.figure.draw_artist(artist)
            self._still, self._layer = still, canvas.copy_from_bbox(self.figure.bbox)
        canvas.restore_region(self._layer)
        for artist in changed:
            self.figure.draw_artist(artist)

    def _image(self):
        canvas = self.figure.canvas
        return Image.frombuffer("RGBX", canvas.get_width_height(), canvas.buffer_rgba(), "raw", "RGBX", 0, 1)

    # the widgets

    def _build_widget(self):
        width, height = self.size
        fit = widgets.Layout(width=f"{width}px", max_width="100%", height="auto")
        plain = widgets.Layout()     # shared: a notebook stores over 1 KB for each
        self.picture = widgets.Image(width=str(width), height=str(height), layout=fit)
        self._line, self._target = widgets.HTML(layout=plain), widgets.HTML(layout=plain)
        self._bar = widgets.FloatProgress(max=1.0, layout=plain)
        stop, reset = (widgets.Button(description=name, layout=plain) for name in ("Stop", "Reset"))
        stop.on_click(lambda _: setattr(self._newest, "stopped", True))
        reset.on_click(lambda _: self._assign(self._initial))
        self._progress = widgets.HBox([widgets.Label("Computing", layout=plain), self._bar, stop])
        self._show_progress(False)
        self.widget = widgets.VBox([
            widgets.HTML(style.CSS + style.heading(self.title), layout=plain),
            widgets.Box([*self._controls.values()], layout=widgets.Layout(flex_flow="row wrap", align_items="center")),
            widgets.HBox([reset, self._progress], layout=plain), self.picture, self._line, self._target], layout=plain)
        self.widget.add_class("mb-panel")

    def _show_progress(self, working):
        self._progress.layout.visibility = "visible" if working else "hidden"   # keeps its room: nothing jumps

    def _swap(self, form, data):
        with self.picture.hold_sync():   # one message
            self.picture.format, self.picture.value = form, data

    def _say(self, reading, role="status", reached=None):
        """Send the words a moment after the picture: sent together, they delayed it by a fifth (measured)."""
        self.reading, self._role, self._reached = reading, role, reached
        if not self._saying:
            self._saying = True
            timer = Timer(SAY, self._send_words)
            timer.daemon = True
            timer.start()

    def _send_words(self):
        self._saying = False   # first, so that words that change from here on are sent again
        self._line.value = style.sentence(self.reading, self._role)
        self._target.value = style.target(self.task, self._reached) if self.task else ""
