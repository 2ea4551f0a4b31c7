"""docs/event-record.md, sdk/attributes.py and the table's columns say the same."""

from __future__ import annotations

import re
from pathlib import Path

from spanward.sdk import attributes
from spanward.store.schema import PROMOTED_DOUBLES, PROMOTED_STRINGS

DOCUMENT = Path(__file__).parents[3] / "docs" / "event-record.md"
FIELDS = """event id, timestamp, session id, request id, user id, type, component, operation, input, output, metadata,
processing_time_ms, memory_mb, cpu, success, error, quality score, classification, retention, contains_pii,
privacy tags, lineage"""


def rows() -> dict[str, str]:
    """Field -> where it is in the span, of the table in the document."""
    lines = (line.strip().strip("|").split("|") for line in DOCUMENT.read_text().splitlines() if line.startswith("|"))
    return {cells[0].strip(): cells[1] for cells in lines if not cells[0].strip().startswith(("field", "-"))}


def test_the_table_has_every_field_once() -> None:
    """No field of the event record is missing from the documentation, and none is made up."""
    assert set(rows()) == {" ".join(field.split()) for field in FIELDS.split(",")}


def test_every_attribute_in_the_table_is_a_constant_and_the_other_way_round() -> None:
    """The names in the document are those that the code writes."""
    named = {name for cell in rows().values() for name in re.findall(r"`([a-z_.]+\.[a-z_.]+)(?:<key>)?`", cell)}
    constants = {value for name, value in vars(attributes).items() if name.isupper()}
    elsewhere = {attributes.CODE_FUNCTION_NAME, attributes.REGISTRATION_TARGET}
    assert named == constants - elsewhere


def test_promoted_attributes_have_the_columns_the_table_promises() -> None:
    """A field documented as a column of its own has that column in the schema."""
    for cell in rows().values():
        for name, column in re.findall(r"`([a-z_.]+)` \(column `([a-z_]+)`\)", cell):
            assert (PROMOTED_STRINGS | PROMOTED_DOUBLES)[name] == column
