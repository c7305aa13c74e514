"""Lesson 09's panels, with small networks: they draw what the experiments measure, and their targets have to be searched for."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from mbcore.experiments import flat_minima, landscapes
from mbcore.panels.landscapes import Landscapes
from mbcore.panels.rescaling import ALPHAS, Rescaling

NETS = replace(flat_minima.SMALL, r=2, n=300, j=8)
GRID = replace(landscapes.SMALL, r=2, n=200, j=8, epochs=4)


@pytest.fixture(scope="module")
def dinh():
    return Rescaling(NETS)


@pytest.fixture(scope="module")
def pictures():
    return Landscapes(GRID)


def test_first_pictures_are_complete(dinh, pictures):
    for panel in (dinh, pictures):
        assert panel.error is None and panel._job.fraction == 1 and panel.task and panel.size[0] <= 900
        assert panel.reading.endswith(".") and "measuring" not in panel.reading and "drawing" not in panel.reading


def test_at_the_start_the_target_is_not_reached(dinh):
    assert dinh._reached is False and Landscapes()._reached is False         # the lesson's own networks


@pytest.mark.parametrize("alpha", [ALPHAS[0], 0.3, ALPHAS[-1]])
def test_rescaling_shows_what_was_measured(dinh, alpha):
    reading = dinh.set(alpha=alpha, r=1)
    m, large = flat_minima.rescaling(NETS, "small", alpha, 1), flat_minima.rescaling(NETS, "large", 1.0, 1)
    assert dinh.error is None and f"largest eigenvalue {m.eigenvalue[0]:.2g} " in reading and "no score moved" in reading
    assert dinh.here["eigenvalue"].get_data() == ([alpha], [m.eigenvalue[0]])
    assert dinh.lines["sharpness"].get_ydata()[0] == large.sharpness[0, 0]
    assert list(dinh.tried["eigenvalue"].get_xdata()) == sorted(dinh.tried["eigenvalue"].get_xdata()) and m.change[0] < 1e-12


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_the_line_between_is_the_experiments(dinh, alpha):
    """From the rescaled network to the large batch's: both ends keep what they compute, whatever alpha is."""
    reading = dinh.set(alpha=alpha, r=1)
    small, large = (flat_minima.trained(NETS, arm) for arm in ("small", "large"))
    *_, (_, (train, test)) = flat_minima.between(small, large, 1, 21, alpha)
    for part, found in (("train", train), ("test", test)):
        np.testing.assert_array_equal(dinh.curves["loss", part].get_ydata(), np.clip(found.loss, 0.03, 300))
        np.testing.assert_array_equal(dinh.curves["error", part].get_ydata(), np.clip(100 * found.error, 0.3, 300))
    np.testing.assert_allclose(train.loss[[5, 15]], (small.loss[1], large.loss[1]), rtol=1e-5)
    assert f"training loss {train.loss[5]:.2g} at the small batch's end" in reading


def test_a_line_that_was_stopped_is_drawn_again():
    panel = Rescaling(NETS)
    steps = panel.compute(alpha=1.0, r=1)
    for _ in range(4):
        next(steps)
    steps.close()
    panel.set(alpha=0.5, r=1)                               # measures alpha = 1 as well
    assert "measuring" in panel.update((1.0, 1))
    panel.set(alpha=1.0)
    assert panel.error is None and np.isfinite(panel.between[1, 1.0][0].loss).all()


def test_rescaling_while_it_measures(dinh):
    assert dinh.update((0.8, 0)).endswith("measuring.") and len(dinh.here["sharpness"].get_xdata()) == 0


def test_a_change_of_the_function_would_be_said(dinh):
    dinh.set(alpha=1.0, r=0)
    moved = replace(dinh.kept[0, 1.0], change=np.array([0.1]))
    dinh.kept[0, 1.5], dinh.between[0, 1.5] = moved, dinh.between[0, 1.0]
    dinh.drawn.add((0, 1.5))
    assert "this is another function" in dinh.update((1.5, 0))
    del dinh.kept[0, 1.5]
    dinh.drawn.remove((0, 1.5))


def test_rescaling_target_is_the_nearest_to_1(dinh):
    measures = lambda eigenvalue: SimpleNamespace(eigenvalue=np.array([eigenvalue]))
    panel = SimpleNamespace(kept={(0, a): measures(1 / a) for a in (1.0, 0.6, 0.4, 0.3)}, large={0: measures(2.0)})
    panel.sharper = lambda r, a: Rescaling.sharper(panel, r, a)
    reached = lambda a: Rescaling.reached(panel, (a, 0))
    assert not reached(1.0) and not reached(0.6)
    assert not reached(0.4)                                 # its neighbour 0.5 was not tried
    assert not reached(0.3)                                 # its neighbour is sharper as well
    panel.kept[0, 0.5] = measures(2.0)
    assert reached(0.4)


@pytest.mark.parametrize("kind", ["filter-normalised", "raw"])
def test_lines_are_the_experiments(pictures, kind):
    reading = pictures.set(shape="lines", kind=kind, at=1.0, r=1)
    for k, (decay, B) in enumerate(pictures.grid):
        s = landscapes.trained(GRID, decay, B)
        *_, (_, found) = landscapes.line(GRID, s, 1, 21, kind == "filter-normalised")
        np.testing.assert_array_equal(pictures.lines[k].get_ydata(), found.loss - found.loss[10])
        assert landscapes.title(decay, s, 1) in reading and pictures.names[k].get_text() == landscapes.title(decay, s, 1)
        assert pictures.rises[k].get_text() .startswith(f"rises by {landscapes.rise(found, 1.0):.2g}, from")


def test_planes_are_the_experiments_and_lines_come_back(pictures):
    assert "Share of the plane" in pictures.set(shape="planes", kind="raw", at=1.0, r=0) and pictures.error is None
    assert pictures._reached is False and pictures.scale.get_visible() and not pictures.lines[0].get_visible()
    *_, (_, found) = landscapes.plane(GRID, pictures.solutions[0], 0, 15, False)
    np.testing.assert_allclose(pictures.images[0].get_array(), np.log10(found.loss.T))
    assert "Rise at" in pictures.set(shape="lines") and pictures.lines[0].get_visible() and not pictures.scale.get_visible()


def test_landscapes_while_it_draws(pictures):
    for shape in ("planes", "lines"):
        assert "drawing" in pictures.update((shape, "raw", 0.1, 0, {}))


def test_landscapes_target(pictures):
    made = lambda rise: SimpleNamespace(alphas=np.array([-1.0, 0, 1]), loss=np.array([rise, 0.0, rise]))
    errors = [s.test_error[0] for s in pictures.solutions]
    best = int(np.argmin(errors))
    worst = int(np.argmax(errors))
    steepest = lambda at: ("lines", "raw", 1.0, 0, {k: made(2.0 if k == at else 1.0) for k in range(4)})
    assert errors[worst] > errors[best] and pictures.reached(steepest(best)) and not pictures.reached(steepest(worst))
    assert not pictures.reached(("planes", *steepest(best)[1:])) and not pictures.reached(("lines", "raw", 1.0, 0, {}))
