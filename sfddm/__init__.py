"""Spec-driven reproducibility harness for diffusion-model distillation."""

__version__ = "0.1.0"
