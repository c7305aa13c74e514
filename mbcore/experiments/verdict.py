"""What an experiment concludes about one claim of the sources."""

from __future__ import annotations

from dataclasses import dataclass
from textwrap import fill

LABELS = ("holds", "holds when", "does not hold here", "contested", "not measured here")
WIDTH = 100     # characters: a longer line breaks inside a word in JupyterLab


@dataclass(frozen=True)
class Verdict:
    """claim: the id in the list of sources (T4). label: one of LABELS. because: one sentence, few robust digits."""

    claim: str
    label: str
    because: str

    def __post_init__(self):
        if self.label not in LABELS:
            raise ValueError(f"label: expected one of {', '.join(LABELS)}, got {self.label!r}")

    def __str__(self):
        text = f"{self.claim}  {self.label}{' …' if self.label == 'holds when' else ''}: {self.because}"
        return fill(text, WIDTH, subsequent_indent="    ", break_on_hyphens=False)

    def __repr__(self):
        return str(self)
