"""Chapter `small_target`: robust PCA, classical detectors, networks, and what measures them."""

import json
import math
import os
import pickle
from collections import OrderedDict
from dataclasses import fields, replace
from itertools import islice, pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from dunfold_lib import checkpoints, engine, experiment, records
from dunfold_lib.__main__ import main
from dunfold_lib.prox import soft
from dunfold_lib.small_target import (
    algorithm,
    baselines,
    data,
    evaluation,
    fast,
    maps,
    readers,
    scores,
    theory,
)
from dunfold_lib.small_target import training as small_target_training
from dunfold_lib.small_target.experiments import EXPERIMENTS
from dunfold_lib.small_target.fast import compact, detect
from dunfold_lib.small_target.layers import Excite
from dunfold_lib.small_target.model import (
    GAIN,
    LRPCANet,
    RPCANet,
    TwoTerm,
    macs,
    soft_iou,
    total_loss,
)
from dunfold_lib.small_target.published import (
    COLUMNS,
    PUBLISHED,
    PUBLISHED_AVERAGE,
    PUBLISHED_SE,
    PUBLISHED_STAGES,
)
from dunfold_lib.small_target.released import load_released
from dunfold_lib.small_target.weights import imitate, start_dark
from dunfold_lib.solvers import jacobian_norm
from dunfold_lib.training import Context

F64 = torch.float64
SYNTHETIC = data.synthetic
SMALL = {
    "RPCANet": lambda **a: RPCANet(K=2, c=3, **a),
    "LRPCANet": lambda **a: LRPCANet(K=2, c=5, b=2, n_noise=2, **a),
    "released form": lambda **a: LRPCANet(K=3, c=4, b=2, carry_noise=False, **a),
    "no excitation": lambda **a: LRPCANet(K=2, c=4, b=3, se="", d=2, **a),
    "TwoTerm": lambda **a: TwoTerm(K=2, c=4, b=2, **a),
}
small = pytest.mark.parametrize("make", SMALL.values(), ids=SMALL.keys())
DATA = os.environ.get("DUNFOLD_DATA", "")
has_sirst = pytest.mark.skipif(
    not (DATA and (Path(DATA) / "istd/SIRSTv1").is_dir()), reason="the data folder lacks SIRST v1"
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=F64)


def rand(*shape, seed=0):
    return torch.rand(*shape, generator=seeded(seed), dtype=F64)


def used(net, seed=3):
    """A network in float64 whose weights and batch norms look as if it had learned."""
    g = seeded(seed)
    net = net.double().eval()
    with torch.no_grad():
        for p in net.parameters():
            p.add_(0.05 * torch.randn(p.shape, generator=g, dtype=F64))
        for m in net.modules():
            if isinstance(m, nn.BatchNorm2d):
                m.running_mean.normal_(0, 0.2, generator=g)
                m.running_var.uniform_(0.5, 2, generator=g)
    return net


def count(net):
    return sum(p.numel() for p in net.parameters())


def close(x, y, tolerance=1e-12):
    assert_close(x, y, rtol=0, atol=tolerance)


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


# the networks


def test_parameter_counts_are_the_papers():
    assert count(RPCANet()) == 679_896
    assert [count(LRPCANet(K=k)) for k in range(1, 8)] == [35_986 * k for k in range(1, 8)]
    net = LRPCANet(K=1)
    parts = [count(m) for m in (net.FB, net.FT, net.FN, net.FD)]
    assert parts == [2_119, 2_531, 2_563, 28_771]  # ε and σ stand beside their maps
    assert count(Excite(32, seeded())) == 162
    assert count(LRPCANet(b=16)) == 475_188  # released for NUDT-SIRST
    assert count(LRPCANet(b=16, n_noise=3)) == 433_428  # released for IRSTD-1k
    assert count(LRPCANet(d=8)) == 55_356
    assert count(TwoTerm(K=1)) == 35_986 - 2_564
    assert count(LRPCANet(K=1, se="")) == 35_986 - 4 * 162


def test_multiplications_are_as_published():
    found = [macs(n) / 1e9 for n in (LRPCANet(), RPCANet(), LRPCANet(d=8))]
    assert [round(v, 1) for v in found] == [13.7, 44.2, 3.3]


@small
def test_storages_are_distinct_and_a_seed_decides_the_weights(make):
    net, twin, other = make(seed=1), make(seed=1), make(seed=2)
    places = [p.data_ptr() for p in net.parameters()]
    assert len(set(places)) == len(places)
    same = zip(net.parameters(), twin.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in same)
    assert not torch.equal(net.FB[0].last.weight, other.FB[0].last.weight)


def test_fresh_weights_are_xavier_normal():
    weights = RPCANet(K=1, awake=False).FB[0].body[3].weight.detach()
    assert float(weights.std()) == pytest.approx((2 / (9 * 64)) ** 0.5, rel=0.03)
    assert LRPCANet().eps[0].item() == pytest.approx(0.01)


FRESH = {  # networks, and on how many seeds they are looked at
    "narrow": (lambda s, **a: LRPCANet(3, 8, seed=s, **a), 20),
    "the paper's": (lambda s, **a: LRPCANet(6, 32, seed=s, **a), 6),
    "neck of 3": (lambda s, **a: LRPCANet(4, 6, 3, n_noise=3, se="", seed=s, **a), 5),
    "released form": (lambda s, **a: LRPCANet(4, 8, carry_noise=False, d=2, seed=s, **a), 5),
    "without N": (lambda s, **a: TwoTerm(3, 8, seed=s, **a), 10),
    "RPCANet": (lambda s, **a: RPCANet(3, 8, seed=s, **a), 10),
}


def dead_of(kind, frames, **arguments):
    make, seeds = FRESH[kind]
    return [
        (s, name) for s in range(seeds) for name in maps.dead_maps(make(s, **arguments), frames)
    ]


def middle(frames, side=128):
    """The middle of some frames: (…, side, side)."""
    top, left = ((n - side) // 2 for n in frames.image.shape[2:])
    cut = (..., slice(top, top + side), slice(left, left + side))
    return data.Frames(frames.names, frames.image[cut], frames.mask[cut])


@pytest.mark.parametrize("kind", FRESH)
def test_no_map_of_a_fresh_network_is_dead(kind):
    frames = SYNTHETIC(seeded(3), 2, 96)
    assert dead_of(kind, frames) == []
    spreads = [a.made for a in maps.activity(FRESH[kind][0](0), frames).values()]
    assert min(spreads) > 1e-4


@has_sirst
def test_no_map_of_a_fresh_network_is_dead_on_real_frames():
    """The chapter's figures: of F_T and F_N 44 of 120 (K 3, c 8) and 13 of 72 (K 6, c 32) are dead
    from Xavier's weights; none from pairs. By one, the resize's rounding may move them.
    """
    frames = middle(readers.frames("sirst", "val").part(range(4)))
    for kind in FRESH:
        assert dead_of(kind, frames) == [], kind
    for kind, expected in (("narrow", 44), ("the paper's", 13)):
        dead = [name for _, name in dead_of(kind, frames, awake=False)]
        assert abs(sum(name[:2] in ("FT", "FN") for name in dead) - expected) <= 1, kind


def test_dead_maps_are_named_and_counted():
    frames = SYNTHETIC(seeded(3), 2, 96)
    net = LRPCANet(3, 8).train()
    with torch.no_grad():
        net.FT[1].body[0].bias.fill_(-9.0)  # every ReLU behind the first layer is shut
        net.FN[2].last.weight.mul_(1e-5)
    assert maps.dead_maps(net, frames) == ["FT2", "FN3"]
    assert net.training  # as it was
    assert not any(F._forward_hooks for _, F in net.maps())
    flat = data.Frames(("flat",), torch.full((1, 1, 96, 96), 9, dtype=torch.uint8), frames.mask[:1])
    assert len(maps.dead_maps(LRPCANet(3, 8), flat)) == 12  # nothing to tell apart


@torch.no_grad()
def test_a_fresh_map_is_linear_and_scales_constants_by_its_gain():
    """Pairs (a, −a) give a back behind every ReLU, and a constant image its gain."""
    b = 0.1 * rand(1, 1, 40, 40)
    for se, net in (("", LRPCANet(2, 8, se="", seed=4)), ("BTND", LRPCANet(2, 8, seed=4))):
        for name, F in net.double().eval().maps():
            if not se:
                assert_close(F(-3 * b) - F(0 * b), -3 * (F(b) - F(0 * b)))
            ratio = float(F(torch.full_like(b, 0.01))[0, 0, 20, 20]) / 0.01
            assert ratio == pytest.approx(GAIN[name[:2]], rel=0.03), name


@pytest.mark.parametrize("se", ["BTND", ""])
@pytest.mark.parametrize("c", [2, 5])
def test_a_stage_with_weights_by_hand_is_a_classical_sweep(se, c):
    """F_T becomes the soft threshold, F_B a step of smoothing, F_N linear, F_D the identity."""
    b = rand(2, 1, 9, 12) - 0.3
    for net in (LRPCANet(K=1, c=c, b=2, se=se), LRPCANet(K=1, c=c, b=2, se=se, carry_noise=False)):
        net = net.double().eval()
        imitate(net, smooth=0.4, threshold=0.05, keep=0.25)
        *_, x = net.states(b)
        B, T, N, D = algorithm.sweep(b, 0.4, 0.05, 0.25)
        close(x.B, B)
        close(x.T, T)
        close(x.N, N)
        close(x.D, D)
        assert bool(((x.T == 0) | (x.T.abs() < 1e-12)).any())
        assert bool((x.T.abs() > 1e-3).any())
    close(B + T + N / 0.25, b, 1e-12)  # D = B + T + what N was taken from


def test_rpcanet_and_the_control_imitate_the_two_term_model():
    b = rand(1, 1, 8, 8)
    for net in (RPCANet(K=1, c=2), TwoTerm(K=1, c=3, b=2)):
        net = net.double().eval()
        imitate(net, 0.5, 0.02, 0.0)
        *_, x = net.states(b)
        _, T, N, D = algorithm.sweep(b, 0.5, 0.02, 0.0)
        close(x.T, T)
        close(x.D, D)
        assert not N.any()
        assert not x.N.any()


def test_the_soft_threshold_is_v_minus_the_clip():
    v = randn(50)
    close(soft(v, 0.3), v - v.clamp(-0.3, 0.3))


def test_carrying_the_noise_changes_the_second_stage_and_not_the_first():
    net, b = used(LRPCANet(K=3, c=4, b=2)), rand(1, 1, 10, 10)
    carried = list(net.states(b))
    net.carry_noise = False
    dropped = list(net.states(b))
    for a, c in zip(carried[1], dropped[1], strict=True):
        assert torch.equal(a, c)
    assert not torch.equal(carried[2].T, dropped[2].T)
    assert bool(carried[1].N.any())


@small
def test_a_row_alone_is_the_row_in_a_batch_and_dtype_is_kept(make):
    net, b = used(make()), rand(3, 1, 9, 11)
    together = net(b)
    assert together.dtype == F64
    close(together, torch.cat([net(row[None]) for row in b]))
    single = make().eval()
    assert single(b.float()).dtype == torch.float32


@small
def test_every_parameter_gets_a_gradient(make):
    """From one of a few seeds: a ReLU of a narrow network may be shut for all pixels."""
    b, reached = rand(2, 1, 12, 12), set()
    for seed in range(6):
        net = used(make(seed=seed), seed + 10).train()
        total_loss(net, b, (b > 0.9).double(), bce=0.5).backward()
        held = net.named_parameters()
        reached |= {n for n, p in held if p.grad is not None and bool(p.grad.any())}
    assert reached == {n for n, _ in net.named_parameters()}


@small
def test_the_state_dict_comes_back(make):
    net, b = used(make()), rand(2, 1, 12, 12)
    again = make(seed=9).double()
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.eval()(b), net(b))


def test_a_small_network_passes_gradcheck():
    net, b = used(LRPCANet(K=1, c=2, b=2)), rand(1, 1, 5, 5).requires_grad_()
    assert torch.autograd.gradcheck(net, (b,), atol=1e-6)


def test_the_loss_by_hand():
    T = torch.tensor([0.0, 0.0, 0.0, 0.0], dtype=F64).reshape(1, 1, 2, 2)
    y = torch.tensor([1.0, 0.0, 0.0, 0.0], dtype=F64).reshape(1, 1, 2, 2)
    assert float(soft_iou(T, y)) == pytest.approx(1 - 1.5 / 3.5)  # Σpy = ½, Σp = 2, Σy = 1
    none = torch.zeros_like(y)
    both_T, both_y = torch.cat([T, T]), torch.cat([y, none])
    assert float(soft_iou(both_T, both_y)) == pytest.approx(1 - (1.5 / 3.5 + 1 / 3) / 2)
    assert float(soft_iou(both_T, both_y, pooled=True)) == pytest.approx(1 - 1.5 / 5.5)
    perfect = torch.where(y > 0, 60.0, -60.0).double()
    assert float(soft_iou(perfect, y)) == pytest.approx(0, abs=1e-12)
    net, b = used(LRPCANet(K=1, c=2, b=2)), rand(1, 1, 4, 4)
    truth = (b > 0.7).double()
    *_, x = net.states(b)
    plain = soft_iou(x.T, truth) + 0.1 * (x.D - b).square().mean()
    close(total_loss(net, b, truth), plain)
    p = x.T.sigmoid()
    entropy = -(truth * p.log() + (1 - truth) * (1 - p).log()).mean()
    close(total_loss(net, b, truth, bce=2.0), plain + 2 * entropy)


def test_a_dark_start_lowers_the_logits_and_nothing_before_the_last_stage():
    net, b = LRPCANet(K=2, c=8).eval(), rand(1, 1, 16, 16).float()
    before = list(net.states(b))
    start_dark(net, 4.0)
    after = list(net.states(b))
    assert torch.equal(before[1].T, after[1].T)
    assert (after[2].T - before[2].T).mean().item() == pytest.approx(-4, abs=0.2)


# the same numbers, sooner


@small
@pytest.mark.parametrize("size", [(17, 23), (5, 9), (4, 3)])
def test_the_fast_form_is_the_network(make, size):
    net, b = used(make()), rand(2, 1, *size)
    close(compact(net)(b), net(b), 1e-11)


def test_the_fast_form_at_full_size_gives_equal_masks():
    net = used(LRPCANet(K=2, c=32, b=4)).float()
    b = rand(1, 1, 96, 80).float()
    with torch.no_grad():
        plain = net(b)
    sooner = detect(net, b)
    close(sooner, plain, 1e-5 * max(1.0, float(plain.abs().max())))
    assert torch.equal(sooner > 0, plain > 0)


def test_the_parts_of_the_fast_form():
    z, w1, w2, bias = randn(1, 3, 8, 9), randn(4, 3, 3, 3), randn(2, 4, 3, 3), randn(4)
    two = functional.conv2d(functional.conv2d(z, w1, padding=1), w2, padding=1)
    one = functional.conv2d(z, fast.composed(w1, w2), padding=2)
    close(one[..., 1:-1, 1:-1], two[..., 1:-1, 1:-1], 1e-11)
    assert float((one - two).abs().max()) > 1e-3  # not at the border
    mean = functional.conv2d(z, w1, bias, padding=1).mean((2, 3), keepdim=True)
    close(fast.mean_after(z, (w1, bias)), mean, 1e-12)
    F = used(RPCANet(K=1, c=3)).FB[0]
    x = v = rand(1, 1, 6, 6)
    for weight, b in fast.folded(F):
        x = functional.conv2d(x, weight, b, padding=1).relu()
    close(x, F.body(v), 1e-12)


def test_the_fast_form_does_not_follow_later_weights_and_wants_eval_mode():
    net, b = used(LRPCANet(K=1, c=2, b=2)), rand(1, 1, 8, 8)
    prepared, before = compact(net), net(b)
    with torch.no_grad():
        net.FB[0].body[0].weight.add_(1.0)
        net.eps.add_(1.0)
    close(prepared(b), before, 1e-11)
    with pytest.raises(ValueError, match=r"^the network is in training mode; call net.eval\(\)"):
        compact(net.train())


# scores


def masks(*rows):
    return torch.tensor([[[c == "#" for c in line] for line in image.split()] for image in rows])


def test_scores_by_hand():
    """Two images of 4×6: three targets; one exact, one touched, one missed; one false component."""
    truth = masks("##....  ##....  ....#.  ......", "......  .#....  ......  ......")
    found = masks("##....  ##....  ....##  ......", "#.....  ......  ......  .....#")
    # pixels: 4 + 1 hit of 4 + 1 + 1; predicted 4 + 2 + 2
    assert scores.iou(found, truth) == pytest.approx(5 / 9)
    assert scores.niou(found, truth) == pytest.approx((5 / 6 + 0) / 2)
    assert scores.f1(5 / 9) == pytest.approx(10 / 14)
    overlap = scores.by_overlap(found, truth)
    assert overlap == (2, 3, 3, 48 - 6)
    assert overlap.pd == pytest.approx(2 / 3)
    assert overlap.fa == pytest.approx(3 / 42)
    centroid = scores.by_centroid(found, truth)
    assert centroid == (3, 3, 1, 48)  # (0, 0) is √2 from (1, 1); the far pixel is a false alarm
    made = scores.scores(found, truth, "_x")
    assert made["fa_1e-5_x"] == pytest.approx(1e5 * 3 / 42)
    assert made["fa_3px_1e-6_x"] == pytest.approx(1e6 / 48)
    assert made["f1_x"] == pytest.approx(100 * 10 / 14)
    assert set(made) == {
        f"{n}_x" for n in ("iou", "niou", "f1", "pd", "fa_1e-5", "pd_3px", "fa_3px_1e-6")
    }


def test_components_are_eight_connected():
    truth = masks("#....  .#...  ..#..  ....#")
    assert scores.by_overlap(truth, truth).targets == 2


def test_three_pixels_are_too_far_and_partners_are_one_to_one():
    truth, at = masks("#........."), lambda text: scores.by_centroid(masks(text), truth)
    assert at("..#.......").hits == 1
    assert at("...#......").hits == 0
    both = at("#.#.......")  # both are near; one is left over
    assert (both.hits, both.false) == (1, 1)
    two = masks("#.#.......")
    assert scores.by_centroid(masks(".#........"), two).hits == 1


def test_false_alarms_are_counted_by_their_pixels_not_by_their_area():
    """A matched and an unmatched component of one area: matching by area would lose the second."""
    truth = masks("##......  ........  ........")
    found = masks("##......  ........  ......##")
    assert scores.by_centroid(found, truth) == (1, 1, 2, 24)


def test_nearest_pairs_come_first():
    truth = masks("..#..#....")
    found = masks("...##.....")  # one component at 3.5, between targets at 2 and 5
    assert scores.by_centroid(found, truth).hits == 1
    found = masks("..#.#.....")
    assert scores.by_centroid(found, truth) == (2, 2, 0, 10)


def test_empty_images_and_forms_of_masks():
    none, some = masks("....  ...."), masks("#...  ....")
    assert scores.iou(none, none) == 1.0
    assert scores.niou(torch.cat([none, some]), torch.cat([none, some])) == 1.0
    assert scores.by_overlap(none, none) == (0, 0, 0, 8)
    assert scores.by_overlap(none, none).pd == 0.0
    assert scores.by_centroid(some, none).false == 1
    assert scores.iou([some[0], none[0]], some.expand(2, 2, 4)[:, None]) == 0.5


@given(st.integers(0, 10**6))
@settings(max_examples=20)
def test_pooled_scores_against_scikit_learn(seed):
    sk = pytest.importorskip("sklearn.metrics")
    p, y = rand(2, 5, 6, seed=seed) > 0.6, rand(2, 5, 6, seed=seed + 1) > 0.6
    flat = (y.flatten().numpy(), p.flatten().numpy())
    assert scores.iou(p, y) == pytest.approx(sk.jaccard_score(*flat))
    assert scores.f1(scores.iou(p, y)) == pytest.approx(sk.f1_score(*flat))
    s = randn(2, 5, 6, seed=seed).round(decimals=1)  # with ties
    curve = scores.roc(s, y)
    assert curve.area == pytest.approx(sk.roc_auc_score(flat[0], s.flatten().numpy()))


def test_the_bootstraps_interval_is_the_normal_one_where_images_are_many():
    """Equal unions: the IoU is a mean, its deviation that of the images over √n."""
    g = seeded(4)
    both = torch.randint(0, 101, (400,), generator=g)
    found = scores.Counts(both.tolist(), [100] * 400)
    low, high = scores.interval(found)
    mean, spread = float(both.double().mean()), float(both.double().std()) / 20
    assert (low, high) == pytest.approx((mean - 1.96 * spread, mean + 1.96 * spread), abs=0.25)
    assert scores.interval(found, 0.5)[1] - scores.interval(found, 0.5)[0] < 0.4 * (high - low)
    assert scores.interval(scores.Counts([3], [4])) == (75.0, 75.0)  # one image: it cannot tell


def test_the_bootstrap_sums_over_images_before_it_divides():
    """One large target, many small: only sums weigh it so."""
    found = scores.Counts([900] + [0] * 9, [1000] + [10] * 9)
    low, high = scores.interval(found)
    assert low == 0
    assert 85 < high < 90  # never above the large one's own 90


def test_pairs_of_images_tell_apart_what_single_intervals_do_not():
    g = seeded(5)
    union = torch.randint(50, 150, (80,), generator=g)
    both = (union * torch.rand(80, generator=g)).long()
    worse = scores.Counts((0.9 * both).long().tolist(), union.tolist())
    first = scores.Counts(both.tolist(), union.tolist())
    low, high = scores.difference(first, worse)
    assert 0 < low < high < 10
    assert scores.interval(worse)[1] > scores.interval(first)[0]  # which overlap
    assert scores.difference(first, first) == (0, 0)
    with pytest.raises(ValueError, match="80 and 1 images"):
        scores.difference(first, scores.Counts([1], [1]))


def test_counts_make_the_pooled_iou():
    truth = torch.zeros(2, 1, 8, 8, dtype=torch.bool)
    truth[0, 0, 2:4, 2:4], truth[1, 0, 0, :3] = True, True
    found = truth.roll(1, 3)
    made = scores.counts(found, truth)
    assert made == ([2, 2], [6, 4])
    assert scores.iou(found, truth) == sum(made.intersection) / sum(made.union)


def test_the_best_cut_has_the_highest_pooled_iou_and_is_the_lowest_of_equals():
    truth = torch.zeros(1, 1, 8, 8, dtype=torch.bool)
    truth[..., 2:4, 2:4] = True
    score = 2.0 * truth + 0.3
    score[..., 7, 7] = 1.0  # a false one, that a cut from 1 on leaves out
    assert scores.best_cut(score, truth, [2.5, 1.5, 1.0, 0.5, -1.0]) == 1.0
    with pytest.raises(ValueError, match="cuts is empty"):
        scores.best_cut(score, truth, [])


def test_the_roc_by_hand():
    score = torch.tensor([0.9, 0.8, 0.7, 0.7, 0.1])
    truth = torch.tensor([True, False, True, False, False])
    curve = scores.roc(score, truth)
    close(curve.threshold, torch.tensor([0.9, 0.8, 0.7, 0.1], dtype=F64), 1e-6)
    close(curve.tpr, torch.tensor([0.5, 0.5, 1, 1]), 1e-6)
    close(curve.fpr, torch.tensor([0, 1, 2, 3]) / 3, 1e-6)
    assert curve.area == pytest.approx(0.5 / 3 + 0.75 / 3 + 1 / 3)
    assert len(scores.roc(rand(500), rand(500, seed=1) > 0.5, points=20).threshold) == 20


def test_the_detection_curve_falls_with_the_threshold():
    s, y = randn(3, 16, 16), randn(3, 16, 16, seed=1) > 2
    curve = scores.detection_curve(s, y, scores.thresholds(s, 9))
    assert all(a.hits >= b.hits and a.false >= b.false for a, b in pairwise(curve))
    assert curve[0].hits == curve[0].targets  # below the least score all but one pixel is predicted


# data


def test_made_up_scenes_follow_their_generator():
    a, b = (data.synthetic(seeded(3), 6, 96) for _ in range(2))
    assert torch.equal(a.image, b.image)
    assert not torch.equal(a.image, data.synthetic(seeded(4), 6, 96).image)
    assert a.image.dtype == torch.uint8
    assert a.mask.dtype == torch.bool
    assert a.image.shape == a.mask.shape == (6, 1, 96, 96)
    assert len(set(a.names)) == 6
    x = data.images(a)
    assert 0 <= float(x.min()) <= float(x.max()) <= 1


def test_made_up_targets_are_as_many_as_sirst_has_small_and_away_from_the_border():
    many = data.synthetic(seeded(0), 60, 128)
    targets = [scores.by_overlap(m, m).targets for m in many.mask]
    assert 1 <= min(targets) <= max(targets) <= 3
    area = many.mask.flatten(1).sum(1)
    assert float(area.float().median()) < 150
    assert int(area.min()) >= 1
    y, x = (many.mask[:, 0].any(d).nonzero()[:, 1] for d in (2, 1))
    reach = math.ceil(4 * 3**0.5)  # the widest Gaussian's radius at e^−1.5
    for at in (y, x):
        assert data.BORDER - reach <= int(at.min())
        assert int(at.max()) <= 127 - data.BORDER + reach


def test_a_target_adds_its_height_where_its_mask_is_and_little_elsewhere():
    scene = torch.full((64, 64), 0.5)
    seen, mask = data.add_targets(seeded(1), scene)
    assert float(seen.max() - 0.5) <= 3 * data.AMPLITUDE[0] + 1e-6  # a flat scene: the least height
    assert float(seen[mask].min()) > 0.5 + data.AMPLITUDE[0] * data.EDGE - 1e-6
    assert torch.equal(scene, torch.full((64, 64), 0.5))


@pytest.mark.parametrize("beta", [2.0, 3.0])
def test_the_clutters_spectrum_has_its_slope(beta):
    noise = torch.stack([data.fractal(data.Draw(seeded(i)), 128, beta) for i in range(20)])
    power = torch.fft.rfft2(noise.double()).abs().square().mean(0)
    f = torch.fft.fftfreq(128)[:, None].hypot(torch.fft.rfftfreq(128))
    kept = (f > 0.02) & (f < 0.4)
    A = torch.stack([f[kept].log(), torch.ones(int(kept.sum()))], 1).double()
    slope = torch.linalg.lstsq(A, power[kept].log()[:, None]).solution[0, 0]
    assert float(slope) == pytest.approx(-beta, abs=0.1)
    assert float(noise[0].std()) == pytest.approx(1, abs=1e-5)


def test_injection_leaves_the_background_alone_where_no_target_is():
    scenes = [rand(80, 70, seed=i).float() for i in range(2)]
    made = data.inject(seeded(2), scenes, 3, 64)
    assert made.image.shape == (3, 1, 64, 64)
    for image, mask in zip(made.image, made.mask, strict=True):
        far = functional.max_pool2d(mask.float(), 41, 1, 20) == 0
        same = [
            torch.equal(
                (255 * s[t : t + 64, u : u + 64]).round().to(torch.uint8)[far[0]], image[0][far[0]]
            )
            for s in scenes
            for t in range(17)
            for u in range(7)
        ]
        assert any(same)


def test_noise_has_its_strength_and_its_share():
    x = torch.full((1, 1, 200, 200), 0.5)
    gauss = data.noisy(x, seeded(), sigma=25)
    assert float((gauss - x).std()) == pytest.approx(25 / 255, rel=0.03)
    pepper = data.noisy(x, seeded(), density=0.1)
    changed = pepper != 0.5
    assert float(changed.float().mean()) == pytest.approx(0.1, abs=0.01)
    assert set(pepper[changed].tolist()) == {0.0, 1.0}
    assert torch.equal(data.noisy(x, seeded()), x)


def test_crops_are_cut_with_their_masks_and_most_hold_a_target():
    frames = data.synthetic(seeded(0), 4, 64)
    image, mask = data.crops(frames, 40, 32, seeded(1))
    assert image.shape == mask.shape == (40, 1, 32, 32)
    assert set(mask.unique().tolist()) <= {0.0, 1.0}
    assert int(mask.flatten(1).any(1).sum()) >= 28
    again, _ = data.crops(frames, 40, 32, seeded(1))
    assert torch.equal(image, again)
    marked = frames._replace(image=frames.mask.to(torch.uint8) * 255)
    image, mask = data.crops(marked, 20, 32, seeded(2))
    assert torch.equal(image, mask)


# folders


def write(folder, name, array):
    folder.mkdir(parents=True, exist_ok=True)
    Image.fromarray(array).save(folder / f"{name}.png")


def tiny_set(root, layout, names=("a", "b", "c", "d"), size=(20, 30)):
    """A set of the layout, of a few tiny images whose upper left quarter is the target."""
    pictures = "IRSTD1k_Img" if layout == "irstd1k-raw" else "images"
    labels = "IRSTD1k_Label" if layout == "irstd1k-raw" else "masks"
    end = "_pixels0" if layout == "sirst-raw" else ""
    lists = {"sirst-raw": ("idx_427", "{}.txt"), "nudt": ("img_idx", "{}_NUDT-SIRST.txt")}
    place, pattern = lists.get(layout, (".", "{}.txt"))
    halves = {"train": names[:2], "test": names[2:]}
    if layout in ("sirst", "sirst-raw"):
        halves = {"train": names[:2], "val": names[2:3], "test": names[3:]}
    for part, held in halves.items():
        base = root / ("trainval" if part == "train" else part) if layout == "aug" else root
        for i, name in enumerate(held):
            mask = np.zeros(size, np.uint8)
            mask[: size[0] // 2, : size[1] // 2] = 1 if layout == "nudt" else 255
            write(base / pictures, name, np.full(size, 40 * i + 10, np.uint8))
            write(base / labels, name + end, mask)
        if layout != "aug":
            end_of = ".png" if layout == "nudt" else ""
            path = root / place / pattern.format(part)
            path.parent.mkdir(exist_ok=True)
            path.write_text("\n".join(n + end_of for n in held) + "\n")
    return root


@pytest.mark.parametrize("layout", ["sirst", "sirst-raw", "nudt", "irstd1k-raw", "aug"])
def test_every_layout_is_read(layout, tmp_path):
    root = tiny_set(tmp_path / layout, layout)
    test = readers.read_folder(root, "test", 16)
    assert test.names == (("d",) if layout.startswith("sirst") else ("c", "d"))
    assert test.image.shape == test.mask.shape == (len(test.names), 1, 16, 16)
    assert bool(test.mask[0, 0, :8, :8].all())
    assert int(test.mask[0].sum()) == 64
    train, val = (readers.read_folder(root, p, 16).names for p in ("train", "val"))
    expected = (("a", "b"), ("c",)) if layout.startswith("sirst") else (("b",), ("a",))
    assert (train, val) == expected
    assert not set(train) & set(test.names)


def test_a_folder_without_lists_is_a_test_set_and_sizes_are_kept_where_asked(tmp_path):
    write(tmp_path / "images", "x", np.full((9, 12), 255, np.uint8))
    write(tmp_path / "masks", "x", np.eye(9, 12, dtype=np.uint8) * 255)
    frames = readers.read_folder(tmp_path, side=None)
    assert frames.image.shape == (1, 1, 9, 12)
    assert frames.mask[0, 0].equal(torch.eye(9, 12, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"holds no list train.txt; it must name"):
        readers.read_folder(tmp_path, "train")


def test_masks_take_the_pixel_that_opencv_takes_and_images_are_bilinear():
    x = torch.arange(36, dtype=torch.uint8).reshape(6, 6)
    assert readers.resized(x, 4, "nearest")[0].tolist() == [0, 1, 3, 4]  # ⌊1.5 i⌋
    assert readers.resized(x, 4, "nearest-exact")[0].tolist() == [0, 2, 3, 5]  # ⌊1.5 (i + ½)⌋
    # columns 0.25, 1.75, 3.25, 4.75 of row 0.25
    assert readers.resized(x, 4, "bilinear")[0].tolist() == [2, 3, 5, 6]
    assert readers.resized(x, 6, "bilinear") is x


def test_the_lists_of_sirst_v1_when_the_data_folder_has_it(tmp_path, monkeypatch):
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    with pytest.raises(ValueError, match=r"^SIRSTv1 is not here: put it into istd/SIRSTv1"):
        readers.frames("sirst", "test")
    tiny_set(tmp_path / "istd/SIRSTv1", "sirst")
    assert readers.frames("sirst", "test", 16).names == ("d",)


@has_sirst
def test_sirst_v1_has_its_parts_and_109_test_targets():
    parts = {p: readers.frames("sirst", p) for p in ("train", "val", "test")}
    assert {p: len(f.names) for p, f in parts.items()} == {"train": 256, "val": 85, "test": 86}
    held = [set(f.names) for f in parts.values()]
    assert not held[0] & held[1]
    assert not (held[0] | held[1]) & held[2]
    test = parts["test"].mask
    assert scores.by_overlap(test, test).targets == 109


def test_backgrounds_are_enlarged_and_injected(tmp_path, monkeypatch):
    monkeypatch.setenv("DUNFOLD_DATA", str(tmp_path))
    for i in range(5):
        write(tmp_path / "istd/SIRSTv2_backgrounds/images", f"{i}", np.full((40, 90), 50, np.uint8))
    readers.backgrounds.cache_clear()
    scenes = readers.backgrounds(64)
    assert [tuple(s.shape) for s in scenes] == [(64, 144)] * 5
    assert float(scenes[0].std()) < 1e-6
    readers.backgrounds.cache_clear()


def test_a_set_like_sirst_aug_holds_a_target_in_every_crop(tmp_path):
    root = tmp_path / "s"
    tiny_set(root, "sirst", size=(40, 60))
    small_mask = np.zeros((40, 60), np.uint8)
    small_mask[30:32, 50:53] = 255
    small_mask[3, 4] = 255
    for name in "abcd":
        write(root / "masks", name, small_mask)
    train = readers.augmented(root, "train", seeded(), 24)
    test = readers.augmented(root, "test", seeded(), 24)
    assert len(train.names) == 3 * 25
    assert len(test.names) == 1 * 2 * 5
    for made in (train, test):
        assert made.image.shape[2:] == (24, 24)
        assert bool(made.mask.flatten(1).any(1).all())
    large = readers.augmented(root, "test", seeded(), 64)  # above the image's size: enlarged
    assert large.image.shape == (10, 1, 64, 64)


# theory


def test_a_linear_maps_constants_are_its_norm():
    A = randn(6, 6)
    F = lambda x: x @ A.T
    exact = float(torch.linalg.matrix_norm(A, 2))
    assert jacobian_norm(F, randn(1, 6), 200, seeded()) == pytest.approx(exact, rel=1e-6)
    x, y = randn(5, 6), randn(5, 6, seed=1)
    assert float(theory.pairwise(F, x, y).max()) <= exact + 1e-12
    close(theory.pairwise(lambda x: 3 * x, x, y), torch.full((5,), 3.0, dtype=F64))


def test_the_effective_rank_of_known_matrices():
    assert theory.effective_rank(torch.eye(5)) == pytest.approx(5)
    assert theory.effective_rank(torch.outer(rand(7), rand(4))) == pytest.approx(1, abs=1e-5)
    assert 1 < theory.effective_rank(torch.diag(torch.tensor([1.0, 0.1]))) < 2


def test_the_lipschitz_figure_of_a_network_set_by_hand():
    """ε F_T is the clip, so its constant is 1 where anything is below the threshold."""
    net = LRPCANet(K=1, c=2, b=2).double().eval()
    imitate(net, 0.5, 10.0, 0.25)  # everything is below
    found = maps.lipschitz(net, rand(3, 1, 10, 10), steps=20)
    assert found["jacobian_FT"] == pytest.approx([1.0])
    assert found["pairs_FT"] == pytest.approx([1.0])
    assert found["step_jacobian_FN"] == pytest.approx([0.75])
    seen = maps.stage_inputs(net, rand(1, 1, 10, 10))
    assert set(seen[0]) == {"FT", "FN"}


# released weights


def released_state(light=True, K=2, c=32, b=4, n_noise=6, prefix="", seed=0, final="final_conv"):
    """Random weights laid out as the released ones, written again from the architecture."""
    g, made = seeded(seed), OrderedDict()

    def put(name, *shape, low=None):
        value = 0.2 * torch.randn(shape, generator=g)
        made[prefix + name] = value.abs() + low if low is not None else value

    def conv(name, out, into, k):
        put(f"{name}.weight", out, into, k, k)
        put(f"{name}.bias", out)

    def norm(name, c):
        for key in ("weight", "bias", "running_mean"):
            put(f"{name}.{key}", c)
        put(f"{name}.running_var", c, low=0.5)
        made[f"{prefix}{name}.num_batches_tracked"] = torch.tensor(7)

    def se(base):
        conv(f"{base}.channel_attention.excitation.0", c // 16, c, 1)
        conv(f"{base}.channel_attention.excitation.2", c, c // 16, 1)

    def chain(base, body, first, width, layers, bn, wide):
        j = 0
        for i in range(layers + 1):
            conv(f"{base}.{body}.{j}", width, width if i else 1, 3 if i else first)
            j += 1
            if bn:
                norm(f"{base}.{body}.{j}", width)
                j += 1
            j += 1  # ReLU
        if wide:
            conv(f"{base}.{body}.{j}", c, width, 3)
            j += 1
        return f"{base}.{body}.{j}"

    for k in range(K):
        base = f"decos.{k}"
        width, first = (b, 1) if light else (c, 3)
        jobs = [
            ("lowrank", "convs", first, width, 3, True),
            ("sparse", "convs", first, width, 6, False),
        ]
        jobs += [("residual", "convs", 3, width, n_noise, False)] if light else []
        jobs += [("merge", "mapping", 3, c, 3, True)]
        for name, body, *rest in jobs:
            wide = light and name != "merge"
            end = chain(f"{base}.{name}", body, *rest, wide)
            if light:
                se(f"{base}.{name}")
            conv(f"{base}.{name}.final_conv" if light and final else end, 1, c, 3)
        put(f"{base}.sparse.epsilon", 1)
        if light:
            put(f"{base}.residual.sigma", 1)
    return made


def reference(w, b, K, light):
    """The networks written again from the paper's equations, on released names."""

    def at(k, name):
        return w[f"decos.{k}.{name}"]

    def has(k, name):
        return f"decos.{k}.{name}" in w

    def F(k, name, v, final):
        body = "mapping" if name == "merge" else "convs"
        js = sorted(
            int(n.split(".")[4])
            for n in w
            if n.startswith(f"decos.{k}.{name}.{body}.") and n.endswith(".weight")
        )
        filters = [j for j in js if at(k, f"{name}.{body}.{j}.weight").ndim == 4]
        if not final:
            *filters, last = filters
        x = v
        for i, j in enumerate(filters):
            p = f"{name}.{body}.{j}"
            weight = at(k, f"{p}.weight")
            x = functional.conv2d(x, weight, at(k, f"{p}.bias"), padding=weight.shape[2] // 2)
            if has(k, f"{name}.{body}.{j + 1}.running_mean"):
                n = f"{name}.{body}.{j + 1}"
                stats = [
                    at(k, f"{n}.{s}") for s in ("running_mean", "running_var", "weight", "bias")
                ]
                x = functional.batch_norm(x, *stats)
            widening = light and name != "merge" and i == len(filters) - 1
            x = x if widening else x.relu()
        if light:
            s, e = x.mean((2, 3), keepdim=True), f"{name}.channel_attention.excitation"
            s = functional.conv2d(s, at(k, f"{e}.0.weight"), at(k, f"{e}.0.bias")).relu()
            s = functional.conv2d(s, at(k, f"{e}.2.weight"), at(k, f"{e}.2.bias")).sigmoid()
            x = x * s
        p = f"{name}.final_conv" if final else f"{name}.{body}.{last}"
        return functional.conv2d(x, at(k, f"{p}.weight"), at(k, f"{p}.bias"), padding=1)

    D, T = b, torch.zeros_like(b)
    for k in range(K):
        final = has(k, "lowrank.final_conv.weight")
        v = D - T
        B = v + F(k, "lowrank", v, final)
        v = T + D - B
        T = v - at(k, "sparse.epsilon") * F(k, "sparse", v, final)
        N = 0
        if light:
            v = D - B - T
            N = v - at(k, "residual.sigma") * F(k, "residual", v, final)
        D = F(k, "merge", B + T + N, final)
    return T


LAYOUTS = {
    "L-RPCANet": {},
    "with prefix": {"prefix": "module."},
    "one stage": {"K": 1},
    "NUDT's": {"b": 16, "K": 1},
    "IRSTD-1k's": {"b": 16, "n_noise": 3, "K": 1},
    "RPCANet": {"light": False, "K": 2, "c": 6},
}


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS.keys())
def test_released_weights_are_the_equations(layout):
    w = released_state(**layout)
    net = load_released(w)
    plain = {k.removeprefix(layout.get("prefix", "")): v for k, v in w.items()}
    K, light = layout.get("K", 2), layout.get("light", True)
    assert net.K == K
    assert isinstance(net, LRPCANet if light else RPCANet)
    b = rand(1, 1, 20, 18).float()
    with torch.no_grad():
        expected = reference(plain, b, K, light)
        tolerance = 1e-4 * max(1.0, float(expected.abs().max()))
        close(net(b), expected, tolerance)
        close(compact(net)(b), expected, tolerance)
    if light:
        assert not net.carry_noise
        assert net.n_noise == layout.get("n_noise", 6)
    held = sum(v.numel() for k, v in w.items() if "running" not in k and "tracked" not in k)
    assert count(net) == held


@pytest.mark.parametrize("wrap", ["state_dict", "net", None])
@pytest.mark.parametrize("name", ["a.pkl", "a.pth.tar", "a.npz"])
def test_released_files_and_their_wrappers_are_read(wrap, name, tmp_path):
    w, path = released_state(K=1), tmp_path / name
    if name.endswith("npz"):
        np.savez(path, **{k: v.numpy() for k, v in w.items()})
    else:
        torch.save({wrap: w, "epoch": 3} if wrap else w, path)
    b = rand(1, 1, 9, 9).float()
    with torch.no_grad():
        assert torch.equal(load_released(path)(b), load_released(w)(b))


class Malicious:
    """A pickle that, loaded without care, makes a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_pickle_with_code_in_it_is_refused_and_not_run(tmp_path):
    trace = tmp_path / "trace"
    held = OrderedDict(released_state(K=1) | {"extra": Malicious(trace)})
    torch.save(held, tmp_path / "a.pkl")
    (tmp_path / "plain.pkl").write_bytes(pickle.dumps(held))
    for name in ("a.pkl", "plain.pkl"):
        with pytest.raises(ValueError, match="holds no state dict that can be read safely"):
            load_released(tmp_path / name)
        assert not trace.exists()


def test_evaluate_measures_released_weights_on_a_readers_folder(tmp_path, capsys):
    root = tiny_set(tmp_path / "mine", "sirst")
    torch.save(released_state(K=1, b=2, n_noise=1), tmp_path / "w.pkl")
    torch.save(released_state(light=False, K=1, c=2), tmp_path / "r.pkl")
    for name, file in (("lrpcanet", "w.pkl"), ("rpcanet", "r.pkl")):
        line = (
            f"evaluate small_target/{name}-sirst --released {tmp_path / file} --data {root} --json"
        )
        assert main(line.split()) == 0
        made = json.loads(capsys.readouterr().out)
        frames = readers.read_folder(root)
        assert frames.image.shape[2:] == (256, 256)
        net = load_released(tmp_path / file)
        expected = scores.scores(fast.predicted(net, frames), frames.mask)
        assert {k: made["scores"][k] for k in expected} == pytest.approx(expected)
        assert str(root) in made["protocol"]
        assert made["parameters"] == count(net)


# training and measuring


def tiny_recipe(**changes):
    small_one = {"stages": 1, "width": 4, "neck": 2, "noise_layers": 1, "crop": 32, "batch": 2}
    return small_target_training.Training(**small_one | {"steps": 3, "every": 2} | changes)


@pytest.fixture
def few(monkeypatch):
    """Made-up scenes, fewer and smaller than the recipes have."""
    monkeypatch.setattr(small_target_training, "MADE_UP", {"train": (4, 1), "val": (2, 2)})
    monkeypatch.setattr(evaluation, "TEST_SCENES", 2)
    monkeypatch.setattr(data, "synthetic", lambda g, n, side=64: SYNTHETIC(g, n, 64))
    forget = small_target_training.part.cache_clear
    forget()
    yield
    forget()


SYNTHETIC = data.synthetic


def test_two_steps_of_training_are_two_steps_by_hand(few):
    recipe = tiny_recipe(steps=2, every=5)
    net, twin = (
        small_target_training.build(LRPCANet, recipe),
        small_target_training.build(LRPCANet, recipe),
    )
    losses = small_target_training.train(net, recipe, Context(seed=4))
    g, adam = seeded(4), torch.optim.Adam(twin.train().parameters(), lr=recipe.lr)
    for step in range(2):
        image, mask = data.crops(small_target_training.part("synthetic", "train"), 2, 32, g)
        adam.param_groups[0]["lr"] = recipe.rate(step)
        adam.zero_grad()
        loss = total_loss(twin, image, mask, pooled=True, bce=1.0)
        loss.backward()
        nn.utils.clip_grad_norm_(twin.parameters(), 1.0)
        adam.step()
        assert losses[step] == pytest.approx(float(loss.detach()), abs=1e-6)
    # a bias before a batch norm has no effect, and Adam follows the rounding of its gradient
    idle = [
        f"{name}.body.{i}.bias"
        for name, F in twin.named_modules()
        if hasattr(F, "body")
        for i, (_, behind) in enumerate(pairwise(F.body))
        if isinstance(behind, nn.BatchNorm2d)
    ]
    assert idle
    for (name, a), b in zip(net.named_parameters(), twin.parameters(), strict=True):
        if name not in idle:
            close(a, b, 5e-6)  # of steps of 3e-3; merged filters round otherwise
    close(net.train()(image), twin.train()(image), 1e-4)


def test_the_checkpoint_is_the_one_that_validation_chose(few, monkeypatch, tmp_path):
    recipe, seen, asked = tiny_recipe(steps=6), [], []
    values = iter([0.1, 0.5, 0.2])
    real = small_target_training.part
    monkeypatch.setattr(
        small_target_training, "part", lambda name, which: asked.append(which) or real(name, which)
    )

    def pretend(net, frames):
        assert frames.image.equal(real("synthetic", "val").image)
        seen.append({k: v.clone() for k, v in net.state_dict().items()})
        return frames.mask

    monkeypatch.setattr(small_target_training, "predicted", pretend)
    monkeypatch.setattr(scores, "iou", lambda p, y: next(values))
    net = small_target_training.build(LRPCANet, recipe)
    told: list[tuple[int, float]] = []
    small_target_training.train(
        net, recipe, Context(tmp_path, validated=lambda step, iou: told.append((step, iou)))
    )
    assert told == [(2, 0.1), (4, 0.5), (6, 0.2)]
    assert len(seen) == 3  # after steps 2, 4, 6
    for key, value in net.state_dict().items():
        assert torch.equal(value, seen[1][key]), key
    assert set(asked) == {"train", "val"}  # never the test
    assert not net.training
    again = small_target_training.build(LRPCANet, recipe)
    small_target_training.train(
        again, recipe, Context(tmp_path)
    )  # a finished run: nothing is trained, the choice is kept
    for key, value in again.state_dict().items():
        assert torch.equal(value, seen[1][key]), key


@pytest.mark.parametrize("width", [4, 32])  # wide filters lie otherwise where there are no units
def test_an_interrupted_run_goes_on_to_the_same_numbers(few, monkeypatch, tmp_path, width):
    monkeypatch.setattr(checkpoints, "SAVE_EVERY", 2)
    monkeypatch.setattr(engine, "has_units", lambda device: False)
    recipe = tiny_recipe(steps=5, every=2, width=width)
    whole = small_target_training.build(LRPCANet, recipe)
    losses = small_target_training.train(whole, recipe)

    class StopError(Exception):
        pass

    def stop(step, loss):
        if step == 3:
            raise StopError

    cut = small_target_training.build(LRPCANet, recipe)
    with pytest.raises(StopError):
        small_target_training.train(cut, recipe, Context(tmp_path, watch=stop))
    fresh = small_target_training.build(LRPCANet, recipe)
    assert small_target_training.train(fresh, recipe, Context(tmp_path)) == losses
    for a, b in zip(fresh.state_dict().values(), whole.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_the_best_weights_belong_to_one_recipe_seed_and_experiment(few, tmp_path):
    """Killed before its first checkpoint, a run has nothing else to be known by."""
    recipe = tiny_recipe(steps=2, every=1)
    net = small_target_training.build(LRPCANet, recipe)
    small_target_training.train(net, recipe, Context(tmp_path, experiment="room/one"))
    (tmp_path / "checkpoint.safetensors").unlink()
    for change, seed, name in (
        ({"lr": 1e-9}, 0, "room/one"),
        ({"density": 0.5}, 0, "room/one"),
        ({}, 1, "room/one"),
        ({}, 0, "room/two"),
    ):
        with pytest.raises(ValueError, match=r"best.safetensors: belongs to another run") as error:
            small_target_training.train(
                net, replace(recipe, **change), Context(tmp_path, seed, experiment=name)
            )
        assert "\n" not in str(error.value)


def test_noise_in_training_comes_from_the_recipe_alone(few):
    x = torch.full((40, 1, 8, 8), 0.5)
    assert small_target_training._disturbed(x, tiny_recipe(), seeded()) is x
    rough = small_target_training._disturbed(x, tiny_recipe(sigma=25.0, density=0.1), seeded())
    clean = (rough == x).flatten(1).all(1).sum()
    assert 12 <= int(clean) <= 30


@pytest.mark.parametrize("kind", [RPCANet, LRPCANet, TwoTerm])
def test_every_kind_is_built_trained_and_measured(kind, few, monkeypatch):
    monkeypatch.setenv("DUNFOLD_DATA", "")
    recipe = tiny_recipe(steps=2, every=2, sigma=5.0)
    net = small_target_training.build(kind, recipe)
    losses = small_target_training.train(net, recipe)
    assert len(losses) == 2
    assert all(map(math.isfinite, losses))
    made = evaluation.measure("sirst", net, 0)
    assert {"iou_synthetic", "pd_3px_synthetic", "auc_synthetic", "eps"} <= set(made)
    assert "iou" not in made  # no SIRST v1 without the data folder
    assert ("sigma" in made) == (kind is LRPCANet)
    json.dumps(made, allow_nan=False)


def test_the_measured_studies(few, monkeypatch):
    monkeypatch.setenv("DUNFOLD_DATA", "")
    monkeypatch.setattr(data, "SIGMAS", (0, 10))
    monkeypatch.setattr(data, "DENSITIES", (0.0, 0.1))
    net = small_target_training.build(LRPCANet, tiny_recipe())
    robust = evaluation.measure_robust("sirst", net, 0)
    assert len(robust["iou_sigma_synthetic"]) == 2
    found = evaluation.measure_lipschitz("sirst", net, 0)
    assert found["contractive"] in (0.0, 1.0)
    assert len(found["jacobian_FT"]) == 1
    assert len(found["rank_B"]) == 2
    json.dumps(robust | found, allow_nan=False)
    made = evaluation.measure_method("sirst", "top-hat", None, 0)
    assert 0 <= made["iou_synthetic"] <= 100


def test_the_cut_is_chosen_on_validation_for_networks_and_detectors_alike(few, monkeypatch):
    """Test frames whose own best cut is another one do not move it."""
    val, test = data.synthetic(seeded(1), 3), data.synthetic(seeded(2), 3)
    monkeypatch.setattr(evaluation, "part", lambda name, which: val)
    monkeypatch.setattr(evaluation, "measured_on", lambda *a: {"": test})

    def detector(image):  # on the test frames a target is only a quarter as bright
        at = next(
            i
            for i, x in enumerate((*data.images(val), *data.images(test)))
            if torch.equal(x[0], image)
        )
        mask = (*val.mask, *test.mask)[at][0]
        score = 0.45 * mask if at < 3 else 0.1 * mask
        score[0, :4] = torch.tensor([1.0, 0.3, 0.3, 0.3])
        return score

    monkeypatch.setitem(baselines.DETECTORS, "toy", detector)
    made = evaluation.measure_method("sirst", "toy", None, 0)
    assert made["cut"] == 0.3
    assert made["iou_val_chosen"] > made["iou_val"] == 0
    assert made["iou_chosen"] == made["iou"] == 0
    assert len(made["union_chosen"]) == len(made["intersection"]) == 3

    class Net(nn.Module):
        eps = torch.zeros(1)

    monkeypatch.setattr(data, "images", lambda frames: frames.mask.float())
    monkeypatch.setattr(evaluation, "logits", lambda net, y: 5.0 * y + 2.2)  # a bias: 0 finds all
    monkeypatch.setattr(evaluation, "dead_maps", lambda *a: [])
    net = Net()
    net.maps = lambda: []
    made = evaluation.measure("sirst", net, 0)
    assert made["cut"] == 2.5
    assert made["iou"] < 5
    assert made["iou_chosen"] == made["iou_val_chosen"] == 100
    assert made["iou_train"] == made["iou_val"] < 5


def test_robustness_of_a_known_detector_by_hand(monkeypatch):
    """One that answers rightly on clean images only: the curve is 100, 0, 0 and its area a half."""
    monkeypatch.setattr(data, "SIGMAS", (0, 10, 20))
    monkeypatch.setattr(data, "DENSITIES", (0.0, 0.5))
    frames = data.synthetic(seeded(), 2, 48)
    clean = data.images(frames)
    run = lambda x: frames.mask if torch.equal(x, clean) else torch.zeros_like(frames.mask)
    made = evaluation.robustness(run, frames)
    assert made["iou_sigma"] == [100.0, 0.0, 0.0]
    assert made["area_sigma"] == pytest.approx(25.0)
    assert made["area_density"] == pytest.approx(50.0)


def test_experiments_are_complete_and_build_their_networks():
    for name, e in EXPERIMENTS.items():
        assert e.title, name
        assert e.protocol, name
        net = e.build()
        assert (net is None) == (not e.recipes), name
        assert set(e.published) <= set(COLUMNS), name
        for recipe in e.recipes.values():
            assert isinstance(recipe, small_target_training.Training)
    assert set(EXPERIMENTS["lrpcanet-sirst"].recipes) == {
        "cpu",
        "cpu-sirst",
        "cpu-awake",
        "sirst-awake",
        "gpu-short",
        "full",
        "gpu",
    }
    assert [*EXPERIMENTS["lrpcanet-sirst"].recipes][-4:] == [
        "cpu-sirst",
        "full",
        "gpu-short",
        "gpu",
    ]  # the last recorded is shown
    whole = EXPERIMENTS["lrpcanet-sirst"]
    assert count(whole.build(whole.recipes["gpu"])) == 215_916
    control = EXPERIMENTS["rpcanet-sirst"]
    assert count(control.build(control.recipes["gpu"])) == 679_896
    narrow = EXPERIMENTS["narrow-merge"]
    assert count(narrow.build(narrow.recipes["gpu"])) == 55_356
    for recipe in narrow.recipes.values():  # a quarter of the channels, whatever the width
        assert 4 * recipe.merge == recipe.width
    assert whole.recipes["cpu"].data == "synthetic"  # needs no data folder


def test_other_scenes_are_measured_at_the_cut_of_the_recorded_run(monkeypatch):
    frames = data.synthetic(seeded(), 2, 48)
    monkeypatch.setattr(evaluation, "elsewhere", lambda seed: frames)
    cuts = {("small_target/mpcm-sirst", "cut", ""): [0.26]}
    monkeypatch.setattr(records, "values", lambda *a: cuts.get(a, []))
    score = 0.3 * frames.mask.float() + 0.25 * (~frames.mask).float()
    score[:, :, 0, 0] = 0.6
    found = lambda name: evaluation.measure_elsewhere(name, "", 0.5, lambda f: score, None, 0)
    made = found("mpcm-sirst")
    assert (made["cut"], made["pd"], made["pd_chosen"]) == (0.26, 0.0, 100.0)
    assert made["union_chosen"] == [int(m.sum()) + 1 for m in frames.mask]
    with pytest.raises(ValueError, match="small_target/pstnn-sirst has no recorded cut"):
        found("pstnn-sirst")


def test_a_study_changes_one_thing():
    whole = EXPERIMENTS["lrpcanet-sirst"]
    allowed = {"se": set(), "stages": {"stages"}, "robust": {"sigma", "density"}}
    allowed |= {"lipschitz": set(), "noise": set(), "narrow": {"merge"}}
    for name, e in EXPERIMENTS.items():
        if name.split("-")[0] not in allowed:
            continue
        for key, recipe in e.recipes.items():
            base = whole.recipes[key]
            changed = {
                f.name for f in fields(base) if getattr(base, f.name) != getattr(recipe, f.name)
            }
            assert changed <= allowed[name.split("-")[0]] | {"steps"}, (name, key)
            plain = EXPERIMENTS["lipschitz"].recipes[key]  # as long as every other study
            assert recipe.steps == plain.steps <= base.steps, (name, key)
    net = EXPERIMENTS["se-BT"].build()
    assert [isinstance(getattr(net, m)[0].excite, Excite) for m in ("FB", "FT", "FN", "FD")] == [
        True,
        True,
        False,
        False,
    ]
    assert not EXPERIMENTS["noise-not-carried"].build().carry_noise
    assert not hasattr(EXPERIMENTS["robust-two-term"].build(), "FN")


def test_published_figures_are_consistent_with_each_other():
    """What the tables print of one network twice; the two figures that differ are known."""
    whole, six = PUBLISHED["L-RPCANet"], PUBLISHED_STAGES[6]
    assert whole["irstd1k"] == six["irstd1k"]
    assert whole["nudt"][1] == 96.54
    assert six["nudt"][1] == 96.04
    assert whole["sirst-aug"][2] == 90.17
    assert six["sirst-aug"][2] == 99.17
    for name, average in PUBLISHED_AVERAGE.items():
        table = dict(PUBLISHED[name])
        if name == "L-RPCANet":
            table |= {s: six[s] for s in ("nudt", "sirst-aug", "irstd1k")}
        means = [sum(table[s][i] for s in ("nudt", "sirst-aug", "irstd1k")) / 3 for i in range(4)]
        assert means == pytest.approx(average, abs=0.5), name
    assert max(PUBLISHED_AVERAGE, key=lambda n: PUBLISHED_AVERAGE[n][3]) == "L-RPCANet"
    assert PUBLISHED_SE["BTND"]["nudt"][0] == max(t["nudt"][0] for t in PUBLISHED_SE.values())


def test_a_recorded_run_builds_the_network_of_its_recipe(tmp_path):
    e, recipe = EXPERIMENTS["lrpcanet-sirst"], tiny_recipe()
    net = e.build(recipe)
    told = {f.name: getattr(recipe, f.name) for f in fields(recipe)}
    records.save(tmp_path, {"scores": {}, "recipe_name": "cpu", "recipe": told})
    records.save_weights(tmp_path, net)
    again = experiment.build(e, tmp_path)
    records.load_weights(tmp_path / "weights.safetensors", again)
    b = rand(1, 1, 9, 9).float()
    assert torch.equal(again.eval()(b), net.eval()(b))


def test_three_crops_of_four_are_placed_at_a_target():
    mask = torch.zeros(1, 1, 256, 256, dtype=torch.bool)
    mask[0, 0, 128, 128] = True
    frames = data.Frames(("one",), torch.zeros(1, 1, 256, 256, dtype=torch.uint8), mask)
    _, cut = data.crops(frames, 1000, 16, seeded(8))
    share = float(cut.flatten(1).any(1).float().mean())
    assert 0.71 < share < 0.80  # .75, and one of the others in 250


def test_ipi_stops_when_the_rank_has_stayed_for_twelve_steps(monkeypatch):
    taken = []

    def steps(P, lam, mu, mu_end):
        for rank in [1, 2, 3, *[4] * 50]:
            taken.append(rank)
            yield algorithm.Step(P, P, mu, rank, 1.0)

    monkeypatch.setattr(baselines, "rpca_apg", steps)
    baselines.ipi(torch.rand(60, 60, generator=seeded()), steps=300)
    assert len(taken) == 3 + 12


def test_of_two_looks_as_good_the_first_is_kept(few, monkeypatch):
    net, recipe = LRPCANet(1, 4, 2, n_noise=1), tiny_recipe(steps=9, every=1)
    best = small_target_training.Best(net, recipe, Context())
    shares = iter([0.2, 0.5, 0.5, 0.1])
    monkeypatch.setattr(scores, "iou", lambda *a: next(shares))
    for step in range(1, 5):
        best.look(step)
    assert (best.step, best.score) == (2, 0.5)
