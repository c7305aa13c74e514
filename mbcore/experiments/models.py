"""The two networks of the course, for one example."""

from ..equations import equations

SLIDES = equations("""
    h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
    s[y] = sigmoid(W1[y,j] * h[j] - C1[y])
    P[y] = softmax(s[y], over=y)
    L    = nll(P[y], target)
""")                                    # TTIC 31230, "Minibatching: The Batch Index": the minus and the sigma on s are theirs

MLP = equations("""
    h[j] = sigmoid(W0[j,i] * x[i] - C0[j])
    s[y] = W1[y,j] * h[j] - C1[y]
    L    = cross_entropy(s[y], target)
""")                                    # as practice has it: no sigma on the scores
