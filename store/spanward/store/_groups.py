"""The upper levels of an OTLP message: which resource and which scope a row's span belongs under."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import pyarrow as pa
from opentelemetry.proto.common.v1.common_pb2 import EntityRef
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span, TracesData

from spanward.store._anyvalue import add_attributes
from spanward.store._lists import values
from spanward.store.values import loads, loads_attributes

_RESOURCE: Final = ("resource", "resource_dropped_attributes_count", "resource_schema_url", "resource_entity_refs")
_SCOPE: Final = (
    "scope_name", "scope_version", "scope_attributes", "scope_dropped_attributes_count", "scope_schema_url",
)  # fmt: skip


class Groups:
    """The tree above the spans, grown as new resources and scopes appear."""

    def __init__(self, data: TracesData) -> None:
        self._data = data
        self._resources: dict[tuple[Any, ...], ResourceSpans] = {}
        self._scopes: dict[tuple[Any, ...], ScopeSpans] = {}

    def add_span(self, key: tuple[Any, ...]) -> Span:
        """A new, empty span under the resource and scope that `key` holds the cells of."""
        scope = self._scopes.get(key)
        if scope is None:
            resource = self._resource(key[: len(_RESOURCE)])
            scope = self._scopes[key] = resource.scope_spans.add()
            _fill_scope(scope, *key[len(_RESOURCE) :])
        return scope.spans.add()

    def _resource(self, key: tuple[Any, ...]) -> ResourceSpans:
        group = self._resources.get(key)
        if group is None:
            group = self._resources[key] = self._data.resource_spans.add()
            _fill_resource(group, *key)
        return group


def group_keys(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    """Of each row the cells that say where in the tree its span belongs."""
    return zip(*(values(batch.column(name)) for name in _RESOURCE + _SCOPE), strict=True)


def _fill_resource(
    group: ResourceSpans, attributes: str, dropped: int, schema_url: str | None, entity_refs: str | None
) -> None:
    group.schema_url = schema_url or ""
    group.resource.SetInParent()
    group.resource.dropped_attributes_count = dropped
    add_attributes(group.resource.attributes, loads_attributes(attributes))
    refs: Any = loads(entity_refs) if entity_refs else []
    group.resource.entity_refs.extend(EntityRef(**ref) for ref in refs)


def _fill_scope(group: ScopeSpans, *cells: Any) -> None:
    name, version, attributes, dropped, schema_url = cells
    group.schema_url = schema_url or ""
    group.scope.SetInParent()
    group.scope.name = name or ""
    group.scope.version = version or ""
    group.scope.dropped_attributes_count = dropped
    add_attributes(group.scope.attributes, loads_attributes(attributes) if attributes else {})
