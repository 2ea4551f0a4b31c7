"""Overlapping hits become one, so that a redaction never cuts into another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from spanward.processor.policy.privacy.detect import Hit
from spanward.processor.policy.privacy.entities import ORDER, STRENGTH, Action
from spanward.processor.policy.privacy.plan import Actions


class Stretch(NamedTuple):
    """A piece of text that hits cover without a gap.

    Attributes:
        start, end: all that the hits cover together.
        hit: the one that names the stretch: a value before a token, then the strongest action, the longest, the first
            in the order of `Entity`.
        action: what is done with the whole stretch.
    """

    start: int
    end: int
    hit: Hit
    action: Action


def merge(hits: Iterable[Hit], actions: Actions) -> Iterator[Stretch]:
    """Stretches in order of position, from hits in order of position."""
    cluster: list[Hit] = []
    end = 0
    for hit in hits:
        if cluster and hit.start >= end:
            yield _stretch(cluster, end, actions)
            cluster = []
        cluster.append(hit)
        end = max(end, hit.end)
    if cluster:
        yield _stretch(cluster, end, actions)


def _stretch(cluster: list[Hit], end: int, actions: Actions) -> Stretch:
    winner = cluster[0] if len(cluster) == 1 else max(cluster, key=lambda hit: _rank(hit, actions))
    return Stretch(cluster[0].start, end, winner, actions[winner.entity])


def _rank(hit: Hit, actions: Actions) -> tuple[bool, int, int, int]:
    return not hit.token, STRENGTH[actions[hit.entity]], hit.end - hit.start, -ORDER[hit.entity]
