"""Whether a trial has told anything: no batch size follows from a measurement without a signal.

    beforehand   what is plain from the examples and the network, before anything is measured
    afterwards   what the short trainings showed
    likely       what may be the cause, where a loss did not fall
"""

from __future__ import annotations

from math import isfinite

import numpy as np

from .given import nothing_told, uneven
from .trial import ORDERS, STEPS

FALLEN = 0.01  # of the loss at the start: the least fall that counts
CHANCE = 0.002  # how likely chance alone may do as well on held-out examples, at most
NO_NOISE = 1e-6  # noise scale below which the examples' gradients are all alike


def beforehand(tried) -> str | None:
    """Why nothing can be told, or None.

    Examples that are coupled, as by batch normalisation in training mode, have no gradients of
    their own, and so no tr(Sigma) and no noise scale.
    """
    told = nothing_told(tried.examples, tried.target_counts)
    if told:
        return told
    if tried.coupled:
        return (
            f"{tried.coupled}, so an example has no gradient of its own, and the noise scale"
            " tr(Sigma)/||g||^2 has no meaning. Advice needs examples that stand alone: batch"
            " normalisation in evaluation mode, or a normalisation within the example (LayerNorm,"
            " GroupNorm)"
        )
    every = tried.gradients(min(tried.N, 256))[0]
    if not np.any(every):
        return (
            "the gradient is exactly 0 at the start, so no step can change anything; all units are"
            " saturated or dead (relu of negative numbers), or all weights are 0"
        )
    return None


def afterwards(tried, noise, held) -> str | None:
    """Why the trainings tell nothing, or None where they have a signal."""
    first, last, steps = noise.loss[0], noise.loss[-1], int(noise.steps[-1])
    lowest = float(np.min(noise.loss))
    cause = likely(tried)
    if not cause and steps < STEPS:
        cause = f". More seconds allow more than {steps} steps"
    course = f"{first:.3g} at the start, {last:.3g} after {steps} steps"
    if not first - lowest > FALLEN * abs(first):
        return f"the loss of the trial did not fall ({course}){cause}"
    chance = tried.chance()
    if chance is not None and not lowest < (1 - FALLEN) * chance:
        return (
            f"the loss of the trial did not fall ({course}) below {chance:.3g}, which the"
            f" frequencies of the classes give without a look at x{cause}"
        )
    if (1 + held.as_low) / (1 + ORDERS) > CHANCE:
        return f"the loss of the trial fell ({course}), but {_learned_nothing(held)}{cause}"
    if not isfinite(noise.average):
        return (
            "the mean gradient drowns in the noise of its examples at every look, so the noise"
            " scale has no value. More seconds look at more examples"
        )
    if noise.average < NO_NOISE:
        return (
            "all examples have the same gradient: there is no noise that a larger batch could"
            " average"
        )
    return None


def _learned_nothing(held):
    if not held.targets:
        return (
            f"not that of examples held out of it: {held.own:.3g} after it, {held.others:.3g}"
            f" before, of {held.n}. So few examples are learned by heart"
        )
    return (
        f"what was learned may say nothing of other examples: {held.n} held-out ones have a loss of"
        f" {held.own:.3g} with their own targets, {held.others:.3g} with these exchanged by lot,"
        f" and {held.as_low} of {ORDERS} such exchanges give as low a loss. The targets are noise,"
        " or so few examples are learned by heart, or the trial is too short to learn more than"
        " how often each target occurs"
    )


def likely(tried) -> str:
    """The likely cause of a loss that does not fall, as a further sentence, or nothing."""
    cause = uneven(tried.examples)
    if cause is None and tried.all_zero:
        cause = "every parameter is 0 at the start, so that units of a layer stay alike. Draw them"
    if cause is None and tried.trained:
        cause = "the network has been trained already, to a loss that such steps do not lower"
    return f". The likely cause: {cause}" if cause else ""
