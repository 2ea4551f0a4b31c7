"""An HTTP/2 client that does what it is told, also what no gRPC library would."""

from __future__ import annotations

import socket
import struct
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.events import (
    ConnectionTerminated,
    DataReceived,
    Event,
    ResponseReceived,
    StreamEnded,
    StreamReset,
    TrailersReceived,
)

Headers = list[tuple[str, str]]


def framed(message: bytes, flag: int = 0) -> bytes:
    """A message as gRPC sends it."""
    return struct.pack("!BI", flag, len(message)) + message


def grpc_headers(path: str, *more: tuple[str, str], **changed: str) -> Headers:
    """The headers of a call; `method` and `content_type` may be changed."""
    return [
        (":method", changed.get("method", "POST")),
        (":scheme", "http"),
        (":path", path),
        (":authority", "localhost"),
        ("content-type", changed.get("content_type", "application/grpc")),
        ("te", "trailers"),
        *more,
    ]


@dataclass
class Heard:
    """What came on a stream, headers and trailers in one."""

    headers: dict[str, str] = field(default_factory=dict[str, str])
    body: bytes = b""
    reset: int | None = None
    ended: bool = False

    @property
    def grpc(self) -> int | None:
        """The gRPC status, None when none came."""
        status = self.headers.get("grpc-status")
        return None if status is None else int(status)


class Http2Client:
    """One connection, blocking, with a time limit on every read.

    Attributes:
        closed: the server ended the connection.
        goaway: the error code of the server's farewell, None before it.
    """

    def __init__(self, port: int, *, seconds: float = 20.0) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=seconds)
        self.http2 = H2Connection(H2Configuration(client_side=True, header_encoding="utf-8"))
        self.closed = False
        self.goaway: int | None = None
        self._heard: dict[int, Heard] = {}
        self.http2.initiate_connection()
        self.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.socket.close()

    def flush(self) -> None:
        """Send what HTTP/2 has to say."""
        self.socket.sendall(self.http2.data_to_send())

    def begin(self, headers: Headers, *, end: bool = False) -> int:
        """Open a stream."""
        stream = self.http2.get_next_available_stream_id()
        self._heard[stream] = Heard()
        self.http2.send_headers(stream, headers, end_stream=end)
        self.flush()
        return stream

    def send(self, stream: int, data: bytes, *, end: bool = False) -> None:
        """Send a body, as far as the server lets the client, until it has answered."""
        while data and not (self._heard[stream].ended or self.closed):
            size = min(len(data), self.http2.local_flow_control_window(stream), self.http2.max_outbound_frame_size)
            if not size:
                self.listen()
                continue
            self.http2.send_data(stream, data[:size])
            data = data[size:]
            self.flush()
        if end and not self._heard[stream].ended:
            self.http2.end_stream(stream)
            self.flush()

    def answer(self, stream: int) -> Heard:
        """Wait until the stream or the connection has ended."""
        while not (self._heard[stream].ended or self.closed):
            self.listen()
        return self._heard[stream]

    def call(self, headers: Headers, body: bytes = b"") -> Heard:
        """One call from beginning to end."""
        stream = self.begin(headers)
        self.send(stream, body, end=True)
        return self.answer(stream)

    def listen(self) -> None:
        """Wait for bytes of the server and note what they say."""
        try:
            data = self.socket.recv(1 << 16)
        except ConnectionError:
            data = b""
        if not data:
            self.closed = True
            return
        for event in self.http2.receive_data(data):
            self._note(event)
        self.flush()

    def _note(self, event: Event) -> None:
        if isinstance(event, ConnectionTerminated):
            self.goaway = int(event.error_code or 0)
            return
        heard = self._heard.get(getattr(event, "stream_id", None) or 0)
        if heard is None:
            return
        match event:
            case ResponseReceived() | TrailersReceived():
                headers: Any = event.headers
                heard.headers.update(headers)
            case DataReceived():
                heard.body += event.data
                self.http2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
            case StreamReset():
                heard.reset, heard.ended = int(event.error_code), True
            case StreamEnded():
                heard.ended = True
            case _:
                pass
