"""Rows and their named queries: what the site knows without touching a model or a weight."""

from .analysis import Analysis, FeatureAnalysis
from .autointerp import AutoInterp, AutoInterpFeature
from .claims import Claim, ClaimTest
from .corpus import Corpus
from .descriptions import FeatureDescription
from .grading import GradingAnswer, GradingControl, GradingDraw, GradingSample
from .jobs import Import, Job, QueuedWork, Verification
from .judgements import Judgement, JudgementChange, Rejection
from .kept import KeptActivations
from .maps import DecoderMap
from .parts import JobPart, ShardFile
from .runs import (
    Checkpoint,
    CheckpointBlock,
    CheckpointCounts,
    CheckpointQuerySet,
    CheckpointTest,
    Comparison,
    Run,
    RunToken,
    Watch,
)
from .sae import SAE
from .search import FeatureSearch
from .statistics import Feature, FeatureExamples, FeatureFlag, FeaturePayload, FeatureQuerySet, Statistics

__all__ = [
    "SAE",
    "Analysis",
    "AutoInterp",
    "AutoInterpFeature",
    "Checkpoint",
    "CheckpointBlock",
    "CheckpointCounts",
    "CheckpointTest",
    "Claim",
    "ClaimTest",
    "CheckpointQuerySet",
    "Comparison",
    "Corpus",
    "DecoderMap",
    "Feature",
    "FeatureAnalysis",
    "FeatureDescription",
    "FeatureExamples",
    "FeatureFlag",
    "FeaturePayload",
    "FeatureQuerySet",
    "FeatureSearch",
    "GradingAnswer",
    "GradingControl",
    "GradingDraw",
    "GradingSample",
    "Import",
    "Job",
    "JobPart",
    "Judgement",
    "JudgementChange",
    "KeptActivations",
    "QueuedWork",
    "Rejection",
    "Run",
    "RunToken",
    "ShardFile",
    "Statistics",
    "Verification",
    "Watch",
]
