"""Whole models against PyTorch in float64: the program computes what the notation says.

Models are drawn by `model_drawing`: functions nested in products, brackets with sums inside and
outside, shared and tied names, every loss, replicas and batch in both orders, sizes of 1, smaller
last batches.
`torch_model` reads and differentiates them: it has the rule of summation and nothing of mbcore.

300 are drawn at every run. MBCORE_MODELS=20000 draws more, MBCORE_MODELS_FROM sets the first seed:

    MBCORE_MODELS=20000 OMP_NUM_THREADS=1 python -m pytest -q -s tests/test_models.py

It prints how many were compared of each kind. A failure prints the smallest model that still fails.
"""

import os
from collections import Counter

import numpy as np
import pytest
import torch_model
from model_drawing import arrays, draw, shrunk

import mbcore as mb

COUNT = int(os.environ.get("MBCORE_MODELS", "300"))
FIRST = int(os.environ.get("MBCORE_MODELS_FROM", "0"))
PARTS = 10                      # tests, so that a failure in one does not hide the others
WILD = 1e4                      # a model with larger numbers is left out: it may round otherwise
KINK = 1e-2                     # central differences may cross a relu's kink nearer than this


class Disagreement(Exception):
    """What mbcore gives and what is right."""


def close(what, got, want, scale=1.0, rtol=1e-9, atol=1e-11):
    """scale: the size of the numbers that the result was made of."""
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        raise Disagreement(f"{what}: shape {got.shape}, right {want.shape}")
    if not np.allclose(got, want, rtol=rtol, atol=atol * scale):
        raise Disagreement(f"{what}: got\n{got}\nright\n{want}")


def largest(numbers):
    return max([1.0, *(float(np.abs(a).max()) for a in numbers)])


# ------------------------------------------------------------ one model


class Comparison:
    """One model, compared in every way; `counted` collects what was."""

    def __init__(self, model, counted):
        self.model, self.counted = model, counted

    def run(self):
        text = self.model.text
        try:
            torch_model.read(text)
        except torch_model.Unsure:
            self.counted["left out: the rule does not say"] += 1
            return
        except torch_model.Refused as reason:
            return self.refused(reason)
        batches = dict.fromkeys((self.model.B, self.model.ragged))
        right = {(B, k): self.by_torch(B, k) for B in batches for k in range(self.model.R)}
        if any(r is None for r in right.values()):
            return
        equations = self.accepted(text)
        self.printed(equations)
        self.unrolled(equations, right[self.model.B, 0])
        singles = self.single(equations, right)
        if torch_model.roles(text)[0]:                          # r is what parameters bear
            self.replicas(equations, right, singles)
        self.counted["models compared"] += 1

    def refused(self, reason):
        try:
            mb.equations(self.model.text)
        except mb.NotationError:
            self.counted["models refused"] += 1
            return
        raise Disagreement(f"accepted; right is a NotationError: {reason}")

    def accepted(self, text):
        try:
            return mb.equations(text)
        except mb.NotationError as error:
            raise Disagreement(f"refused: {error}") from error

    def given(self, B, k):
        """(parameters, inputs) of network k."""
        params, inputs = arrays(self.model, B)
        own = {n: a[0 if n in self.model.one_for_all else k] for n, a in inputs.items()}
        return {n: a[k] for n, a in params.items()}, own

    def by_torch(self, B, k):
        """The right values; None for a model that is not to be compared."""
        try:
            right = torch_model.derivatives(self.model.text, *self.given(B, k), self.model.shared)
        except torch_model.NoBatch:
            self.counted["left out: L depends on no example"] += 1
            return None
        except torch_model.Unsure:
            self.counted["left out: the rule does not say"] += 1
            return None
        numbers = [*right.values.values(), *right.grads.values(), *right.each.values()]
        if not all(np.isfinite(a).all() for a in numbers) or largest(numbers) > WILD \
                or right.largest > WILD:
            self.counted["left out: numbers too large"] += 1
            return None
        return right

    def printed(self, equations):
        """What is printed means the same."""
        before, after = (self.values_of(text) for text in (self.model.text, str(equations)))
        for name, value in before.items():
            close(f"{name} of the text as printed,\n{equations}\n", after[name], value)
        batch = str(equations.with_index("b", shared=self.model.shared))
        if squeezed(batch.replace("[b]", "").replace("[b,", "[")) != squeezed(str(equations)):
            raise Disagreement(f"with_index changed more than indices:\n{batch}\nof\n{equations}")
        self.counted["printed texts"] += 1

    def values_of(self, text):
        params, inputs = self.given(self.model.B, 0)
        given = torch_model.tensors({**params, **inputs})
        found, _ = torch_model.values(text, given, self.model.shared)
        return {name: torch_model.array(value.tensor) for name, value in found.items()}

    def unrolled(self, equations, right):
        """B copies of the text, as they are printed, have the mean loss of the batch."""
        params, inputs = self.given(self.model.B, 0)
        if "over=b" in self.model.text or self.model.B > 3:
            return
        text = str(equations.unrolled(self.model.B))
        copies = {f"{name}_{b}": a if name in self.model.shared else a[b]
                  for name, a in inputs.items() for b in range(self.model.B)}
        given = torch_model.tensors({**params, **copies})
        made, _ = torch_model.values(text, given, shared=copies)
        loss = torch_model.array(made["L"].tensor)
        close(f"L of the copies,\n{text}\n", loss, right.values["L"].mean(), right.largest)
        self.counted["unrolled texts"] += 1

    # -------------------------------------------------------- one network

    def single(self, equations, right):
        """The program without replicas; returns its results for every batch and network."""
        program = self.compiled(equations.with_index("b", shared=self.model.shared))
        found = {}
        for (B, k), expected in right.items():
            params, inputs = self.given(B, k)
            set_parameters(program, params)
            found[B, k] = self.against(f"B = {B}", program, inputs, expected)
        params, inputs = self.given(self.model.B, 0)
        set_parameters(program, params)
        again = program.forward(**inputs)
        close("L, after a smaller batch", again, right[self.model.B, 0].values["L"], largest(again))
        self.step(program, params, inputs, right[self.model.B, 0])
        self.curvature(program, params, inputs, right[self.model.B, 0])
        self.loops(equations, params, inputs, right[self.model.B, 0])
        return found

    def compiled(self, equations, **sizes):
        return equations.compile(dtype="float64", b=self.model.B, **self.model.sizes, **sizes)

    def against(self, where, program, inputs, right):
        """Values, gradients, and what each example gives; returns them all by name."""
        losses = program.forward(**inputs)
        close(f"L returned, {where}", losses, right.values["L"], largest(losses))
        program.backward()
        values, grads = program.values, program.grads
        scale = right.largest
        for name, value in right.values.items():
            close(f"{name}, {where}", values[name], value, scale)
            self.counted["values"] += 1
        scale = largest([*right.grads.values(), *right.each.values()])
        for name, grad in right.grads.items():
            if name not in grads:
                close(f"{name}.grad is missing, {where}; right", 0 * grad, grad, scale)
                continue
            close(f"{name}.grad, {where}", grads[name], grad, scale)
            self.counted["gradients"] += 1
        kept = {name: values[name].copy() for name in right.values}
        kept.update({name + ".grad": grads[name].copy() for name in right.grads if name in grads})
        return {**kept, **self.examples(where, program, right, scale)}

    def examples(self, where, program, right, scale):
        """The gradient of each example; a program whose examples are coupled may refuse."""
        coupled, found = "over=b" in self.model.text, {}
        for name, each in right.each.items():
            try:
                found[name + ".each"] = program.per_example_grads(name)
            except ValueError:
                if not coupled:
                    raise
                self.counted["per-example gradients refused, coupled"] += 1
                continue
            close(f"per-example gradient of {name}, {where}", found[name + ".each"], each, scale)
            self.counted["per-example gradients"] += 1
        try:
            found["squares"] = program.per_example_sq_norms()
        except ValueError:
            if not coupled:
                raise
            return found
        close(f"squared norms, {where}", found["squares"], right.squares, scale * scale)
        self.counted["per-example norms"] += 1
        return found

    def step(self, program, params, inputs, right):
        program.step(0.25, **inputs)
        for name, before in params.items():
            after = before - 0.25 * right.grads[name]
            close(f"{name} after a step", program.params[name], after, largest([before, after]))
            self.counted["steps of a parameter"] += 1
        set_parameters(program, params)

    def curvature(self, program, params, inputs, right):
        """Central differences: right to about 1e-6 of the gradients on the way, off kinks."""
        if right.kink < KINK or not params:
            return
        rng = np.random.default_rng(self.model.seed)
        vectors = {name: rng.normal(size=p.shape) for name, p in params.items()}
        want = torch_model.hessian_vector(
            self.model.text, params, inputs, vectors, self.model.shared)
        got = program.hessian_vector_product(vectors, **inputs)
        scale = largest([*want.values(), *right.grads.values()])
        for name, product in want.items():
            close(f"Hessian-vector product of {name}", got[name], product, scale, rtol=0, atol=1e-6)
            self.counted["Hessian-vector products"] += 1

    def loops(self, equations, params, inputs, right):
        """Small models are run as the loops that are printed, too."""
        if np.prod([self.model.B, *self.model.sizes.values()]) > 24:
            return
        batch = equations.with_index("b", shared=self.model.shared)
        values, grads = batch.run_as_loops(params, **inputs)
        for name, value in right.values.items():
            close(f"{name} of the printed loops", values[name], value, right.largest)
        scale = largest(right.grads.values())
        for name, grad in right.grads.items():
            if name in grads:
                close(f"{name}.grad of the printed loops", grads[name], grad, scale)
        self.counted["models as loops"] += 1

    # -------------------------------------------------------- replicas

    def replicas(self, equations, right, singles):
        """Every replica is equal to the single program, whichever index came first."""
        model = self.model
        batch = {"name": "b", "shared": model.shared}
        replica = {"name": "r", "parameters": True, "shared": model.one_for_all}
        first, second = (replica, batch) if model.replica_first else (batch, replica)
        both = equations.with_index(**first).with_index(**second)
        program = self.compiled(both, r=model.R)
        set_parameters(program, arrays(model, model.B)[0])
        letters = {**both.computed, **both.parameters, **both.inputs}
        for B in dict.fromkeys(B for B, _ in right):
            inputs = arrays(model, B)[1]
            inputs.update({n: inputs[n][0] for n in model.one_for_all})
            program.forward(**inputs)
            program.backward()
            found = {**program.values, **{n + ".grad": a for n, a in program.grads.items()}}
            found.update(self.replicas_each(program, singles[B, 0]))
            for k in range(model.R):
                self.replica(f"replica {k}, B = {B}", k, found, letters, singles[B, k])

    def replicas_each(self, program, single):
        """Per-example gradients where the single program gave them."""
        names = [n.removesuffix(".each") for n in single if n.endswith(".each")]
        made = {n + ".each": program.per_example_grads(n) for n in names}
        return made | ({"squares": program.per_example_sq_norms()} if "squares" in single else {})

    def replica(self, where, k, found, letters, single):
        scale = largest(single.values())
        for name, expected in single.items():
            plain = name.removesuffix(".grad").removesuffix(".each")
            bears = "r" in letters.get("L" if name == "squares" else plain, ())
            if not bears and name != plain:
                continue                            # its gradient is that of all replicas together
            got = found[name][k] if bears else found[name]
            close(f"{name}, {where}", got, expected, scale)
            self.counted["arrays of a replica"] += 1


def squeezed(text):
    return "".join(text.split())


def set_parameters(program, params):
    for name, array in params.items():
        program.params[name][...] = array


# ------------------------------------------------------------ all of them


def failure(model):
    """What is wrong with mbcore on this model, or None."""
    try:
        Comparison(model, Counter()).run()
    except Disagreement as wrong:
        return str(wrong)
    except Exception as error:              # a model that is right must raise no other error
        return f"{type(error).__name__}: {error}"
    return None


def report(model):
    """The model that fails, made small."""
    kind = str(failure(model)).split()[0]           # a NotationError stays one
    small = shrunk(model, lambda m: str(failure(m)).split()[0] == kind)
    drawn = f"As drawn it was\n{model}\n{failure(model)}"
    return f"seed {model.seed}\n{small}\n{failure(small)}\n\n{drawn}"


@pytest.mark.parametrize("part", range(PARTS))
def test_a_drawn_model_is_what_pytorch_says(part):
    torch_model.torch()
    counted, failed = Counter(), []
    for seed in range(FIRST + part, FIRST + COUNT, PARTS):
        model = draw(seed)
        try:
            Comparison(model, counted).run()
        except Exception:
            failed.append(model)
    lines = [f"{kind}: {n}" for kind, n in sorted(counted.items())]
    print(f"\npart {part}: {len(failed)} failed", *lines, sep="\n  ")
    seeds = [model.seed for model in failed]
    assert not failed, f"{len(failed)} models fail: seeds {seeds}\n\n{report(failed[0])}"
    assert counted["models compared"] > 0
