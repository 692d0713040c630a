"""Of newton page: newton sentences."""

import inspect
from itertools import pairwise

import pages
import pytest
import torch
from shared_newton_page import F64, SOLUTIONS

from dunfold_lib import records
from dunfold_lib.newton_sr import L1, evaluation
from dunfold_lib.newton_sr import figures_newton_tables as tables
from dunfold_lib.newton_sr import ssnal as solvers
from dunfold_lib.newton_sr.envelope import envelope
from dunfold_lib.newton_sr.experiments import EXPERIMENTS
from dunfold_lib.newton_sr.jacobians import Groups, directional
from dunfold_lib.newton_sr.lasso import Lasso


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=F64)


# what the sentences say of records, settings and code


def recorded(name, score="newton"):
    found = records.values(f"newton_sr/{name}", score)
    assert len(found) == 3, f"newton_sr/{name} has {len(found)} runs; the page says three seeds"
    return found


def mean(name, score):
    return sum(recorded(name, score)) / 3


def test_the_tables_captions_are_the_recorded_problems():
    """Caption: three seeds, the sizes, λ = 0.02 λ_max, at most 5000 steps."""
    assert "300 × 1200, 40 non-zeros" in EXPERIMENTS["lasso-1e3"].protocol
    assert "200 × 800, 10 groups of 4" in EXPERIMENTS["group-lasso-1e3"].protocol
    assert (evaluation.LIMIT, evaluation.LASSO_SHARE) == (5000, 0.02)
    for table in (tables.newton_counts, tables.first_order_counts):
        head, rows, _ = table()
        assert [len(row) for row in rows] == [len(head)] * len(tables.LASSOS)
        assert all("not measured" not in row for row in rows)


def test_newton_steps_hardly_grow_with_the_conditioning():
    """Sentence: "between … and … in every run from 10¹ to 10⁷"; every run ends at 1e-12."""
    plain = [v for n in tables.LASSOS[:4] for v in recorded(n)]
    assert 30 <= min(plain) <= max(plain) <= 45
    assert max(plain) < 1.5 * min(plain)
    assert max(recorded("group-lasso-1e3")) <= 45
    assert all(max(recorded(n, "kkt")) <= 1e-12 for n in tables.LASSOS)
    assert all(found[-1] >= 1.5 for found in recorded("group-lasso-1e3", "orders"))


def test_ista_needs_eight_times_as_many_steps_and_does_not_arrive_at_1e5():
    """Sentences: "ISTA needs … times as many steps at 10³ as at 10¹, and does not reach 10⁻⁶ in
    5,000 steps at 10⁵"."""
    assert 7.5 < mean("lasso-1e3", "ista_1e-06") / mean("lasso-1e1", "ista_1e-06") < 8.5
    assert min(recorded("lasso-1e5", "ista_1e-06")) > evaluation.LIMIT


def test_the_products_grow_and_for_a_rough_answer_fista_needs_fewer():
    """Sentences: "the CG steps *do* grow"; "for a rough answer FISTA needs fewer products in every
    row"; "for 10⁻⁸ it needs more … in every row but the first"; "ADMM needs fewer still from 10³
    on"; FISTA slows down with the conditioning."""
    assert mean("lasso-1e7", "cg") > 4 * mean("lasso-1e1", "cg")
    assert all(mean(n, "fista_1e-06") < mean(n, "cg") for n in tables.LASSOS)
    for n in tables.LASSOS[1:]:
        assert mean(n, "fista_1e-08") > mean(n, "cg") > mean(n, "admm_1e-08")
    first = "lasso-1e1"
    assert mean(first, "cg") < mean(first, "ista_1e-08")
    assert mean(first, "fista_1e-08") < mean(first, "cg") < mean(first, "admm_1e-08")
    assert mean("lasso-1e7", "fista_1e-06") > 4 * mean(first, "fista_1e-06")


def test_the_quoted_numbers_are_the_tables():
    quoted = tables.quotes()
    rows = tables.newton_counts()[1]
    assert float(quoted["cg_times"]) == pytest.approx(int(rows[3][-1]) / int(rows[0][-1]), abs=0.06)
    assert int(quoted["newton_least"]) <= int(rows[0][2]) <= int(quoted["newton_most"])


def test_the_algorithms_box_shows_the_codes_own_lines():
    """The code beside the steps of the Newton–CG augmented Lagrangian is from ``ssnal``; "there η̄
    is 0.01, τ = 1, μ = 10⁻⁴ and ρ = 3"; a hundredth of the last KKT residual."""
    code = inspect.getsource(solvers.ssnal) + inspect.getsource(solvers._inner)
    page = (pages.BOOK / "newton_sr/newton_experiments.md").read_text(encoding="utf-8")
    box = page[page.index(":label: alg-newton-ssnal") :]
    shown = [text for text in box[: box.index("\n:::\n")].split("`")[1::2] if " = " in text]
    assert len(shown) == 7
    assert [text for text in shown if text not in code] == []
    made = (solvers.ETA, solvers.TAU, solvers.ARMIJO, solvers.GROWTH)
    assert made == (0.01, 1.0, 1e-4, 3.0)
    assert inspect.signature(solvers.ssnal).parameters["inner"].default == 0.01


def onto_groups(u, r):
    groups = u.unflatten(-1, (-1, 4))
    return (groups * (r / groups.norm(dim=-1, keepdim=True)).clamp(max=1)).flatten(-2)


@pytest.mark.parametrize(
    "p, ball", [(L1(), lambda u, r: u.clamp(-r, r)), (Groups(4), onto_groups)], ids=["l1", "groups"]
)
def test_the_minimum_over_z_its_minimiser_and_the_multipliers_step(p, ball):
    """Sentences: "the best z is the projection of v/σ onto B"; its value is the prox's square over
    2σ; "the multiplier's step … is P(v) too"."""
    A, x, xi, lam, sigma = randn(5, 12), randn(12, seed=1), randn(5, seed=2), 0.4, 3.0
    v = x - sigma * (A.T @ xi)
    gap = lambda z: A.T @ xi + z
    part = lambda z: (
        -x @ gap(z) + sigma / 2 * gap(z).square().sum() + x.square().sum() / (2 * sigma)
    )
    z, P = ball(v / sigma, lam), p.prox(v, sigma * lam)
    assert float(part(z)) == pytest.approx(float(P.square().sum() / (2 * sigma)), abs=1e-12)
    torch.testing.assert_close(x - sigma * gap(z), P, rtol=0, atol=1e-12)
    assert all(part(ball(z + 0.1 * randn(12, seed=s), lam)) >= part(z) for s in range(50))


# solutions


@pytest.mark.parametrize("start", [1.5, 3.0, -20.0])
def test_full_steps_cycle_and_armijo_ends_them(start):
    Phi = lambda x: x * x / 2 if abs(x) <= 1 else 0.5 + 0.75 * (abs(x) - 1) + (x * x - 1) / 8
    h = 1e-6
    for x in (-2.0, 0.5, 3.0):  # Φ is F's integral
        value, slope = SOLUTIONS.bent(x)
        assert (Phi(x + h) - Phi(x - h)) / (2 * h) == pytest.approx(value, abs=1e-6)
        moved = SOLUTIONS.bent(x + h)[0] - SOLUTIONS.bent(x - h)[0]
        assert moved / (2 * h) == pytest.approx(slope, abs=1e-6)
    full = SOLUTIONS.newton_on_a_line(SOLUTIONS.bent, None, start, 9)
    sign = 1 if start > 0 else -1
    assert full[1:] == pytest.approx([-3 * sign * (-1) ** k for k in range(9)])
    safe = SOLUTIONS.newton_on_a_line(SOLUTIONS.bent, Phi, start, 9)
    assert safe[-1] == 0
    if start == 3:
        assert safe[1] == 0


@pytest.mark.parametrize("size", [1, 5, 12])
def test_the_small_system_gives_the_newton_step(size):
    A, F, sigma = randn(12, 30), randn(12, seed=1), 7.0
    S = torch.zeros(30, dtype=torch.bool)
    S[:size] = True
    d = SOLUTIONS.by_support(Lasso(A, F, 1.0), sigma, S, F)
    V = torch.eye(12, dtype=F64) + sigma * A[:, S] @ A[:, S].T
    torch.testing.assert_close(d, torch.linalg.solve(V, -F), rtol=0, atol=1e-10)


@pytest.mark.parametrize("radius", [0.5, 10.0])
def test_the_balls_jacobian_is_the_projections_derivative(radius):
    v, p = randn(4), randn(4, seed=1)
    project = lambda v: v * torch.clamp(radius / v.norm(), max=1)
    J = SOLUTIONS.ball_jacobian(v, radius)
    torch.testing.assert_close(J @ p, directional(project, v, p), rtol=0, atol=1e-12)
    torch.testing.assert_close(J @ p, p - Groups(4).jacobian(v, radius)(p), rtol=0, atol=1e-12)


@pytest.mark.parametrize("eta", [0.1, 0.3])
def test_a_constant_tolerance_falls_by_its_factor(eta):
    A, b, p, t = randn(6, 8), randn(6, seed=1), Groups(4), 0.5
    F = lambda xi: xi + b - A @ p.prox(-(A.T @ xi), t)
    eye = torch.eye(6, dtype=F64)
    V = lambda xi: eye + A @ torch.stack([p.jacobian(-(A.T @ xi), t)(a) for a in A], 1)
    sizes = SOLUTIONS.slack(F, V, -b, eta, 40)
    fine = [y / x for x, y in pairwise(sizes) if 1e-11 < y < 1e-4]
    assert len(fine) > 3
    assert fine == pytest.approx([eta] * len(fine), rel=2e-2)
    exact = SOLUTIONS.slack(F, V, -b, 0.0, 12)
    assert exact[-1] < 1e-12


@pytest.mark.parametrize("t", [0.3, 0.95, 1.0])
def test_the_envelope_on_a_line_is_the_librarys(t):
    problem = Lasso(torch.eye(1, dtype=F64), torch.full((1,), 2.0, dtype=F64), 1.0)
    for x in (-3.0, 0.2, 1.0, 5.0):
        at = envelope(problem, torch.full((1,), x, dtype=F64), t)
        value, slope = SOLUTIONS.envelope_on_a_line(x, t)
        assert value == pytest.approx(float(at.value), abs=1e-14)
        assert slope == pytest.approx(float(at.gradient), abs=1e-14)
    apart = {round(SOLUTIONS.envelope_on_a_line(x, t)[0], 12) for x in (-3.0, 0.2, 5.0)}
    assert (len(apart) == 1) == (t == 1.0)  # constant at the longest step


def peers(case, solver):
    row = next(row for row in tables.peers()["rows"] if row["case"] == case)
    return [run["ms"] for run in row["found"][solver]]


def test_the_sentences_on_other_packages_hold_in_the_recorded_table():
    """Sentence: celer arrives in every row, and sooner than SSNAL for every seed."""
    for row in tables.peers()["rows"]:
        for ours, theirs in zip(row["found"]["SSNAL"], row["found"]["celer"], strict=True):
            assert theirs["ms"] is not None
            assert ours["ms"] is None or 2 * theirs["ms"] < ours["ms"], row["case"]
    assert None in peers("dense", "SSNAL")
    assert None not in peers("many features", "SSNAL")


@pytest.mark.parametrize(
    ("case", "sooner", "later"),
    [("many features", "SSNAL", "our lasso"), ("cond 1e1", "our lasso", "SSNAL")],
)
def test_of_ssnal_and_restarted_fista_the_page_names_which_is_sooner_where(case, sooner, later):
    assert all(1.2 * a < b for a, b in zip(peers(case, sooner), peers(case, later), strict=True))
