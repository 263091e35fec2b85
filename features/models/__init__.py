"""Rows and their named queries: what the site knows without touching a model or a weight."""

from .corpus import Corpus
from .jobs import Import, Job, QueuedWork, Verification
from .kept import KeptActivations
from .parts import JobPart, ShardFile
from .sae import SAE
from .statistics import Feature, FeaturePayload, FeatureQuerySet, Statistics

__all__ = [
    "SAE",
    "Corpus",
    "Feature",
    "FeaturePayload",
    "FeatureQuerySet",
    "Import",
    "Job",
    "JobPart",
    "KeptActivations",
    "QueuedWork",
    "ShardFile",
    "Statistics",
    "Verification",
]
