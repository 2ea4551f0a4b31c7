"""Recognising a request that was taken before.

A client that got no answer sends the same body again. Within the window such a repetition gets the answer that the
first one was given, and its spans are not stored twice. Exactly once inside the window, at least once outside.

The answers are in the log records that carry the spans, so they are as durable as the spans. Before such a record is
truncated, the answers in it that are still within the window are written once more, in a DEDUP record.

A request is known by a keyed digest of its bytes: equal requests meet, nobody can make two others that do, and nobody
who reads a digest can test for a body by it. The bytes go through a universal hash under a secret key (GHASH, the one
inside AES-GCM), and HMAC-SHA256 makes a pseudo-random value of what comes out; two bodies of 64 MiB meet with a
probability of 2**-106. HMAC over the whole body is as good and costs twenty times as much: 178 us for 256 KiB.
"""

from __future__ import annotations

import hmac
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from spanward.store.clock import Clock
from spanward.store.records import Answer

_DIGEST: Final = "sha256"
_TENANT_LENGTH_BYTES: Final = 4
_HASH_PURPOSE: Final = b"spanward dedup: key of the hash"
_FIXED_NONCE: Final = bytes(12)

ESTIMATED_ANSWER_BYTES: Final = 110
"""What an answer takes in a DEDUP record when nothing was refused."""


class DedupKeys:
    """Makes the dedup keys of requests: a keyed digest of tenant and body, lowercase hex. Thread-safe."""

    def __init__(self, digest_key: bytes) -> None:
        """Args: `digest_key` is secret; 32 bytes."""
        self._key = digest_key
        self._hash = AESGCM(hmac.digest(digest_key, _HASH_PURPOSE, _DIGEST))

    def of(self, tenant: str, body: bytes) -> str:
        """The key of a request; any other tenant or body has another one."""
        name = tenant.encode("utf-8", "surrogatepass")
        # The same nonce each time makes the tag a function of the body: GHASH under a secret mask. As a MAC it would
        # give its key away tag by tag; nobody sees one, for only the HMAC leaves this method.
        tag = self._hash.encrypt(_FIXED_NONCE, b"", body)
        named = len(name).to_bytes(_TENANT_LENGTH_BYTES, "big") + name + tag
        return hmac.digest(self._key, named, _DIGEST).hex()


@dataclass(slots=True)
class _Entry:
    answer: Answer
    sequence: int


class DedupWindow:
    """The answers of the last while. Every method may be called from any thread.

    When there are more than `max_entries`, the oldest are forgotten early: the window gets shorter under load, memory
    does not grow.
    """

    def __init__(self, *, seconds: float, max_entries: int, clock: Clock) -> None:
        """Args: `seconds` 0 recognises nothing."""
        self._window_ns = int(seconds * 1e9)
        self._max_entries = max_entries
        self._clock = clock
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def find(self, key: str) -> Answer | None:
        """The answer that a request with this key was given, if that was within the window."""
        with self._lock:
            entry = self._entries.get(key)
            return entry.answer if entry is not None and self._is_live(entry.answer) else None

    def add(self, answers: Iterable[Answer], sequence: int) -> None:
        """Remember answers.

        Args:
            answers: those out of the window already, and those of requests that had no key, are passed over.
            sequence: of the log record that holds them; 0 when none does, which is right for an answer to a request
                that brought no rows: there is nothing to double.
        """
        with self._lock:
            for answer in filter(self._is_live, answers):
                known = self._entries.get(answer.dedup_key)
                if known is not None and not self._is_live(known.answer):
                    del self._entries[answer.dedup_key]  # it is a new one, and goes to the new end
                self._entries[answer.dedup_key] = _Entry(answer, sequence)
            self._evict()

    def held_only_by(self, through: int) -> list[Answer]:
        """The live answers that the log would lose if its records up to `through` went, oldest first."""
        with self._lock:
            self._evict()
            return [
                entry.answer
                for entry in self._entries.values()
                if 0 < entry.sequence <= through and self._is_live(entry.answer)
            ]

    def clear(self) -> None:
        """Forget everything; for a purge, after which a client may send again what was purged."""
        with self._lock:
            self._entries.clear()

    def _is_live(self, answer: Answer) -> bool:
        return answer.dedup_key != "" and answer.received_at_ns > self._clock.now_ns() - self._window_ns

    def _evict(self) -> None:
        """Let go of what is out of the window at the old end, and of what is over the bound."""
        while self._entries:
            oldest = next(iter(self._entries.values()))
            if len(self._entries) <= self._max_entries and self._is_live(oldest.answer):
                return
            self._entries.popitem(last=False)
