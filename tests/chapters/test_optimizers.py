"""The numbers and formulas of chapter 4, each computed here in another way than the text derives it.

A sentence of the chapter that states a number is asserted word for word, with the number computed:
neither can change without the other. Linear methods are probed through Optax: the matrix that one
step applies to (parameters, velocity) is read off column by column, so nothing below repeats the
recurrences of the text.
"""

import math

import jax
import numpy as np
import optax
import pytest
from scipy.linalg import solve_discrete_lyapunov
from scipy.optimize import brentq, minimize
from scipy.signal import lfilter

from chapters.optimizer_page import run, says


def transition(eta_curvature: float, beta: float, *, nesterov: bool = False) -> np.ndarray:
    """Return the 2 x 2 matrix of one step on (position, velocity) for curvature 1 and learning rate `eta_curvature`."""
    optimizer = optax.trace(beta, nesterov=nesterov)
    columns = []
    for position, velocity in ((1.0, 0.0), (0.0, 1.0)):
        change, state = optimizer.update(jax.numpy.asarray(position), optax.TraceState(jax.numpy.asarray(velocity)))
        columns.append([position - eta_curvature * float(change), float(state.trace)])
    return np.array(columns).T


def radius(eta_curvature: float, beta: float, **how: bool) -> float:
    return np.abs(np.linalg.eigvals(transition(eta_curvature, beta, **how))).max()


def breaking_point(beta: float, **how: bool) -> float:
    """Return the product of learning rate and curvature at which the method stops converging."""
    return brentq(lambda a: radius(a, beta, **how) - 1, 1.0, 5.0, xtol=1e-12)


def steps_for_six_digits(rate: float) -> int:
    return math.ceil(math.log(1e-6) / math.log(rate))


def random_quadratic(eigenvalues: np.ndarray) -> np.ndarray:
    turn, _ = np.linalg.qr(np.random.default_rng(0).standard_normal((len(eigenvalues),) * 2))
    return turn @ np.diag(eigenvalues) @ turn.T


def test_gradient_descent_diverges_beyond_two_over_l() -> None:
    hessian = random_quadratic(np.geomspace(0.1, 7.0, 6))
    for multiple, shrinks in ((1.98, True), (2.02, False)):
        path = run(optax.sgd(multiple / 7.0), lambda x: hessian @ x, np.ones(6), 1000)
        assert (np.linalg.norm(path[-1]) < np.linalg.norm(path[0])) == shrinks


def test_best_rate_of_gradient_descent() -> None:
    hessian = random_quadratic(np.geomspace(1.0, 100.0, 6))

    def rate(eta: float) -> float:
        return np.linalg.norm(np.eye(6) - eta * hessian, ord=2)

    # The spectral norm is the error per step; a search over eta knows nothing of formula (4.5).
    grid = np.linspace(1e-4, 0.025, 20_000)
    best = grid[np.argmin([rate(eta) for eta in grid])]
    np.testing.assert_allclose(best, 2 / 101, rtol=1e-3)  # the grid's spacing
    np.testing.assert_allclose(rate(2 / 101), 99 / 101, rtol=1e-12)
    says(f"For $\\kappa = 100$ the factor is {99 / 101:.3f}, and six decimal digits cost")
    says(f"six decimal digits cost {steps_for_six_digits(rate(2 / 101))} steps.")


def test_descent_inequality() -> None:
    # log cosh has curvature 1 - tanh^2 <= 1, so L = 1; it is no quadratic.
    x = np.random.default_rng(1).uniform(-4, 4, size=1000)
    for eta in (0.3, 1.0, 1.9):
        slope = np.tanh(x)
        after = np.log(np.cosh(x - eta * slope))
        assert np.all(after <= np.log(np.cosh(x)) - eta * (1 - eta / 2) * slope**2 + 1e-12)


def test_noise_floor() -> None:
    values, sigma = np.array([0.1, 0.5, 1.0]), np.array([1.0, 2.0, 0.5])
    eta = 0.4
    # The stationary covariance S solves S = A S A' + Q: a linear solve, in a rotated basis.
    turn, _ = np.linalg.qr(np.random.default_rng(2).standard_normal((3, 3)))
    hessian = turn @ np.diag(values) @ turn.T
    noise = eta**2 * turn @ np.diag(sigma**2) @ turn.T
    covariance = solve_discrete_lyapunov(np.eye(3) - eta * hessian, noise)
    floor = np.sum(eta * sigma**2 / (2 * (2 - eta * values)))
    np.testing.assert_allclose(np.trace(hessian @ covariance) / 2, floor, rtol=1e-10)
    small = np.sum(1e-4 * sigma**2 / (2 * (2 - 1e-4 * values)))
    np.testing.assert_allclose(small, 1e-4 / 4 * np.sum(sigma**2), rtol=1e-4)  # the first neglected term


def test_noise_floor_of_momentum() -> None:
    eta, beta = 1e-4, 0.9
    # Noise of variance 1 enters as a gradient does: the same column as a gradient of 1 at the minimum.
    enters = np.array([[-eta], [1.0]])
    covariance = solve_discrete_lyapunov(transition(eta, beta), enters @ enters.T)
    plain = solve_discrete_lyapunov(np.array([[1 - 10 * eta]]), np.array([[(10 * eta) ** 2]]))
    np.testing.assert_allclose(covariance[0, 0] / 2, eta / (4 * (1 - beta)), rtol=1e-3)  # first order in eta
    np.testing.assert_allclose(covariance[0, 0], plain[0, 0], rtol=1e-3)  # the effective rate, ten times eta


def test_best_heavy_ball() -> None:
    curvatures = np.geomspace(0.01, 1.0, 15)  # L = 1, kappa = 100

    def rate(constants: np.ndarray) -> float:
        return max(radius(constants[0] * curvature, constants[1]) for curvature in curvatures)

    root = (math.sqrt(100) - 1) / (math.sqrt(100) + 1)
    stated = np.array([(2 / (1 + 0.1)) ** 2, root**2])
    # A double root is exact to the square root of the rounding only.
    np.testing.assert_allclose(rate(stated), root, rtol=1e-6)
    for start in (stated * [0.98, 1.01], [2.0, 0.8], [3.0, 0.6]):
        found = minimize(rate, start, method="Nelder-Mead", options={"xatol": 1e-6, "fatol": 1e-8, "maxiter": 300})
        assert found.fun >= root - 1e-6
    np.testing.assert_allclose(found.fun, root, rtol=0.02)  # the search ends near a kink
    says(f"falls from {99 / 101:.3f} to {root:.3f}")
    says(f"six digits cost about {steps_for_six_digits(root)} steps where gradient descent needs 691")
    says(f"the best $\\beta$ is {root**2:.3f} here")
    path = run(optax.sgd(stated[0], momentum=stated[1]), lambda x: x, np.array([1.0]), 50)
    says(f"grows {np.abs(path).max():.1f}-fold before it falls")


def test_in_the_band_every_curvature_converges_at_the_root_of_beta() -> None:
    beta = 0.64
    for product in np.linspace((1 - 0.8) ** 2, (1 + 0.8) ** 2, 9)[1:-1]:
        np.testing.assert_allclose(radius(product, beta), 0.8, rtol=1e-9)
    assert radius(0.9 * (1 - 0.8) ** 2, beta) > 0.8
    assert radius(1.02 * (1 + 0.8) ** 2, beta) > 0.8


def test_thresholds_of_momentum_and_nesterov() -> None:
    for beta in (0.3, 0.9, 0.99):
        np.testing.assert_allclose(breaking_point(beta), 2 * (1 + beta), rtol=1e-9)
        np.testing.assert_allclose(breaking_point(beta, nesterov=True), 2 * (1 + beta) / (1 + 2 * beta), rtol=1e-9)
    says(f"With $\\beta = 0.9$ that is ${breaking_point(0.9):.1f}/L$")
    says(f"which is ${breaking_point(0.9, nesterov=True):.2f}/L$ at $\\beta = 0.9$")


def test_nesterov_rate() -> None:
    for kappa in (4.0, 25.0, 100.0):
        beta = (math.sqrt(kappa) - 1) / (math.sqrt(kappa) + 1)
        rates = [radius(curvature, beta, nesterov=True) for curvature in np.geomspace(1 / kappa, 1, 40)]
        # A double root is exact to the square root of the rounding only.
        np.testing.assert_allclose(max(rates), 1 - 1 / math.sqrt(kappa), rtol=1e-6)


def test_nesterov_stores_the_look_ahead_point() -> None:
    eta, beta = 0.1, 0.8
    theta, velocity, ahead = 2.0, 0.0, []
    for _ in range(8):
        ahead.append(theta - eta * beta * velocity)
        velocity = beta * velocity + math.sinh(ahead[-1])
        theta -= eta * velocity
    path = run(optax.sgd(eta, momentum=beta, nesterov=True), np.sinh, np.array(2.0), 7)
    np.testing.assert_allclose(path, ahead, rtol=1e-12)


def test_heavy_ball_can_cycle() -> None:
    # The function of Lessard et al. (2016), section 4.6: curvature 25, then 1, then 25.
    def slope(x: np.ndarray) -> np.ndarray:
        return np.where(x < 1, 25 * x, np.where(x < 2, x + 24, 25 * x - 24))

    polyak = optax.sgd((2 / (math.sqrt(25) + 1)) ** 2, momentum=(4 / 6) ** 2)
    path = run(polyak, slope, np.array(3.3), 3000)
    assert np.abs(path[-3:]).min() > 0.1
    np.testing.assert_allclose(path[-1], path[-4], rtol=1e-9)  # period three
    assert abs(run(optax.sgd(1 / 25, momentum=4 / 6, nesterov=True), slope, np.array(3.3), 300)[-1]) < 1e-9


def test_epsilon_inside_and_outside_the_root() -> None:
    for inside, share in ((False, "0.99"), (True, "0.01")):
        optimizer = optax.rmsprop(1.0, decay=0.9, eps=1e-8, eps_in_sqrt=inside)
        path = run(optimizer, lambda x: np.full_like(x, 1e-6), np.array(0.0), 300)
        where = "inside" if inside else "outside"
        assert f"{path[-2] - path[-1]:.2f}" == share
        says(f"${share}\\,\\eta$ with $\\varepsilon$ {where}")
    assert np.float16(1e-8) == 0
    says("$10^{-8}$ is exactly 0 in float16")


def average(beta: float, values: np.ndarray) -> np.ndarray:
    """The exponential moving average from zero, as a digital filter."""
    return lfilter([1 - beta], [1, -beta], values)


def test_bias_correction() -> None:
    mean, square = average(0.9, np.ones(20_000)), average(0.999, np.ones(20_000))
    np.testing.assert_allclose(mean[:50], 1 - 0.9 ** np.arange(1, 51), rtol=1e-12)
    raw = mean / np.sqrt(square)
    says(f"{raw[0]:.1f} times at the first step, {raw.max():.1f} times at step {raw.argmax() + 1},")
    says(f"still {raw[999]:.1f} times at step 1000")
    says(f"steps up to {raw.max():.1f} times too long")
    wrong = (mean / 0.1) / np.sqrt(square / 0.001)
    np.testing.assert_allclose(wrong[0], 1, rtol=1e-12)
    says(f"= {wrong[-1]:.2f}$ times as long as it should be")
    says(f"starts at 1, rises to {wrong.max():.1f} and settles at {wrong[-1]:.2f}")
    path = run(optax.adam(0.01), lambda x: np.full_like(x, -37.0), np.array(0.0), 30)
    np.testing.assert_allclose(np.diff(path), 0.01, rtol=1e-8)  # eps is 1e-8 of a gradient of order one


def last_step(gradients: np.ndarray, b2: float) -> np.ndarray:
    """Return the length of Adam's last step, in units of the learning rate, after a long silence and `gradients`.

    `gradients` has the shape (steps, n): n sequences, each for a parameter of its own.
    """
    adam = optax.scale_by_adam(b2=b2, eps=1e-30)
    # After 20,000 steps without a gradient the averages are still zero, and the corrections are 1 to eight digits.
    state = adam.init(jax.numpy.zeros(gradients.shape[1]))._replace(count=jax.numpy.int32(20_000))
    update = jax.jit(adam.update)
    for gradient in gradients:
        step, state = update(jax.numpy.asarray(gradient), state)
    return np.abs(step)


def test_longest_steps_of_adam() -> None:
    (single,) = last_step(np.ones((1, 1)), 0.999)
    says(f"A single gradient gives $0.1/\\sqrt{{0.001}} = {single:.1f}\\,\\eta$")
    # The sequence for which the inequality of Cauchy and Schwarz is an equality, and 1000 others.
    (longest,) = last_step((0.999 / 0.9) ** np.arange(80)[:, None], 0.999)
    bound = 0.1 / math.sqrt(0.001) / math.sqrt(1 - 0.81 / 0.999)
    np.testing.assert_allclose(longest, bound, rtol=1e-5)  # 80 terms of the geometric series
    says(f"= {longest:.1f}\\, \\eta")
    random = np.random.default_rng(3)
    others = random.standard_normal((40, 1000)) * 10 ** random.uniform(-2, 2, (40, 1000))
    assert np.all(last_step(others, 0.999) < bound)
    (shorter,) = last_step((0.95 / 0.9) ** np.arange(200)[:, None], 0.95)
    says(f"the bound is ${shorter:.1f}\\,\\eta$")


def decay_rate(optimizer: optax.GradientTransformation, size: float) -> float:
    """Return the rate at which 4000 weights shrink under gradient noise of this size, per step."""
    random = np.random.default_rng(6)
    path = run(optimizer, lambda x: size * random.standard_normal(x.shape), np.full(4000, 5.0), 1000)
    # The first steps are Adam's warm-up; then the mean weight is an exponential.
    mean = path[100:].mean(axis=1)
    return -np.polyfit(np.arange(len(mean)), np.log(mean), deg=1)[0]


@pytest.mark.parametrize("size", [1.0, 3.0])
def test_l2_inside_adam_decays_by_gradient_size_and_adamw_does_not(size: float) -> None:
    eta, weight_decay = 0.01, 0.02
    inside = optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(eta))
    # 4000 weights leave about 2 % of sampling error; noise of the second moment gives about 1 % more.
    np.testing.assert_allclose(decay_rate(inside, size), eta * weight_decay / size, rtol=0.08)
    decoupled = optax.adamw(eta, weight_decay=weight_decay)
    np.testing.assert_allclose(decay_rate(decoupled, size), eta * weight_decay, rtol=0.08)


def test_l2_and_decay_are_one_for_sgd_and_the_half_life() -> None:
    inside = optax.chain(optax.add_decayed_weights(0.3), optax.sgd(0.1))
    path = run(inside, np.cos, np.array(2.0), 10)
    by_hand = [2.0]
    for _ in range(10):
        by_hand.append((1 - 0.1 * 0.3) * by_hand[-1] - 0.1 * math.cos(by_hand[-1]))
    np.testing.assert_allclose(path, by_hand, rtol=1e-12)
    half_life = math.log(0.5) / math.log1p(-1e-3 * 1e-2)
    says(f"that is {round(half_life, -3):,.0f} steps")


def test_clipping() -> None:
    gradient = {"first": np.array([3.2]), "second": np.array([0.8])}

    def clipped(optimizer: optax.GradientTransformation) -> np.ndarray:
        leaves, _ = optimizer.update(gradient, optimizer.init(gradient))
        return np.concatenate([np.asarray(leaves["first"]), np.asarray(leaves["second"])])

    def angle(vector: np.ndarray) -> float:
        return math.degrees(math.atan2(vector[1], vector[0]))

    original = np.array([3.2, 0.8])
    together = clipped(optax.clip_by_global_norm(1.0))
    np.testing.assert_allclose(angle(together), angle(original), rtol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(together), 1, rtol=1e-12)
    turned = angle(clipped(optax.clip_by_block_rms(1.0))) - angle(original)
    says(f"by {turned:.0f} degrees")


def test_the_wall() -> None:
    def loss(x: np.ndarray) -> np.ndarray:
        return x**2 / 2 + 200 * np.maximum(x - 1, 0) ** 2

    path = run(optax.sgd(0.1), jax.grad(lambda x: x**2 / 2 + 200 * jax.numpy.maximum(x - 1, 0) ** 2), np.array(1.25), 1)
    says(f"lands at ${path[1]:.1f}$, and the loss triples")
    assert round(float(loss(path[1]) / loss(path[0]))) == 3


def test_warm_up_and_cosine() -> None:
    peak, floor, warm, total = 0.5, 0.05, 20, 120
    schedule = optax.warmup_cosine_decay_schedule(0.0, peak, warm, total, floor)
    t = np.arange(total + 30)
    cosine = floor + (peak - floor) * (1 + np.cos(np.pi * (t - warm) / (total - warm))) / 2
    stated = np.where(t < warm, peak * t / warm, np.where(t <= total, cosine, floor))
    np.testing.assert_allclose(schedule(t), stated, rtol=1e-9, atol=1e-12)


def test_where_the_schedules_end() -> None:
    t = np.arange(2000)
    cosine = np.asarray(optax.warmup_cosine_decay_schedule(0, 0.5, 100, 2000)(t))
    hessian = random_quadratic(np.geomspace(0.1, 1, 10))
    ends = []
    for rates in (np.full(2000, 0.5), 0.5 ** (1 + t // 500), cosine):
        # The second moment of the error as a full matrix, in a basis that is not that of the eigenvectors.
        second = 9.0 * np.eye(10)
        for eta in rates:
            step = np.eye(10) - eta * hessian
            second = step @ second @ step.T + eta**2 * np.eye(10)
        ends.append(np.trace(hessian @ second) / 2)
    says(f"at {ends[0]:.1f}, {ends[1]:.2f} and {ends[2]:.2f}.*")
    says(
        f"stays at {ends[0]:.1f}, the halved one goes down in stairs to {ends[1]:.2f}, the cosine ends at {ends[2]:.2f}"
    )
