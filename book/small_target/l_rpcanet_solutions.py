"""Solutions of the exercises in l_rpcanet.md; tests/test_l_rpcanet_page.py checks them."""

import torch
from torch.nn.functional import interpolate

from dunfold_lib.small_target import LRPCANet, iou


def parameters(K=6, c=32, b=4, n_noise=6, d=0):
    """The numbers of ``LRPCANet``, all four maps with squeeze-and-excitation."""
    conv = lambda k, a, b: k * k * a * b + b
    norm = lambda channels: 2 * channels  # scale and shift
    excite = lambda c: conv(1, c, max(c // 16, 2)) + conv(1, max(c // 16, 2), c)
    wide = conv(3, b, c) + excite(c) + conv(3, c, 1)
    background = conv(1, 1, b) + 3 * conv(3, b, b) + 4 * norm(b) + wide
    target = conv(1, 1, b) + 6 * conv(3, b, b) + wide + 1  # ε
    noise = conv(3, 1, b) + n_noise * conv(3, b, b) + wide + 1  # σ
    d = d or c
    image = conv(3, 1, d) + 3 * conv(3, d, d) + 4 * norm(d) + excite(d) + conv(3, d, 1)
    return K * (background + target + noise + image)


def absorbed(dS, eps):
    """F with v − εF(v) = v/2 − ε∇S(v/2): the derived step, its gradient taken halfway."""
    return lambda v: v / (2 * eps) + dS(v / 2)


def reach(K, n_noise=6):
    """How many pixels away T^K still feels a change, without squeeze-and-excitation."""
    D = T = N = 0
    for _ in range(K):
        B = max(D, T, N) + 5  # 1×1, then five 3×3
        T = max(T, D, B, N) + 8
        N = max(N, D, B, T) + n_noise + 3
        D = max(B, T, N) + 5
    return T


@torch.no_grad()
def without_noise(net: LRPCANet, b):
    """T^K of a network whose noise maps are silenced: N = 0 in every stage."""
    x = net.start(b)
    for k in range(net.K):
        B = net.background(k, x)
        T = net.targets(k, x, B)
        x = x._replace(D=net.FD[k](B + T), B=B, T=T)
    return x.T


def best_cut(logit, truth, cuts):
    """The threshold among ``cuts`` with the largest IoU."""
    return max(cuts, key=lambda cut: iou(logit > cut, truth))


@torch.no_grad()
def silent_layer(F, x, border=30):
    """Which ReLU of F.body, from 1, is the first that is 0 wherever we look; 0: none."""
    count = 0
    for part in F.body:
        x = part(x)
        if isinstance(part, torch.nn.ReLU):
            count += 1
            if not x[..., border:-border, border:-border].any():
                return count
    return 0


@torch.no_grad()
def at_scales(net, b, truth, scales):
    """IoU where the frames (batch, 1, h, w) and their masks are so many times as large."""
    found = []
    for scale in scales:
        seen = interpolate(b, scale_factor=scale, mode="bicubic").clamp(0, 1)
        mask = interpolate(truth.to(b), scale_factor=scale, mode="nearest-exact") > 0.5
        found.append(iou(net(seen) > 0, mask))
    return found
