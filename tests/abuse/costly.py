"""Requests of ordinary size that are expensive: long filters, deep JSON, aliases of GraphQL, listings of everything."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

from tests.abuse.found import Attack
from tests.abuse.target import REST

# JSON that is too deep for Python is an error in MLflow, and only its sender gets it.
RIGHT = {"200", "400", "413", "429", "500", "503"}
AT_ONCE = 4


def questions(attack: Attack) -> None:
    """A few at a time, by a viewer: each is answered or refused within a minute."""
    target, found, rng = attack.target, attack.found, attack.rng
    search = f"{REST}/runs/search"
    with target.session("viewer") as http, ThreadPoolExecutor(AT_ONCE) as pool:
        while attack.has_time():
            terms, depth, aliases = rng.randrange(200, 3000), rng.randrange(500, 200_000), rng.randrange(50, 3000)
            clause = " AND ".join(f"tags.`{attack.word(5)}` LIKE '%{attack.word(3)}%'" for _ in range(terms))
            order = [f"metrics.`{attack.word(5)}` DESC" for _ in range(rng.randrange(50, 400))]
            field = 'mlflowGetExperiment(input: {experimentId: "0"}) { experiment { name } }'
            query = " ".join(f"a{number}: {field}" for number in range(aliases))
            asked = [
                ("a long filter", search, f'{{"experiment_ids":["0"],"filter":"{clause}"}}'),
                ("a filter of one word", search, f'{{"experiment_ids":["0"],"filter":"{"a" * terms * 250}"}}'),
                ("a filter of quotes", search, f'{{"experiment_ids":["0"],"filter":"{chr(39) * terms * 100}"}}'),
                ("many orders", search, f'{{"experiment_ids":["0"],"order_by":{order!r}}}'.replace("'", '"')),
                ("deep JSON", search, '{"a":' * depth + "1" + "}" * depth),
                ("deep lists", "/graphql", "[" * depth + "]" * depth),
                (
                    "many experiments",
                    search,
                    f'{{"experiment_ids":{[str(n) for n in range(terms * 5)]!r}}}'.replace("'", '"'),
                ),
                ("aliases of GraphQL", "/graphql", f'{{"query":"{{ {query} }}"}}'.replace('"0"', '\\"0\\"')),
                ("deep GraphQL", "/graphql", f'{{"query":"{"{ a " * (depth // 20)}{"}" * (depth // 20)}"}}'),
            ]
            rng.shuffle(asked)
            headers = {"Content-Type": "application/json"}
            working = [
                pool.submit(
                    found.ask, what, RIGHT, http, "POST", target.url + path, data=body.encode(), headers=headers
                )
                for what, path, body in asked
            ]
            for one in working:
                one.result()
