"""Gradients of networks drawn at random: 1-4 layers, tied and shared values, odd sizes, B = 1, B = J. Oracle: JAX, to 1e-10."""

import hypothesis.strategies as st
import numpy as np
from hypothesis import HealthCheck, Phase, given, settings
from models import by_jax, compiled, drawn, gradients, jax
from numpy.testing import assert_allclose

import mbcore as mb

MAPS = ["sigmoid({})", "tanh({})", "relu({})", "exp(-0.3 * {}**2)", "log(1 + exp(-{}**2))", "sqrt(1 + {}**2)", "{}"]     # none overflows
LOSSES = {"labels": "ell = cross_entropy(s[y], target)", "scores": "ell = cross_entropy(s[y], t[y])",
          "squares": "ell = squared_error(s[y], t[y])", "nll": "P[y] = softmax(s[y], over=y)\nell = nll(P[y], target)",
          "soft": "P[y] = softmax(s[y], over=y)\nell = nll(P[y], t[y])"}


@st.composite
def networks(draw):
    """(text, sizes, B, seed): 1-4 layers; tied weights, gates, skips and values used twice among them."""
    pick = lambda *of: draw(st.sampled_from(of))
    layers, lines, tied = draw(st.integers(1, 4)), [], draw(st.booleans())
    sizes = dict(zip("ijklm", draw(st.lists(st.integers(1, 7), min_size=5, max_size=5))), y=draw(st.integers(2, 5)))
    if tied:                                            # every layer has one and the same square matrix
        sizes.update(dict.fromkeys("ijklm", sizes["i"]))
    below = "x[i]"
    for depth, (a, o) in enumerate(zip("ijkl"[:layers], "jklm")):
        W = "W" if tied else f"W{depth}"
        z = f"{W}[{o},{a}] * {below}" + pick("", f" - C{depth}[{o}]", f" * G{depth}[{o}]", f" + 0.5 * C{depth}[{o}]")
        z = z if tied else pick(z, f"T{depth}[{o},{a}] * {below} * tanh({below})")
        lines.append(f"z{depth}[{o}] = {z}")
        lines.append(f"h{depth}[{o}] = " + pick(*MAPS).format(f"z{depth}[{o}]")
                     + pick("", f" + z{depth}[{o}]", f" * tanh(z{depth}[{o}])", f" - h{depth - 1}[{o}]" * (tied and depth > 0)))
        below = f"h{depth}[{o}]"
    lines += [f"g[{o}] = tanh(0.5 * {below})", f"s[y] = V[y,{o}] * g[{o}] - D[y]", LOSSES[pick(*LOSSES)]]
    lines.append("L = " + pick("", "w * ") + "ell" + pick("", " + 0.1 * V[y,%s] * V[y,%s]" % (o, o)))
    B = pick(1, sizes[o], 2, 3, 5)
    return "\n".join(lines), {i: n for i, n in sizes.items() if f"{i}]" in str(lines) or f"{i}," in str(lines)}, B, draw(st.integers(0, 99))


@given(networks())
@settings(max_examples=40, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow],
          phases=[Phase.explicit, Phase.generate])          # no shrinking: every attempt compiles a net in JAX
def test_drawn_networks_equal_jax(network):
    text, sizes, B, seed = network
    jax()
    batch = mb.equations(text).with_index("b")
    params, inputs = drawn(batch, {**sizes, "b": B}, seed)
    if "t" in inputs and "squared" not in text:
        inputs["t"] = np.abs(inputs["t"]) / np.abs(inputs["t"]).sum(-1, keepdims=True)
    values, grads = gradients(compiled(text, params, B, sizes), inputs)
    expected, derivatives = by_jax(text, params, inputs)
    for name in expected:
        assert_allclose(values[name], expected[name], rtol=1e-10, atol=1e-11, err_msg=f"{name} in\n{text}")
    scale = max(1.0, *(np.abs(g).max() for g in derivatives.values()))
    for name in derivatives:
        assert_allclose(grads[name], derivatives[name], rtol=1e-10, atol=1e-11 * scale, err_msg=f"{name}.grad in\n{text}")
