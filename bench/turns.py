"""Measure the same requests under different settings, which take turns."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

from bench.load import Request, load, long_enough
from bench.servers import OURS

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "5"))
SECONDS = int(os.environ.get("BENCH_SECONDS", "4"))
CLIENTS = 8


def in_turns(
    settings: Mapping[str, Any],
    use: Callable[[Any], None],
    requests: Mapping[str, Request],
    also: Callable[[], Mapping[str, float]] = dict,
) -> dict[str, dict[str, list[float]]]:
    """Requests per second in each round, by settings and request; all settings take turns in each round.

    Args:
        settings: by their names in the table; ``use`` applies them.
        also: further figures, read right after the requests.
    """
    found: dict[str, dict[str, list[float]]] = {words: {} for words in settings}
    order = list(settings.items())
    for number in range(ROUNDS):
        # Each round begins with another one, because the first has an advantage.
        first = number * len(order) // ROUNDS
        for words, wanted in order[first:] + order[:first]:
            use(wanted)
            figures: dict[str, float] = {}
            for name, request in requests.items():
                # Memory, caches and connections are warm afterwards.
                enough = long_enough(OURS, request, CLIENTS, SECONDS)
                figures[name] = load(OURS, request, CLIENTS, enough).rate
            for name, figure in {**figures, **also()}.items():
                found[words].setdefault(name, []).append(float(f"{figure:.4g}"))
                print(f"   {words:<55}{name:<50}{figure:>10,.4g}", flush=True)
    return found
