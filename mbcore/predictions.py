"""Eight predictions, written down in lesson 00 and given back in lesson 13 beside the computed
verdicts."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from .checking import existing_file, file_path, shown, whole
from .verdicts import LESSONS, claims
from .writing import in_place


@dataclass(frozen=True)
class Question:
    """claim: the id whose verdict answers it. right: label of that verdict -> the right choice; a
    label that is missing settles nothing."""

    text: str
    choices: tuple
    claim: str
    right: dict


QUESTIONS = (
    Question(
        "You double the batch size. The memory that the parameters take …",
        ("doubles", "stays as it is", "halves"),
        "T5",
        {"holds": "stays as it is"},
    ),
    Question(
        "On one core, with nothing in parallel, an example in a large batch costs, beside an "
        "example alone, …",
        (
            "the same",
            "several times less, for a large layer too",
            "several times less, for a small layer only",
        ),
        "T2",
        {
            "does not hold here": "the same",
            "holds": "several times less, for a large layer too",
            "holds when": "several times less, for a small layer only",
        },
    ),
    Question(
        "A regulariser that depends on the parameters alone is added to the loss. In the batch's "
        "gradient, its part is …",
        ("divided by B, like every part", "not divided by B"),
        "Q6",
        {"holds": "not divided by B", "does not hold here": "divided by B, like every part"},
    ),
    Question(
        "You have ten examples. Two steps with batches of 5, or one step with a batch of 10: "
        "which gets farther?",
        ("two steps of 5", "one step of 10", "it depends on the learning rate"),
        "Q3",
        {
            "holds": "two steps of 5",
            "does not hold here": "one step of 10",
            "holds when": "it depends on the learning rate",
        },
    ),
    Question(
        "The batch grows and grows, at the same parameters. On average, the length of its mean "
        "gradient …",
        ("falls, and tends to zero", "falls, and tends to a length above zero", "grows"),
        "F1",
        {
            "holds": "falls, and tends to a length above zero",
            "holds when": "falls, and tends to a length above zero",
            "does not hold here": "grows",
        },
    ),
    Question(
        "Batches of 32, beside 31 and 33. A step with 32 is …",
        ("clearly faster for each example", "not clearly different"),
        "B1",
        {"holds": "clearly faster for each example", "does not hold here": "not clearly different"},
    ),
    Question(
        "Twice the batch, and half as many steps to the same loss. That goes on …",
        ("without end", "up to some batch size", "nowhere"),
        "N2",
        {
            "does not hold here": "without end",
            "holds": "up to some batch size",
            "holds when": "up to some batch size",
        },
    ),
    Question(
        "Large batches end in sharper minima, and therefore predict worse. That is …",
        ("shown", "refuted", "not settled by such measurements"),
        "N4",
        {
            "holds": "shown",
            "does not hold here": "refuted",
            "contested": "not settled by such measurements",
            "holds when": "not settled by such measurements",
        },
    ),
)


class Predictions:
    """The choices made so far, `made`: number (1 to 8) -> choice, kept in a small JSON file.

    ValueError, which names the file, where it holds something else: damaged, foreign, or a choice
    that is none of today's.
    """

    def __init__(self, path="predictions.json"):
        self.path = Path(file_path("path", path))
        self.made = self._stored()

    def make(self, number, choice):
        """Keep one choice, in place of an older one. `made` changes only after the file is in
        place, written whole.

        What another form has written to the same file meanwhile is kept. OSError where the file
        cannot be written.
        """
        number = _number(number)
        _check_choice(number, choice)
        kept = self._stored() if self.path.exists() else self.made
        made = dict(sorted({**kept, number: choice}.items()))
        with in_place(self.path) as file:
            file.write(json.dumps(made, indent=1, ensure_ascii=False).encode())
        self.made = made

    def _stored(self):
        """What the file holds; nothing where there is none."""
        try:
            existing_file("path", self.path, "a file of predictions")
            stored = json.loads(self.path.read_bytes().decode())
        except FileNotFoundError:
            return {}
        except (ValueError, RecursionError) as error:
            raise self._not_ours(error) from None
        if not isinstance(stored, dict):
            raise self._not_ours(f"a {type(stored).__name__} stands in it")
        made = {}
        for key, choice in stored.items():
            try:
                number = _number(int(key) if key.isascii() and key.isdecimal() else key)
                if key != str(number):
                    raise ValueError(f"number: expected {number}, got {key!r}")
                _check_choice(number, choice)
            except (TypeError, ValueError) as error:
                raise self._not_ours(error) from None
            made[number] = choice
        return made

    def _not_ours(self, why):
        return ValueError(
            f"path: {self.path} holds no predictions of these questions ({why}); "
            "delete or rename it to start anew"
        )


def _number(value):
    """The number of a question."""
    return whole("number", value, 1, len(QUESTIONS))


def _check_choice(number, choice):
    """ValueError for what is no choice of this question."""
    choices = QUESTIONS[number - 1].choices
    if choice not in choices:
        raise ValueError(f"choice: expected one of {'; '.join(choices)}; got {shown(choice)}")


@dataclass(frozen=True)
class Returned:
    """One prediction beside what was found. agrees: None where nothing was predicted, or the
    verdict settles nothing."""

    question: Question
    predicted: str | None
    found: str | None
    verdict: object
    agrees: bool | None


class Returns(tuple):
    """Of Returned, one for each question; a notebook shows them as a table."""

    HEAD = ("", "your question", "what was found", "your prediction", "lesson")

    def _cells(self):
        for number, row in enumerate(self, 1):
            said = (
                "–"
                if row.predicted is None
                else f"{row.predicted} ✓"
                if row.agrees
                else row.predicted
            )
            yield (
                str(number),
                row.question.text,
                row.found or f"not settled: {row.verdict.label}",
                said,
                LESSONS[claims()[row.question.claim]],
            )

    def __str__(self):
        lines = [
            f"{number}. {text}\n   found: {found}; predicted: {said}"
            for number, text, found, said, _ in self._cells()
        ]
        return "\n".join([*lines, self._tally()])

    __repr__ = __str__

    def _tally(self):
        made = sum(row.predicted is not None for row in self)
        if not made:
            return "No prediction is kept beside this notebook: lesson 00 asks for them."
        right = sum(row.agrees is True for row in self)
        return f"{right} of {made} predictions agree with what was found."

    def _repr_markdown_(self):
        rows = [
            f"| {number} | {text} | {found} | {said} | [{lesson[:2]}]({lesson}.ipynb) |"
            for number, text, found, said, lesson in self._cells()
        ]
        return "\n".join(
            [f"| {' | '.join(self.HEAD)} |", "|---" * 5 + "|", *rows, "", self._tally()]
        )


def returned(predictions, verdicts):
    """Each question with the prediction and the computed verdict on its claim: Returns. verdicts:
    of `mb.verdicts`."""
    rows = []
    for number, question in enumerate(QUESTIONS, 1):
        predicted, verdict = predictions.made.get(number), verdicts[question.claim]
        found = question.right.get(verdict.label)
        agrees = None if predicted is None or found is None else predicted == found
        rows.append(Returned(question, predicted, found, verdict, agrees))
    return Returns(rows)
