"""Eight predictions: kept in a file, given back beside the verdicts; and the form that writes
them."""

import errno
import json

import numpy as np
import pytest

from mbcore import predictions as module
from mbcore.experiments.verdict import LABELS, Verdict
from mbcore.panels.predictions import PredictionForm
from mbcore.predictions import QUESTIONS, Predictions, returned
from mbcore.verdicts import claims


def test_questions_have_a_claim_and_their_answers_are_choices():
    assert len(QUESTIONS) == 8
    for question in QUESTIONS:
        assert (
            question.claim in claims()
            and set(question.right) <= set(LABELS)
            and len(question.right) > 0
        )
        assert (
            set(question.right.values()) <= set(question.choices)
            and len(set(question.choices)) == len(question.choices) > 1
        )


def test_choices_are_kept(tmp_path):
    path = tmp_path / "p.json"
    Predictions(path).make(3, "not divided by B")
    Predictions(path).make(1, "doubles")
    Predictions(path).make(1, "halves")
    assert Predictions(path).made == {1: "halves", 3: "not divided by B"}
    assert [f.name for f in tmp_path.iterdir()] == ["p.json"]


@pytest.mark.parametrize(
    "number, choice, named",
    [
        (0, "doubles", "number"),
        (9, "doubles", "number"),
        ("1", "doubles", "number"),
        (1, "grows", "choice"),
    ],
)
def test_what_is_no_choice_is_refused_and_not_kept(tmp_path, number, choice, named):
    predictions = Predictions(tmp_path / "p.json")
    with pytest.raises((TypeError, ValueError), match=f"^{named}: expected"):
        predictions.make(number, choice)
    assert not predictions.made and not predictions.path.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"[1]",
        b"{",
        b'{"x": "doubles"}',
        b'{"1": "a word"}',
        b'{"99": "doubles"}',
        b'{"1": null}',
        b'{"1": ["doubles"]}',
        b"3",
        b'{"1.0": "doubles"}',
        b'{"-1": "doubles"}',
        b'{"1": "doubles", "01": "halves"}',
        b'{"\xd9\xa1": "doubles"}',
        b'{"1": "doubles", "2"',
        b"\xff\xfe\x00",
        b"[" * 100_000,
        b'{"\xc2\xb2": "doubles"}',
    ],
)
def test_another_file_is_refused_by_name_and_left(tmp_path, content):
    path = tmp_path / "p.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"p\.json holds no predictions .* start anew"):
        Predictions(path)
    with pytest.raises(ValueError, match=r"p\.json holds no predictions"):
        kept(path).make(1, "doubles")  # damaged after it was read
    assert path.read_bytes() == content


@pytest.mark.parametrize("path, error", [(None, TypeError), (3, TypeError), (".", OSError)])
def test_what_is_no_path_is_named(path, error):
    with pytest.raises(error, match="^path: expected"):
        Predictions(path)


def kept(path):
    """Predictions with one choice in memory, whose file is this one."""
    predictions = Predictions(path.with_name("none"))
    predictions.path, predictions.made = path, {2: "the same"}
    return predictions


def test_numpy_counts_too(tmp_path):
    predictions = Predictions(tmp_path / "p.json")
    predictions.make(np.int64(1), "doubles")
    assert predictions.made == Predictions(tmp_path / "p.json").made == {1: "doubles"}


def full(path, opened=open):
    raise OSError(errno.ENOSPC, "No space left on device", str(path))


def test_without_space_nothing_changes_and_the_form_says_so(tmp_path, monkeypatch):
    path = tmp_path / "p.json"
    form = PredictionForm(path)
    form.choices[0].value = "doubles"
    monkeypatch.setattr(module, "in_place", full)
    with pytest.raises(OSError, match="No space"):
        form.predictions.make(1, "halves")
    form.choices[0].value = "halves"
    form.choices[3].value = "one step of 10"
    assert form.predictions.made == {1: "doubles"} and Predictions(path).made == {1: "doubles"}
    assert form.choices[0].value == "doubles" and form.choices[3].value is None
    assert (
        "not kept" in form._line.value
        and "No space left on device" in form._line.value
        and "alert" in form._line.value
    )
    monkeypatch.undo()
    form.choices[3].value = "one step of 10"
    assert (
        Predictions(path).made == {1: "doubles", 4: "one step of 10"}
        and "2 of 8" in form._line.value
    )


def test_a_folder_that_went_away_is_said(tmp_path):
    folder = tmp_path / "gone"
    folder.mkdir()
    form = PredictionForm(folder / "p.json")
    folder.rmdir()
    form.choices[0].value = "doubles"
    assert (
        form.choices[0].value is None and not form.predictions.made and "p.json" in form._line.value
    )


def test_two_forms_on_one_file_keep_both_choices(tmp_path):
    first, second = (PredictionForm(tmp_path / "p.json") for _ in range(2))
    first.choices[0].value = "doubles"
    second.choices[3].value = "one step of 10"
    assert (
        Predictions(tmp_path / "p.json").made
        == second.predictions.made
        == {1: "doubles", 4: "one step of 10"}
    )


def verdicts(label):
    return {question.claim: Verdict(question.claim, label, "because.") for question in QUESTIONS}


def test_predictions_are_returned(tmp_path):
    predictions = Predictions(tmp_path / "p.json")
    predictions.make(1, "stays as it is")
    predictions.make(5, "grows")
    rows = returned(predictions, verdicts("holds"))
    assert [row.agrees for row in rows] == [True, None, None, None, False, None, None, None]
    assert (
        rows[0].found == "stays as it is"
        and rows[0].verdict.claim == "T5"
        and rows[1].predicted is None
    )
    assert [row.agrees for row in returned(predictions, verdicts("not measured here"))] == [
        None
    ] * 8


def test_without_predictions_it_says_where_to_make_them(tmp_path):
    back = returned(Predictions(tmp_path / "p.json"), verdicts("holds"))
    assert str(back).endswith(
        "No prediction is kept beside this notebook: lesson 00 asks for them."
    )


def test_what_is_returned_is_a_table_with_links(tmp_path):
    predictions = Predictions(tmp_path / "p.json")
    predictions.make(1, "stays as it is")
    predictions.make(5, "grows")
    back = returned(
        predictions, {**verdicts("holds"), "B1": Verdict("B1", "contested", "because.")}
    )
    head, line, *rows, _, tally = back._repr_markdown_().splitlines()
    assert len(rows) == 8 and all(
        row.count("|") == head.count("|") == line.count("|") for row in rows
    )
    assert rows[0].endswith(
        "| stays as it is | stays as it is ✓ | [01](01_the_batch_index.ipynb) |"
    )
    assert (
        "| falls, and tends to a length above zero | grows | [05](" in rows[4]
        and "| not settled: contested | – | [06](" in rows[5]
    )
    assert (
        tally == "1 of 2 predictions agree with what was found."
        and str(back).endswith(tally)
        and repr(back) == str(back)
    )


def test_the_form_writes_what_is_chosen(tmp_path):
    form = PredictionForm(tmp_path / "p.json")
    assert form.reading.startswith("0 of 8") and not (tmp_path / "p.json").exists()
    form.choices[3].value = "one step of 10"
    assert json.loads((tmp_path / "p.json").read_text()) == {"4": "one step of 10"}
    assert form.reading.startswith("1 of 8") and "1 of 8" in form._line.value
    again = PredictionForm(tmp_path / "p.json")
    assert again.choices[3].value == "one step of 10" and all(
        c.value is None for k, c in enumerate(again.choices) if k != 3
    )


def test_the_form_can_be_read_without_its_widget(tmp_path):
    form = PredictionForm(tmp_path / "p.json")
    text = form._repr_mimebundle_()["text/plain"]
    assert all(question.text in text for question in QUESTIONS) and all(
        c.description for c in form.choices
    )
