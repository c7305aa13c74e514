"""Lesson 08's panels, with small budgets: what they say is what was trained; their targets can be reached."""

from dataclasses import replace

import numpy as np
import pytest

from mbcore.experiments.scaling_rules import SMALL, Rung, climbed
from mbcore.panels.ladder import AT, POINT, Ladder
from mbcore.panels.rate_map import ASKED, NEAR, OPENS, RateMap

QUICK = replace(SMALL, epochs=4, seeds=3, j=8, sizes=(24, 90, 360), rates=(0.5, 2.0, 8.0), map_seeds=1)


@pytest.fixture(scope="module")
def ladder():
    return Ladder(QUICK)


def test_a_rung_is_what_the_experiment_trains(ladder):
    reading = ladder.set(B=96, scaling="sqrt", warm_up=0.2)
    run = climbed(QUICK, 96, Rung("", "sqrt", 0.2))
    assert f"{run.gap(ladder.small)[0]:+.1f} points" in reading and "√ scaling + warm-up" in reading and f"{run.updates:,} updates" in reading


def test_a_trial_is_the_one_that_was_watched_or_is_trained(ladder):
    ladder.set(B=96, scaling="sqrt", warm_up=0.2)
    shown = dict(ladder.kept)
    assert ladder.trial(96, scaling="sqrt", warm_up=0.2) is shown[96, "sqrt", 0.2, False, False]
    new = ladder.trial(192, scaling="linear")
    assert new.gap(ladder.small) == climbed(QUICK, 192, Rung("", "linear")).gap(ladder.small) and ladder.kept == shown


def test_trials_stay_newest_first(ladder):
    ladder.set(B=48, scaling="constant", warm_up=0.0)
    ladder.set(B=24)
    assert [name.get_text() for name in ladder.names][:2] == ["B = 24: nothing changed", "B = 48: nothing changed"]
    ladder.set(B=48)
    assert ladder.names[0].get_text() == "B = 48: nothing changed"


def test_every_switch_works(ladder):
    for change in (dict(scaling="linear"), dict(lars=True), dict(longer=True), dict(B=192), dict(scaling="constant", lars=False, warm_up=0.2)):
        assert "test error" in ladder.set(**change) and ladder.error is None


def test_the_ladders_target_is_an_interval(ladder):
    run = ladder.kept[next(iter(ladder.kept))]
    low = replace(run, test_error=ladder.small.test_error[-1:] + np.array([[0.0, 0.001, 0.002]]))
    wide = replace(run, test_error=ladder.small.test_error[-1:] + np.array([[-0.2, 0.0, 0.2]]))
    key = (AT, "sqrt", 0.0, False, False)
    assert POINT > 0.2 and ladder.reached((key, low)) and not ladder.reached((key, wide))
    assert not ladder.reached(((AT, "sqrt", 0.0, False, True), low)) and not ladder.reached(((24, *key[1:]), low))


@pytest.fixture(scope="module")
def rates():
    return RateMap(QUICK)


def test_the_map_is_told(rates):
    found = rates.result[0]
    reading = rates.set(B=90, lr=0.5)
    assert f"training loss {found.loss[1, 0]:.2g}" in reading and f"The best rate for this B is {found.rates[found.loss[1].argmin()]:g}" in reading


def test_the_map_is_trained_once_for_each_number_of_passes(rates):
    assert list(rates.maps) == [OPENS]
    first = rates.maps[OPENS]
    assert "1 pass:" in rates.set(epochs=1)
    rates.set(epochs=OPENS, lr=8.0)
    assert rates.maps[OPENS] is first and rates.error is None


def test_the_maps_target(rates):
    rates.set(epochs=ASKED)
    least = rates.maps[ASKED].loss.min(axis=1)
    want = max(k for k in range(3) if least[k] <= NEAR * least.min())
    reached = [(B, lr) for B in QUICK.sizes for lr in QUICK.rates if rates.set(B=B, lr=lr) and rates.reached(rates.result)]
    assert reached == [(QUICK.sizes[want], QUICK.rates[rates.maps[ASKED].loss[want].argmin()])]
    assert not rates.reached((rates.maps[OPENS], *reached[0]))


def test_cells_that_are_not_there_are_said(rates):
    empty = replace(rates.maps[OPENS], epochs=ASKED, loss=np.array([[np.nan] * 3, [0.1, np.inf, 0.2], [np.nan] * 3]))
    assert rates.update((empty, 24, 0.5)).endswith("not trained yet.") and "a seed diverged" in rates.update((empty, 90, 2.0))
    assert not rates.reached((empty, 90, 0.5))
