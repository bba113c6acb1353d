"""Training: losses, the training loop, evaluation and weights on disk."""

from snnkit.training.checkpoint import CheckpointError, load_weights, save_weights
from snnkit.training.contrastive import Embedding, contrastive_loss
from snnkit.training.evaluation import Evaluation, evaluate, predict
from snnkit.training.loop import Epoch, FitResult, fit
from snnkit.training.losses import (
    class_scores,
    cross_entropy,
    membrane_cross_entropy,
    membrane_scores,
    rate_cross_entropy,
    rate_scores,
)
from snnkit.training.rates import RateBounds, rate_penalty, spikes_of
from snnkit.training.recipes import RECIPES, Recipe, Trained, build_net, recipe, train_one, train_recipe

__all__ = [
    "fit",
    "FitResult",
    "Epoch",
    "evaluate",
    "predict",
    "Evaluation",
    "rate_cross_entropy",
    "membrane_cross_entropy",
    "cross_entropy",
    "rate_scores",
    "membrane_scores",
    "class_scores",
    "contrastive_loss",
    "Embedding",
    "RateBounds",
    "rate_penalty",
    "spikes_of",
    "save_weights",
    "load_weights",
    "CheckpointError",
    "recipe",
    "Recipe",
    "RECIPES",
    "build_net",
    "train_one",
    "train_recipe",
    "Trained",
]
