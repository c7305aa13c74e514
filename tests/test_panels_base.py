"""The fast panel, driven without a browser."""
import io
import json
from threading import Event, Thread, current_thread, main_thread

import pytest
from PIL import Image

from mbcore.panels.base import Panel, choice, slider, toggle


class Line(Panel):
    title = "A <line> & a title"
    task = "Reach B = <8>."
    size = (300, 200)

    def controls(self):
        return {"B": choice("batch size B", (1, 2, 4, 8), value=4), "J": slider("J", 1, 64, 32)}

    def build(self, figure):
        self.axes = figure.subplots()
        self.axes.set(xlim=(0, 10), ylim=(0, 70))
        self.line, = self.axes.plot([], [])
        return [self.line]

    def compute(self, B, J):
        if J == 13:
            raise ValueError("J = 13 is <unlucky>")
        return B, J

    def update(self, result):
        B, J = result
        self.line.set_data([0, B], [0, J])
        return f"B = {B} & J = {J}"

    def reached(self, result):
        return result[0] == 8


class Long(Line):
    """J > 40 takes a step whenever `go` is set and reports each in `stepped`; smaller J takes one step."""

    def __init__(self):
        self.go, self.stepped, self.closed, self.drawn, self.threads = Event(), Event(), [], [], set()
        super().__init__()

    def compute(self, B, J):
        steps = 10 if J > 40 else 1
        try:
            for k in range(1, steps + 1):
                if k > 1:
                    assert self.go.wait(10)
                self.threads.add(current_thread())
                self.stepped.set()
                yield k / steps, (B, J)
        finally:
            self.closed.append(J)

    def update(self, result):
        self.drawn.append(result)
        return super().update(result)


@pytest.fixture
def patience(monkeypatch):
    """Hand a generator to the worker after its first step, and show every partial result."""
    monkeypatch.setattr("mbcore.panels.base.PATIENCE", 0)
    monkeypatch.setattr(Panel._recompute, "__defaults__", (0,))
    monkeypatch.setattr("mbcore.panels.base.FRAME", 0)


def pixels(panel):
    return Image.open(io.BytesIO(panel.png())).convert("RGB").tobytes()


def test_first_picture_and_reading_are_there_before_display():
    panel = Line()
    assert panel.reading == "B = 4 & J = 32" and panel.result == (4, 32)
    assert Image.open(io.BytesIO(panel.png())).size == (300, 200)


def test_setting_a_control_changes_reading_result_and_picture():
    panel = Line()
    before = pixels(panel)
    assert panel.set(B=8, J=5) == "B = 8 & J = 5"
    assert panel.result == (8, 5) and pixels(panel) != before


def test_blitted_picture_is_the_full_drawing():
    panel = Line()
    panel.set(J=60)
    blitted = pixels(panel)
    panel.redraw_background()
    panel.set(J=60)
    assert pixels(panel) == blitted


def test_redraw_background_shows_new_limits():
    class Zoom(Line):
        def update(self, result):
            self.axes.set_ylim(0, 10 * result[1])
            self.redraw_background()
            return super().update(result)

    panel = Zoom()
    tall = panel.axes.get_position().bounds
    before = pixels(panel)
    panel.set(J=1)
    assert pixels(panel) != before
    assert panel.axes.get_position().bounds == tall    # the layout stays


def test_reset_restores_all_controls_in_one_computation():
    panel = Long()
    panel.set(B=8, J=5)
    panel.drawn.clear()
    reset, = (w for w in panel.widget.children[2].children if getattr(w, "description", "") == "Reset")
    reset.click()
    assert panel.drawn == [(4, 32)] and panel.reading == "B = 4 & J = 32"


def test_unknown_name_and_bad_value_are_refused_by_name():
    panel = Line()
    with pytest.raises(ValueError, match="b.*; there are B, J"):
        panel.set(b=8)
    with pytest.raises(ValueError, match="'B' does not take 3"):
        panel.set(B=3)
    assert panel.set(J=7) == "B = 4 & J = 7"


def test_control_without_description_is_refused_by_name():
    class Bare(Line):
        def controls(self):
            return {"B": choice("batch size B", (1, 2), value=1), "J": slider("", 1, 64, 32)}

    with pytest.raises(ValueError, match="'J' of Bare needs a description"):
        Bare()


def test_a_float_slider_with_no_room_for_its_step_is_refused():
    assert slider("rate", 0.0, 1.0, 0.5, step=0.1).value == 0.5
    with pytest.raises(ValueError, match="step = 1 leaves nothing"):
        slider("rate", 0.0, 1.0, 0.5)


def test_error_keeps_the_last_picture_and_the_next_value_recovers(capsys):
    panel = Line()
    before = pixels(panel)
    assert panel.set(J=13) == ("This setting could not be computed: J = 13 is <unlucky>."
                               " The picture above is the last one that worked.")
    assert pixels(panel) == before and panel.result == (4, 32) and isinstance(panel.error, ValueError)
    assert 'role="alert"' in panel._line.value and "&lt;unlucky&gt;" in panel._line.value
    assert panel.set(J=14) == "B = 4 & J = 14" and panel.error is None
    assert capsys.readouterr() == ("", "")


def test_error_while_drawing_keeps_the_last_picture():
    class Typo(Line):
        def build(self, figure):
            self.text = figure.text(0.5, 0.5, "")
            return [*super().build(figure), self.text]

        def update(self, result):
            self.text.set_text(r"$\nonsense$" if result[1] == 14 else "")
            return super().update(result)

    panel = Typo()
    before = pixels(panel)
    assert "could not be computed" in panel.set(J=14)
    assert pixels(panel) == before
    assert panel.set(J=15) == "B = 4 & J = 15"


def test_error_in_the_first_computation_still_gives_a_panel():
    class Unlucky(Line):
        def controls(self):
            return {"B": choice("batch size B", (1, 2), value=1), "J": slider("J", 1, 64, 13)}

    panel = Unlucky()
    assert panel.reading == "This setting could not be computed: J = 13 is <unlucky>."
    assert len(panel.png()) > 100 and panel.result is None
    assert panel.set(J=12) == "B = 1 & J = 12"


def test_short_generator_stays_in_the_callers_thread():
    panel = Long()
    assert panel.set(J=5) == "B = 4 & J = 5" and panel.threads == {main_thread()}


def test_long_generator_goes_to_a_worker_that_shows_progress(patience):
    panel = Long()
    panel._controls["J"].value = 50                     # returns although the work is not done
    assert panel._progress.layout.visibility == "visible" and panel._finished is not panel._newest
    bars = []
    panel._bar.observe(lambda change: bars.append(change["new"]), "value")
    panel.go.set()
    assert panel.wait(10) and panel.reading == "B = 4 & J = 50"
    assert bars == sorted(bars) and bars[-1] == 1 and len(bars) > 5
    assert len(panel.threads) == 2 and panel._job.fraction == 1
    assert panel._progress.layout.visibility == "hidden"


def test_stop_keeps_the_partial_picture_and_says_so(patience):
    panel = Long()
    panel._controls["J"].value = 50
    stop, = (w for w in panel._progress.children if getattr(w, "description", "") == "Stop")
    stop.click()                                        # while the worker waits in its second step
    panel.go.set()
    assert panel.wait(10)
    assert panel.reading in ("B = 4 & J = 50 (stopped at 10 %)", "B = 4 & J = 50 (stopped at 20 %)")
    panel._send_words()
    assert panel.result == (4, 50) and "reached" not in panel._target.value.lower()
    assert panel.set(J=5) == "B = 4 & J = 5"


def test_newer_value_ends_older_work_and_nothing_stale_is_drawn(patience):
    panel = Long()
    panel._controls["J"].value = 50
    newer = Thread(target=panel.set, kwargs={"J": 5})   # waits until the worker is between two steps
    newest = panel._newest
    newer.start()
    while panel._newest is newest:
        pass
    panel.go.set()
    newer.join(10)
    assert panel.reading == "B = 4 & J = 5" and panel.result == (4, 5)
    assert 50 in panel.closed                           # the older generator was closed, not left hanging
    last = panel.drawn.index((4, 5), 1)
    assert set(panel.drawn[last:]) == {(4, 5)}


def test_reset_and_close_end_running_work(patience):
    for end in (lambda panel: panel._assign(panel._initial), lambda panel: panel.close()):
        panel = Long()
        panel._controls["J"].value = 50
        ending = Thread(target=end, args=(panel,))
        newest = panel._newest
        ending.start()
        while panel._newest is newest:
            pass
        panel.go.set()
        ending.join(10)
        assert not ending.is_alive() and panel.wait(10) and 50 in panel.closed


def test_many_threads_leave_controls_picture_and_reading_consistent(patience):
    panel = Long()
    panel.go.set()
    threads = [Thread(target=panel.set, kwargs={"J": 30 + k}) for k in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert panel.wait(10)
    J = panel._controls["J"].value
    assert panel.result == (4, J) and panel.reading == f"B = 4 & J = {J}"
    seen = pixels(panel)
    panel.set()
    assert pixels(panel) == seen


def test_mime_bundle_serves_a_live_page_and_a_static_reader():
    panel = Line()
    data, metadata = panel._repr_mimebundle_()
    assert data["text/plain"] == "A <line> & a title\nB = 4 & J = 32"
    assert data["application/vnd.jupyter.widget-view+json"]["model_id"] == panel.widget.model_id
    assert metadata == {"image/png": {"width": 300, "height": 200}}
    assert len(json.dumps(data)) < 80_000 and data["image/png"].startswith("iVBOR")


def test_text_is_escaped_and_the_target_is_said_in_words():
    panel = Line()
    panel.set(B=8)
    assert "A &lt;line&gt; &amp; a title" in panel.widget.children[0].value
    assert "B = 8 &amp; J = 32" in panel._line.value and 'aria-live="polite"' in panel._line.value
    assert "B = &lt;8&gt;" in panel._target.value and "\u2713 Target reached" in panel._target.value
    panel.set(B=4)
    assert "Not reached yet" in panel._target.value


def test_toggle_has_its_description():
    assert toggle("sampling", ("with", "without"), "with").description == "sampling"
