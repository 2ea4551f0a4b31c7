# What each does, the Rust source says (and `help()` at run time).
from collections.abc import Iterable, Sequence
from typing import Any, final

__all__ = ["Decoded", "GrpcCall", "GrpcServer", "Kernel", "SpanEncoder", "find"]

@final
class Decoded:
    @property
    def address(self) -> int: ...
    @property
    def requests(self) -> list[tuple[int, int]]: ...
    @property
    def pii(self) -> dict[str, int]: ...
    @property
    def violations(self) -> dict[str, int]: ...

@final
class GrpcCall:
    @property
    def body(self) -> bytes: ...
    @property
    def metadata(self) -> tuple[str | None, ...]: ...
    def answer(self, body: bytes) -> None: ...
    def abort(self, code: int, message: str, details: bytes) -> None: ...

@final
class GrpcServer:
    def __new__(
        cls,
        host: str,
        port: int,
        *,
        method: str,
        metadata: Sequence[str],
        max_message_bytes: int,
        max_pending_bytes: int,
        max_connections: int,
        max_concurrent_streams: int,
        keepalive_seconds: float,
        keepalive_timeout_seconds: float,
        max_idle_seconds: float,
        body_seconds: float,
    ) -> GrpcServer: ...
    @property
    def port(self) -> int: ...
    def fileno(self) -> int: ...
    def take(self) -> list[GrpcCall]: ...
    def stop(self, grace_seconds: float) -> None: ...

@final
class Kernel:
    def __new__(cls, plan: str, key_id: str | None = None, key_secret: bytes | None = None) -> Kernel: ...
    def decode_all(self, requests: list[tuple[bytes, bool, str, int]]) -> Decoded | None: ...

@final
class SpanEncoder:
    def __new__(cls, plan: str, key_id: str | None = None, key_secret: bytes | None = None) -> SpanEncoder: ...
    def encode(self, spans: Iterable[Any]) -> tuple[bytes, int, int] | None: ...

def find(text: str) -> list[tuple[str, int, int, str, bool]]: ...
