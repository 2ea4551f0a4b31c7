"""The compiled kernel makes of single texts what Python makes of them."""

from __future__ import annotations

from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spanward.processor.policy.config import Policy
from spanward.processor.policy.governor import Governor
from spanward.processor.policy.kernel_plan import compile_plan
from spanward.processor.policy.native import Engine, load_native
from spanward.store.text import well_formed
from tests.support.kernel_policies import CLAIMS, HASH_KEY, POLICIES
from tests.support.planted_texts import PLANTED_TEXTS

pytest.importorskip("spanward.native", reason="the kernel is not built: `make kernel` builds it (needs Rust)")

_LIMITS: Final = {"nesting": 1, "attributes": 1, "events": 1, "links": 1, "spans": 1}
TEXTS: Final = PLANTED_TEXTS.map(well_formed)
KEYS: Final = st.sampled_from(["", "url.full", *CLAIMS]) | TEXTS


@pytest.mark.parametrize("name", POLICIES)
@given(text=TEXTS | st.builds(str.__mul__, TEXTS, st.integers(50, 100)), key=KEYS)
@settings(max_examples=100, deadline=None)
def test_texts_are_the_same(name: str, text: str, key: str) -> None:
    """Any text as the value of any key, long ones too, under each policy: the same finds, the same text stored."""
    policy = Policy.model_validate(POLICIES[name])
    native: Any = load_native(Engine.KERNEL, "TextPolicy", [HASH_KEY], lambda: compile_plan(policy, _LIMITS))
    governor = Governor(policy, [HASH_KEY])
    assert native.scan(text, key) == governor.scan(text, key)
    assert native.redact(text, key) == governor.redact(text, key)
