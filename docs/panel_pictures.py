"""Make docs/panels/NN.png, the README's small pictures of the panels, from the pictures that the notebooks store.

    python docs/panel_pictures.py
"""

import io
from base64 import b64decode
from pathlib import Path

import nbformat
from PIL import Image

ROOT = Path(__file__).parents[1]
WIDTH = 360
WHICH = {}          # lesson: which of its pictures, where the first is not the one to show


def pictures(path):
    for cell in nbformat.read(path, as_version=4).cells:
        for output in cell.get("outputs", ()):
            if "image/png" in output.get("data", {}):
                yield Image.open(io.BytesIO(b64decode(output.data["image/png"]))).convert("RGB")


def main():
    (ROOT / "docs" / "panels").mkdir(exist_ok=True)
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        number = path.stem[:2]
        picture = list(pictures(path))[WHICH.get(number, 0)]
        small = picture.resize((WIDTH, round(picture.height * WIDTH / picture.width)), Image.Resampling.LANCZOS)
        small.quantize(64, dither=Image.Dither.NONE).save(ROOT / "docs" / "panels" / f"{number}.png", optimize=True)


if __name__ == "__main__":
    main()
