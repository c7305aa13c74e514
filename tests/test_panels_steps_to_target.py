"""Lesson 07's panels, on sweeps made from a formula: what is drawn is what the experiment says, and a sweep is never lost."""

import io
from dataclasses import replace
from threading import Event
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from mbcore.experiments import steps_to_target as experiment
from mbcore.experiments.critical_batch import costs
from mbcore.panels import steps_to_target as module
from mbcore.panels.base import Panel
from mbcore.panels.steps_to_target import RATES, StepsToTarget
from mbcore.panels.two_knees import T0, T1, WATTS, WORKERS, TwoKnees

LINE = SimpleNamespace(t0=1.2e-4, t1=6e-7)
CONFIGS = {target: replace(c, draws=40) for target, c in experiment.TARGETS.items()}


@pytest.fixture
def formula(monkeypatch):
    """S = 50 (1 + B_crit/B), B_crit 10 at a loss of 1, 16 at 0.6 and 22 at 0.3; the best rate is 2, but 0.5 for B = 1, where 1 fails."""
    def sweeping(setting, tasks, executor=None, chunk=16):
        yield 0.5, {}
        yield 1.0, {task: outcome(task, {1.0: 10, 0.6: 16, 0.3: 22}[setting.target]) for task in tasks}

    def outcome(task, crit):
        off = np.log2(task.lr / (2 if task.B > 1 else 0.5))
        steps = 50 * (1 + crit / task.B) * np.exp(0.3 * off**2) * (1 + 0.02 * (task.seed % 5 - 2))
        done = task.lr <= 4 and (task.B, task.lr) != (1, 1.0)
        return SimpleNamespace(task=task, status="reached" if done else "diverged", steps=steps if done else None)
    monkeypatch.setattr(experiment, "sweeping", sweeping)
    monkeypatch.setattr(experiment, "along", lambda *args: [(20.0, 1.0), (15.0, 1.0)])


@pytest.fixture
def patience(monkeypatch):
    """Hand a generator to the worker after its first step, and show every partial result."""
    monkeypatch.setattr("mbcore.panels.base.PATIENCE", 0)
    monkeypatch.setattr(Panel._recompute, "__defaults__", (0,))
    monkeypatch.setattr("mbcore.panels.base.FRAME", 0)


@pytest.fixture
def panel(formula):
    return StepsToTarget(LINE, CONFIGS)


@pytest.fixture
def knees(formula):
    return TwoKnees(experiment.run(CONFIGS[0.3]), LINE)


def xy(line):
    return np.array(line.get_xdata(), float), np.array(line.get_ydata(), float)


# ---------------------------------------------------------------- the sweep's picture


def test_it_opens_with_the_easiest_sweep_whole(panel):
    assert panel.found.keys() == {1.0} and panel.found[1.0][0] == 1
    assert "Loss 1, B = 179, its best rate 2: 52 steps" in panel.reading and "B_crit is 10, B_simple 18." in panel.reading
    assert panel.reached(panel.result) is False


@pytest.mark.parametrize("unit, each", [("steps", lambda B: 1 + 0 * B), ("examples", lambda B: B),
                                        ("seconds", lambda B: 1.2e-4 + 6e-7 * B)])
def test_the_units_count_the_same_runs(panel, unit, each):
    panel.set(unit=unit, target=0.3, B=22)
    B, y = xy(panel.lines["best"])
    np.testing.assert_allclose(y, 50 * (1 + 22 / B) * each(B), rtol=0.01)
    B, y = xy(panel.lines["fit"])
    np.testing.assert_allclose(y, panel.result[1].fit.steps(B) * each(B))
    for name, S in ("flat", lambda B: 50 + 0 * B), ("steep", lambda B: 50 * 22 / B):
        B, y = xy(panel.lines[name])
        np.testing.assert_allclose(y, S(B) * each(B), rtol=0.02)
    assert len(xy(panel.lines["seeds"])[0]) == 50 and panel.axes.get_ylabel() == f"{unit} to the target loss"
    low, high = panel.axes.get_ylim()
    for name in "best", "seeds", "here":
        assert (xy(panel.lines[name])[1] > low).all() and (xy(panel.lines[name])[1] < high / 3).all()
    assert xy(panel.lines["here"])[1] == pytest.approx(panel.result[1].S[4] * each(22))


def test_one_rate_for_all_is_shown_beside_the_best(panel):
    assert not len(xy(panel.lines["fixed"])[0])
    reading = panel.set(rate=RATES[1], B=5)
    B, y = xy(panel.lines["fixed"])
    assert np.isnan(y[0]) and np.all(y[1:] > 1.3 * xy(panel.lines["best"])[1][1:])
    assert xy(panel.lines["missed"])[0].tolist() == [1] and panel.lines["best"].get_alpha() < 0.5
    assert "rate 1 for all" in reading and "not every seed" in panel.set(B=1)
    panel.set(rate=RATES[0])
    assert not len(xy(panel.lines["missed"])[0]) and panel.lines["best"].get_alpha() == 1


def test_regimes_and_scales(panel):
    panel.set(target=0.3)
    (_, r, _), names = panel.result, experiment.REGIMES
    edges = [panel.bands[name][0].get_x() for name in names]
    assert edges[1:] == pytest.approx(r.fit.boundaries) and edges[1:] == pytest.approx((11, 44), rel=0.02)
    assert [panel.names[name].get_text().replace("\n", " ") for name in names] == list(names)
    for name, e in ("B_crit", r.fit.B_crit), ("B_simple", r.noise.B_simple):
        bar, point, text = panel.scales[name]
        assert xy(bar)[0].tolist() == [e.low, e.high] and xy(point)[0].tolist() == [e.value]
        assert text.get_text().startswith(f"{e.value:.0f} ")


def test_the_stored_picture_keeps_the_three_shades(panel):
    picture = np.asarray(Image.open(io.BytesIO(panel.png())).convert("RGB"))
    canvas = panel.figure.canvas.get_width_height()
    shown = []
    for pair in panel.bands.values():                   # in the strip, near its left edge and above the two rows
        at = panel.strip.get_xaxis_transform().transform((pair[1].get_x() * 1.06, 0.97))
        row, column = 1 - at[1] / canvas[1], at[0] / canvas[0]
        shown.append(picture[int(row * panel.size[1]), int(column * panel.size[0])].astype(int))
    assert min(abs(a - b).max() for k, a in enumerate(shown) for b in shown[:k]) > 8


def test_target_is_the_batch_beside_b_crit(panel):
    reached = []
    for target in CONFIGS:
        for B in CONFIGS[target].sizes:
            panel.set(target=target, B=B)
            reached += [(target, B)] if panel.reached(panel.result) else []
    assert reached == [(0.3, 22)]


def test_the_sweep_is_the_one_that_was_watched(panel, monkeypatch):
    panel.set(target=0.3)
    watched = panel.result[1]
    monkeypatch.setattr(module.steps_to_target, "running", None)
    assert panel.sweep(0.3) is watched
    assert panel.set(target=1.0) and panel.set(target=0.3) and panel.result[1] is watched      # kept, not run again


def test_the_sweep_runs_if_it_was_not_watched(panel):
    assert panel.sweep(0.6).verdicts and panel.result[0] == 1.0 and panel.set(target=0.6, B=11)


def test_partial_results_are_drawn_without_a_curve(panel):
    partial = [found for _, found in experiment.running(CONFIGS[0.3]) if 3 <= np.isfinite(found.best).sum() < 6][-1]
    reading = panel.update((0.3, partial, {"B": 5, "unit": "steps", "rate": RATES[0]}))
    assert "5 of 10 batch sizes so far" in reading and not panel.reached((0.3, partial, {"B": 5}))
    assert np.isfinite(xy(panel.lines["best"])[1]).sum() == 5 and not len(xy(panel.lines["fit"])[0])
    assert all(panel.bands[name][0].get_width() == 0 and not panel.names[name].get_text() for name in experiment.REGIMES)


def test_another_control_does_not_begin_the_sweep_anew(formula, patience, monkeypatch):
    started = []
    running = experiment.running
    monkeypatch.setattr(module.steps_to_target, "running", lambda config: started.append(config.target) or running(config))
    panel = StepsToTarget(LINE, CONFIGS)
    panel._controls["target"].value = 0.3
    for B in (1, 2, 5, 11, 22):
        panel._controls["B"].value = B
    panel._controls["unit"].value = "examples"
    assert panel.wait(30) and started == [1.0, 0.3] and panel.result[0] == 0.3 and panel.result[1].verdicts


@pytest.fixture
def stopped(formula, patience, monkeypatch):
    """A panel whose sweep to 0.3 was stopped on its way."""
    go, running = Event(), experiment.running

    def gated(config):
        for k, step in enumerate(running(config)):
            assert config.target != 0.3 or k < 9 or go.wait(10)
            yield step
    monkeypatch.setattr(module.steps_to_target, "running", gated)
    panel = StepsToTarget(LINE, CONFIGS)
    panel._controls["target"].value = 0.3
    stop, = (w for w in panel._progress.children if getattr(w, "description", "") == "Stop")
    stop.click()
    go.set()
    assert panel.wait(10) and 0 < panel.found[0.3][0] < 1 and "(stopped at" in panel.reading
    return panel


def test_stop_keeps_what_was_found_and_does_not_go_on_by_itself(stopped):
    before = stopped.found[0.3]
    for change in {"B": 5}, {"unit": "examples"}, {"B": 1}:
        stopped.set(**change)
        assert stopped.found[0.3] is before and stopped.result[1] is before[1] and "away and back" in stopped.reading


def test_a_stopped_sweep_goes_on_when_its_target_is_chosen_again(stopped):
    stopped.set(B=5)
    assert "Loss 1," in stopped.set(target=1.0)
    stopped.set(target=0.3)
    assert stopped.found[0.3][0] == 1 and stopped.result[1].verdicts


def test_a_stopped_sweep_goes_on_when_it_is_asked_for(stopped):
    assert stopped.sweep(0.3).verdicts and stopped.set(B=22) and stopped.result[1].verdicts


def test_b_alone_moves_one_artist(panel):
    panel.set(B=5)
    panel.set(B=11)
    panel.update((1.0, panel.result[1], {"B": 22, "unit": "steps", "rate": RATES[0]}))
    assert [name for name, line in panel.lines.items() if line.stale] == ["here"]


# ---------------------------------------------------------------- the two knees


def test_it_draws_the_costs_of_the_experiment(knees):
    knees.set(t0=300, t1=1, workers=16, watts=150, B=89)
    found = costs(knees.sweep, 300e-6, 1e-6, 150, 16)
    one = costs(knees.sweep, 300e-6, 1e-6, 150)
    for name, lines in knees.lines.items():
        np.testing.assert_allclose(xy(lines["points"])[1], getattr(found, name))
        assert xy(lines["least"])[1] == getattr(found, name).min() and xy(lines["here"])[0] == 89
        assert xy(lines["knee"])[0][0] == pytest.approx(4800)
        assert xy(lines["one"])[1].min() == pytest.approx(getattr(one, name).min(), rel=0.05)
    assert "on 16 workers of 150 W" in knees.reading and knees.knee.get_text() == "hardware knee: 4,800 →"


def test_it_starts_with_the_measured_machine(knees):
    t0, t1 = (dict(knees._controls[name].options) for name in ("t0", "t1"))
    assert t0["120 (yours)"] == knees._controls["t0"].value == 120 and t1["0.6 (yours)"] == knees._controls["t1"].value == 0.6
    assert not knees.reached(knees.result) and "on 1 worker of 50 W" in knees.reading


@pytest.mark.parametrize("way", [{"workers": 32}, {"t0": 3000}, {"t1": 0.03}])
def test_target_is_reached_in_several_ways(knees, way):
    knees.set(B=359)
    assert not knees.reached(knees.result)
    knees.set(**way)
    assert knees.reached(knees.result)
    knees.set(B=179)
    assert not knees.reached(knees.result)


def test_everything_stays_inside_at_every_end(knees):
    for t0 in (T0[0], T0[-1]):
        for t1 in (T1[0], T1[-1]):
            for workers, watts in ((1, WATTS[0]), (WORKERS[-1], WATTS[-1])):
                knees.set(t0=t0, t1=t1, workers=workers, watts=watts)
                assert knees.error is None
                for name, axes in knees.axes.items():
                    low, high = axes.get_ylim()
                    points = xy(knees.lines[name]["points"])[1]
                    assert low < points.min() and points.max() < high and 3 <= np.log10(high / low) < 8


@pytest.mark.parametrize("x, text", [(0.0123, "12 ms"), (4.5e-5, "45 µs"), (3.21, "3.2 s"), (4321, "4.3 ks"), (2e-8, "0.02 µs")])
def test_amounts(x, text):
    from mbcore.panels.two_knees import _amount
    assert _amount(x, "s") == text


@pytest.mark.parametrize("k, text", [(-6, "1 µs"), (-4, "0.1 ms"), (-1, "0.1 s"), (0, "1 s"), (2, "100 s"), (3, "1 ks"), (7, "10 Ms")])
def test_ticks(k, text):
    from mbcore.panels.two_knees import _prefixed
    assert _prefixed(k, "s") == text
