"""Lesson 13: the batch size of the least time, and what carries over to another library."""

from __future__ import annotations

from .feedback import Feedback, number


def best_batch(answer, t0=200e-6, t1=2e-6, B_crit=400):
    """Check the B that makes (1 + B_crit/B)(t0 + B t1) least."""
    knee = t0 / t1
    wrong = {
        "that is the machine's knee, t0/t1. It does not know about the gradient's noise; the best batch lies between the two knees.": knee,
        "that is B_crit. It does not know about the machine; the best batch lies between the two knees.": B_crit,
        "that is the ordinary mean of the two knees. On a scale of factors the middle is the geometric mean.": (knee + B_crit) / 2,
        "that is the product of the two knees; take its square root.": knee * B_crit,
        "t0 and t1 are swapped: the knee is t0/t1, the batch at which the examples cost as much as the step itself.": (B_crit / knee) ** 0.5,
        "that is the square root of B_crit alone.": B_crit**0.5,
    }
    best = (B_crit * knee) ** 0.5
    return number(answer, best, wrong, praise=f"sqrt({B_crit} x {knee:g}) = {best:g}, the geometric mean of the two knees.", expected="a batch size",
                  hint="Write out the product, differentiate with respect to B, and set it to zero: B^2 = B_crit t0/t1.")


def crosswalk(answer):
    """Check the dictionary from the slides' C0 and W0 to PyTorch's Linear: {"weight": sign or "transposed", "bias": sign}."""
    if not isinstance(answer, dict) or set(answer) != {"weight", "bias"}:
        return Feedback(False, f'expected a dictionary with "weight" and "bias", got {answer!r}.')
    weight, bias = answer["weight"], answer["bias"]
    if weight == "W0.T":
        return Feedback(False, "weight: torch.nn.Linear stores its weight as [out, in], which is W0[j,i] as it stands; it transposes by itself.")
    if weight != "W0":
        return Feedback(False, f'weight: expected "W0" or "W0.T", got {weight!r}.')
    if bias == "C0":
        return Feedback(False, "bias: the slides subtract C0, PyTorch adds its bias. The sign must turn.")
    if bias != "-C0":
        return Feedback(False, f'bias: expected "C0" or "-C0", got {bias!r}.')
    return Feedback(True, "weight = W0 as it stands, bias = -C0; and the mean over b is PyTorch's own default.")
