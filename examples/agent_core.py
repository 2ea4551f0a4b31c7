"""An agent core: plan, call tools, answer. Tools run in threads and keep their place in the trace; so do failures.

python examples/agent_core.py --lake ./lake      (or --endpoint http://127.0.0.1:4317)
"""

from __future__ import annotations

import argparse
import ast
import operator
from collections.abc import Callable

from spanward.sdk import TracedThreadPoolExecutor, configure, session, traced

OPERATORS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
FACTS = {"speed of light": "299792458 m/s", "boiling point of water": "100 C"}


def evaluate(node: ast.expr) -> float:
    """The value of an arithmetic expression."""
    if isinstance(node, ast.Constant) and isinstance(node.value, int | float):
        return node.value
    if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
        return OPERATORS[type(node.op)](evaluate(node.left), evaluate(node.right))
    raise ValueError("only numbers and + - * /")


@traced(component="agent", event_type="tool.call", record_args=True, record_result=True)
class Tools:
    """What the agent can do; every public method is a span."""

    def calculate(self, expression: str) -> float:
        """Arithmetic."""
        return evaluate(ast.parse(expression, mode="eval").body)

    def look_up(self, subject: str) -> str:
        """General knowledge."""
        return FACTS[subject]


@traced(component="agent", event_type="agent.plan", record_args=True, record_result=True)
def plan(task: str) -> list[tuple[str, str]]:
    """Which tools to call with what, one step for each clause of the task."""
    steps: list[tuple[str, str]] = []
    for clause in task.split(" and "):
        verb, _, rest = clause.partition(" ")
        steps.append(("calculate" if verb == "compute" else "look_up", rest))
    return steps


@traced(component="agent", event_type="agent.run", record_args=["task"], measure=True)
def run(task: str, tools: Tools, threads: TracedThreadPoolExecutor) -> list[str]:
    """The answers, in the order of the task; a tool that fails costs only its own answer."""
    calls = [threads.submit(getattr(tools, name), argument) for name, argument in plan(task)]
    return [str(call.exception() or call.result()) for call in calls]


def main() -> None:
    """Two tasks, one of which goes wrong in part."""
    parser = argparse.ArgumentParser(description="agent core")
    parser.add_argument("--lake")
    parser.add_argument("--endpoint")
    options = parser.parse_args()
    tasks = ("compute 6*7 and find speed of light", "compute 1/0 and find boiling point of water")
    spanward = configure(options.endpoint, lake=options.lake, service_name="agent-core")
    with spanward, TracedThreadPoolExecutor(max_workers=4) as threads:
        for number, task in enumerate(tasks):
            with session(session_id="agent-session", request_id=f"task-{number}"):
                print(task, "->", run(task, Tools(), threads))


if __name__ == "__main__":
    main()
