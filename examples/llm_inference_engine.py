"""An LLM inference engine: a tiny Markov model that streams tokens, traced with the GenAI conventions.

python examples/llm_inference_engine.py --lake ./lake      (or --endpoint http://127.0.0.1:4317)

The span of a streamed answer lasts until its last token, prompts are recorded, and the address in one of them leaves
this process as a token.
"""

from __future__ import annotations

import argparse
import json
import random
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from opentelemetry import trace

from spanward.sdk import configure, session, traced

CORPUS = (
    "a trace is a tree of spans and a span is a story of one operation and "
    "an operation is a step of a request and a request is a wish of a user"
)
PROMPTS = (
    "a trace is",
    "a span is",
    "reply to jo.frost@example.com that a request is",
)


class Model:
    """Next word by what followed it in the corpus."""

    def __init__(self, corpus: str) -> None:
        words = corpus.split()
        self._next: dict[str, list[str]] = defaultdict(list)
        for word, follower in pairwise(words):
            self._next[word].append(follower)

    def follower(self, word: str, rng: random.Random) -> str:
        """A word that came after this one."""
        return rng.choice(self._next.get(word) or ["a"])


@traced(
    name="chat markov-1",
    kind="client",
    component="inference",
    event_type="model.call",
    record_result=True,
    measure=True,
    attributes={"gen_ai.operation.name": "chat", "gen_ai.provider.name": "example", "gen_ai.request.model": "markov-1"},
)
def generate(model: Model, prompt: str, tokens: int) -> Iterator[str]:
    """Stream an answer, word by word."""
    span = trace.get_current_span()
    message = {"role": "user", "parts": [{"type": "text", "content": prompt}]}
    span.set_attribute("gen_ai.input.messages", json.dumps([message]))
    rng = random.Random(prompt)
    word = prompt.rsplit(maxsplit=1)[-1]
    for _ in range(tokens):
        word = model.follower(word, rng)
        yield word
    span.set_attributes({"gen_ai.usage.input_tokens": len(prompt.split()), "gen_ai.usage.output_tokens": tokens})


def main() -> None:
    """Answer each prompt."""
    parser = argparse.ArgumentParser(description="LLM inference engine")
    parser.add_argument("--lake")
    parser.add_argument("--endpoint")
    options = parser.parse_args()
    with configure(options.endpoint, lake=options.lake, service_name="llm-inference-engine"):
        model = Model(CORPUS)
        for number, prompt in enumerate(PROMPTS):
            with session(session_id=f"conversation-{number}"):
                print(prompt, *generate(model, prompt, 12))


if __name__ == "__main__":
    main()
