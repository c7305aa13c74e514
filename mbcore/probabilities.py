"""Which values are probabilities and which are raw scores: what a loss may be given.

cross_entropy takes scores, since it has a softmax of its own; nll takes probabilities, since it
takes their logarithm. Either given the other would run and compute something else. What is known of
a value follows from the nodes that compute it, whatever names it was given on the way: 1 * P,
-(-P), P + 0 and P / 1 are P, and exp(s[y]) / sum(exp(s[y]), over=y) is a softmax.
"""

from __future__ import annotations

from math import isclose

from .graph import Contraction, Map, Softmax, form

ANY_SIGN = ("tanh", "log")  # their results may be negative whatever they are given


class Kinds:
    """What is known of each value, kept by position of its indices.

    parts   name -> {(origin, where): number}: the value is the sum of number * origin, and index k
            of the origin is its index where[k]
    over    name of a softmax -> the position over which it is one
    raw     name -> positions along which the value may be negative: a parameter's, and what is
            computed from one
    """

    def __init__(self, parameters):
        self.parts, self.over, self.made = {}, {}, {}
        self.raw = {name: set(range(len(indices))) for name, indices in parameters.items()}
        self.parameters = parameters

    def add(self, node):
        """Learn what a node's result is. Nodes come in the order in which they are computed."""
        out, over = node.out, self.softmax_index(node)
        self.made[out.name] = node
        if over in out.indices:
            self.over[out.name] = out.indices.index(over)
            return
        if isinstance(node, Contraction):
            terms = [t for t in node.terms if t.coefficient != 0]
            raw = {
                i
                for t in terms
                for f in t.factors
                for k, i in enumerate(f.indices)
                if k in self.raw.get(f.name, ())
            }
            self.raw[out.name] = {k for k, i in enumerate(out.indices) if i in raw}
            if all(len(t.factors) == 1 and not t.powers for t in terms):
                self.rename(out, [(t.factors[0], t.coefficient) for t in terms])
        elif isinstance(node, Map):
            self.raw[out.name] = self.raw_map(node)
            if node.function == "power" and node.exponent == 1:
                self.rename(out, [(node.arg, 1.0)])

    def softmax_index(self, node):
        """The index over which a node is a softmax: by its name, or written exp(s) / sum(exp(s))."""
        if isinstance(node, Softmax):
            return node.over
        factors = self.one_product(node)
        for above, below in (factors, factors[::-1]) if len(factors) == 2 else ():
            inverse = self.made.get(below.name)
            if isinstance(inverse, Map) and inverse.function == "power" and inverse.exponent == -1:
                whole = self.one_product(self.made.get(inverse.arg.name))
                if len(whole) == 1 and self.is_exp(above):
                    return self.share_over(above, whole[0], inverse.arg.indices)
        return None

    def share_over(self, above, summed, kept):
        """The one index over which `above` is summed below, under this letter or another one."""
        own, other = (set(ref.indices) - set(kept) for ref in (above, summed))
        if len(own) != 1 or len(other) != 1:
            return None
        over = min(own)
        same = form(above, self.made) == form(summed, self.made, {min(other): over})
        return over if same else None

    def one_product(self, node):
        """The factors, where a node is one product with no number in front; else none."""
        if not isinstance(node, Contraction) or len(node.terms) != 1:
            return ()
        term = node.terms[0]
        return term.factors if term.coefficient == 1 and not term.powers else ()

    def is_exp(self, ref):
        node = self.made.get(ref.name)
        return isinstance(node, Map) and node.function == "exp"

    def rename(self, out, terms):
        """out = the sum of number * value over (value, number), where all have the same indices in
        some order.
        """
        found = {}
        for value, number in terms:
            if set(value.indices) != set(out.indices):
                return
            for (origin, where), own in self.parts_of(value).items():
                key = origin, tuple(out.indices.index(value.indices[k]) for k in where)
                found[key] = found.get(key, 0.0) + own * number
        self.parts[out.name] = {key: number for key, number in found.items() if number}

    def parts_of(self, ref):
        return self.parts.get(ref.name) or {(ref.name, tuple(range(len(ref.indices)))): 1.0}

    def raw_map(self, node):
        """Positions along which f(arg) may be negative."""
        arg = self.raw.get(node.arg.name, set())
        if node.function in ANY_SIGN:
            return set(range(len(node.out.indices)))
        odd = node.function == "power" and node.exponent % 2 == 1
        if odd or node.function == "relu":
            return {
                k for k, i in enumerate(node.out.indices) if i in {node.arg.indices[m] for m in arg}
            }
        return set()

    def softmaxes(self, ref, index):
        """{name: number} if this value is a sum of number * softmax over `index`, else {}."""
        found = {}
        for (origin, where), number in self.parts_of(ref).items():
            if origin not in self.over or ref.indices[where[self.over[origin]]] != index:
                return {}
            found[origin] = number
        return found

    def check(self, statement, loss, scores, target):
        """NotationError for probabilities given to cross_entropy, raw scores to nll, or raw scores
        as a distribution.
        """
        if loss.function == "squared_error":
            return
        index = loss.over[0]
        softmaxes = self.softmaxes(scores, index)
        mixed = softmaxes and min(softmaxes.values()) > 0 and isclose(sum(softmaxes.values()), 1)
        if loss.function == "cross_entropy" and mixed:
            names = " and ".join(softmaxes)
            is_one = (
                "is a softmax already"
                if names == scores.name
                else f"is the softmax {names} by another name"
            )
            is_one = is_one if len(softmaxes) == 1 else f"is a mixture of the softmaxes {names}"
            raise statement.error(
                f"cross_entropy takes scores and {scores.name} {is_one}: "
                f"use nll({scores}, {target}), or give cross_entropy the scores",
                scores,
            )
        negative = softmaxes and max(softmaxes.values()) < 0
        if loss.function == "nll" and (self.is_raw(scores, index) or negative):
            raise statement.error(
                f"nll takes probabilities and {scores.name} is {self.described(scores)}: "
                f"use cross_entropy({scores}, {target}) for scores, or give nll a softmax of them, "
                f"as in P[{index}] = softmax(..., over={index})",
                scores,
            )
        if (
            index in target.indices
            and self.is_raw(target, index)
            and target.name not in self.parameters
        ):
            raise statement.error(
                f"the second argument of {loss.function} is what is right, a distribution, "
                f"and {target.name} is {self.described(target)}; "
                f"the order is {loss.function}(what the net says, what is right)",
                target,
            )

    def is_raw(self, ref, index):
        return any(ref.indices[k] == index for k in self.raw.get(ref.name, ()))

    def described(self, ref):
        return (
            "a parameter, so any numbers"
            if ref.name in self.parameters
            else "raw scores, no probabilities"
        )
