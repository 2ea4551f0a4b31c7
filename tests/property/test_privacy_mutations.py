"""Requests with something of the wrong type in any place: no answer, no error and no row quotes what is in them."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from spanward.processor.governance.governance import Governance
from spanward.processor.governance.limits import Limits
from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.sidecar.component import Encoding
from spanward.store.errors import InvalidRequestError
from tests.support.planted import PLANTED, forms, planted_request

VALUE = "alice.planted@example.org"
KEY_VALUE = {"key": f"of {VALUE}", "value": {"stringValue": VALUE}}
SPAN = {
    "traceId": "ab" * 16, "spanId": "cd" * 8, "name": VALUE, "kind": 2, "flags": 1, "traceState": VALUE,
    "startTimeUnixNano": "1", "endTimeUnixNano": "2", "status": {"message": VALUE, "code": 2},
    "attributes": [KEY_VALUE, {"key": "m", "value": {"kvlistValue": {"values": [KEY_VALUE]}}}],
    "events": [{"name": VALUE, "timeUnixNano": "1", "attributes": [KEY_VALUE]}],
    "links": [{"traceId": "ab" * 16, "spanId": "cd" * 8, "traceState": VALUE, "attributes": [KEY_VALUE]}],
}  # fmt: skip
SCOPE_SPANS = {"scope": {"name": VALUE, "attributes": [KEY_VALUE]}, "spans": [SPAN], "schemaUrl": VALUE}
DOCUMENT: dict[str, Any] = {
    "resourceSpans": [{"resource": {"attributes": [KEY_VALUE]}, "scopeSpans": [SCOPE_SPANS], "schemaUrl": VALUE}]
}
WRONG: list[Any] = [
    VALUE, [VALUE], {VALUE: VALUE}, {"stringValue": VALUE}, {"intValue": VALUE}, None, 7, -1, 1e400, True,
    "\ud800" + VALUE, VALUE.upper(), {"@" + VALUE: {VALUE: VALUE}},
]  # fmt: skip
GOVERNANCE = Governance(Governor(Policy.default()), Limits(), CollectorRegistry(), "policy")
NEEDLES = {needle for _, value in PLANTED.values() for needle in forms(value)} | forms(VALUE.upper())


def places(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path to everything in a document, but for itself."""
    children = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, child in children:
        yield (*path, key)
        yield from places(child, (*path, key))


def shown(body: bytes, encoding: Encoding) -> bytes:
    """Everything that comes of a request: its rows and its partial success, or the error."""
    try:
        decoded = GOVERNANCE.decode(body, encoding, "default", 1_767_225_600_000_000_000)
    except InvalidRequestError as error:
        return str(error).encode()
    return (repr(decoded.rows.to_pylist()) + decoded.message).encode("utf-8", "replace")


@pytest.mark.parametrize("wrong", WRONG, ids=range(len(WRONG)))
def test_json_with_a_wrong_member_anywhere_quotes_nothing(wrong: Any) -> None:
    """Each member of a request in turn is replaced by a value of another type that holds an email."""
    for *parents, last in places(DOCUMENT):
        document = copy.deepcopy(DOCUMENT)
        node: Any = document
        for key in parents:
            node = node[key]
        node[last] = wrong
        out = shown(json.dumps(document).encode(), Encoding.JSON)
        assert not any(needle in out for needle in NEEDLES), (parents, last)


BODY = planted_request(first=1, now_ns=1_767_225_600_000_000_000).SerializeToString()


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, len(BODY) - 1), st.integers(0, 255)), min_size=1, max_size=4))
def test_damaged_protobuf_is_refused_without_a_word_of_it(changes: list[tuple[int, int]]) -> None:
    """A few bytes changed anywhere: the message about what was refused holds none of the planted values."""
    body = bytearray(BODY)
    for position, byte in changes:
        body[position] = byte
    try:
        out = GOVERNANCE.decode(bytes(body), Encoding.PROTOBUF, "default", 1).message
    except InvalidRequestError as error:
        out = str(error)
    assert not any(needle in out.encode() for needle in NEEDLES)
