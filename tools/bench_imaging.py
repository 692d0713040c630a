"""Races of ``imaging``."""

import torch
from bench_race import Race
from torch import nn

from dunfold_lib.imaging import ISTANetPlus, data, estimate
from dunfold_lib.operators import Sensing


class PlainPhase(nn.Module):
    """A phase of ISTA-Net+ as one would first write it: a module a convolution, nothing fused."""

    def __init__(self, net: ISTANetPlus, k: int):
        super().__init__()
        self.rho, self.theta = (nn.Parameter(p[k].detach().clone()) for p in (net.rho, net.theta))
        self.D, self.C1, self.C2, self.C3, self.C4, self.G = (
            self.convolution(getattr(net, name)[k]) for name in ("D", "C1", "C2", "C3", "C4", "G")
        )

    @staticmethod
    def convolution(w: torch.Tensor) -> nn.Conv2d:
        """The module of a filter."""
        module = nn.Conv2d(w.shape[1], w.shape[0], 3, padding=1, bias=False)
        module.weight.data = w.detach().clone(memory_format=torch.contiguous_format)
        return module

    def forward(
        self, x: torch.Tensor, gram: torch.Tensor, back: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """(x, asymmetry) from x, rows of pixels, with AᵀA and Aᵀb."""
        x = x - self.rho * (x @ gram) + self.rho * back
        r = x.reshape(-1, 1, 33, 33)
        u = self.D(r)
        z = self.C2(torch.relu(self.C1(u)))
        kept = torch.sign(z) * torch.relu(torch.abs(z) - self.theta)
        new = r + self.G(self.C4(torch.relu(self.C3(kept))))
        if not self.training:
            return new.flatten(1), u.new_zeros(())
        return new.flatten(1), (self.C4(torch.relu(self.C3(z))) - u).square().mean()


class Plain(nn.Module):
    """ISTA-Net+ of plain phases, with the weights of another."""

    def __init__(self, net: ISTANetPlus):
        super().__init__()
        self.phases = nn.ModuleList(PlainPhase(net, k) for k in range(net.K))
        self.Phi = nn.Parameter(torch.cat([*net.A.buffers()]), requires_grad=False)

    def forward(self, b: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """(estimate, asymmetry)."""
        gram, back = self.Phi.T @ self.Phi, b @ self.Phi
        x, asymmetry = back, b.new_zeros(())
        for phase in self.phases:
            x, more = phase(x, gram, back)
            asymmetry = asymmetry + more
        return x.reshape(-1, 1, 33, 33), asymmetry


def imaging_forward() -> Race:
    """ISTA-Net+ on one image of 256×256 against the plain form."""
    net = ISTANetPlus(Sensing(data.sensing_matrix(25)), 9, 32).eval()
    plain = Plain(net).eval()
    b = net.A(torch.rand(64, 1, 33, 33, generator=torch.Generator().manual_seed(0)))
    same = lambda x, y: torch.testing.assert_close(x, y, rtol=0, atol=1e-5)
    name = "ISTA-Net+ (9 phases, 32 channels) on 256×256: ours | a module a convolution"
    slow = torch.inference_mode()(lambda: plain(b)[0])
    return Race(name, slow, torch.inference_mode()(lambda: estimate(net, b)), same)


RACES = [imaging_forward]
