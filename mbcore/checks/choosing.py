"""Lesson 13: the batch size of the least time on another machine, and what carries over to another library."""

from __future__ import annotations

from ..checking import real, shown
from .feedback import Feedback, as_number, number, word


def best_batch(answer, t0=200e-6, t1=0.02e-6, B_crit=400, before=2e-6):
    """Check the B that makes (1 + B_crit/B)(t0 + B t1) least. before: t1 on the machine that one had."""
    t0, t1, before = (real(name, t, above=0) for name, t in (("t0", t0), ("t1", t1), ("before", before)))
    B_crit = real("B_crit", B_crit, above=0)
    knee, old = t0 / t1, (B_crit * t0 / before) ** 0.5
    wrong = {
        "the knee is larger by that factor; the best batch is not: B_crit, which stayed, is under the same root.": old * before / t1,
        "that was best on the old machine. The new one's knee, t0/t1, lies elsewhere.": old,
        "that is the machine's knee, t0/t1. It does not know about the gradient's noise; the best batch lies between the two knees.": knee,
        "that is B_crit. It does not know about the machine; the best batch lies between the two knees.": B_crit,
        "that is the ordinary mean of the two knees. On a scale of factors the middle is the geometric mean.": (knee + B_crit) / 2,
        "that is the product of the two knees; take its square root.": knee * B_crit,
        "t0 and t1 are swapped: the knee is t0/t1, the batch at which the examples cost as much as the step itself.": (B_crit / knee) ** 0.5,
        "that is the square root of B_crit alone.": B_crit**0.5,
    }
    best = (B_crit * knee) ** 0.5
    praise = (f"sqrt({B_crit:g} x {knee:,.0f}) = {best:,.0f}: a knee {before / t1:g} times as large, "
              f"a batch {(before / t1) ** 0.5:g} times.")
    value = as_number(answer)
    if value is not None and best / 2 <= value <= 2 * best and abs(value / best - 1) > 0.015:
        praise = f"{value:,.0f} is within a factor of 2, which costs little; exactly it is {praise}"
        return Feedback(True, praise)
    return number(answer, best, wrong, praise=praise, expected="a batch size",
                  hint="Write out the product, differentiate with respect to B, and set it to zero: B^2 = B_crit t0/t1.")


CROSSWALK = {           # name -> what may be said of it
    "weight": ("W0", "W0.T"), "bias": ("-C0", "C0"), "s.grad": ("s.grad", "s.grad / B", "s.grad * B"),
}


def crosswalk(answer):
    """Check what PyTorch's Linear and its gradients are in the slides' letters: {"weight": "W0", "bias": "-C0", "s.grad": "s.grad / B"}."""
    given = answer if isinstance(answer, dict) else {}
    said = {word(name, CROSSWALK): value for name, value in given.items()}
    if set(said) != set(CROSSWALK) or len(answer) != len(CROSSWALK):
        return Feedback(False, 'expected a dictionary with "weight", "bias" and "s.grad", '
                        f"got {shown(answer)}.")
    weight, bias, grad = (word(said[name], known) for name, known in CROSSWALK.items())
    if weight == "W0.T":
        return Feedback(False, "weight: torch.nn.Linear stores its weight as [out, in], which is W0[j,i] as it stands; it transposes by itself.")
    if weight != "W0":
        return Feedback(False, f'weight: expected "W0" or "W0.T", got {shown(said["weight"])}.')
    if bias == "C0":
        return Feedback(False, "bias: the slides subtract C0, PyTorch adds its bias. The sign must turn.")
    if bias != "-C0":
        return Feedback(False, f'bias: expected "C0" or "-C0", got {shown(said["bias"])}.')
    if grad == "s.grad":
        return Feedback(False, "s.grad: the slides keep it for each example and put the 1/B into W.grad; with reduction=\"mean\" the 1/B is in the loss already.")
    if grad == "s.grad * B":
        return Feedback(False, "s.grad: the other way round. A mean makes each example's share of the loss smaller, not larger.")
    if grad != "s.grad / B":
        return Feedback(False, 's.grad: expected "s.grad", "s.grad / B" or "s.grad * B", '
                        f'got {shown(said["s.grad"])}.')
    return Feedback(True, "weight = W0 as it stands, bias = -C0, and s.grad / B; W.grad is the same in both.")
