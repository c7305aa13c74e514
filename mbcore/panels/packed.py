"""A panel whose stored pictures take few bytes, for a lesson that has three."""

import io

from PIL import Image

from .base import Panel
from .filling import packed


class Packed(Panel):
    """As Panel; what a notebook stores has few colours. What a reader drags is not touched."""

    def __init__(self):
        super().__init__()
        self._swap("png", packed(self._image()))

    def png(self):
        picture = Image.open(io.BytesIO(self.picture.value)).convert("RGB")
        return packed(picture.resize(self.size, Image.Resampling.LANCZOS))
