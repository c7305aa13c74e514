"""Lesson 13's table: every claim of the sources; its verdict appears once its experiment has been run, here and now."""

from html import escape
from threading import Thread

import ipywidgets as widgets

from ..verdicts import LESSONS, Verdicts, claims, judging, stated
from . import style


# In a tab of its own: a link in a widget would take the whole of JupyterLab there, and what has not been saved with it.
LINK = f'<a href="{{lesson}}.ipynb" target="_blank" rel="noopener" style="color:{style.COLOURS["blue"]};text-decoration:underline">{{name}}</a>'


class AllClaims:
    """A row for each claim, linked to its lesson. Start runs what is missing, in a worker thread; Stop ends it between two experiments."""

    def __init__(self, known=None):
        if known is not None:
            style.given("known", known, Verdicts)
        self.found = dict(known.found) if known is not None else {}             # claim -> (Verdict, lesson)
        self._stopped, self._worker = False, None
        self._start = widgets.Button(description="Compute the others (about a minute)", layout=widgets.Layout(width="auto"))
        self._stop = widgets.Button(description="Stop", disabled=True)
        self._bar = widgets.FloatProgress(max=1.0, description="Computing", style={"description_width": "initial"})
        self._table, self._line = widgets.HTML(), widgets.HTML()
        self._start.on_click(lambda _: self.start())
        self._stop.on_click(lambda _: self.stop())
        self.widget = widgets.VBox([widgets.HTML(style.CSS + style.heading("Every claim and its verdict")),
                                    widgets.HBox([self._start, self._stop, self._bar]), self._line, self._table])
        self.widget.add_class("mb-panel")
        self._show()

    @property
    def reading(self):
        return f"{len(self.found)} of {len(claims())} claims have been judged on this machine."

    def start(self):
        """Judge the claims that have no verdict yet."""
        if self._worker is None or not self._worker.is_alive():
            self._stopped, self._start.disabled, self._stop.disabled = False, True, False
            self._worker = Thread(target=self._work, daemon=True)
            self._worker.start()

    def stop(self):
        """End after the experiment under way."""
        self._stopped, self._stop.disabled = True, True
        self._line.value = style.sentence(f"{self.reading} Stopping, after the experiment under way.", "status")

    def wait(self, timeout=600):
        self._worker.join(timeout)
        return not self._worker.is_alive()

    def _work(self):
        missing = [claim for claim in claims() if claim not in self.found]
        try:
            for fraction, verdicts in judging(*missing) if missing else ():
                self.found.update(verdicts.found)
                self._bar.value = fraction
                self._show()
                if self._stopped:
                    break
        except Exception as error:
            self._line.value = style.sentence(f"This could not be computed: {error}. What was found before stays.", "alert")
        finally:
            self._start.disabled, self._stop.disabled = False, True

    def _show(self):
        self._line.value = style.sentence(self.reading, "status")
        rows = "".join(self._row(claim, name) for claim, name in claims().items())
        head = "".join(f'<th style="text-align:left;padding:2px 10px">{text}</th>' for text in ("claim", "it says", "lesson", "verdict", "because"))
        self._table.value = f"<table><tr>{head}</tr>{rows}</table>"

    def _row(self, claim, name):
        verdict, lesson = self.found.get(claim, (None, LESSONS[name]))
        cells = [claim, escape(stated(claim)), LINK.format(lesson=lesson, name=lesson[:2]), escape(verdict.label) if verdict else "–", escape(verdict.because) if verdict else ""]
        return "<tr>" + "".join(f'<td style="vertical-align:top;padding:2px 10px">{cell}</td>' for cell in cells) + "</tr>"

    def _repr_mimebundle_(self, **kwargs):
        data = self.widget._repr_mimebundle_(**kwargs)
        lines = [str(verdict) for claim in claims() if claim in self.found for verdict in (self.found[claim][0],)]
        return {**data, "text/plain": "\n".join(["Every claim and its verdict", *lines, self.reading])}
