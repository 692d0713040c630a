"""Chapter `small_target`: robust PCA, classical detectors, networks, and what measures them."""

from itertools import islice
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shared_small_target import DATA, F64, close, has_sirst, rand, randn

from dunfold_lib.small_target import algorithm, baselines, evaluation

# robust PCA


def low_rank_and_sparse(n=40, rank=2, share=0.05, seed=0):
    L = randn(n, rank, seed=seed) @ randn(rank, n, seed=seed + 1)
    S = 5 * randn(n, n, seed=seed + 2) * (rand(n, n, seed=seed + 3) < share)
    return L, S


@given(st.integers(0, 10**6))
@settings(max_examples=15)
def test_svt_is_the_prox_of_the_nuclear_norm(seed):
    v, t = randn(6, 9, seed=seed), 0.8
    p = algorithm.svt(v, t)
    close(p.T, algorithm.svt(v.T, t), 1e-10)
    nuclear = lambda M: float(torch.linalg.matrix_norm(M, "nuc"))
    best = 0.5 * float((p - v).square().sum()) + t * nuclear(p)
    for i, scale in enumerate((1e-3, 1e-1, 1.0)):
        q = p + scale * randn(6, 9, seed=seed + i + 1)
        assert best <= 0.5 * float((q - v).square().sum()) + t * nuclear(q) + 1e-9
    U, s, V = torch.linalg.svd(v, full_matrices=False)
    close(p, (U * (s - t).relu()) @ V, 1e-9)


def test_robust_pca_recovers_both_parts_and_counts_their_rank():
    L, S = low_rank_and_sparse()
    B, T = algorithm.rpca(L + S)
    close(B, L, 1e-4)
    close(T, S, 1e-4)
    assert int(torch.linalg.matrix_rank(B, rtol=1e-6)) == 2


def test_robust_pca_agrees_with_cvxpy():
    cp = pytest.importorskip("cvxpy")
    P, lam = randn(6, 7), 0.4
    B = cp.Variable(P.shape)
    best = cp.Problem(cp.Minimize(cp.normNuc(B) + lam * cp.sum(cp.abs(P.numpy() - B))))
    best.solve(solver="CLARABEL")
    ours = algorithm.rpca(P, lam, tol=1e-9, steps=5000)
    assert algorithm.objective(*ours, lam) == pytest.approx(best.value, rel=1e-5)


def test_admms_residual_falls_and_apg_reaches_the_relaxed_minimum():
    L, S = low_rank_and_sparse(20)
    P = L + S
    gaps = [float((P - x.B - x.T).norm()) for x in islice(algorithm.rpca_admm(P), 200)]
    assert gaps[-1] < 1e-6 * float(P.norm())
    assert min(gaps[100:]) < 1e-2 * min(gaps[:10])
    lam, mu = algorithm.default_lam(P), 0.5

    def value(B, T):
        return algorithm.objective(B, T, lam) + float((P - B - T).square().sum()) / (2 * mu)

    *_, last = islice(algorithm.rpca_apg(P, lam, 5.0, mu), 400)
    assert last.mu == mu
    assert last.residual < 1e-6
    best = value(last.B, last.T)
    for i in range(5):
        away = 1e-2 * randn(2, *P.shape, seed=i)
        assert best <= value(last.B + away[0], last.T + away[1]) + 1e-9


def test_fistas_bound_holds_for_apg_at_a_fixed_weight():
    L, S = low_rank_and_sparse(12)
    P, lam, mu = L + S, 0.3, 1.0

    def value(B, T):
        return mu * algorithm.objective(B, T, lam) + 0.5 * float((P - B - T).square().sum())

    xs = list(islice(algorithm.rpca_apg(P, lam, mu, mu), 600))
    best = value(xs[-1].B, xs[-1].T)
    distance = float(xs[-1].B.square().sum() + xs[-1].T.square().sum())  # from the start, 0
    for k, x in enumerate(xs[:100], 1):
        assert value(x.B, x.T) - best <= 2 * 2 * distance / (k + 1) ** 2 + 1e-9


# detectors


def dot(side=64, at=(20, 30), sigma=1.2):
    y, x = torch.meshgrid(torch.arange(side), torch.arange(side), indexing="ij")
    return (
        0.3 + 0.2 * y / side + 0.4 * (-((y - at[0]) ** 2 + (x - at[1]) ** 2) / (2 * sigma**2)).exp()
    )


@pytest.mark.parametrize("name", ["top-hat", "mpcm", "pstnn", "ipi"])
def test_every_detector_finds_a_dot_on_a_ramp_and_nothing_else(name):
    image = dot()
    score = baselines.DETECTORS[name](image)
    assert score.shape == image.shape
    assert score.dtype == image.dtype
    assert float(score.min()) >= 0
    found = baselines.segment(score)
    assert found[20, 30]
    assert int(found.sum()) <= 25
    assert int(found[15:26, 25:36].sum()) == int(found.sum())


def test_top_hat_is_scipys_and_a_flat_image_gives_nothing():
    from scipy import ndimage

    x = rand(30, 24)
    close(baselines.top_hat(x), torch.from_numpy(ndimage.white_tophat(x.numpy(), 5)))
    flat = torch.full((64, 64), 0.4)
    for name in ("top-hat", "mpcm", "pstnn", "ipi"):
        assert not baselines.segment(baselines.DETECTORS[name](flat)).any(), name


def test_mpcm_by_hand():
    """One bright patch of 3×3 on zeros: d_i = m² in the middle, so C = m²."""
    x = torch.zeros(31, 31, dtype=F64)
    x[14:17, 14:17] = 0.9
    m = {s: 9 * 0.9 / max(9, s * s) for s in (3, 5, 7, 9)}
    assert float(baselines.mpcm(x)[15, 15]) == pytest.approx(m[3] ** 2)
    assert float(baselines.mpcm(x, (9,))[15, 15]) == pytest.approx(m[9] ** 2)
    assert float(baselines.mpcm(x)[0, 0]) == 0


@pytest.mark.parametrize("size, patch, step", [((64, 75), 50, 10), ((90, 83), 40, 40)])
def test_patches_cover_the_image_and_their_median_is_the_image(size, patch, step):
    x = rand(*size)
    P = baselines.patch_matrix(x, patch, step)
    assert len(P) == patch * patch
    close(baselines.from_patches(P, size, patch, step), x)
    spoilt = P.clone()
    spoilt[:, 0] += 100  # where three patches or more lie, the median does not care
    there = baselines.from_patches(spoilt, size, patch, step)
    assert bool((there[-30:, -30:] == x[-30:, -30:]).all())


def test_the_corner_weight_is_large_at_a_dot_and_small_along_an_edge():
    x = torch.zeros(40, 40, dtype=F64)
    x[:, 25:] = 0.5
    x[12, 10] = 0.5
    w = baselines.corners(x)
    assert float(w.max()) == 1.0
    assert float(w[11:14, 9:12].max()) == 1.0
    assert float(w[20:, 20:30].max()) < 1e-6


@has_sirst
@pytest.mark.parametrize("name, bar", [("top-hat", 27.0), ("mpcm", 22.35)])
def test_the_simple_detectors_scores_on_sirst_v1(name, bar):
    """Measured apart from this library, and in a public README: 26.93 and 22.40."""
    made = evaluation.measure_method("sirst", name, None, 0, Path(DATA) / "istd/SIRSTv1")
    assert made["iou"] == pytest.approx(bar, abs=0.5)
