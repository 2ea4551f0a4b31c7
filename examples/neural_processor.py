"""A neural processor: a two-layer network learns exclusive-or, each epoch an event that knows which one it came from.

python examples/neural_processor.py --lake ./lake      (or --endpoint http://127.0.0.1:4317)
"""

from __future__ import annotations

import argparse
import asyncio
import math
import random
import time

from spanward.sdk import EventReference, Pipeline

SAMPLES = (((0.0, 0.0), 0.0), ((0.0, 1.0), 1.0), ((1.0, 0.0), 1.0), ((1.0, 1.0), 0.0))
HIDDEN = 4


class Network:
    """Two inputs, four hidden units, one output; plain gradient descent."""

    def __init__(self, rng: random.Random) -> None:
        self.hidden = [[rng.uniform(-1, 1) for _ in range(3)] for _ in range(HIDDEN)]
        self.output = [rng.uniform(-1, 1) for _ in range(HIDDEN + 1)]

    def forward(self, inputs: tuple[float, float]) -> tuple[list[float], float]:
        """Activations of the hidden units, and the answer."""
        hidden = [math.tanh(row[0] * inputs[0] + row[1] * inputs[1] + row[2]) for row in self.hidden]
        total = sum(weight * unit for weight, unit in zip(self.output, [*hidden, 1.0], strict=True))
        return hidden, 1 / (1 + math.exp(-total))

    def learn(self, inputs: tuple[float, float], target: float, rate: float) -> float:
        """One step; the squared error before it."""
        hidden, answer = self.forward(inputs)
        error = answer - target
        for place, unit in enumerate(hidden):
            back = error * self.output[place] * (1 - unit * unit)
            self.output[place] -= rate * error * unit
            for source, value in enumerate((*inputs, 1.0)):
                self.hidden[place][source] -= rate * back * value
        self.output[HIDDEN] -= rate * error
        return error * error


async def train(pipeline: Pipeline, epochs: int) -> float:
    """Epochs of a hundred rounds each; the last loss."""
    network, loss = Network(random.Random(3)), 1.0
    parent: list[EventReference] = []
    for epoch in range(epochs):
        started = time.perf_counter()
        loss = sum(network.learn(inputs, target, 0.5) for _ in range(100) for inputs, target in SAMPLES) / 400
        result = await pipeline.process_operation(
            "training.epoch",
            "neural-processor",
            f"epoch {epoch}",
            input={"rate": 0.5, "samples": len(SAMPLES)},
            output={"loss": loss},
            metadata={"epoch": epoch},
            processing_time_ms=(time.perf_counter() - started) * 1e3,
            quality_score=max(0.0, 1 - loss),
            classification="internal",
            retention="365d",
            parents=parent,
        )
        parent = [result]
    return loss


async def run(endpoint: str | None, lake: str | None) -> None:
    """Train, and tell how it went."""
    async with Pipeline(endpoint, lake=lake, service_name="neural-processor") as pipeline:
        loss = await train(pipeline, epochs=10)
        print(f"loss {loss:.4f} after {pipeline.status().stored} stored epochs")


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description="neural processor")
    arguments.add_argument("--lake")
    arguments.add_argument("--endpoint")
    given = arguments.parse_args()
    asyncio.run(run(given.endpoint, given.lake))
