"""Operations and bytes of a step: counted against PyTorch and by hand."""

import pytest

import mbcore as mb
from mbcore import roofline
from mbcore.experiments.models import MLP

SIZES = dict(i=12, j=7, y=5)


def test_operations_against_pytorch():
    """PyTorch counts the matrix products alone; the rest is counted by hand."""
    torch = pytest.importorskip("torch")
    from torch.utils.flop_counter import FlopCounterMode
    b, i, j, y = 16, 12, 7, 5
    net = torch.nn.Sequential(torch.nn.Linear(i, j), torch.nn.Sigmoid(), torch.nn.Linear(j, y))
    with FlopCounterMode(display=False) as counter:
        torch.nn.CrossEntropyLoss()(net(torch.rand(b, i)), torch.randint(0, y, (b,))).backward()
    values = 2 * b * j + 2 * b * y              # forward: C subtracted and the sigmoid; C subtracted and the loss
    gradients = b * y + b * j + b * y + b * j   # of the loss and of the sigmoid; C1.grad and C0.grad summed over b
    update = j * i + j + y * j + y
    assert roofline.work(MLP.with_index("b"), b=b, **SIZES).flops == counter.get_total_flops() + values + gradients + update


def test_operations_and_bytes_of_one_product():
    """s[b] = sum_i W[i] x[b,i], L = 1/2 (s - t)^2: by hand, float64."""
    line = mb.equations("s = W[i] * x[i]\nL = squared_error(s, t)").with_index("b")
    b, i = 10, 6
    found = roofline.work(line, "float64", b=b, i=i)
    assert found.flops == 2 * b * i + b + b + 2 * b * i + i
    assert found.nbytes == 8 * ((i + b * i + b) + 3 * b + 5 * b + (b + b * i + i) + 3 * i)


def test_intensity_rises_with_b_to_a_plateau():
    intensity = [roofline.work(MLP.with_index("b"), b=4**k, i=784, j=128, y=10).intensity for k in range(12)]
    assert all(b > a for a, b in zip(intensity, intensity[1:])) and intensity[0] < 1 and intensity[-1] / intensity[-2] < 1.01


def test_the_roof_is_the_lower_of_two():
    roofs = roofline.Peak(100.0, 10.0)
    assert roofs.attainable(roofline.Work(50, 10)) == 50 and roofs.attainable(roofline.Work(5000, 10)) == 100


def test_peak_is_of_this_world():
    found = roofline.peak(n=256, copied=2**22, budget=0.1)
    assert 1e8 < found.flops < 1e14 and 1e8 < found.bandwidth < 1e13


def test_three_factors_are_counted_in_the_order_in_which_they_are_multiplied():
    """s = A D x: D x first, then A; its gradients likewise. As on two lines."""
    one = mb.equations("s[j] = A[j,r] * D[r,i] * x[i]\nL = squared_error(s[j], t[j])").with_index("b")
    b, i, j, r = 8, 50, 40, 3
    found = roofline.work(one, b=b, i=i, j=j, r=r)
    forward, to_A, to_D = 2 * b * r * (i + j), 2 * b * r * (i + j), 2 * b * r * (j + i)
    assert found.flops - (forward + to_A + to_D + j * r + r * i) == roofline.work(
        mb.equations("L = squared_error(s[j], t[j])").with_index("b"), b=b, j=j).flops + b * j
