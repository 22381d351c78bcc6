"""The commands about people, tokens, and the trail of who did what."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mlflowctl.access import audit as trail
from mlflowctl.access import certificates as ends
from mlflowctl.access import client, issue, logins, uses
from mlflowctl.access import declared as accesses
from mlflowctl.cli.console import Output, command

# What is in here becomes a part of the main group.
top = click.Group()


@top.group()
def token() -> None:
    """Logins for programs: the value of MLFLOW_TRACKING_TOKEN."""


@top.group()
def access() -> None:
    """Who may log in."""


def _now() -> datetime:
    return datetime.now(UTC)


@command(token, accesses.load, name="create")
@click.argument("name")
@click.option("--owner", metavar="USER", required=True, help="Who answers for it; without that user it does not work.")
@click.option("--role", metavar="ROLE", help="viewer, editor or admin; the owner's if not given, and never more.")
@click.option("--expires", metavar="AGE", default="90d", show_default=True, help="Ends after: 90d, 12h, or never.")
def token_create(config: accesses.Access, output: Output, **wish: Any) -> None:
    """Make a token NAME and show it, once."""
    output.facts(issue.create(config, issue.Wish(**wish), _now()))


@command(token, accesses.load, name="list")
def token_list(config: accesses.Access, output: Output) -> None:
    """List the tokens, without their secrets."""
    output.table(issue.listing(config, _now()))


@command(token, accesses.load, name="revoke")
@click.argument("name")
def token_revoke(config: accesses.Access, output: Output, name: str) -> None:
    """End the token NAME. The next request with it is refused."""
    output.facts(issue.revoke(config, name, _now()))


@command(token, accesses.load, name="rotate")
@click.argument("name")
def token_rotate(config: accesses.Access, output: Output, name: str) -> None:
    """Give the token NAME a new secret, and its lifetime again. The old secret ends at once."""
    output.facts(issue.rotate(config, name, _now()))


@command(access, accesses.load, name="apply")
def access_apply(config: accesses.Access, output: Output) -> None:
    """Let exactly those log in who may. The playbook and a timer call it; harmless at any time."""
    with accesses.exclusive(config):
        facts = logins.apply(config, _now())
        uses.last(config)
    output.facts(facts)


@command(top, accesses.load, name="audit")
@click.option("--user", metavar="NAME", help="Only what this user or token did.")
@click.option("--since", metavar="TIME", help="Only from then on: 2026-11-21T06:00, or an age such as 2d.")
def audit(config: accesses.Access, output: Output, user: str | None, since: str | None) -> None:
    """Who changed what, oldest first."""
    found = trail.read(config, user, since, _now())
    output.table(
        found if output.json else [line | {"subject": trail.subject(line)} for line in found],
        ("time", "name", "role", "method", "route", "subject", "status"),
    )


@command(top, accesses.load, name="certificates")
def certificates(config: accesses.Access, output: Output) -> int:
    """How many days nginx's certificates have left; exits 1 if one ends too soon."""
    output.table(ends.read(config, _now()))
    problems = ends.problems(config, _now())
    for problem in problems:
        output.say(problem)
    return 1 if problems else 0


@command(top, accesses.load, name="client-bundle")
@click.argument("name")
@click.option("--output", "where", metavar="FILE", help="The archive; mlflow-NAME.zip here if not given.")
def client_bundle(config: accesses.Access, output: Output, name: str, where: str | None) -> None:
    """Write an archive that gets a client of user or token NAME going. No secret is in it."""
    output.facts(client.bundle(config, name, Path(where or f"mlflow-{name}.zip")))


@command(top, lambda: None, name="whoami")
def whoami(_: None, output: Output) -> None:
    """As whom the server sees the login of the environment (MLFLOW_TRACKING_...)."""
    output.facts(client.whoami())
