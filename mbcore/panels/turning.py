"""A panel that turns between a few backgrounds, such as two units of an axis: each is drawn once."""

from .base import Panel


class Turning(Panel):
    """A panel with `turn`, which costs a full draw only where a background is needed for the first time."""

    def __init__(self):
        self.face, self._faces = None, {}
        super().__init__()

    def turn(self, face):
        """For `update`, in place of `redraw_background`: limits, ticks and labels are those of this name now."""
        if face != self.face:
            self._faces[self.face], self.face = self._background, face
            self._background, self._still = self._faces.get(face), None
