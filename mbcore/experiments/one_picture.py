"""The course in one picture: one training run on the digits for each batch size, measured on three axes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .. import data
from ..train import training
from .models import MLP


@dataclass(frozen=True)
class Config:
    B: int = 32
    lr: float = 1.0
    epochs: int = 10
    j: int = 32
    seed: int = 0


def running(config=Config()):
    """Yield (fraction done, train.Record) as the run goes; see train.training."""
    c, digits, rng = config, data.digits(), np.random.default_rng(config.seed)
    net = MLP.with_index("b").compile(b=c.B, i=64, j=c.j, y=10).init(rng)
    yield from training(net, digits, c.lr, c.epochs, rng)
