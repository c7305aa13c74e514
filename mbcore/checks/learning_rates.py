"""Lesson 08: the rate that goes with a larger batch, and Adam's numbers."""

from __future__ import annotations

from ..checking import real, shown, whole
from ..schedule import adam_scaled
from .feedback import Feedback, in_order, number


def linear_rate(answer, lr=0.1, B0=256, B=8192):
    """Check the learning rate for B by the linear rule."""
    lr, B0, B = real("lr", lr, above=0), whole("B0", B0), whole("B", B)
    kappa = B / B0
    if kappa >= 1:
        turned, far = "smaller", "A larger batch makes fewer updates, so each has to go farther."
        left = f"{kappa:g} times fewer updates"
    else:
        turned, far = "larger", "A smaller batch makes more updates, so each goes less far."
        left = f"{1 / kappa:g} times as many updates"
    wrong = {
        "that is the square-root rule. The linear rule multiplies the rate by B / B0 itself.": lr * kappa**0.5,
        f"that rate is {turned}. {far}": lr / kappa,
        f"that rate is {turned}: the square root, turned round.": lr / kappa**0.5,
        f"you left the rate as it was. Then B = {B} makes {left} of the same length.": lr,
        "that is the factor B / B0, not yet the rate.": kappa,
    }
    warm = "; Goyal et al. warm it up first" if kappa > 1 else ""
    praise = f"{B0} -> {B} is a factor of {kappa:g}, so the rate is {lr * kappa:g}{warm}."
    return number(answer, lr * kappa, wrong, praise=praise,
                  hint="The linear rule: rate times B / B0.", expected="a learning rate", rtol=0.005)


def adam_numbers(answer, kappa=8, lr=0.001, beta1=0.9, beta2=0.999):
    """Check (lr, beta1, beta2) for a batch kappa times as large, by Malladi's rule."""
    right = adam_scaled(kappa, lr, beta1, beta2)
    given = in_order(answer, 3)
    if given is None:
        return Feedback(False, f"expected three numbers, (lr, beta1, beta2), got {shown(answer)}.")
    right = right["lr"], right["beta1"], right["beta2"]
    near = lambda a, b: abs(a - b) <= 0.02 * abs(b) + 1e-9
    if near(given[0], kappa * lr):
        return Feedback(False, "the rate is scaled linearly. That is SGD's rule; Adam divides by the gradient's size, so noise enters by its square root.")
    if not near(given[0], right[0]):
        return Feedback(False, f"the rate: multiply {lr:g} by the square root of {kappa}.")
    for name, value, old, expected in (("beta1", given[1], beta1, right[1]), ("beta2", given[2], beta2, right[2])):
        if abs(value - expected) <= 0.005 * (1 - expected):
            continue
        if near(1 - value, 1 - old):
            return Feedback(False, f"{name} is as it was. Adam's memory is counted in updates; with {kappa} times fewer of them it must be shorter.")
        if near(value, old**kappa):
            return Feedback(False, f"{name} = {old}^{kappa} is the exact factor over {kappa} updates, a good idea; the rule takes its "
                            f"first-order form, 1 - {kappa} (1 - {name}).")
        if near(1 - value, (1 - old) / kappa):
            return Feedback(False, f"{name}: the memory got longer. 1 - {name} is multiplied by {kappa}, not divided.")
        return Feedback(False, f"{name}: one minus it is multiplied by {kappa}: 1 - {kappa} (1 - {old:g}).")
    return Feedback(True, f"lr = {right[0]:.2g}, beta1 = {right[1]:g}, beta2 = {right[2]:g}. At kappa = 10, beta1 would be 0: there the rule ends.")
