"""Models and what other people's automatic differentiation says about them: the oracles of the tests. No test is here.

Only `compiled`, which prepares a program, knows mbcore. `by_jax` reads the equations of ONE example with a few lines of its own and lets
`jax.vmap` supply the batch; so it shares neither the parser, nor the index rules, nor the derivatives with mbcore.
`BY_HAND` are the same models written straight in JAX or PyTorch, from the formulas.
"""

import ast

import numpy as np
import pytest

SLIDES = """
    h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
    s[y] = sigmoid(W1[y,j] * h[j] - C1[y])
    P[y] = softmax(s[y], over=y)
    L    = nll(P[y], target)
"""
USUAL = """
    h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L    = cross_entropy(s[y], target)
"""
BATCH_NORM = """
    z[j] = W0[j,i] * x[i]
    m[j] = mean(z[j], over=b)
    v[j] = mean((z[j] - m[j])**2, over=b)
    h[j] = relu(G[j] * (z[j] - m[j]) / sqrt(v[j] + 0.001) + A[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L    = cross_entropy(s[y], target)
"""


def draw(rng, indices, sizes):
    """An array for these indices; odd scales show what a standard normal hides."""
    return rng.normal(size=[sizes[i] for i in indices]) * 0.8 + 0.1


def drawn(batch, sizes, seed, classes=None):
    """(parameters, inputs) for indexed Equations, by name. classes: input name -> index whose size its labels stay below."""
    rng, classes = np.random.default_rng(seed), classes or {"target": "y"}
    params = {name: draw(rng, indices, sizes) for name, indices in batch.parameters.items()}
    inputs = {name: rng.integers(0, sizes[classes[name]], [sizes[i] for i in indices]) if name in classes
              else draw(rng, indices, sizes) for name, indices in batch.inputs.items()}
    return params, inputs


def loaded(program, params):
    """The program with these parameters written into it."""
    for name, array in params.items():
        program.params[name][...] = array
    return program


def compiled(text, params, B, sizes, shared=(), **how):
    """The text as a float64 program for batches of B, with these parameters."""
    import mbcore as mb
    batch = mb.equations(text).with_index("b", shared=shared)
    return loaded(batch.compile(dtype="float64", **{**sizes, "b": B}, **how), params)


def gradients(net, inputs):
    """(values, gradients) of a program, by name."""
    net.forward(**inputs)
    net.backward()
    return net.values, net.grads


# ---------------------------------------------------------------------------------------------- JAX


def jax():
    module = pytest.importorskip("jax", reason='JAX is not installed; the oracle comes with pip install -e ".[oracle]"')
    module.config.update("jax_enable_x64", True)
    module.config.update("jax_disable_most_optimizations", True)        # every net is compiled once and run once
    return module


def torch():
    module = pytest.importorskip("torch", reason="PyTorch is not installed; it is a second oracle, beside JAX")
    return module


class LazyTorch:
    """PyTorch, looked for at its first use: a test that uses it is skipped where it is missing, and its file is not."""

    def __getattr__(self, name):
        return getattr(torch(), name)


lazy_torch = LazyTorch()


class Interpreter:
    """Runs the equations of one example on JAX arrays. A value is (array, letters)."""

    def __init__(self, text):
        self.jnp, self.nn = jax().numpy, jax().nn
        self.lines = [ast.parse(line.strip()).body[0] for line in text.splitlines() if line.strip()]

    def run(self, arrays, taps):
        """Every computed value by name. taps: name -> something added to that value, whose gradient is the value's."""
        known = dict(arrays)
        for line in self.lines:                     # the texts of the tests are written in an order that runs
            name, letters = self.named(line.targets[0])
            array, own = self.value(line.value, letters, known)
            known[name] = self.jnp.transpose(array, [own.index(i) for i in letters]) + taps.get(name, 0.0)
        return {n: known[n] for n in (self.named(line.targets[0])[0] for line in self.lines)}

    def named(self, e):
        if isinstance(e, ast.Name):
            return e.id, ()
        return e.value.id, tuple(n.id for n in (e.slice.elts if isinstance(e.slice, ast.Tuple) else [e.slice]))

    def value(self, e, left, known):
        jnp = self.jnp
        if isinstance(e, ast.Constant):
            return jnp.asarray(float(e.value)), ()
        if isinstance(e, (ast.Name, ast.Subscript)):
            name, letters = self.named(e)
            return jnp.asarray(known[name]), letters
        if isinstance(e, ast.UnaryOp):
            array, letters = self.value(e.operand, left, known)
            return -array, letters
        if isinstance(e, ast.Call):
            return self.call(e, left, known)
        if isinstance(e.op, ast.Pow):
            array, letters = self.value(e.left, left, known)
            return array ** ast.literal_eval(e.right), letters
        if isinstance(e.op, (ast.Add, ast.Sub)):
            (a, p), (b, q) = (self.value(side, left, known) for side in (e.left, e.right))
            every = tuple(dict.fromkeys(p + q))
            a, b = self.spread(a, p, every), self.spread(b, q, every)
            return (a + b if isinstance(e.op, ast.Add) else a - b), every
        return self.product(self.factors(e), left, known)

    def factors(self, e):
        """[(expression, 1 or -1)]: -1 where it divides."""
        if not isinstance(e, ast.BinOp) or not isinstance(e.op, (ast.Mult, ast.Div)):
            return [(e, 1)]
        right = self.factors(e.right) if isinstance(e.op, ast.Mult) else [(e.right, -1)]
        return self.factors(e.left) + right

    def product(self, factors, left, known):
        """einsum over the letters that stand in two factors and not on the left."""
        free = [self.value(f, left, known)[1] for f, _ in factors]
        twice = {i for p in free for i in p if sum(i in q for q in free) > 1 and i not in left}
        wide = (*left, *sorted(twice))
        made = [self.value(f, wide, known) for f, _ in factors]
        arrays = [a if power == 1 else 1 / a for (a, _), (_, power) in zip(made, factors)]
        kept = tuple(dict.fromkeys(i for _, p in made for i in p if i not in twice))
        return self.jnp.einsum(",".join("".join(p) for _, p in made) + "->" + "".join(kept), *arrays), kept

    def spread(self, array, letters, every):
        order = [letters.index(i) for i in every if i in letters]
        return self.jnp.transpose(array, order)[tuple(slice(None) if i in letters else None for i in every)]

    def call(self, e, left, known):
        jnp, name = self.jnp, e.func.id
        over = [n.id for k in e.keywords for n in (k.value.elts if isinstance(k.value, ast.Tuple) else [k.value])]
        array, letters = self.value(e.args[0], (*left, *over), known)
        axes = tuple(letters.index(i) for i in over)
        if name in ("sum", "mean"):
            return getattr(jnp, name)(array, axis=axes), tuple(i for i in letters if i not in over)
        if name == "softmax":
            return self.nn.softmax(array, axis=axes[0]), letters
        if name in ("cross_entropy", "nll", "squared_error"):
            return self.loss(name, array, letters, self.value(e.args[1], left, known), left)
        known_maps = {"sigmoid": self.nn.sigmoid, "relu": self.nn.relu}
        return (known_maps.get(name) or getattr(jnp, name))(array), letters

    def loss(self, name, s, letters, target, left):
        t, own = target
        over = tuple(i for i in letters if i not in left)
        axes = tuple(letters.index(i) for i in over)
        rest = tuple(i for i in letters if i in left)
        if name == "squared_error":
            return 0.5 * self.jnp.sum((s - self.spread(t, own, letters)) ** 2, axis=axes), rest
        log_p = self.nn.log_softmax(s, axis=axes[0]) if name == "cross_entropy" else self.jnp.log(s)
        if set(own) == set(letters):
            return -self.jnp.sum(self.spread(t, own, letters) * log_p, axis=axes), rest
        rows = self.jnp.moveaxis(log_p, axes[0], -1)
        labels = self.jnp.asarray(t).astype(int).transpose([own.index(i) for i in rest])
        return -self.jnp.take_along_axis(rows, labels[..., None], -1)[..., 0], rest


def depends_on(text, names):
    """The computed names that depend on any of `names`."""
    found = set(names)
    for line in filter(str.strip, text.splitlines()):
        tree = ast.parse(line.strip()).body[0]
        if {n.id for n in ast.walk(tree.value) if isinstance(n, ast.Name)} & found:
            found.add(tree.targets[0].id if isinstance(tree.targets[0], ast.Name) else tree.targets[0].value.id)
    return found - set(names)


def by_jax(text, params, inputs, shared=()):
    """(values, gradients) of a batch by name, from the equations of one example.

    The gradient of what bears b is B d mean(L) / dv, per example; of all else d mean(L) / dv.
    """
    J, interpreter = jax(), Interpreter(text)
    given = {n: np.asarray(a) for n, a in inputs.items()}
    B = next(len(a) for n, a in given.items() if n not in shared)
    axes = {n: None if n in shared else 0 for n in given}
    bearing = depends_on(text, [n for n in given if n not in shared]) | {"L"}
    shapes = J.eval_shape(lambda one: interpreter.run({**params, **one}, {}), {n: a if n in shared else a[0] for n, a in given.items()})
    taps = {n: np.zeros(((B,) if n in bearing else ()) + s.shape) for n, s in shapes.items()}
    tap_axes = {n: 0 if n in bearing else None for n in taps}

    def batch(params, floats, taps):
        one = lambda f, w, t: interpreter.run({**params, **f, **w}, t)
        whole = {n: a for n, a in given.items() if n not in floats}
        pick = lambda d: {n: axes[n] for n in d}
        out_axes = {n: tap_axes[n] for n in shapes}
        values = J.vmap(one, in_axes=(pick(floats), pick(whole), tap_axes), out_axes=out_axes)(floats, whole, taps)
        return values["L"].mean(), values

    floats = {n: a for n, a in given.items() if a.dtype.kind == "f"}
    (g_params, g_floats, g_taps), values = J.jit(J.grad(batch, argnums=(0, 1, 2), has_aux=True))(params, floats, taps)
    scale = {n: B if n in bearing or (n in floats and n not in shared) else 1 for n in (*g_params, *g_floats, *g_taps)}
    gradients = {n: np.asarray(g) * scale[n] for n, g in {**g_params, **g_floats, **g_taps}.items()}
    return {n: np.asarray(v) for n, v in values.items()}, gradients


# ---------------------------------------------------------------------------------------------- by hand


def _slides(np_, sigmoid, softmax, log_softmax, p, x, target):
    h = sigmoid(x @ p["W0"].T - p["C0"])
    P = softmax(sigmoid(h @ p["W1"].T - p["C1"]))
    return -np_.log(P)[np.arange(len(target)), target]


def _usual(np_, sigmoid, softmax, log_softmax, p, x, target):
    h = sigmoid(x @ p["W0"].T - p["C0"])
    return -log_softmax(h @ p["W1"].T - p["C1"])[np.arange(len(target)), target]


def _batch_norm(np_, sigmoid, softmax, log_softmax, p, x, target):
    z = x @ p["W0"].T
    z = z - z.mean(0)
    z = p["G"] * z / ((z * z).mean(0) + 0.001) ** 0.5 + p["A"]
    return -log_softmax((z * (z > 0)) @ p["W1"].T - p["C1"])[np.arange(len(target)), target]


BY_HAND = {SLIDES: _slides, USUAL: _usual, BATCH_NORM: _batch_norm}


def by_hand(library, text, params, x, target):
    """(L[b], gradients of mean L by parameter and for x), with "jax" or "torch" doing the differentiation."""
    every = {**params, "x": x}
    if library == "jax":
        J = jax()
        tools = (J.numpy, J.nn.sigmoid, lambda s: J.nn.softmax(s, axis=-1), lambda s: J.nn.log_softmax(s, axis=-1))
        L = lambda v: BY_HAND[text](*tools, v, v["x"], target)
        g = J.jit(J.grad(lambda v: L(v).mean()))(every)
        return np.asarray(J.jit(L)(every)), {n: np.asarray(a) for n, a in g.items()}
    T = torch()
    v = {n: T.tensor(a, dtype=T.float64, requires_grad=True) for n, a in every.items()}
    L = BY_HAND[text](T, T.sigmoid, lambda s: s.softmax(-1), lambda s: s.log_softmax(-1), v, v["x"], target)
    L.mean().backward()
    return L.detach().numpy(), {n: t.grad.numpy() for n, t in v.items()}
