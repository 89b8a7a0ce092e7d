"""NC against 50 digits, exact suprema in the plane, enumeration of rays, and witnesses."""

from __future__ import annotations

import itertools

import mpmath as mp
import numpy as np
import torch
from scipy.linalg import hadamard

import sipp_theory
from proofs_check.kinds.oracles import DIGITS, close
from proofs_check.ledger.evidence import Refuted, Result
from proofs_check.ledger.registry import Setting, oracle
from proofs_check.neurons.instances import (
    ACTIVATION_LAYERS,
    Layer,
    attacked_peak,
    exact_peak,
    small_region,
    two_networks,
)
from sipp_core.certificates import ascend
from sipp_core.neurons import Box, Difference

MASSES, DRAWS, DELTAS = (1e-3, 1.0, 7.5), (1.0, 30.0, 1e6), (1e-9, 0.05, 0.9)


@oracle("NC-1", "NC-1g", "NC-3")
def errors_at_50_digits(setting: Setting) -> Result:
    """Errors for one input, both signs, k outputs and a ball against closed forms, never below."""
    with mp.workdps(DIGITS):
        for t, m, delta in itertools.product(MASSES, DRAWS, DELTAS):
            at: dict[str, object] = {"t": t, "m": m, "delta": delta}
            log, mass = mp.log(2 / mp.mpf(delta)), mp.mpf(t)
            one = mass * mp.sqrt(log / (2 * mp.mpf(m)))
            close(float(sipp_theory.one_sign_error(t, m, delta)), one, at, "above")
            both = mass * mp.sqrt(2 * mp.log(2 * 17 / mp.mpf(delta)) / mp.mpf(m))
            close(float(sipp_theory.neuron_error(t, m, delta, 17)), both, at, "above")
            for c in (1.5, 2.0):
                ball = one + mass * mp.mpf(c) / mp.sqrt(mp.mpf(m))
                close(float(sipp_theory.ball_error(t, m, delta, c)), ball, at, "above")
    return Result(cases=4 * len(MASSES) * len(DRAWS) * len(DELTAS))


@oracle("NC-2")
def printed_size(setting: Setting) -> Result:
    """The size of the paper's shape against its closed form; its constant has to be given."""
    for t, eps, d in itertools.product((1.0, 50.0), (0.1, 2.0), (1, 784)):
        truth = mp.ceil(mp.mpf(t) / mp.mpf(eps) ** 2 * (d * mp.log(t) - mp.log(mp.mpf(0.05))))
        computed = float(sipp_theory.mussay_size(t, eps, 0.05, d, 1.0))
        if abs(computed - truth) > 1e-9 * truth:
            raise Refuted(f"{computed} draws for {truth} at t = {t}, eps = {eps}, d = {d}")
    return Result(cases=8)


@oracle("NC-3g", "NC-5")
def region_errors_at_50_digits(setting: Setting) -> Result:
    """NC-3g on boxes and balls, filters of several offsets among them, never below."""
    rng = np.random.default_rng(setting.seed)
    for v, ball in itertools.product((1, 3), (False, True)):
        w, p = rng.normal(size=(2, 4, v)), rng.normal(size=(4, 3))
        half, q = rng.uniform(0.1, 1, 4), rng.dirichlet(np.ones(4))
        radius = np.asarray(0.7) if ball else rng.uniform(0.1, 1, 3)
        computed = sipp_theory.region_error(w, p, radius, q, half, 50, 0.05, 1.5)
        with mp.workdps(DIGITS):
            exact = [[mp.mpf(x) for x in row] for row in p]
            sizes = [[sum(x**2 for x in row)] for row in exact]
            columns = sizes if ball else [[x**2 for x in row] for row in exact]
            reach = [mp.mpf(float(x)) for x in np.atleast_1d(radius)]
            for i in range(2):
                first, span = mp.mpf(0), mp.mpf(0)
                for o, j in itertools.product(range(v), range(len(reach))):
                    loads = (mp.mpf(w[i, n, o]) ** 2 / mp.mpf(q[n]) for n in range(4))
                    parts = (x * columns[n][j] for n, x in enumerate(loads))
                    first += reach[j] * mp.sqrt(sum(parts))
                for n in range(4):
                    load = sum(abs(mp.mpf(x)) for x in w[i, n])
                    span = max(span, 2 * load * mp.mpf(half[n]) / mp.mpf(q[n]))
                tail = mp.sqrt(mp.log(4 / mp.mpf(0.05)) / 100)
                truth = mp.mpf(1.5) * first / mp.sqrt(50) + span * tail
                at: dict[str, object] = {"output": i, "offsets": v, "ball": ball}
                close(float(computed[i]), truth, at, "above")
    return Result(cases=8)


@oracle("NC-5")
def a_channel_is_one_draw(setting: Setting) -> Result:
    """The mass of a filter's channels sums |w| over the offsets: brute force over activations."""
    rng = np.random.default_rng(setting.seed)
    for _ in range(20):
        w, half = rng.normal(size=(2, 3, 4)), rng.uniform(0, 1, 3)
        # The offsets of a channel may see any values of its range: signs decide the largest share.
        signs = np.array(list(itertools.product((-1, 1), repeat=4)))
        largest = (np.abs(np.einsum("knv,sv->kns", w, signs)).max(axis=(0, 2)) * half).sum()
        close(float(sipp_theory.neuron_mass(w, half)), largest, {"w": w.tolist()}, "above")
    return Result(cases=20)


@oracle("NC-1g")
def ranges_at_50_digits(setting: Setting) -> Result:
    """Ranges of all activations on intervals against 50 digits, and their Lipschitz constants."""
    exact = {
        "identity": lambda z: z, "relu": lambda z: max(z, mp.mpf(0)),
        "leaky_relu": lambda z: z if z > 0 else mp.mpf(0.01) * z,
        "elu": lambda z: z if z > 0 else mp.expm1(z), "tanh": mp.tanh,
        "sigmoid": lambda z: 1 / (1 + mp.exp(-z)), "softplus": lambda z: mp.log1p(mp.exp(z)),
        "gelu": lambda z: z * mp.ncdf(z), "silu": lambda z: z / (1 + mp.exp(-z)),
    }  # fmt: skip
    ends = (-30.0, -1.3, -0.7517915246935645, -1e-9, 0.0, 0.4, 12.0)
    cases = 0
    with mp.workdps(30):
        for name, act in sipp_theory.ACTIVATIONS.items():
            f = exact[name]
            for low, high in itertools.combinations(ends, 2):
                least, most = sipp_theory.activation_range(name, low, high)
                grid = [mp.mpf(low) + (mp.mpf(high) - mp.mpf(low)) * i / 64 for i in range(65)]
                dips = [mp.mpf(act.dip)] if act.dip is not None and low <= act.dip <= high else []
                values = [f(z) for z in (*grid, *dips)]
                if not (least <= min(values) and max(values) <= most):
                    raise Refuted(f"{name} leaves [{least}, {most}] on [{low}, {high}]")
                slopes = [(b - a) / (grid[1] - grid[0]) for a, b in itertools.pairwise(values[:65])]
                if (
                    max(map(abs, slopes)) > act.lipschitz + 1e-12
                    or min(slopes) < mp.mpf(act.least_slope) - 1e-18
                ):
                    raise Refuted(
                        f"{name} has a slope outside what is said of it on [{low}, {high}]"
                    )
                cases += 1
    return Result(cases=cases)


@oracle("NC-4")
def a_fixed_number_of_draws_is_unbiased(setting: Setting) -> Result:
    """Two neurons, pr = (.9, .1): the mean multiplier of each over 4,000 draws is 1."""
    rng = np.random.default_rng([setting.seed, 4])
    multipliers = np.stack([sipp_theory.neuron_draw([0.9, 0.1], 11, rng) for _ in range(4000)])
    far = np.abs(multipliers.mean(axis=0) - 1) / (
        multipliers.std(axis=0) / np.sqrt(len(multipliers)) + 1e-12
    )
    if far.max() > 5:
        raise Refuted(
            f"mean multipliers are {multipliers.mean(axis=0)}, {far.max():.1f} deviations off"
        )
    return Result(cases=len(multipliers))


@oracle("NC-6")
def exact_suprema_in_the_plane(setting: Setting) -> Result:
    """The certificate against the exact supremum over a box in the plane, never below."""
    rng = np.random.default_rng([setting.seed, 6])
    ratios, count = [], 1000 if setting.full else 40
    for _ in range(count):
        n = int(rng.integers(1, 8))
        a, p, b = rng.normal(size=n), rng.normal(size=(n, 2)), rng.normal(size=n) * 0.5
        o, r = rng.normal(size=2), rng.uniform(0.1, 1.5, 2)
        truth = exact_peak(a, p, b, o, r)
        worst = sipp_theory.worst_relu_sum(a, p, b, 0.0, o, r, steps=40)
        for kind in ("interval", "linear", "quadratic"):
            if getattr(worst, kind) < truth - 1e-9 * (1 + abs(truth)):
                raise Refuted(
                    f"{kind} {getattr(worst, kind)!r} is below {truth!r}: a = {a.tolist()}"
                )
        if truth > 0.1:
            ratios.append(worst.bound / truth)
    return Result(
        f"median ratio to the supremum {np.median(ratios):.2f}, largest {max(ratios):.2f}",
        cases=count,
    )


@oracle("NC-6")
def attacked_in_many_dimensions(setting: Setting) -> Result:
    """The certificate against ascent on layers of 3 to 12 inputs, boxes and balls, never below."""
    rng = np.random.default_rng([setting.seed, 12])
    ratios, count = [], 1000 if setting.full else 40
    for trial in range(count):
        n, d = int(rng.integers(2, 25)), int(rng.integers(3, 13))
        radius = rng.uniform(0.1, 1.5, d) if trial % 2 else np.asarray(rng.uniform(0.1, 3))
        a = rng.normal(size=n)
        layer = Layer(
            a[None], rng.normal(size=(n, d)), rng.normal(size=n), rng.normal(size=d), radius
        )
        seen = attacked_peak(a, layer, 64, 12, trial)
        worst = sipp_theory.worst_relu_sum(
            a, layer.incoming, layer.bias, 0.0, layer.centre, radius, steps=30
        )
        for kind in ("interval", "linear", "quadratic"):
            if getattr(worst, kind) < seen - 1e-9 * (1 + abs(seen)):
                raise Refuted(f"{kind} {getattr(worst, kind)!r} is below {seen!r}; trial {trial}")
        if seen > 0.1:
            ratios.append(worst.bound / seen)
    return Result(
        f"median ratio to the ascent {np.median(ratios):.2f}, largest {max(ratios):.2f}",
        cases=count,
    )


@oracle("NC-6")
def eigenvalues_are_proved(setting: Setting) -> Result:
    """The proved bound is above the largest eigenvalue of matrices where it is known, and near."""
    rng = np.random.default_rng([setting.seed, 7])
    for size in (1, 2, 8, 16):
        # Rows of a Hadamard matrix are exact eigenvectors.
        turn = hadamard(size) / np.sqrt(size) if size > 1 else np.ones((1, 1))
        values = rng.normal(size=size) * 10.0 ** rng.integers(-3, 4)
        bound = sipp_theory.proven_peak(
            turn @ np.diag(values) @ turn.T, 1e-12 * np.abs(values).max()
        )
        if not values.max() <= bound <= values.max() + 1e-8 * np.abs(values).max():
            raise Refuted(f"{bound!r} is proved, {values.max()!r} is the largest of {values}")
    return Result(cases=4)


@oracle("NC-7")
def composed_by_hand(setting: Setting) -> Result:
    """Two layers above the first error: |W_2| (|W_1| D_0 + D_1) + D_2, in fractions."""
    w1, w2 = np.array([[1.0, -2.0], [0.5, 0.0]]), np.array([[3.0, -1.0]])
    computed = sipp_theory.network_error(
        [w1, w2], [np.array([1.0, 2.0]), np.array([0.25, 0.5]), np.zeros(1)]
    )
    close(float(computed[0]), 3 * (5 + mp.mpf(1) / 4) + 1, {}, "above")
    return Result(cases=1)


@oracle("NC-10")
def exact_differences_in_the_plane(setting: Setting) -> Result:
    """Two ReLU networks of one hidden layer over a box in the plane: the exact supremum."""
    rng = np.random.default_rng([setting.seed, 13])
    ratios, count = [], 1000 if setting.full else 20
    for trial in range(count):
        n = int(rng.integers(1, 6))
        nets = two_networks(rng, "relu", [2, n, 1])
        low, high = np.sort(rng.normal(size=(2, 2)), axis=0)
        both = Difference(nets[0], nets[1], Box(low, high).domain())
        (p, b, w, c), (q, e, u, f) = (
            [x.detach().numpy() for x in net.parameters()] for net in nets
        )
        one = torch.ones(1, 1, dtype=torch.float64)
        for sign in (1.0, -1.0):
            truth = exact_peak(
                sign * np.concatenate([u[0], -w[0]]), np.concatenate([q, p]),
                np.concatenate([e, b]), both.domain.centre[0].numpy(),
                both.domain.radius[0].numpy(),
            ) + sign * float(f[0] - c[0])  # fmt: skip
            bound = float(both.bound(0 * one, sign * one))
            if bound < truth - 1e-9 * (1 + abs(truth)):
                raise Refuted(f"{bound!r} is below {truth!r}; trial {trial}, side {sign:g}")
            if truth > 0.1:
                ratios.append(bound / truth)
    return Result(
        f"median ratio to the supremum {np.median(ratios):.2f}, largest {max(ratios):.2f}",
        cases=2 * count,
    )


@oracle("NC-10")
def differences_attacked(setting: Setting) -> Result:
    """Networks of any depth and activation over boxes and balls against ascent, never below."""
    rng = np.random.default_rng([setting.seed, 14])
    ratios, count = [], 1000 if setting.full else 20
    for trial in range(count):
        sizes = [int(n) for n in rng.integers(2, 10, int(rng.integers(2, 5)))]
        act = sorted(ACTIVATION_LAYERS)[trial % len(ACTIVATION_LAYERS)]
        first, second = two_networks(rng, act, sizes)
        both = Difference(first, second, small_region(rng, sizes[0]).domain())
        way = torch.from_numpy(rng.normal(size=(1, sizes[-1])))

        def score(x: torch.Tensor, way: torch.Tensor = way, both: Difference = both
                  ) -> torch.Tensor:  # fmt: skip
            flat = x.flatten(0, 1)
            return ((both.second(flat) - both.first(flat)) @ way[0]).view(x.shape[:2])

        seen = float(ascend(score, both.domain, 8, 12, trial)[0])
        bound = float(both.bound(0 * way, way))
        if bound < seen - 1e-9 * (1 + abs(seen)):
            raise Refuted(f"{bound!r} is below {seen!r}; trial {trial}, {act}, {sizes}")
        if seen > 0.1:
            ratios.append(bound / seen)
    return Result(
        f"median ratio to the ascent {np.median(ratios):.2f}, largest {max(ratios):.2f}",
        cases=count,
    )


def _rays(points: np.ndarray, positive: bool) -> np.ndarray:
    """Directions where a neuron of the plane switches, and one between each two of them."""
    angles = np.arctan2(points[:, 1], points[:, 0])
    edges = np.concatenate([angles + np.pi / 2, angles - np.pi / 2]) % (2 * np.pi)
    if positive:
        edges = np.concatenate([edges[edges <= np.pi / 2], [0.0, np.pi / 2]])
    edges = np.sort(edges)
    last = edges[-1] if positive else edges[0] + 2 * np.pi
    middles = (edges + np.append(edges[1:], last)) / 2
    both = np.concatenate([edges, middles])
    return np.stack([np.cos(both), np.sin(both)], axis=1)


@oracle("NC-8")
def cones_by_rays(setting: Setting) -> Result:
    """Cone sensitivities in the plane against the largest share over all rays where one can lie."""
    rng = np.random.default_rng([setting.seed, 8])
    for trial, positive in itertools.product(range(8), (True, False)):
        points, w = rng.normal(size=(6, 2)), rng.uniform(0.1, 1, 6)
        computed = sipp_theory.cone_sensitivities(points, w, "nonnegative" if positive else "all")
        on = np.maximum(_rays(points, positive) @ points.T, 0) * w
        on[on < 1e-13] = 0
        total = on.sum(axis=1, keepdims=True)
        shares = np.divide(on, total, out=np.zeros_like(on), where=total > 1e-9).max(axis=0)
        if (computed < shares - 1e-9).any() or (computed > shares + 1e-5).any():
            raise Refuted(
                f"computed {computed}, the rays say {shares}; trial {trial}, x >= 0: {positive}"
            )
    return Result(cases=16)


@oracle("NC-8r")
def every_neuron_can_stand_alone(setting: Setting) -> Result:
    """Of independent neurons with biases each has an input at which its share is 1, and s_j = 1."""
    rng = np.random.default_rng([setting.seed, 9])
    for n, d in ((1, 1), (4, 4), (6, 9)):
        p, b, w = rng.normal(size=(n, d)), rng.normal(size=n), rng.uniform(0.1, 1, n)
        for j in range(n):
            x = sipp_theory.isolating_input(p, b, j)
            on = w * np.maximum(p @ x + b, 0)
            if not on[j] > 0 or abs(on[j] / on.sum() - 1) > 1e-9:
                raise Refuted(f"neuron {j} of {n} has share {on[j] / on.sum()} at {x}")
        if sipp_theory.cone_sensitivities(p, w, "all").min() < 1:
            raise Refuted("a cone sensitivity is below 1 for independent neurons")
        if n > 1 and sipp_theory.sign_ratio(p, w) != np.inf:
            raise Refuted("mu is finite although all neurons can be off")
    return Result(cases=11)


@oracle("NC-8r")
def sign_ratio_by_rays(setting: Setting) -> Result:
    """Mu in the plane against the largest ratio over all rays where one can lie."""
    rng = np.random.default_rng([setting.seed, 10])
    for _ in range(10):
        points, w = rng.normal(size=(9, 2)), rng.uniform(0.1, 1, 9)
        z = _rays(points, False) @ points.T
        positive = np.maximum(z, 0) @ w
        truth = np.inf if positive.min() < 1e-12 else (np.abs(z) @ w / positive).max()
        computed = sipp_theory.sign_ratio(points, w)
        close(computed, truth, {"points": points.tolist()}, relative=1e-5)
    return Result(cases=10)


@oracle("NC-9")
def peeling_against_exact_shares(setting: Setting) -> Result:
    """Peeled shares against the exact largest |p.x|/sum |q.x| over the rays of the plane."""
    rng = np.random.default_rng([setting.seed, 11])
    spare = []
    for _ in range(6):
        points = rng.normal(size=(30, 2))
        z = np.abs(_rays(points, False) @ points.T)
        truth = (z / z.sum(axis=1, keepdims=True)).max(axis=0)
        computed, _ = sipp_theory.peeled_sensitivities(points)
        if (computed < truth * (1 - 1e-9)).any():
            raise Refuted(f"a peeled share {computed} is below the exact {truth}")
        spare.append(computed.sum() / truth.sum())
    return Result(f"total {np.mean(spare):.1f} times the exact one on average", cases=6)
