"""The commands for users, tokens, certificates and the audit log."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from mlflowctl.access import audit as audit_log
from mlflowctl.access import certificates as validity
from mlflowctl.access import client, issue, logins, uses
from mlflowctl.access.declared import Access, exclusive, load
from mlflowctl.cli.console import Output, command, group

# Its commands become commands of mlflowctl.
topic = click.Group()

NAMED = "Name of the token."


def _now() -> datetime:
    return datetime.now(UTC)


token = group(
    topic,
    "token",
    "Create, list, rotate and revoke tokens, the logins of programs.\n\n"
    "Give each program its own token instead of a user's password. Clients take it as MLFLOW_TRACKING_TOKEN.",
)


@command(token, load, example="mlflowctl token create ci --owner ada --role editor --expires 90d", name="create")
@click.argument("name", help="Name of the token; no user or other token may have it.")
@click.option("--owner", metavar="USER", required=True, help="User who is responsible for it. It stops with that user.")
@click.option("--role", metavar="ROLE", help="viewer, editor or admin, at most the owner's.  [default: the owner's]")
@click.option("--expires", metavar="AGE", default="90d", show_default=True, help="Lifetime: 90d, 12h, or never.")
def token_create(config: Access, output: Output, **request: Any) -> None:
    """Create a token and show it, once.

    Use it for a program that logs in, such as a CI job. Only a hash is kept, so save the token right away.
    """
    output.facts(issue.create(config, issue.TokenRequest(**request), _now()))


@command(token, load, example="mlflowctl token list", name="list")
def token_list(config: Access, output: Output) -> None:
    """List the tokens with owner, role, state and last use.

    Use it to find tokens that are about to expire, or that nobody uses. No secret is shown.
    """
    output.table(issue.listing(config, _now()))


@command(token, load, example="mlflowctl token revoke ci", name="revoke")
@click.argument("name", help=NAMED)
def token_revoke(config: Access, output: Output, name: str) -> None:
    """Revoke a token. The next request with it is refused.

    Use it when a program no longer needs its token, or when the token has leaked.
    """
    output.facts(issue.revoke(config, name, _now()))


@command(token, load, example="mlflowctl token rotate ci", name="rotate")
@click.argument("name", help=NAMED)
def token_rotate(config: Access, output: Output, name: str) -> None:
    """Give a token a new secret and its full lifetime again.

    Use it before a token expires, or when it may have leaked. The old secret stops working at once.
    """
    output.facts(issue.rotate(config, name, _now()))


access = group(
    topic,
    "access",
    "Update what nginx checks logins against.\n\n"
    "Users themselves are managed with mlflow_users and playbooks/users.yml.",
)


@command(access, load, example="mlflowctl access apply", name="apply")
def access_apply(config: Access, output: Output) -> None:
    """Write the current users and tokens to where nginx checks logins.

    The playbook and a timer call it. Run it yourself to end expired tokens right away. It can run at any time.
    """
    with exclusive(config):
        facts = logins.apply(config, _now())
        uses.last(config)
    output.facts(facts)


@command(topic, load, example="mlflowctl audit --user ada --since 2d")
@click.option("--user", metavar="NAME", help="Show only requests of this user or token.")
@click.option("--since", metavar="TIME", help="Show only requests since then: 2026-11-21T06:00, or an age such as 2d.")
def audit(config: Access, output: Output, user: str | None, since: str | None) -> None:
    """Show who changed what, oldest first.

    Use it to find out who deleted or changed something. Refused requests are listed, too.
    """
    found = audit_log.read(config, user, since, _now())
    output.table(
        found if output.json else [line | {"subject": audit_log.subject(line)} for line in found],
        ("time", "name", "role", "method", "route", "subject", "status"),
    )


@command(topic, load, example="mlflowctl certificates")
def certificates(config: Access, output: Output) -> int:
    """Show when nginx's certificates and revocation list expire.

    Use it to plan a renewal, or in monitoring: the exit code is 1 if one expires too soon.
    """
    output.table(validity.read(config, _now()))
    problems = validity.problems(config, _now())
    for problem in problems:
        output.log(problem)
    return 1 if problems else 0


@command(topic, load, example="mlflowctl client-bundle ada --output /root/ada.zip", name="client-bundle")
@click.argument("name", help="Name of a user or a token.")
@click.option("--output", "where", metavar="FILE", help="Archive to write.  [default: mlflow-NAME.zip]")
def client_bundle(config: Access, output: Output, name: str, where: str | None) -> None:
    """Write an archive with what a client needs to connect.

    Use it for a new user or program: it holds the address, the CA and scripts that set the environment. It holds
    no secret, so you may send it.
    """
    output.facts(client.bundle(config, name, Path(where or f"mlflow-{name}.zip")))


@command(topic, lambda: None, example="MLFLOW_TRACKING_URI=https://mlflow.example.com mlflowctl whoami")
def whoami(_: None, output: Output) -> None:
    """Show the user or token, and the role, that the server sees for the current environment.

    Use it to test a login: it reads the same MLFLOW_TRACKING_... variables as MLflow's clients. It needs no root.
    """
    output.facts(client.whoami())
