"""An evolution loop: strings evolve towards a sentence; each generation's span links to the one it descends from.

python examples/evolution_loop.py --lake ./lake      (or --endpoint http://127.0.0.1:4317)
"""

from __future__ import annotations

import argparse
import random
import string

from opentelemetry import trace

from spanward.sdk import configure, traced

GOAL = "every span tells a story"
LETTERS = string.ascii_lowercase + " "
POPULATION = 60


class Lineage:
    """Knows the span of the last generation: what the next one is made from."""

    def __init__(self) -> None:
        self.last: list[trace.SpanContext] = []

    def note(self) -> None:
        """The current span is the last generation now."""
        self.last = [trace.get_current_span().get_span_context()]


lineage = Lineage()


def fitness(candidate: str) -> float:
    """Share of the letters that are right."""
    return sum(left == right for left, right in zip(candidate, GOAL, strict=True)) / len(GOAL)


def mutate(parent: str, rng: random.Random) -> str:
    """A child that differs in about one letter."""
    return "".join(rng.choice(LETTERS) if rng.random() < 1 / len(GOAL) else letter for letter in parent)


@traced(
    name="generation",
    component="evolution",
    event_type="evolution.generation",
    retention="7d",
    links=lambda *_: lineage.last,
    measure=True,
)
def generation(parents: list[str], number: int, rng: random.Random) -> list[str]:
    """The ten best of the parents and their children."""
    children = [mutate(rng.choice(parents), rng) for _ in range(POPULATION)]
    survivors = sorted({*parents, *children}, key=fitness, reverse=True)[:10]
    trace.get_current_span().set_attributes(
        {
            "spanward.quality.score": fitness(survivors[0]),
            "spanward.metadata.generation": number,
            "spanward.metadata.best": survivors[0],
        },
    )
    lineage.note()
    return survivors


def main() -> None:
    """Evolve until the sentence stands, two hundred generations at most."""
    parser = argparse.ArgumentParser(description="evolution loop")
    parser.add_argument("--lake")
    parser.add_argument("--endpoint")
    options = parser.parse_args()
    rng = random.Random(11)
    parents = ["".join(rng.choice(LETTERS) for _ in GOAL)]
    with configure(options.endpoint, lake=options.lake, service_name="evolution-loop"):
        number = 0
        while parents[0] != GOAL and number < 200:
            number += 1
            parents = generation(parents, number, rng)
    print(f"{parents[0]!r} after {number} generations")


if __name__ == "__main__":
    main()
