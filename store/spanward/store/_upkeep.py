"""What keeps the log's answers and the window in step: recovery at the start, and carrying over before truncation."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Final

from spanward.store._intake_model import IntakeSettings
from spanward.store.batch import Batch, Signal
from spanward.store.dedup import ESTIMATED_ANSWER_BYTES, DedupWindow
from spanward.store.errors import RetryableError
from spanward.store.log import IntakeLog
from spanward.store.records import Answer, DedupRecord, decode_answers, decode_rows, encode

_log = logging.getLogger("spanward.store.intake")

_WORTHWHILE: Final = 4
"""Truncating must free this many times the bytes that carrying over the answers costs, unless the log is half full."""


def recover_next(records: Iterator[tuple[int, bytes]], window: DedupWindow, above: int) -> Batch | None:
    """Advance to the next record of spans with a sequence above `above`; None at the end of the log.

    The answers in every record on the way go back into the window.

    Raises:
        StoreError: a record was written by a newer version, or the log cannot be read.
    """
    for sequence, payload in records:
        window.add(decode_answers(payload), sequence)
        rows = decode_rows(payload) if sequence > above else None
        if rows is not None:
            return Batch(Signal.TRACES, rows, sequence)
    return None


def trim(log: IntakeLog, window: DedupWindow, committed: int, settings: IntakeSettings) -> None:
    """Truncate the log up to `committed`; answers that would go with it are written once more first.

    When there are many of them and little to free, nothing is done: a later call finds more to free, or fewer answers.

    Raises:
        RetryableError: the disk refused.
    """
    plan = log.reclaimable(committed)
    if plan.through == 0:
        return
    answers = window.held_only_by(plan.through)
    cost = len(answers) * ESTIMATED_ANSWER_BYTES
    is_tight = 2 * log.size_bytes > settings.max_log_bytes
    if cost * _WORTHWHILE > plan.record_bytes and not is_tight:
        return
    carried = _carry(log, window, answers)
    log.truncate(plan.through)
    if not carried and not _carry(log, window, answers):  # truncating may just have made the room for it
        _log.warning("%d answers may be forgotten by a restart: the disk refused to keep them", len(answers))


def _carry(log: IntakeLog, window: DedupWindow, answers: Sequence[Answer]) -> bool:
    """Write answers once more, into a segment that the coming truncation leaves; False when the disk refuses."""
    if not answers:
        return True
    try:
        log.roll()
        sequence = log.append(encode(DedupRecord(answers)))
    except RetryableError as error:
        _log.warning("%s", error)
        return False
    window.add(answers, sequence)
    return True
