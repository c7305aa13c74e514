"""Rebuild mbcore/digits.npz: `python docs/rebuild_digits.py [target]`.

The 8x8 digits come from the copy in scikit-learn's wheel, which pip downloads and nothing installs. Three arrays are
written: images[n, 64] with integers 0 to 16, labels[n], and test[n], true for the 360 test images. The split is stored
rather than drawn at load time, because NumPy does not promise the same draws from a seed in every version.
"""

import gzip
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import numpy as np

WHEEL = "scikit-learn==1.9.1"
MEMBER = "sklearn/datasets/data/digits.csv.gz"
SPLIT_SEED = 31230
TARGET = Path(__file__).parents[1] / "mbcore" / "digits.npz"


def download():
    """rows[n, 65]: 64 pixels, then the label."""
    with tempfile.TemporaryDirectory() as folder:
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:", "--dest", folder]
        subprocess.run([*pip, WHEEL], check=True, capture_output=True, text=True)
        (wheel,) = Path(folder).glob("*.whl")
        with zipfile.ZipFile(wheel) as archive:
            text = gzip.decompress(archive.read(MEMBER)).decode()
    return np.loadtxt(text.splitlines(), delimiter=",").astype(np.uint8)


def stratified_fifth(labels, rng):
    """test[n]: shuffle, sort by class keeping the shuffled order within a class, take every fifth."""
    order = rng.permutation(len(labels))
    order = order[np.argsort(labels[order], kind="stable")]
    test = np.zeros(len(labels), dtype=bool)
    test[order[::5]] = True
    return test


def arrays():
    rows = download()
    images, labels = rows[:, :-1], rows[:, -1]
    return {"images": images, "labels": labels, "test": stratified_fifth(labels, np.random.default_rng(SPLIT_SEED))}


if __name__ == "__main__":
    np.savez_compressed(sys.argv[1] if len(sys.argv) > 1 else TARGET, **arrays())
