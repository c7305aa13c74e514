"""What the panels of lesson 05 share: theory is drawn at once, and the data fill in behind it as they are drawn."""

from .base import Panel


class Filling(Panel):
    """A panel whose computation yields theory first. No patience: theory is shown at once, and a worker draws the data."""

    def _recompute(self, patience=0):
        super()._recompute(patience)
