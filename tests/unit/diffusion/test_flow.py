"""Variance-preserving and rectified-flow coordinates: one is the other, scaled, at another time."""

from __future__ import annotations

from math import atan2, cos, sin, sqrt

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from support.exact_networks import normal

from sfddm.diffusion.flow import flow_level, flow_point, flow_time, flow_velocity, x0_of_velocity
from sfddm.diffusion.process import NoiseLevel, Prediction, ddim_move, q_sample, velocity

levels = st.floats(1e-3, 0.999).map(lambda a: NoiseLevel(sqrt(a), sqrt(1 - a)))


@given(levels)
def test_a_noised_image_is_a_point_of_the_flow_and_back(level: NoiseLevel) -> None:
    x0, noise = normal(1, 1, 2, 2).double(), normal(1, 1, 2, 2, seed=1).double()
    r = flow_time(level)
    torch.testing.assert_close(flow_point(q_sample(x0, noise, level), level), (1 - r) * x0 + r * noise)
    back = flow_level(r)
    assert (back.signal, back.sigma) == pytest.approx((level.signal, level.sigma), rel=1e-9)


def test_the_ends_are_the_clean_image_and_noise() -> None:
    assert [flow_time(NoiseLevel(1.0, 0.0)), flow_time(NoiseLevel(0.0, 1.0))] == [0.0, 1.0]
    assert [flow_level(0.0), flow_level(1.0)] == [NoiseLevel(1.0, 0.0), NoiseLevel(0.0, 1.0)]


@given(levels, levels)
def test_a_ddim_step_is_an_euler_step_of_the_flow(level: NoiseLevel, there: NoiseLevel) -> None:
    said = Prediction(normal(1, 1, 2, 2).double(), normal(1, 1, 2, 2, seed=1).double())
    z, u, r = flow_point(q_sample(said.x0, said.eps, level), level), flow_velocity(said), flow_time(level)
    euler = z - (r - flow_time(there)) * u
    torch.testing.assert_close(flow_point(ddim_move(said, there), there), euler)
    torch.testing.assert_close(x0_of_velocity(u, z, r), said.x0)


@given(levels, st.floats(1e-6, 1e-5))
def test_the_velocities_of_flow_and_of_v_prediction_are_derivatives_along_the_noising(
    level: NoiseLevel, step: float
) -> None:
    """dz/dr = eps - x0, and on the circle x(theta) = cos(theta) x0 + sin(theta) eps of TrigFlow, dx/dtheta = v."""
    x0, noise = normal(1, 1, 2, 2).double(), normal(1, 1, 2, 2, seed=1).double()
    theta, r = atan2(float(level.sigma), float(level.signal)), flow_time(level)
    ends = [q_sample(x0, noise, NoiseLevel(cos(a), sin(a))) for a in (theta - step, theta + step)]
    torch.testing.assert_close((ends[1] - ends[0]) / (2 * step), velocity(x0, noise, level), rtol=1e-4, atol=1e-4)
    around = [flow_level(r + sign * min(step, r / 2, (1 - r) / 2)) for sign in (-1, 1)]
    points = [flow_point(q_sample(x0, noise, one), one) for one in around]
    slope = (points[1] - points[0]) / (flow_time(around[1]) - flow_time(around[0]))
    torch.testing.assert_close(slope, flow_velocity(Prediction(x0, noise)), rtol=1e-4, atol=1e-4)
