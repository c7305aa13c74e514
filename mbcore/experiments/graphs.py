"""The graphs of lesson 02, in the notation: a minibatch as B copies, as one graph with an index, and what is neither."""

from __future__ import annotations

import re

from ..equations import equations
from .models import MLP

NORMALISED = equations("""
    a[j] = W0[j,i] * x[i]
    m[j] = mean(a[j], over=b)
    d[j] = a[j] - m[j]
    v[j] = mean(d[j]**2, over=b)
    h[j] = sigmoid(G[j] * d[j] / sqrt(v[j] + 0.001) - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L    = cross_entropy(s[y], target)
""")                                    # MLP with batch normalisation before the sigma


def averaged(model):
    """The model with its mean over the batch written out: ell is the loss of one example, L the mean."""
    return equations(re.sub(r"\bL\b", "ell", str(model)) + "\nL = mean(ell, over=b)")


def normalised_copies(B):
    """Batch normalisation as B copies: they meet in the mean m and the variance v."""
    add = lambda term: f"({' + '.join(term.format(k) for k in range(B))}) / {B}"
    shared = [f"m[j] = {add('a_{}[j]')}", f"v[j] = {add('d_{}[j]**2')}", f"L = {add('L_{}')}"]
    each = [line for line in str(NORMALISED).splitlines() if not line.startswith(("m", "v"))]
    return equations("\n".join(shared + [re.sub(r"\b([adxhsL]|target)\b", rf"\1_{k}", line) for k in range(B) for line in each]))


def parameters_copied(B):
    """The wrong graph: every copy has parameters of its own, W0_0, W0_1, ..., so it is B networks and no minibatch."""
    own = re.compile(rf"\b({'|'.join(MLP.parameters)})\b")
    copy = lambda line: re.match(r"\w+_(\d+)", line)
    lines = str(MLP.unrolled(B)).splitlines()
    return equations("\n".join(own.sub(rf"\1_{copy(line)[1]}", line) if copy(line) else line for line in lines))


def parameters_indexed():
    """The same mistake with an index: W0[b,j,i], a network for each example."""
    own = re.compile(rf"\b({'|'.join(MLP.parameters)})\[")
    return equations(own.sub(r"\1[b,", str(averaged(MLP).with_index("b"))))


GRAPHS = {"copies": MLP.unrolled, "index": lambda B: MLP.with_index("b"), "averaged": lambda B: averaged(MLP).with_index("b"),
          "parameters copied": parameters_copied, "parameters indexed": lambda B: parameters_indexed(),
          "normalised copies": normalised_copies,
          "normalised": lambda B: averaged(NORMALISED).with_index("b")}       # name -> the equations for B examples


def batched(model):
    """Whether these equations have an index b, so that their inputs are whole batches."""
    return any("b" in indices for indices in model.inputs.values())


def dealt(**arrays):
    """Arrays with one row for each example, as inputs of the copies: x[b,i] -> x_0[i], x_1[i], ..."""
    return {f"{name}_{k}": a[k] for name, a in arrays.items() for k in range(len(a))}
