"""An API gateway: routes, limits and authenticates requests over a real socket; every request is a server span.

python examples/api_gateway.py --lake ./lake      (or --endpoint http://127.0.0.1:4317)

Tokens and addresses that come with requests are recorded as arguments, and do not leave this process as they are.
"""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter

from opentelemetry import trace

from spanward.sdk import configure, session, traced

ROUTES = {"/users": "users", "/orders": "orders"}
LIMIT = 5


class Gateway:
    """One request a connection: `METHOD PATH TOKEN CLIENT`."""

    def __init__(self) -> None:
        self._seen: Counter[str] = Counter()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read, handle, answer, close."""
        method, path, token, client = (await reader.readline()).decode().split()
        with session(request_id=f"req-{self._seen.total()}"):
            status = await self.handle(method, path, token, client)
        writer.write(f"{status}\n".encode())
        await writer.drain()
        writer.close()

    @traced(name="gateway request", kind="server", component="api-gateway", event_type="http.request", record_args=True)
    async def handle(self, method: str, path: str, token: str, client: str) -> int:
        """The status of the answer."""
        self._seen[token] += 1
        status = 429 if self._seen[token] > LIMIT else await self.route(path)
        trace.get_current_span().set_attributes(
            {
                "http.request.method": method,
                "http.response.status_code": status,
                "url.path": path,
                "http.route": path if path in ROUTES else "",
                "client.address": client,
            },
        )
        return status

    @traced(component="api-gateway", event_type="gateway.route", record_args=True, record_result=True)
    async def route(self, path: str) -> int:
        """Hand over to the service behind the path."""
        await asyncio.sleep(0)
        return 200 if path in ROUTES else 404


async def ask(port: int, line: str) -> str:
    """One request and its answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"{line}\n".encode())
    answer = (await reader.readline()).decode().strip()
    writer.close()
    return answer


async def run() -> None:
    """A gateway, and clients at the same time."""
    server = await asyncio.start_server(Gateway().serve, "127.0.0.1", 0)
    port: int = server.sockets[0].getsockname()[1]
    async with server:
        paths = ["/users", "/orders", "/nowhere"] * 4
        lines = [f"GET {path} key-{number % 2} 81.2.69.{number}" for number, path in enumerate(paths)]
        print(Counter(await asyncio.gather(*(ask(port, line) for line in lines))))


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="API gateway")
    arguments.add_argument("--lake")
    arguments.add_argument("--endpoint")
    given = arguments.parse_args()
    with configure(given.endpoint, lake=given.lake, service_name="api-gateway"):
        asyncio.run(run())
