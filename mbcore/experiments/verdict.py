"""What an experiment concludes about one claim of the sources."""

from __future__ import annotations

from dataclasses import dataclass

LABELS = ("holds", "holds when", "does not hold here", "contested", "not measured here")


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
        return f"{self.claim}  {self.label}{' …' if self.label == 'holds when' else ''}: {self.because}"

    def __repr__(self):
        return str(self)
