"""Which values are probabilities and which are raw scores: what a loss may be given.

cross_entropy takes scores, since it has a softmax of its own; nll takes probabilities, since it
takes their logarithm. Either given the other would run and compute something else. What is known of
a value follows from the nodes that compute it, whatever names it was given on the way: 1 * P,
-(-P), P + 0 and P / 1 are P, and exp(s[y]) / sum(exp(s[y]), over=y) is a softmax.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
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
        """The index over which a node adds up to 1, as a softmax does; None for any other node.

        A softmax by its name, a share such as exp(s[y]) / sum(exp(s[y])), a mixture of softmaxes.
        """
        if isinstance(node, Softmax):
            return node.over
        if not isinstance(node, Contraction) or len(node.terms) != 1:
            return None
        return self.share_over(node.terms[0]) or self.mixture_over(node)

    def share_over(self, term):
        """The index of x[y] / sum(x[k], over=k), where x is a product of which a factor is positive
        by its form.
        """
        for k, below in enumerate(term.factors):
            inverse = self.made.get(below.name)
            if isinstance(inverse, Map) and inverse.function == "power" and inverse.exponent == -1:
                total = self.made.get(inverse.arg.name)
                above = term.factors[:k] + term.factors[k + 1 :]
                if isinstance(total, Contraction) and len(total.terms) == 1:
                    swap = dict(zip(inverse.out.indices, below.indices))
                    kept = [swap[i] for i in inverse.arg.indices]
                    return self.same_product(replace(term, factors=above), total, kept)
        return None

    def same_product(self, term, total, kept):
        """The letter of `term` over which `total` sums it, under this letter or another one.

        kept: the letters of the total as they stand beside the term.
        """
        inner = total.terms[0]
        own = {i for f in term.factors for i in f.indices} - set(kept)
        summed = {i for f in inner.factors for i in f.indices} - set(total.out.indices)
        if len(own) != 1 or len(summed) != 1 or term.powers or inner.powers:
            return None
        over, swap = min(own), dict(zip(total.out.indices, kept))
        swap[min(summed)] = over
        forms = [form(f, self.made) for f in term.factors]
        same = Counter(forms) == Counter(form(f, self.made, swap) for f in inner.factors)
        positive = any(map(self.is_positive, term.factors))
        negative = any(self.is_raw(f, over) for f in term.factors)
        known = same and isclose(term.coefficient, inner.coefficient)
        return over if known and positive and not negative else None

    def mixture_over(self, node):
        """The index over which a mixture of softmaxes adds up to 1.

        Examples: mean(P[b,y], over=b), and g[k] * P[k,y] with g a softmax over k. Summing over y
        leaves what P was multiplied with; then over k, and so on until 1 is left.
        """
        term = node.terms[0]
        means = [i for i, power in term.powers if power == -1]
        summed = {i for f in term.factors for i in f.indices} - set(node.out.indices)
        summed |= set(means)                    # b may be pending
        if term.coefficient != 1 or len(means) < len(term.powers) or not summed:
            return None
        for y in node.out.indices:
            left, letters = list(term.factors), {y, *summed}
            while letters:
                last = [i for i in letters if self.adds_up(i, left, means)]
                if not last:
                    break
                letters.discard(last[0])
                left = [f for f in left if last[0] not in f.indices]
            if not letters and not left:
                return y
        return None

    def adds_up(self, letter, factors, means):
        """Whether the sum over this letter is 1: one softmax over it is left, or a mean's 1/B."""
        bearing = [f for f in factors if letter in f.indices]
        if letter in means:
            return not bearing
        return len(bearing) == 1 and self.is_mixed(self.softmaxes(bearing[0], letter))

    def is_mixed(self, softmaxes):
        """Whether these shares, {name: number} or {}, are positive and together 1."""
        shares = softmaxes.values()
        return bool(shares) and min(shares) > 0 and isclose(sum(shares), 1)

    def is_positive(self, ref):
        """Whether a value is never negative by its form, whatever it is computed from."""
        node = self.made.get(ref.name)
        if isinstance(node, Map):
            even = node.function == "power" and node.exponent % 2 == 0
            return even or node.function in ("exp", "sigmoid", "sqrt", "relu")
        return ref.name in self.over

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
        if loss.function == "cross_entropy" and self.is_mixed(softmaxes):
            names = " and ".join(softmaxes)
            made = self.made[names] if len(softmaxes) == 1 else None
            mixed = isinstance(made, Contraction) and self.mixture_over(made)
            is_one = (
                f"is a {'mixture of softmaxes' if mixed else 'softmax already'}"
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
