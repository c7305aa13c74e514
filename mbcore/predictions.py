"""Eight predictions, written down in lesson 00 and given back in lesson 13 beside the computed verdicts."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path

from .verdicts import LESSONS, claims


@dataclass(frozen=True)
class Question:
    """claim: the id whose verdict answers it. right: label of that verdict -> the right choice; a label that is missing settles nothing."""

    text: str
    choices: tuple
    claim: str
    right: dict


QUESTIONS = (
    Question("You double the batch size. The memory that the parameters take …", ("doubles", "stays as it is", "halves"),
             "T5", {"holds": "stays as it is"}),
    Question("On one core, with nothing in parallel, an example in a large batch costs, beside an example alone, …",
             ("the same", "several times less, for a large layer too", "several times less, for a small layer only"),
             "T2", {"does not hold here": "the same", "holds": "several times less, for a large layer too",
                    "holds when": "several times less, for a small layer only"}),
    Question("A regulariser that depends on the parameters alone is added to the loss. In the batch's gradient, its part is …",
             ("divided by B, like every part", "not divided by B"),
             "Q6", {"holds": "not divided by B", "does not hold here": "divided by B, like every part"}),
    Question("You have ten examples. Two steps with batches of 5, or one step with a batch of 10: which gets farther?",
             ("two steps of 5", "one step of 10", "it depends on the learning rate"),
             "Q3", {"holds": "two steps of 5", "does not hold here": "one step of 10", "holds when": "it depends on the learning rate"}),
    Question("The batch grows and grows, at the same parameters. On average, the length of its mean gradient …",
             ("falls, and tends to zero", "falls, and tends to a length above zero", "grows"),
             "F1", {"holds": "falls, and tends to a length above zero", "holds when": "falls, and tends to a length above zero",
                    "does not hold here": "grows"}),
    Question("Batches of 32, beside 31 and 33. A step with 32 is …", ("clearly faster for each example", "not clearly different"),
             "B1", {"holds": "clearly faster for each example", "does not hold here": "not clearly different"}),
    Question("Twice the batch, and half as many steps to the same loss. That goes on …",
             ("without end", "up to some batch size", "nowhere"),
             "N2", {"does not hold here": "without end", "holds": "up to some batch size", "holds when": "up to some batch size"}),
    Question("Large batches end in sharper minima, and therefore predict worse. That is …",
             ("shown", "refuted", "not settled by such measurements"),
             "N4", {"holds": "shown", "does not hold here": "refuted", "contested": "not settled by such measurements",
                    "holds when": "not settled by such measurements"}),
)


class Predictions:
    """The choices made so far, number (1 to 8) -> choice, kept in a small JSON file."""

    def __init__(self, path="predictions.json"):
        self.path, self.made = Path(path), {}
        if self.path.exists():
            try:
                stored = json.loads(self.path.read_text(encoding="utf-8"))
                found = {int(number): choice for number, choice in stored.items()}
            except (ValueError, AttributeError):
                raise ValueError(f"path: {self.path} holds no predictions; delete or rename it to start anew") from None
            for number, choice in found.items():
                self._check(number, choice)
            self.made = found

    def make(self, number, choice):
        """Keep one choice, in place of an older one; the file is written whole."""
        self._check(number, choice)
        self.made = dict(sorted({**self.made, number: choice}.items()))
        new = self.path.with_name(self.path.name + ".new")
        new.write_text(json.dumps(self.made, indent=1, ensure_ascii=False), encoding="utf-8")
        os.replace(new, self.path)

    @staticmethod
    def _check(number, choice):
        if isinstance(number, bool) or not isinstance(number, int) or not 1 <= number <= len(QUESTIONS):
            raise ValueError(f"number: expected 1 to {len(QUESTIONS)}, got {number!r}")
        if choice not in QUESTIONS[number - 1].choices:
            raise ValueError(f"choice: expected one of {'; '.join(QUESTIONS[number - 1].choices)}; got {choice!r}")


@dataclass(frozen=True)
class Returned:
    """One prediction beside what was found. agrees: None where nothing was predicted, or the verdict settles nothing."""

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
            said = "–" if row.predicted is None else f"{row.predicted} ✓" if row.agrees else row.predicted
            yield str(number), row.question.text, row.found or f"not settled: {row.verdict.label}", said, LESSONS[claims()[row.question.claim]]

    def __str__(self):
        lines = [f"{number}. {text}\n   found: {found}; predicted: {said}" for number, text, found, said, _ in self._cells()]
        return "\n".join([*lines, self._tally()])

    __repr__ = __str__

    def _tally(self):
        made = sum(row.predicted is not None for row in self)
        if not made:
            return "No prediction is kept beside this notebook: lesson 00 asks for them."
        return f"{sum(row.agrees is True for row in self)} of {made} predictions agree with what was found."

    def _repr_markdown_(self):
        rows = [f"| {number} | {text} | {found} | {said} | [{lesson[:2]}]({lesson}.ipynb) |" for number, text, found, said, lesson in self._cells()]
        return "\n".join([f"| {' | '.join(self.HEAD)} |", "|---" * 5 + "|", *rows, "", self._tally()])


def returned(predictions, verdicts):
    """Each question with the prediction and the computed verdict on its claim: Returns. verdicts: of `mb.verdicts`."""
    rows = []
    for number, question in enumerate(QUESTIONS, 1):
        predicted, verdict = predictions.made.get(number), verdicts[question.claim]
        found = question.right.get(verdict.label)
        agrees = None if predicted is None or found is None else predicted == found
        rows.append(Returned(question, predicted, found, verdict, agrees))
    return Returns(rows)
