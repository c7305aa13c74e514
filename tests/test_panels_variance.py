"""The panels of lesson 05: theory before data, pictures that follow the controls, targets that have to be searched for."""

import io
from threading import Event

import numpy as np
import pytest
from PIL import Image

from mbcore.experiments.noise_floor import Config
from mbcore.panels.averages import Averages
from mbcore.panels.base import Panel, choice
from mbcore.panels.filling import Filling
from mbcore.panels.gradient_norm import SIZES as NORM_SIZES
from mbcore.panels.gradient_norm import GradientNorm
from mbcore.panels.noise_floor import NoiseFloor


@pytest.fixture(scope="module", params=[Averages, GradientNorm, NoiseFloor])
def panel(request):
    panel = request.param()
    yield panel
    panel.close()


@pytest.fixture(scope="module")
def averages():
    return Averages()


@pytest.fixture(scope="module")
def norm():
    return GradientNorm()


def pixels(panel):
    return Image.open(io.BytesIO(panel.png())).convert("RGB").tobytes()


def values(control):
    if not hasattr(control, "options"):
        return [control.min, control.max]
    return [option[1] if isinstance(option, tuple) else option for option in control.options]


def test_the_first_picture_is_complete_and_the_target_not_reached(panel):
    assert panel.error is None and panel._job.fraction == 1 and panel._reached is False
    assert panel.task and panel.reading.endswith(".") and "so far" not in panel.reading


def test_every_end_of_every_control(panel):
    start = pixels(panel)
    for name, control in panel._controls.items():
        for value in (values(control)[-1], values(control)[0]):
            panel.set(**{name: value})
            assert panel.error is None, (name, value, panel.reading)
            assert "nan" not in panel.reading
    panel._assign(panel._initial)
    assert panel.wait() and panel._reached is False and pixels(panel) != start         # points that were measured stay


def test_theory_comes_first(panel, monkeypatch):
    """A key press shows the first step at once; a worker goes on."""
    seen = []
    monkeypatch.setattr(panel, "_show", lambda job, over: (seen.append((job.fraction, over)), type(panel)._show(panel, job, over)))
    options = values(panel._controls["B"])
    new = next(B for B in options if B != panel._controls["B"].value and (B, 0.2) not in getattr(panel, "kept", {}))
    panel._controls["B"].value = new
    assert seen[0] == (0.0, False)
    assert panel.wait() and seen[-1] == (1.0, True)


def test_filling_takes_its_time():
    released = Event()
    released.set()

    class Slow(Filling):
        def controls(self):
            return {"B": choice("B", (1, 4), 1)}

        def build(self, figure):
            return []

        def compute(self, B):
            yield 0.0, "theory"
            released.wait(10)
            yield 1.0, "all"

        def update(self, result):
            return result

    panel = Slow()
    assert panel.result == "all"                                        # the first picture is complete
    released.clear()
    panel._controls["B"].value = 4
    assert panel.reading == "theory" and panel._finished is not panel._newest
    released.set()
    assert panel.wait() and panel.result == "all"
    panel.close()


def test_averages_target_and_reading_of_numbers(averages):
    for B, variance, there in ((10, 10.0, True), (8, 10.0, False), (10, 9.5, False)):
        reading = averages.set(B=B, variance=variance, of="normal numbers")
        assert averages._reached is there
    assert "should scatter by σ/√B = 0.975; 1,000 drawn ones by " in reading
    assert averages._controls["way"].disabled and not averages._controls["variance"].disabled


def test_the_curves_are_what_the_experiment_says(averages):
    averages.set(of="normal numbers", variance=4.0, B=4)
    x, y = averages.normal.get_data()
    np.testing.assert_allclose(y, np.exp(-x**2 / 2), atol=1e-12)       # variance 4/4 = 1
    heights, edges, _ = averages.bars.get_data()
    assert abs((heights * np.diff(edges)).sum() - (2 * np.pi) ** 0.5) < 0.02        # a density over its peak
    B, sd = averages.points["normal numbers"].get_data()
    assert 4 in B and abs(sd[list(B).index(4)] - 0.5) < 0.05


@pytest.mark.parametrize("way", ["with replacement", "without"])
def test_averages_target_of_a_gradient(averages, way):
    for B, there in ((192, False), (256, True), (384, False)):
        averages.set(B=B, way=way, of="gradient, start")
        assert averages._reached is there
    assert averages._controls["variance"].disabled and not averages._controls["way"].disabled
    assert len(averages.points[way].get_xdata()) >= 3 and not len(averages.points["normal numbers"].get_xdata())


def test_a_gradient_of_all_examples(averages):
    assert "nothing is left to scatter" in averages.set(B=1437, way="without", of="gradient, mid", scale="own sd")
    assert averages.normal.get_data()[0].tolist() == [0, 0] and averages.error is None
    assert averages._reached
    assert "with replacement: averages of B = 1437 should scatter by σ/√B" in averages.set(way="with replacement")
    averages.set(scale="one scale")


def test_another_axis_is_drawn_once_and_taken_up_again(averages, monkeypatch):
    """Its picture is the one that a full draw would give."""
    averages.set(B=16, of="gradient, start", way="without", scale="own sd")
    averages.set(scale="one scale")
    draws = []
    monkeypatch.setattr(averages.figure.canvas, "draw", lambda: draws.append(1))
    averages.set(scale="own sd")
    kept = pixels(averages)
    monkeypatch.undo()
    averages.redraw_background()
    averages.set()
    assert not draws and pixels(averages) == kept
    averages.set(way="with replacement", scale="one scale")


def test_tall_bars_are_cut_and_their_height_is_told(averages):
    averages.set(B=1, of="gradient, start")
    assert averages.bars.get_data()[0].max() == 1.6 and averages.over.get_text() == "tallest bar:\n9.0, cut"
    averages.set(B=256)
    assert averages.over.get_text() == ""


def test_a_stored_picture_is_small():
    assert len(Averages().png()) < 16_000


@pytest.mark.parametrize("at, way, B", [("start", "with replacement", 40), ("mid", "with replacement", 160), ("late", "without", 768)])
def test_gradient_norm_target(norm, at, way, B):
    for size in NORM_SIZES[NORM_SIZES.index(B) - 1:NORM_SIZES.index(B) + 2]:
        norm.set(B=size, at=at, way=way)
        assert norm._reached is (size == B)


def test_late_no_batch_with_replacement_is_large_enough(norm):
    norm.set(B=NORM_SIZES[-1], at="late", way="with replacement")
    assert not norm._reached and NORM_SIZES[-1] == 1437


def test_gradient_norm_draws_theory_and_data(norm):
    panel = norm
    panel.set(B=64, at="mid", way="without")
    whole, noise, signal = (line.get_ydata() for line in (panel.whole, panel.noise, panel.signal))
    np.testing.assert_allclose(whole, noise + signal)
    B, mean = panel.measured.get_data()
    assert list(B) == [64] and abs(mean[0] / panel.here.get_ydata()[0] - 1) < 0.3 and len(panel.dots.get_xdata()) == 200
    assert panel.bars.get_data()[0].max() == 1


def test_noise_floor_target_needs_the_neighbours():
    panel = NoiseFloor()
    panel.set(B=16)
    assert not panel._reached                   # 32 has not been tried
    panel.set(B=32)
    assert not panel._reached
    panel.set(B=16)
    assert panel._reached
    panel.set(budget="128 steps")
    assert not panel._reached


def test_noise_floor_keeps_what_it_trained():
    panel = NoiseFloor(Config(steps=256, replicas=4))
    assert "training, after 256 steps" in panel.set(B=2)       # too short for the budget of examples
    assert (2, 0.2) in panel.kept and len(panel.older[8].get_xdata()) and not len(panel.older[2].get_xdata())
    reading = panel.set(B=8)
    assert "after 1,024 examples" in reading and len(panel.older[2].get_xdata())
    panel.set(lr=0.05)
    assert not len(panel.older[2].get_xdata()) and panel.floor.get_ydata()[0] == pytest.approx(0.05 * 0.7978 * 4 / 32, rel=0.01)


def test_all_are_panels_with_at_least_one_slider():
    for kind in (Averages, GradientNorm, NoiseFloor):
        assert issubclass(kind, Panel) and kind.task and kind.title and kind.size[0] <= 900
