"""The exact denoiser of a mixture in float64, at levels of one's choice: what samplers converge to is known."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from sfddm.data.gaussians import Mixture, posterior_mean
from sfddm.diffusion.process import Prediction
from sfddm.diffusion.schedule import Float64


class ExactDenoiser:
    """What a sampler asks of a denoiser, for points (B, 2, 1, 1) float64; counts its evaluations."""

    takes_arrival = False

    def __init__(self, mixture: Mixture, alphas_bar: Float64) -> None:
        self.mixture, self.alphas_bar, self.asked = mixture, alphas_bar, 0

    @classmethod
    def at(cls, mixture: Mixture, tau: Float64) -> ExactDenoiser:
        """Return the denoiser whose index t has tau[t] = sigma / signal, increasing."""
        return cls(mixture, 1 / (1 + np.square(tau)))

    def alpha_bar(self, t: int) -> float:
        return float(self.alphas_bar[t])

    def batch_of(self, t: int, count: int) -> Tensor:
        return torch.full((count,), t)

    def predict(self, x: Tensor, t: Tensor) -> Prediction:
        self.asked += 1
        alpha_bar = self.alpha_bar(int(t[0]))
        x0 = torch.from_numpy(posterior_mean(self.mixture, x.flatten(1).numpy(), alpha_bar)).view_as(x)
        return Prediction(x0, (x - np.sqrt(alpha_bar) * x0) / np.sqrt(1 - alpha_bar))


def path_of(mixture: Mixture, start: Float64, tau_start: float, tau_end: float) -> Float64:
    """Return where points X = x / signal (B, 2) at tau_start are carried by dX / dtau = (X - E[x0 | X]) / tau.

    By an integrator of scipy's, of order 8, that knows nothing of diffusion.
    """
    from scipy.integrate import solve_ivp

    def slope(tau: float, flat: Float64) -> Float64:
        points = flat.reshape(start.shape)
        x0 = posterior_mean(mixture, points / np.sqrt(1 + tau**2), 1 / (1 + tau**2))
        return ((points - x0) / tau).ravel()

    span = (tau_start, tau_end)
    return solve_ivp(slope, span, start.ravel(), method="DOP853", rtol=1e-12, atol=1e-12).y[:, -1].reshape(start.shape)
