"""What `advise` asks of a network that it tries out, whether a Program or a PyTorch module.

For examples given by their places `at`: `step(at, lr)`, one step of SGD, and `loss(at)`, both the
mean loss; `own_losses(at, target_at)`, each example's own; `gradient(at)`, its gradient as one
vector; `timed(B)`, a step that changes nothing; `nbytes(B)`; `reset(start)`. All is done to a copy:
the network it was made from stays as it is.
"""

from __future__ import annotations

import numpy as np

GROUPS = 24  # of examples, from whose mean gradients the noise scale is taken
ENTRIES = 2**26  # numbers that these gradients may have together
TRIED = 4096  # examples in one batch of a trial, at most
HELD = 0.2  # of the examples are held out of a training, at least 2, at most TRIED / 4
STARTS = 3  # from which trainings are tried: the network's own parameters, and others like them
# of a fresh start's loss: a network whose own loss is below this has been trained already
TRAINED = 0.9


class Tried:
    """What both kinds share.

    N: examples. least, largest: the batches it can take, largest by memory. coupled: what makes the
    loss of one example depend on the others in its batch, in words, or None. trained: whether its
    own parameters have learned already, so that each training starts from these. target_counts:
    whether the loss depends on the targets; that of a triplet in x does not.
    """

    device, least, coupled, trained, target_counts = "cpu", 1, None, False, True

    def __init__(self, examples, rng):
        self.examples, self.N, self.rng = examples, len(examples), rng
        self.order = rng.permutation(self.N)
        self.pool, self._from = self.order, self.N
        self._starts = []

    def hold_out(self, turn):
        """Train on all examples but a fifth from now on; returns the places of that fifth.

        Each turn holds out another fifth.
        """
        size = int(np.clip(HELD * self.N, 2, TRIED // 4))
        around = np.roll(self.order, -turn * size)
        self.pool, self._from = around[size:], self.N
        return around[:size]

    @property
    def turns(self):
        """How often `hold_out` holds out examples that it has not held out before."""
        return self.N // int(np.clip(HELD * self.N, 2, TRIED // 4))

    def extremes(self):
        """The examples with the lowest and highest label, and the lowest and highest entry of x."""
        x, target = self.examples.x, self.examples.target
        flat = x.reshape(self.N, -1)
        found = [flat.max(axis=1).argmax(), flat.min(axis=1).argmin()]
        if target.ndim == 1:
            found = [target.argmin(), target.argmax(), *found]
        return [int(k) for k in dict.fromkeys(map(int, found))]

    @property
    def most(self):
        """The largest batch that is worth a thought."""
        return min(self.N, self.largest)

    def batch(self, B):
        """B examples, the next ones of a random order; each pass has another one."""
        if self._from + B > len(self.pool):
            self._pass = self.rng.permutation(self.pool)
            while len(self._pass) < B:
                self._pass = np.concatenate([self._pass, self.rng.permutation(self.pool)])
            self._from = 0
        self._from += B
        return self._pass[self._from - B : self._from]

    def gradients(self, examples):
        """Mean gradients of random groups, no example twice: ([group] vectors, size of a group)."""
        n = len(self.pool)
        most = min(examples, n, self.most * GROUPS)
        k = max(3, min(GROUPS, most // self.least, ENTRIES // self.parameters))
        m = max(self.least, min(most // k, TRIED))
        groups = self.rng.permutation(self.pool)[: k * m].reshape(k, m)
        return [self.gradient(at) for at in groups], m

    def own_losses(self, at):
        """[at] float64: the loss of each example."""
        return self.losses_with(at, np.asarray(at)[:, None])[:, 0]

    def losses_with(self, at, target_at):
        """[at, k] float64: the loss of each example with the targets of the examples
        target_at[at, k]."""
        at, most = np.asarray(at), min(self.most, TRIED)
        parts = (slice(cut, cut + most) for cut in range(0, len(at), most))
        return np.concatenate([self._losses_with(at[part], target_at[part]) for part in parts])

    @property
    def all_zero(self):
        """Whether every parameter and buffer is 0 at the start."""
        return not any(bool((p != 0).any()) for p in self._starts[0].values())

    def chance(self):
        """The cross-entropy of the targets' frequencies, which a network reaches that takes no
        notice of x; None where the loss is no cross-entropy of classes.

        It is one where scores of 0 have the loss ln C for every target, C being the number of
        scores: three times a cross-entropy, or one plus 5, has another.
        """
        target = self.examples.target
        if target.ndim != 1:
            return None
        values, counts = np.unique(target, return_counts=True)
        if len(values) > self.N // 2:
            return None
        losses, sizes = self._losses_of_nothing()
        if not any(np.allclose(losses, np.log(C), rtol=0.02) for C in sizes if C >= len(values)):
            return None
        shares = counts / self.N
        return float(-(shares * np.log(shares)).sum())

    def more_starts(self, at):
        """Add starts until there are STARTS, unless the network has been trained, as its loss at
        `at` tells.

        A further start has each parameter's own numbers in another order: for parameters drawn
        independently that is another draw from the same distribution, whatever it was.
        """
        for _ in range(STARTS - 1):
            self._starts.append(
                {name: self._shuffled(name, p) for name, p in self._starts[0].items()}
            )
        losses = []
        for start in range(STARTS):
            self.reset(start)
            losses.append(self.loss(at))
        self.trained = losses[0] < TRAINED * min(losses[1:])
        if self.trained:
            self._starts = self._starts[:1] * STARTS
        self.reset()
