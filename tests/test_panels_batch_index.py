"""Lesson 01's panel: boxes that know about b and boxes that do not, and the smallest B that is nearly as cheap as the best."""

import pytest

from mbcore.experiments import vector_operations
from mbcore.panels import batch_index
from mbcore.panels.batch_index import SIZES, WIDTHS, BatchIndex, _bytes

VALUES, PARAMETERS = {"x", "h", "s"}, {"W0", "C0", "W1", "C1"}


@pytest.fixture
def panel(monkeypatch):
    """Known costs: an example takes 100 / B + 1 µs at I = 64, so that 2x the best (1.0977) is 2.195; elsewhere 10 µs more."""
    def cost(B, i, j, budget=0):
        found = vector_operations.cost(B, i, j, budget=0)
        return vector_operations.Cost(found.values, found.parameters, 100 / B + 1 + 10 * (i != 64))
    monkeypatch.setattr(batch_index, "cost", cost)
    return BatchIndex()


def boxes(panel):
    return {name: patch.get_bbox().bounds[2:] for name, (patch, _) in panel.drawn.items()}


def test_only_values_grow_with_b(panel):
    before = boxes(panel)
    panel.set(B=64)
    after = boxes(panel)
    assert {name for name in after if after[name][1] > before[name][1]} == VALUES
    assert all(after[name] == before[name] for name in PARAMETERS) and set(after) == VALUES | PARAMETERS


def test_labels_say_indices_shape_and_bytes(panel):
    panel.set(B=128)
    assert panel.drawn["x"][1].get_text() == "x[b,i]\n128 × 64\n32.8 kB"
    assert panel.drawn["W0"][1].get_text() == "W0[j,i]\n32 × 64\n8.19 kB"
    assert "x[b,i] is 128 × 64, 32,768 bytes; the parameters hold 9,640 bytes whatever B is. One example costs 1.78 µs." in panel.reading


@pytest.mark.parametrize("n, words", [(40, "40 bytes"), (1280, "1.28 kB"), (262144, "262 kB"), (999_499, "999 kB"), (1_048_576, "1.05 MB")])
def test_bytes(n, words):
    assert _bytes(n) == words


def test_labels_do_not_touch(panel):
    """The row of the parameters is full: at every I and J a gap of 6 pixels stays between two labels."""
    renderer, gap = panel.figure.canvas.get_renderer(), 6 * panel.figure.dpi / 100
    for i, j in ((8, 8), (64, 32), (256, 256), (256, 32), (32, 128)):
        panel.set(i=i, j=j, B=1024)
        for row in (VALUES, PARAMETERS):
            extents = sorted((text.get_window_extent(renderer) for name, (_, text) in panel.drawn.items() if name in row), key=lambda e: e.x0)
            assert all(a.x1 + gap <= b.x0 for a, b in zip(extents, extents[1:])), (i, j)


def test_the_target_needs_the_smaller_neighbour_and_is_reached_by_one_size(panel):
    assert panel._reached is False
    panel.set(B=128)
    assert panel._reached is False                      # 64 has not been measured
    reached = {B for B in SIZES if (panel.set(B=B), panel._reached)[1]}
    assert reached == {128}


def test_another_network_leaves_the_old_one_dotted_and_has_no_best_before_its_largest_batch(panel):
    panel.set(B=32)
    assert panel.bound.get_visible() and panel.bound.get_ydata()[0] == pytest.approx(2 * panel.measured[1024])
    panel.set(i=128)
    assert list(panel.earlier.get_xdata()) == [1, 8, 32, 1024] and panel.earlier.get_ydata()[0] == 101
    assert set(panel.measured) == {32} and not panel.bound.get_visible() and not panel.word.get_visible()
    panel.set(i=256)                                    # a slider that passes by: what was dotted stays
    assert list(panel.earlier.get_xdata()) == [1, 8, 32, 1024]
    panel.set(B=1024)
    assert panel.bound.get_visible() and panel.bound.get_ydata()[0] == pytest.approx(2 * panel.measured[1024])


def test_every_setting_stays_on_the_picture(panel):
    for i, j in ((WIDTHS[0], WIDTHS[0]), (WIDTHS[-1], WIDTHS[-1])):
        panel.set(i=i, j=j, B=SIZES[-1])
        for patch, _ in panel.drawn.values():
            x, y, width, height = patch.get_bbox().bounds
            assert 0 <= x and x + width <= 10 and 0 <= y and y + height <= 12
