"""Deployment folders: what a chip's own tools load, with the evidence that it behaves as simulated."""

from snnkit.hardware.deploy.deployment import Deployment, UnknownTarget, deploy, targets
from snnkit.hardware.deploy.folder import BadFolder

__all__ = ["deploy", "Deployment", "targets", "UnknownTarget", "BadFolder"]
