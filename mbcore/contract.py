"""What the loss of a PyTorch module has to be: the mean over a batch of each example's own loss,
and finite.

Everything that `advise` measures rests on it: the noise scale, the steps that a batch saves, the
learning rate that belongs to a batch. A loss that divides by B once more, or sums, or lets shapes
broadcast, gives a number for each of these and no error. So the loss of some scores, and its
gradient, are compared with those of single examples among them. The scores are computed once;
dropout and batch normalisation, which act before the scores, cannot disturb the comparison.
"""

from __future__ import annotations

import copy
import math
import sys

import numpy as np

SHARE = 0.02  # of the mean loss: how far the two may lie apart, beside rounding


def broken(loss, scores, target) -> str | None:
    """What the loss breaks, in words; None where it is the mean of the examples' own losses.

    loss: a function of (scores, target). scores: a tensor [n, ...], or a tuple, list, dictionary or
    object with such tensors. target: a tensor [n, ...]. n of at least 2.
    """
    n = len(target)
    whole = loss(scores, target)
    wrong = not_a_loss(whole, n)
    if wrong:
        return f"{wrong}{_spreading(scores, target)}"
    own = own_losses(loss, scores, target)
    together = float(whole.detach().double().mean())
    missing = ~np.isfinite(own)
    if missing.any():
        return _missing(own, together, target, missing)
    if not math.isfinite(together):
        return f"a finite number; got {together} for {n} examples whose own losses are finite"
    scale = np.abs(own).mean()
    if not abs(together - own.mean()) <= (SHARE + _rounding(whole)) * scale:
        return _unlike(loss, scores, target, together, own)
    wrong = _shares(whole, own, scale) or _other_gradient(loss, scores, target, own)
    if wrong:
        return wrong
    try:
        return _not_scores(loss, scores, target)
    except Exception:  # a loss that refuses scores of 0, as a distribution of probabilities does
        return None


def not_a_loss(found, n: int) -> str | None:
    """What came in place of one number, or of one for each of n examples; None where it is one of
    these."""
    wanted = "one number, the mean, or one for each example"
    if not hasattr(found, "grad_fn"):
        return f"{wanted}; got {type(found).__name__}"
    if tuple(found.shape) not in ((), (n,), (n, 1)):
        more = found.ndim > 1 and len(found) == n
        hint = ". Take the mean over the other axes: loss.flatten(1).mean(1)" if more else ""
        return f"{wanted}; got shape {tuple(found.shape)} for {n} examples{hint}"
    if not found.is_floating_point():
        return f"{wanted}; got whole numbers, {found.dtype}"
    return None


def own_losses(loss, scores, target) -> np.ndarray:
    """[n] float64: the loss of each example alone."""
    n = len(target)
    alone = (loss(part(scores, k, n), target[k : k + 1]) for k in range(n))
    return np.array([float(found.detach().double().mean()) for found in alone])


def part(scores, k: int, n: int):
    """The scores of example k alone."""
    return rows(scores, slice(k, k + 1), n)


def rows(scores, at, n: int):
    """The scores of some examples: every tensor of n rows in there is cut to the rows `at`."""
    if isinstance(scores, dict):
        return type(scores)({name: rows(value, at, n) for name, value in scores.items()})
    if isinstance(scores, (tuple, list)):
        cut = [rows(value, at, n) for value in scores]
        return type(scores)(*cut) if hasattr(scores, "_fields") else type(scores)(cut)
    if hasattr(scores, "ndim"):
        return scores[at] if has_rows(scores, n) else scores
    if hasattr(scores, "__dict__"):  # a dataclass or a namespace
        cut = copy.copy(scores)
        vars(cut).update({name: rows(value, at, n) for name, value in vars(scores).items()})
        return cut
    return scores


def has_rows(tensor, n: int) -> bool:
    """Whether this may be a tensor of n rows, one for each example."""
    return tensor.ndim > 0 and len(tensor) == n


# ------------------------------------------------------------------ naming what is wrong


def _rounding(found):
    return {"torch.float16": 0.02, "torch.bfloat16": 0.1}.get(str(found.dtype), 0.0)


def _shares(whole, own, scale):
    """A loss for each example has to be each one's own."""
    if whole.ndim and len(own) > 1:
        each = whole.detach().double().cpu().numpy().reshape(-1)
        if np.abs(each - own).max() > (SHARE + _rounding(whole)) * max(scale, np.abs(own).max()):
            return (
                "the loss of each example to be its own; these change with the other examples of"
                " the batch"
            )
    return None


def _not_scores(loss, scores, target):
    """A softmax before cross_entropy, which takes one itself; none before nll_loss, which does not;
    the sign of either turned.

    cross_entropy is known by ln C for scores of 0, nll_loss by 0 there and by falling by what is
    added to all scores.
    """
    if getattr(scores, "ndim", 0) != 2 or target.ndim != 1 or target.is_floating_point():
        return None
    of_nothing = float(loss(scores.detach() * 0, target).double().mean())
    change = float((loss(scores + 1, target) - loss(scores, target)).double().mean())
    turned = abs(of_nothing) < 0.01 and abs(change - 1) < 0.05
    if turned or scores.shape[1] > 1 and abs(of_nothing + math.log(scores.shape[1])) < 0.01:
        return (
            "a loss that falls as the score of the right class rises; this one rises, as where the"
            " minus of -log P is missing"
        )
    shares = scores.detach().double()
    if (shares >= 0).all() and ((shares.sum(1) - 1).abs() < 0.01).all():
        if scores.shape[1] > 1 and abs(of_nothing - math.log(scores.shape[1])) < 0.01:
            return (
                "a loss of the scores; these are probabilities already (each row is positive and"
                " sums to 1), and cross_entropy takes the softmax itself. Leave the softmax out"
            )
        return None
    normed = (shares.logsumexp(1).abs() < 0.05).all()
    if not normed and abs(of_nothing) < 0.01 and abs(change + 1) < 0.05:
        return (
            "a loss of what the module returns; nll_loss takes logarithms of probabilities, and"
            " these are scores. Use cross_entropy, or end the module with log_softmax"
        )
    return None


def squashed(loss, scores, larger, target) -> str | None:
    """A sigmoid before binary_cross_entropy_with_logits, which takes one itself, in words.

    The loss is known by ln 2 for scores of 0 and any target; a sigmoid by scores that stay between
    0 and 1 when all parameters are `larger`.
    """
    if not hasattr(scores, "ndim") or not target.is_floating_point() or target.unique().numel() < 2:
        return None
    inside = (scores > 0) & (scores < 1) & (larger >= 0) & (larger <= 1)
    if not inside.all() or target.min() < 0 or target.max() > 1:
        return None
    if np.abs(own_losses(loss, scores * 0, target) - math.log(2)).max() > 0.01:
        return None
    return (
        "a loss of the scores; these are probabilities already (between 0 and 1 whatever the"
        " parameters are), and this loss takes the sigmoid itself. Leave the sigmoid out, or use"
        " binary_cross_entropy"
    )


def _other_gradient(loss, scores, target, own):
    """At the start all losses may be nearly alike, so that a weighted mean is no other; its
    gradient is."""
    if not hasattr(scores, "detach") or not scores.is_floating_point():
        return None
    torch, n = sys.modules["torch"], len(target)
    with torch.enable_grad():
        free = scores.detach().clone().requires_grad_()
        whole = loss(free, target)
        if whole.grad_fn is None:
            return None  # it does not depend on the scores
        (together,) = torch.autograd.grad(whole.double().mean(), free)
        alone = [loss(free[k : k + 1], target[k : k + 1]).double().mean() for k in range(n)]
        (apart,) = torch.autograd.grad(sum(alone) / n, free)
    off = float((together.double() - apart.double()).abs().max())
    if off <= (SHARE + _rounding(whole)) * float(apart.double().abs().max()):
        return None
    said = (
        f"the mean over the batch of each example's own loss; the gradient of the loss of {n}"
        " examples is not the mean of the gradients of their own losses"
    )
    return _weighing(said, loss, scores, target, own)


def _missing(own, together, target, missing):
    k = int(np.argmax(missing))
    value = target[k].detach().cpu().reshape(-1)[:4].tolist()
    value = value[0] if target.ndim == 1 else value
    said = (
        f"a finite loss of each example; got {own[k]} for {int(missing.sum())} of {len(own)}"
        f" examples tried, the first with the target {value} (the loss of all of them:"
        f" {together:.3g})"
    )
    labels = not target.is_floating_point()
    alike = missing.all() and bool((target == target[k]).all())
    if labels and math.isnan(own[k]) and (alike or not missing.all()):
        return (
            f"{said}. Is it an ignored label (ignore_index)? Leave ignored examples out of the data"
        )
    return said


def _unlike(loss, scores, target, together, own):
    """How the loss of all differs from the mean of the examples' own."""
    n, mean = len(own), own.mean()
    said = (
        f"the mean over the batch of each example's own loss, or one loss for each; the loss of {n}"
        f" examples is {together:.4g}, the mean of their own losses {mean:.4g}"
    )
    times = together / mean if mean else math.inf
    if abs(times * n - 1) < 0.1:
        return (
            f"{said}: 1/{n} of it, so 1/B stands twice. Do not divide a mean by the number of"
            " examples"
        )
    if abs(times / n - 1) < 0.1:
        return f"{said}: it doubles with the batch, as a sum does. Use reduction='mean'"
    return _weighing(said, loss, scores, target, own)


def _weighing(said, loss, scores, target, own):
    """The words for a loss that weighs examples by what else is in the batch."""
    spreading = _spreading(scores, target)
    if spreading:
        return said + spreading
    if _by_class(loss, scores, target, own):
        return (
            f"{said}, though it is among examples of one class: class weights, which PyTorch"
            " divides by their sum over the batch. Return weight[target] * loss for each example"
            " (reduction='none')"
        )
    return (
        f"{said}. Does it divide by something that differs from batch to batch, such as the number"
        " of labels that are not ignored, or compare examples with one another? Return one loss"
        " for each example"
    )


def _spreading(scores, target):
    """That these are stretched to a common, larger shape, in words; else nothing."""
    shape = getattr(scores, "shape", ())
    try:
        common = np.broadcast_shapes(tuple(shape), tuple(target.shape))
    except ValueError:
        return ""
    if math.prod(common) <= max(math.prod(shape), math.prod(target.shape)):
        return ""
    return (
        f": scores of shape {list(shape)} and targets of shape {list(target.shape)} broadcast, so"
        " that each score meets every target. Give both one shape: a target [n, 1], or"
        " scores.squeeze(1)"
    )


def _by_class(loss, scores, target, own):
    """Whether the mean is right for examples of one class and wrong across classes."""
    if target.ndim != 1 or target.is_floating_point():
        return False
    n = len(target)
    for label in target.unique():
        at = (target == label).nonzero().reshape(-1)
        if 2 <= len(at) < n:
            among = float(loss(rows(scores, at, n), target[at]).detach().double().mean())
            mean = own[at.cpu().numpy()].mean()
            return abs(among - mean) <= SHARE * abs(mean)
    return False

