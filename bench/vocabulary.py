"""The words of the benchmark's workload: services, routes, models, and text for prompts."""

from __future__ import annotations

from typing import Final, NamedTuple


class Operation(NamedTuple):
    """What a span is called, and the request it stands for."""

    name: str
    method: str
    route: str


def _operations(*lines: str) -> tuple[Operation, ...]:
    return tuple(Operation(*line.split(" | ")) for line in lines)


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


SHOP: Final = {
    "frontend": _operations(
        "GET / | GET | /",
        "GET /product/{id} | GET | /product/{id}",
        "POST /cart | POST | /cart",
        "GET /search | GET | /search",
    ),
    "api-gateway": _operations(
        "POST /v1/chat | POST | /v1/chat",
        "GET /v1/orders/{id} | GET | /v1/orders/{id}",
        "POST /v1/orders | POST | /v1/orders",
        "GET /v1/users/{id} | GET | /v1/users/{id}",
    ),
    "checkout": _operations(
        "PlaceOrder | POST | /checkout.v1/PlaceOrder",
        "PrepareOrder | POST | /checkout.v1/PrepareOrder",
        "ConvertCurrency | POST | /currency/convert",
    ),
    "payment": _operations(
        "Charge | POST | /payment.v1/Charge",
        "Refund | POST | /payment.v1/Refund",
        "VerifyCard | POST | /payment.v1/VerifyCard",
    ),
    "cart": _operations(
        "GetCart | GET | /cart/{id}",
        "AddItem | POST | /cart/{id}/items",
        "EmptyCart | DELETE | /cart/{id}",
        "HGET cart | GET | /redis/cart/{id}",
    ),
    "catalog": _operations(
        "ListProducts | GET | /products",
        "GetProduct | GET | /products/{id}",
        "SELECT catalog.products | POST | /pg/products/{id}",
    ),
    "shipping": _operations("GetQuote | POST | /get-quote", "ShipOrder | POST | /ship-order/{id}"),
    "email": _operations(
        "send_confirmation | POST | /send_order_confirmation", "render_template | POST | /render/{id}"
    ),
    "user-profile": _operations(
        "GetProfile | GET | /profiles/{id}",
        "UpdateProfile | PUT | /profiles/{id}",
        "SELECT users.profile | POST | /pg/profile/{id}",
    ),
}
"""Services that answer within tens of milliseconds."""

LLM: Final = {
    "llm-gateway": _operations(
        "chat gpt-4o | POST | /v1/chat/completions",
        "chat claude-sonnet | POST | /v1/messages",
        "moderation | POST | /v1/moderations",
        "tool_call search_orders | POST | /tools/search_orders",
        "tool_call refund | POST | /tools/refund",
    ),
    "llm-worker": _operations(
        "generate llama-3-70b | POST | /generate",
        "tokenize | POST | /tokenize",
        "prefill | POST | /internal/prefill",
        "decode | POST | /internal/decode",
    ),
    "rag-retriever": _operations(
        "vector_search | POST | /collections/docs/points/search",
        "rerank | POST | /rerank",
        "embeddings text-embedding-3 | POST | /v1/embeddings",
    ),
}
"""Services whose spans carry a prompt."""

MODELS: Final = ("gpt-4o", "gpt-4o-mini", "claude-sonnet-4", "llama-3-70b", "mixtral-8x22b")

USER_AGENTS: Final = (
    "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/131.0 Safari/537.36",
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_1 like Mac OS X) AppleWebKit/605.1.15 Mobile/15E148",
    "okhttp/4.12.0",
    "python-requests/2.32.3",
    "Go-http-client/2.0",
    "grpc-go/1.68.0",
)

WORDS: Final = _words(
    """about account address after again all also answer are at back because been before between both by call can come
    customer dashboard day delivery deploy did do down each even explain find first for from get give go good great has
    have help here how if in incident into invoice is it item just know large last latency letter like little long look
    made make many may model more most much name need new no not now number of off on one only order other our out over
    own page people place please policy product question refund report right same say see set shipment should show small
    so some still summarize take tell than that the their them then there these they thing think this ticket time to
    track translate try two under until up use very want warranty was way we well were what when where which who why
    will with word work would write year you your cluster escalate"""
)

FIRST_NAMES: Final = _words(
    "alice bob carol david erin frank grace heidi ivan judy mallory nina oscar peggy quentin rupert sybil trent"
)
LAST_NAMES: Final = _words("smith johnson nguyen garcia kim patel mueller rossi tanaka silva cohen dubois okafor")
MAIL_DOMAINS: Final = ("example.com", "mail.example.org", "corp.example.net", "gmail.com", "uni-example.edu")
