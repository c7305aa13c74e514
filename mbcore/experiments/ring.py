"""A ring all-reduce, message by message, and what it costs.

It sums in 2 (K-1) steps: each worker passes one of K chunks to the next one, which first adds it (reduce-scatter) and, when
every chunk is complete somewhere, copies it (all-gather). Each sends 2 (K-1)/K of the values' bytes, whatever K is; a message
of m bytes that takes alpha + m beta makes t = 2 (K-1) alpha + 2 (K-1)/K n beta.
P. Patarasuk and X. Yuan 2009, doi:10.1016/j.jpdc.2008.09.002.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..checking import whole


@dataclass(frozen=True)
class State:
    """After one step of the ring. sent: ((from, to, chunk, bytes), ...) in this step. held[k, n]: what worker k holds.

    summed[k, chunk]: how many workers' values are in that chunk of worker k; K: complete.
    """

    step: int
    phase: str                  # "start", "reduce-scatter" or "all-gather"
    sent: tuple
    held: np.ndarray
    summed: np.ndarray


def ring(K, values):
    """The sum over k of values[k, n] by a ring of K workers, in their dtype: 2 (K-1) + 1 States, the first before any message.

    Where K does not divide n, chunks differ by one number; with n < K some are empty.
    """
    held = np.array(values)
    if whole("K", K) != (held.shape[0] if held.ndim == 2 else None) or held.dtype.kind != "f":
        raise ValueError(f"values: expected an array [K, n] of real numbers, K = {K}; got {held.dtype} of shape {held.shape}")
    ends = np.cumsum([0, *map(len, np.array_split(held[0], K))])
    chunk = [slice(a, b) for a, b in zip(ends, ends[1:])]
    summed = np.ones((K, K), dtype=int)
    states = [State(0, "start", (), held.copy(), summed.copy())]
    for step in range(2 * (K - 1)):
        adds = step < K - 1
        moves = [(k, (k + 1) % K, (k - step if adds else k + 1 - (step - K + 1)) % K) for k in range(K)]
        messages = [held[k, chunk[c]].copy() for k, _, c in moves]      # all leave before any arrives
        counts = [summed[k, c] for k, _, c in moves]
        for (_, to, c), message, count in zip(moves, messages, counts):
            held[to, chunk[c]] = held[to, chunk[c]] + message if adds else message
            summed[to, c] = summed[to, c] + count if adds else count
        sent = tuple((*move, message.nbytes) for move, message in zip(moves, messages))
        states.append(State(step + 1, "reduce-scatter" if adds else "all-gather", sent, held.copy(), summed.copy()))
    return states


def bytes_sent(states):
    """[k]: the bytes that each worker sent in all."""
    sent = np.zeros(len(states[0].held), dtype=int)
    for state in states:
        for k, _, _, size in state.sent:
            sent[k] += size
    return sent


def ring_seconds(K, nbytes, alpha, beta):
    """2 (K-1) alpha + 2 (K-1)/K nbytes beta. alpha: seconds a message; beta: seconds a byte."""
    return 2 * (K - 1) * alpha + 2 * (K - 1) / K * nbytes * beta


def centre_seconds(K, nbytes, alpha, beta):
    """The plain way: K-1 workers send all to one, one after the other, and it sends the sum back to each."""
    return 2 * (K - 1) * (alpha + nbytes * beta)


def step_seconds(K, B, per_example, nbytes, alpha, beta):
    """One update: the largest shard is computed, then the ring; nothing overlaps."""
    return -(-B // K) * per_example + ring_seconds(K, nbytes, alpha, beta)
