"""Lesson 00's form: eight questions, and what was chosen is kept in a file."""

from html import escape

import ipywidgets as widgets

from ..predictions import QUESTIONS, Predictions
from . import style


class PredictionForm:
    """A question and its choices, eight times. Each choice is written to the file at once.

    Where it cannot be written, a line says why, and the buttons show again what is kept.
    """

    def __init__(self, path="predictions.json"):
        self.predictions = Predictions(path)
        self.choices = [
            self._choice(number, question) for number, question in enumerate(QUESTIONS, 1)
        ]
        self._line = widgets.HTML()
        rows = [
            part
            for number, (question, choice) in enumerate(zip(QUESTIONS, self.choices), 1)
            for part in (widgets.HTML(f"<b>{number}.</b> {escape(question.text)}"), choice)
        ]
        self.widget = widgets.VBox(
            [widgets.HTML(style.CSS + style.heading("Eight predictions")), *rows, self._line]
        )
        self.widget.add_class("mb-panel")
        self._tell()

    @property
    def reading(self):
        made = len(self.predictions.made)
        kept = f"{made} of {len(QUESTIONS)} predictions are kept in {self.predictions.path.name}"
        return f"{kept}; lesson 13 gives them back."

    def _choice(self, number, question):
        choice = widgets.RadioButtons(
            options=question.choices,
            value=self.predictions.made.get(number),
            description=f"Prediction {number}",
            layout=widgets.Layout(width="max-content"),
            style={"description_width": "initial"},
        )
        choice.observe(lambda change: self._make(number, change["new"]), "value")
        return choice

    def _make(self, number, chosen):
        kept = self.predictions.made.get(number)
        if chosen == kept:
            return
        try:
            self.predictions.make(number, chosen)
        except (OSError, ValueError) as error:
            self.choices[number - 1].value = kept
            self._line.value = style.sentence(f"This choice was not kept. {error}", "alert")
        else:
            self._tell()

    def _tell(self):
        self._line.value = style.sentence(self.reading, "status")

    def _repr_mimebundle_(self, **kwargs):
        data = self.widget._repr_mimebundle_(**kwargs)
        lines = [
            f"{number}. {q.text} {' / '.join(q.choices)}" for number, q in enumerate(QUESTIONS, 1)
        ]
        return {**data, "text/plain": "\n".join(["Eight predictions", *lines, self.reading])}
