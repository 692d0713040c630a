"""What the tests ``test_imaging*`` share."""

import numpy as np
import pytest
import shared_random
import torch
from torch.nn.functional import conv2d
from torch.nn.utils import parametrize
from torch.testing import assert_close

from dunfold_lib import images
from dunfold_lib.imaging import data, model
from dunfold_lib.imaging import training as imaging_training
from dunfold_lib.imaging.model import ISTANet, ISTANetPlus, start_quietly
from dunfold_lib.operators import Fourier, Sensing

count = shared_random.count


SIDE = 5  # of the small blocks below

KINDS = (ISTANet, ISTANetPlus)

kinds = pytest.mark.parametrize("Network", KINDS)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def uniform(*shape, seed=0):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def close(x, y, tolerance=1e-12):
    assert_close(x, y, rtol=0, atol=tolerance)


def bits(*shape, seed=0, share=0.5):
    """A mask of 0 and 1."""
    return (uniform(*shape, seed=seed) < share).double()


# metrics


def structural(x, y, peak):
    """SSIM by its definition: means, variances and covariance in every 7×7 window."""
    c1, c2, values = (0.01 * peak) ** 2, (0.03 * peak) ** 2, []
    for i in range(x.shape[0] - 6):
        for j in range(x.shape[1] - 6):
            u, v = x[i : i + 7, j : j + 7], y[i : i + 7, j : j + 7]
            mu, mv = u.mean(), v.mean()
            uu, vv = ((u - mu) ** 2).sum() / 48, ((v - mv) ** 2).sum() / 48
            uv = ((u - mu) * (v - mv)).sum() / 48
            one = (2 * mu * mv + c1) / (mu**2 + mv**2 + c1)
            values.append(one * (2 * uv + c2) / (uu + vv + c2))
    return float(np.mean(values))


# data: luminance and files


def luminance(pixels):
    """An array as luminance (1, 1, height, width)."""
    return torch.from_numpy(images.luminance(images.of_array(pixels, "image")))[None, None]


GREY = np.array([[0, 51, 255], [102, 204, 153]], dtype=np.uint8)

# networks


def orthonormal(m, n, seed=0):
    return torch.linalg.qr(normal(n, m, seed=seed))[0].T


PHI = orthonormal(8, SIDE * SIDE)

START = data.linear_start(PHI, data.covariance(uniform(40, 1, SIDE, SIDE, seed=5)))


def small(Network, K=3, channels=4, Q=START, A=None, seed=0):
    """A small network in float64, as it begins."""
    return Network(A if A is not None else Sensing(PHI), K, channels, Q, seed).double()


def shaken(net):
    """The network with steps and thresholds of its own in every phase."""
    with torch.no_grad():
        net.rho += 0.3 * uniform(net.K, seed=1)
        net.theta += 0.05 * uniform(net.K, seed=2)
        for i, name in enumerate(model.names(net)):
            for k, w in enumerate(getattr(net, name)):
                w *= 1.2
                w += 0.05 * normal(*w.shape, seed=10 * i + k)
    return net


def blocks(n=3, seed=7):
    return uniform(n, 1, SIDE, SIDE, seed=seed)


def measured(net, n=3, seed=7):
    return net.A(uniform(n, *net.A.domain, seed=seed))


def mri(Network, K=3, channels=4):
    """A small network for slices."""
    return small(Network, K, channels, Q=None, A=Fourier(bits(6, 9, share=0.6)))


def written_out(net, b):
    """The estimate by the paper's equations, with nothing of the network but its numbers."""
    x = b @ net.Q.T if net.Q is not None else net.A.T(b)
    x = x.reshape(-1, *net.A.domain)
    c = lambda v, w: conv2d(v, w, padding=1)
    for k in range(net.K):
        r = x - net.rho[k] * net.A.T(net.A(x) - b)
        plus = isinstance(net, ISTANetPlus)
        z = c(c(c(r, net.D[k]) if plus else r, net.C1[k]).clamp(min=0), net.C2[k])
        z = torch.where(z.abs() > net.theta[k], z - net.theta[k] * z.sign(), 0 * z)
        x = c(c(z, net.C3[k]).clamp(min=0), net.C4[k])
        x = r + c(x, net.G[k]) if plus else x
    return x


def quiet(net):
    start_quietly(net)
    return net


def constrained(net):
    parametrize.register_parametrization(shaken(net), "rho", model.Within(0.0, 2.0))
    parametrize.register_parametrization(net, "theta", model.Within(0.0))
    return net


# training


@pytest.fixture
def scraps(monkeypatch):
    """A few blocks 33×33 in the place of the training images, and tiny recipes."""
    smooth = torch.nn.functional.avg_pool2d(uniform(12, 1, 35, 35).float(), 3, 1)
    cut = (smooth * 2 - 0.5).clamp(0, 1)
    monkeypatch.setattr(imaging_training, "training_set", lambda name: cut)
    monkeypatch.setattr(imaging_training, "patch_covariance", lambda name: data.covariance(cut))
    return cut


TINY = imaging_training.Training(phases=2, channels=2, steps=4, batch=3, lr=1e-2)
