"""A small shop: the service that the demo watches.

One request does what real ones do: HTTP in, SQLite, an outbound HTTP call to a payment provider (its own second
endpoint, over loopback), and a call of a simulated language model. Plain OpenTelemetry instrumentation sees the first
three, `traced` the model call and the order itself. What customers write flows into spans: arguments, prompts, URLs,
error messages.

    export OTEL_PYTHON_CONFIGURATOR=spanward OTEL_SERVICE_NAME=checkout OTEL_SEMCONV_STABILITY_OPT_IN=http,database
    opentelemetry-instrument python examples/checkout/app.py --port 8000

Settings: CHECKOUT_PORT, CHECKOUT_DB (SQLite file, default in memory), CHECKOUT_PAYMENT_URL (default: itself).
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import sqlite3
import threading
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, closing
from typing import Annotated, Any

import fastapi
import httpx
import uvicorn
from opentelemetry import trace
from pydantic import BaseModel, Field

from spanward.sdk import session, traced

MODEL = "advisor-small-1"


class Item(BaseModel):
    """A line of the basket."""

    sku: str
    quantity: int = Field(ge=1)
    price: float = Field(ge=0)


class Checkout(BaseModel):
    """What the customer sends."""

    customer_id: str
    session_id: str
    name: str
    email: str
    phone: str
    card: str
    ssn: str
    iban: str
    ip: str
    note: str
    items: list[Item]


class Receipt(BaseModel):
    """What the customer gets."""

    order_id: int
    total: float
    advice: str


class CardDeclinedError(Exception):
    """The payment provider said no."""


class Orders:
    """The orders table; one connection, one writer at a time."""

    def __init__(self, path: str) -> None:
        self._lock = threading.Lock()
        self._database = sqlite3.connect(path, check_same_thread=False)
        with self._lock, closing(self._database.cursor()) as cursor:
            cursor.execute(
                "CREATE TABLE IF NOT EXISTS orders (id INTEGER PRIMARY KEY, customer TEXT, total REAL, state TEXT)"
            )

    def insert(self, customer: str, total: float) -> int:
        """A new order, unpaid; its number."""
        with self._lock, self._database, closing(self._database.cursor()) as cursor:
            cursor.execute("INSERT INTO orders (customer, total, state) VALUES (?, ?, 'open')", (customer, total))
            return int(cursor.lastrowid or 0)

    def settle(self, order_id: int, state: str) -> None:
        """Note how the payment went."""
        with self._lock, self._database, closing(self._database.cursor()) as cursor:
            cursor.execute("UPDATE orders SET state = ? WHERE id = ?", (state, order_id))

    def close(self) -> None:
        """Let go of the file."""
        self._database.close()


@asynccontextmanager
async def lifespan(service: fastapi.FastAPI) -> AsyncGenerator[None, None]:
    """Open what the service needs; at the end, see the last spans off before the process is killed."""
    service.state.orders = Orders(os.environ.get("CHECKOUT_DB", ":memory:"))
    async with httpx.AsyncClient(timeout=10) as client:
        service.state.client = client
        yield
    service.state.orders.close()
    flush = getattr(trace.get_tracer_provider(), "force_flush", None)
    if flush is not None:
        await asyncio.to_thread(flush)


app = fastapi.FastAPI(title="checkout", lifespan=lifespan)


@app.get("/health")
async def health() -> dict[str, str]:
    """Whether the service is up."""
    return {"status": "ok"}


@app.post("/checkout")
async def checkout(order: Checkout, request: fastapi.Request) -> Receipt:
    """Take an order: write it down, have it paid, and advise the customer."""
    request_id = request.headers.get("x-request-id", "")
    with session(session_id=order.session_id, request_id=request_id, user_id=order.customer_id):
        try:
            return await place(order, request)
        except CardDeclinedError as error:
            raise fastapi.HTTPException(status_code=402, detail="the card was declined") from error


@traced(
    name="place order",
    component="checkout",
    event_type="order.placed",
    classification="confidential",
    retention="365d",
    record_args=["order"],
    record_result=True,
    measure=True,
)
async def place(order: Checkout, request: fastapi.Request) -> Receipt:
    """The order from open to paid."""
    orders: Orders = request.app.state.orders
    total = round(sum(item.quantity * item.price for item in order.items), 2)
    order_id = await asyncio.to_thread(orders.insert, order.customer_id, total)
    try:
        await pay(request, order, total)
    except CardDeclinedError:
        await asyncio.to_thread(orders.settle, order_id, "declined")
        raise
    await asyncio.to_thread(orders.settle, order_id, "paid")
    return Receipt(order_id=order_id, total=total, advice=await advise(order))


async def pay(request: fastapi.Request, order: Checkout, total: float) -> None:
    """Ask the payment provider; its URL carries the customer's data, as such URLs do."""
    client: httpx.AsyncClient = request.app.state.client
    base = os.environ.get("CHECKOUT_PAYMENT_URL", str(request.base_url))
    query = {"card": order.card, "payer": order.email, "amount": f"{total:.2f}"}
    answer = await client.post(f"{base.rstrip('/')}/payments/authorize", params=query)
    if answer.status_code == fastapi.status.HTTP_402_PAYMENT_REQUIRED:
        raise CardDeclinedError(f"card {order.card} of {order.email} was declined")
    answer.raise_for_status()


@app.post("/payments/authorize")
async def authorize(card: Annotated[str, fastapi.Query()], amount: Annotated[float, fastapi.Query()]) -> dict[str, Any]:
    """The payment provider: it declines cards that end in 3 or 7."""
    if card.endswith(("3", "7")):
        raise fastapi.HTTPException(status_code=402, detail="declined")
    return {"authorized": True, "amount": amount}


@traced(name=f"chat {MODEL}", kind="client", component="advisor", event_type="model.call", measure=True)
async def advise(order: Checkout) -> str:
    """What the model says, with the record of the call that OpenTelemetry's GenAI conventions ask for."""
    prompt = (
        f"Customer {order.name} ({order.email}, {order.phone}, from {order.ip}) ordered "
        f"{', '.join(item.sku for item in order.items)}. Refund account {order.iban}, tax id {order.ssn}. "
        f"Their note: {order.note} Thank them in one sentence."
    )
    answer = await complete(prompt, order)
    trace.get_current_span().set_attributes(
        {
            "gen_ai.operation.name": "chat",
            "gen_ai.provider.name": "simulated",
            "gen_ai.request.model": MODEL,
            "gen_ai.response.model": MODEL,
            "gen_ai.conversation.id": order.session_id,
            "gen_ai.input.messages": json.dumps([{"role": "user", "parts": [{"type": "text", "content": prompt}]}]),
            "gen_ai.output.messages": json.dumps(
                [{"role": "assistant", "parts": [{"type": "text", "content": answer}]}]
            ),
            "gen_ai.usage.input_tokens": len(prompt.split()),
            "gen_ai.usage.output_tokens": len(answer.split()),
        },
    )
    return answer


async def complete(prompt: str, order: Checkout) -> str:
    """The simulated model: as slow as the prompt is long, and as chatty as models are."""
    await asyncio.sleep(min(len(prompt), 1000) / 200_000)
    return (
        f"Thank you, {order.name}! We will write to {order.email} when your {len(order.items)} item(s) are on the way."
    )


def main() -> None:
    """Serve on loopback until interrupted."""
    parser = argparse.ArgumentParser(description="the demo's checkout service")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument(
        "--port", type=int, default=int(os.environ.get("CHECKOUT_PORT", "8000")), help="0 takes a free one"
    )
    options = parser.parse_args()
    with socket.create_server((options.host, options.port)) as listener:
        print(f"checkout listens on http://{options.host}:{listener.getsockname()[1]}", flush=True)
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        asyncio.run(server.serve(sockets=[listener]))


if __name__ == "__main__":
    main()
