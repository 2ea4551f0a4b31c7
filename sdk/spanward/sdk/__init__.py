"""The SDK: what an application imports.

    from spanward.sdk import configure, traced

docs/sdk.md shows it at work. Nothing here imports Arrow; a lake folder as destination loads it when it is asked for.
"""

from __future__ import annotations

from spanward.sdk._configure import Spanward, configure
from spanward.sdk._decorator import traced
from spanward.sdk._links import link_text
from spanward.sdk._results import EventReference, OperationResult, PipelineStatus
from spanward.sdk.context import TracedThreadPoolExecutor, current_session, propagate, session
from spanward.sdk.pipeline import Pipeline

__all__ = [
    "EventReference",
    "OperationResult",
    "Pipeline",
    "PipelineStatus",
    "Spanward",
    "TracedThreadPoolExecutor",
    "configure",
    "current_session",
    "link_text",
    "propagate",
    "session",
    "traced",
]
