"""Policies and claims under which the compiled kernel is held against Python."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hypothesis import strategies as st

from spanward.processor.policy.keys import HashKey
from spanward.processor.policy.privacy.entities import Entity

HASH_KEY: Final = HashKey("k1", b"0123456789abcdef0123456789abcdef")

POLICIES: Final[Mapping[str, Any]] = {
    "default": {},
    "tag": {"privacy": {"actions": dict.fromkeys(Entity, "tag")}},
    "mask": {"privacy": {"actions": dict.fromkeys(Entity, "mask"), "person_keys": ["user.id", "enduser.id", "@k"]}},
    "drop": {"privacy": {"actions": dict.fromkeys(Entity, "drop")}},
    "labels": {
        "defaults": {"classification": "public", "retention": "7d"},
        "labels": [
            {"match": {"attribute": "http.*=GET"}, "classification": "restricted", "retention": "permanent"},
            {"match": {"operation": "*[0-9]*"}, "classification": "confidential", "retention": "365d"},
            {"match": {"event_type": "?"}, "drop": True},
            {"match": {"service": "*e*", "attribute": "user.id"}, "retention": "2d"},
        ],
        "privacy": {"classes": {"public": {"email": "tag"}, "restricted": {"ipv4": "drop"}}},
    },
    "exceptions": {
        "privacy": {
            "allow": {
                "values": ["Alice@example.com"],
                "networks": ["10.0.0.0/8", "2001:db8::/32"],
                "keys": [{"keys": ["url.*"], "entities": ["email", "card"]}],
            },
            "key_rules": [{"pattern": r"(^|_)user_id$", "entity": "us_ssn", "action": "hash"}],
        }
    },
    "off": {"privacy": {"enabled": False}, "quality": {"anomaly": {"enabled": False}}},
    "short": {"limits": {"max_text_length": 1000, "max_depth": 1}},
}

CLAIMS: Final = (
    "spanward.classification", "spanward.retention", "spanward.contains_pii", "spanward.privacy.tags", "spanward.pii",
    "spanward.subjects", "spanward.quality.violations", "spanward.quality.score", "spanward.memory_mb",
    "spanward.event.type", "http.request.header.authorization", "password", "user.email", "app.version", "ssn",
)  # fmt: skip
CLAIMED: Final = st.sampled_from(
    ["public", "CONFIDENTIAL ", "secret", "7d", "permanent", "P30D", "0d", "40000", "email,card", "email,email", "odd",
     "k1:0123456789abcdef0123456789abcdef", "anomaly,slow", "alice@example.com", "a.b", ""],
)  # fmt: skip
