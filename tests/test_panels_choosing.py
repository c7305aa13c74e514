"""Lesson 13's panels: advice drawn, and the table of all claims."""

import pytest

from mbcore.experiments import batch_index
from mbcore.experiments.verdict import Verdict
from mbcore.panels import all_claims
from mbcore.panels.advice import SIZES, TASKS, AdvicePanel, costs
from mbcore.panels.all_claims import AllClaims
from mbcore.verdicts import claims, verdicts


@pytest.fixture(scope="module")
def panel():
    return AdvicePanel(seconds=2.0, j=8)


def test_the_advice_is_told_and_drawn(panel):
    task, B, advice = panel.result
    assert panel.reading.startswith(f"digits: start with B = {advice.batch}") and panel.advised.get_xdata()[0] == advice.batch
    assert list(panel.middle.get_ydata()) == list(advice.curves.seconds[1])


def test_another_batch_size_costs_what_the_curve_says(panel):
    _, _, advice = panel.result
    for B in (1, 512):
        reading, k = panel.set(B=B), list(advice.curves.B).index(B)
        assert panel.result[-1] is advice and costs(advice, B) == pytest.approx(advice.curves.seconds[:, k])
        assert (panel.yours.get_xdata()[0], panel.yours.get_ydata()[0]) == (B, pytest.approx(advice.curves.seconds[1, k]))
        assert f"Your B = {B} takes {advice.curves.seconds[1, k]:.1f} times" in reading
        assert f"at most {advice.curves.seconds[:, k].max():.1f} times" in reading


def test_each_task_is_measured_once(panel):
    for task in TASKS:
        assert panel.set(task=task).startswith(task) and panel.error is None
    first = panel.measured["digits", 2.0] if ("digits", 2.0) in panel.measured else None
    panel.set(task="digits")
    assert first is None or panel.result[-1] is first


def test_the_target_is_at_twice_the_least_time_of_the_largest_of_all_three(panel):
    newest = {name: advice for (name, _), advice in panel.measured.items()}
    largest = max(advice.batch for advice in newest.values())
    assert len(newest) == 3
    for name, a in newest.items():
        reached = [B for B in SIZES if panel.reached((name, B, a))]
        assert len(reached) == (a.batch == largest)
        if reached:
            further = [B for B in SIZES if B > reached[0]]
            assert costs(a, reached[0])[1] <= 2 and all(costs(a, B)[1] > 2 for B in further)


def test_nothing_is_reached_before_all_are_measured():
    empty = AdvicePanel.__new__(AdvicePanel)
    empty.measured = {("digits", 2.0): object()}
    assert not empty.reached(("digits", 32, type("A", (), {"batch": 3})()))


def test_the_table_lists_every_claim_and_computes_what_is_missing(monkeypatch):
    table = AllClaims(verdicts("T4"))
    assert '<a href="06_hardware.ipynb" target="_blank" ' in table._table.value and "Parameters get no batch index." in table._table.value
    assert table.reading.startswith("1 of 37") and all("<td" in table._table.value and claim in table._table.value for claim in claims())
    asked = []

    def quick(*wanted):
        asked.extend(wanted)
        known = verdicts("T4")
        for k, claim in enumerate(wanted, 1):
            known.found[claim] = Verdict(claim, "holds", "because <so>."), "01_the_batch_index"
            yield k / len(wanted), known
    monkeypatch.setattr(all_claims, "judging", quick)
    table.start()
    assert table.wait(30) and asked == [claim for claim in claims() if claim != "T4"]
    assert table.reading.startswith("37 of 37") and "because &lt;so&gt;." in table._table.value and not table._start.disabled
    assert "Every claim" in table._repr_mimebundle_()["text/plain"]


def test_an_experiment_that_fails_is_said(monkeypatch):
    def failing(*wanted):
        raise ValueError("no such thing")
        yield
    monkeypatch.setattr(all_claims, "judging", failing)
    table = AllClaims()
    table.start()
    table.wait(30)
    assert "This could not be computed: no such thing" in table._line.value and not table._start.disabled


def test_stop_ends_between_two_experiments(monkeypatch):
    table, seen = AllClaims(), []

    def slow(*wanted):
        for k in range(5):
            seen.append(k)
            table._stop.click()
            yield k / 5, verdicts("T4")
    monkeypatch.setattr(all_claims, "judging", slow)
    table.start()
    assert table.wait(30) and seen == [0] and batch_index.CLAIMS[1] in table.found
