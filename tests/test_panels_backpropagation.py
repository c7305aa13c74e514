"""Lesson 03's panels, driven without a browser: what they say is what the experiment found, and their targets can be reached."""

import numpy as np
import pytest

from mbcore.experiments.conventions import CONVENTIONS, contributions
from mbcore.panels.contributions import ENOUGH, HIDDEN, LARGEST, SCALES, Contributions
from mbcore.panels.conventions import SIZES, Conventions


@pytest.fixture(scope="module")
def entry():
    return Contributions()


@pytest.fixture(scope="module")
def places():
    return Conventions()


def inside(panel, artist):
    """Whether this text lies within the figure."""
    box = artist.get_window_extent(panel.figure.canvas.get_renderer())
    width, height = panel.figure.canvas.get_width_height()
    return box.x0 >= 0 and box.y0 >= 0 and box.x1 <= width and box.y1 <= height


# ---------------------------------------------------------------- one entry


@pytest.mark.parametrize("B, j, i", [(1, 0, 0), (8, 3, 28), (LARGEST, HIDDEN - 1, 63), (16, 5, 59)])
def test_the_stems_are_the_contributions(entry, B, j, i):
    reading, found = entry.set(B=B, j=j, i=i), contributions(B, j, i)
    up, down, zero = found.signs
    assert f"W0.grad[{j},{i}] is the mean of {B} number" in reading and f"{up} above zero, {down} below, {zero} exactly zero" in reading
    scale = float(entry.numbers[2].get_text())
    heights = [segment[1][1] for segment in entry.stems.get_segments()]
    np.testing.assert_allclose(np.array(heights) * scale, found.each, atol=1e-12)
    assert entry.mean.get_ydata()[0] * scale == pytest.approx(found.entry) and abs(np.array(heights)).max() <= 1
    assert sum(len(line.get_xdata()) for line in (entry.up, entry.down, entry.zero)) == B


@pytest.mark.parametrize("i", [0, 7, 28, 63])
def test_the_frame_is_on_the_pixel(entry, i):
    entry.set(B=8, j=3, i=i)
    column, row = entry.frame.get_xy()
    assert 8 * row + column == i
    np.testing.assert_allclose(entry.image.get_array().ravel(), contributions(8, 3, i).row)


def test_an_entry_is_outvoted_somewhere(entry):
    entry.set(**entry._initial)
    assert not entry.reached(entry.result)
    there = [(j, i) for j in range(HIDDEN) for i in range(64) if contributions(ENOUGH, j, i).outvoted]
    assert 10 <= len(there) <= 100                      # neither a needle in a haystack nor everywhere
    j, i = there[0]
    entry.set(B=ENOUGH, j=j, i=i)
    assert entry.reached(entry.result)
    entry.set(B=4)
    assert not entry.reached(entry.result)


def test_the_tallest_stem_fits(entry):
    tallest = {(j, i): abs(contributions(LARGEST, j, i).each).max() for j in range(HIDDEN) for i in range(64)}
    assert max(tallest.values()) <= SCALES[-1]
    j, i = max(tallest, key=tallest.get)
    entry.set(B=LARGEST, j=j, i=i)
    assert entry.error is None and inside(entry, entry.words)


# ---------------------------------------------------------------- the places of the 1/B


@pytest.mark.parametrize("where, x, W, step", [
    ("in W.grad", "1", "1", "1"), ("in L.grad", "1/16", "1", "1"), ("in the update", "1", "16", "1"), ("nowhere", "1", "16", "16"),
    ("in W.grad and L.grad", "1/16", "1/16", "1/16"), ("in W.grad and the update", "1", "1", "1/16"),
    ("in L.grad and the update", "1/16", "1", "1/16"), ("in all three", "1/16", "1/16", "1/256")])
def test_what_comes_out(places, where, x, W, step):
    reading = places.set(B=16, where=where)
    assert reading.endswith(f"x.grad is {x} times what it should be, W.grad {W} times, the step {step} times.")
    assert [places.words[what].get_text() for what in ("x", "W", "update")] == [f"× {f}" for f in (x, W, step)]
    assert {place for place, (_, text) in places.slots.items() if text.get_text() == "1/B"} == set(CONVENTIONS[where])
    assert places.reached(places.result) == (where in ("in W.grad and the update", "in L.grad and the update"))


def test_the_target_needs_its_batch_size(places):
    assert not places.reached(Conventions().result)
    for B in SIZES:
        places.set(B=B, where="in W.grad and the update")
        assert places.reached(places.result) == (B == 16)


@pytest.mark.parametrize("where", ["nowhere", "in all three"])
@pytest.mark.parametrize("B", SIZES)
def test_no_words_are_cut_off(places, where, B):
    places.set(B=B, where=where)
    assert all(inside(places, text) for text in places.words.values())


def test_a_slot_that_did_not_change_keeps_its_words(places):
    """Words are drawn with their box, or the box would cover them."""
    places.set(B=8, where="in W.grad")
    box, text = places.slots["loss"]
    assert box.stale == text.stale
    places.set(where="in W.grad and the update")
    blitted = places.png()
    places.redraw_background()
    places.set()
    assert places.png() == blitted
