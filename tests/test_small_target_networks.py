"""Of small target: networks."""

import pytest
import torch
from shared_small_target import F64, SYNTHETIC, close, count, has_sirst, rand, randn, seeded
from torch import nn
from torch.nn import functional
from torch.testing import assert_close

from dunfold_lib.prox import soft
from dunfold_lib.small_target import algorithm, data, fast, maps, readers
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
from dunfold_lib.small_target.weights import imitate, start_dark

SMALL = {
    "RPCANet": lambda **a: RPCANet(K=2, c=3, **a),
    "LRPCANet": lambda **a: LRPCANet(K=2, c=5, b=2, n_noise=2, **a),
    "released form": lambda **a: LRPCANet(K=3, c=4, b=2, carry_noise=False, **a),
    "no excitation": lambda **a: LRPCANet(K=2, c=4, b=3, se="", d=2, **a),
    "TwoTerm": lambda **a: TwoTerm(K=2, c=4, b=2, **a),
}


small = pytest.mark.parametrize("make", SMALL.values(), ids=SMALL.keys())


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
