"""No module outside of stores/ opens a database connection, sends SQL, or resolves an artifact address."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TREE = Path(__file__).parents[4] / "files/mlflowctl/mlflowctl"
# Modules of stores/ that all may import: the factories, the bases, and code that is equal for each kind.
MADE = {"mlflowctl.stores", "mlflowctl.stores.artifacts", "mlflowctl.stores.database"}
SHARED = {
    "mlflowctl.stores.references",
    "mlflowctl.stores.artifacts.base",
    "mlflowctl.stores.artifacts.fence",
    "mlflowctl.stores.database.base",
}
DRIVERS = {"psycopg", "psycopg2", "sqlalchemy", "sqlite3", "pymysql", "boto3", "botocore", "azure", "google"}
PROGRAMS = {"pg_dump", "pg_restore", "pg_dumpall", "psql", "pgbackrest", "createdb", "dropdb", "mysqldump", "sqlite3"}
SQL = re.compile(
    r"\b(SELECT\s+\S|INSERT\s+INTO\s|UPDATE\s+\S+\s+SET\s|DELETE\s+FROM\s|WHERE\s+\S+\s*(=|IN|<|>)|UNION\s+(ALL\s+)?SELECT"
    r"|(CREATE|DROP|ALTER|TRUNCATE)\s+(DATABASE|TABLE|ROLE|INDEX|VIEW)\b)|(?i:^\s*select\s+(\*|\w+(\s*,\s*\w+)*)\s+from\s)",
    re.DOTALL,
)
# Names of directories and files on a volume.
PLACES = re.compile(r"^(store|incoming|\.point|\.volume-id|volume-id)(/|$)|store\.(before|orphans)-")
# Attributes that hold an address, or what it is made from.
ADDRESSES = {"volume", "volume_path", "store_path", "address"}


def violations(source: str) -> list[str]:
    """Operations of a module that only a store may do, as sentences with the line."""
    tree = ast.parse(source)
    allowed = _allowed(tree)
    found = [
        f"{node.lineno}: {words}"
        for node in ast.walk(tree)
        if isinstance(node, ast.expr | ast.stmt)
        for words in [*_imports(node), *_words(node, allowed), *_addresses(node)]
    ]
    return list(dict.fromkeys(found))


def _allowed(tree: ast.Module) -> set[int]:
    """The constants that may be anything: docstrings, and keys, as `store` is one in the description of a point."""
    nodes = list(ast.walk(tree))
    described = [node for node in nodes if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)]
    found = {id(node.body[0].value) for node in described if node.body and isinstance(node.body[0], ast.Expr)}
    found |= {id(node.slice) for node in nodes if isinstance(node, ast.Subscript)}
    found |= {id(key) for node in nodes if isinstance(node, ast.Dict) for key in node.keys}
    # The names of a description's fields.
    found |= {id(one) for node in nodes if isinstance(node, ast.Tuple) for one in node.elts}
    calls = [node for node in nodes if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)]
    return found | {id(one) for node in calls if ast.unparse(node.func).endswith(".get") for one in node.args}


def _imports(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            modules = [one.name for one in names]
        case ast.ImportFrom(module=str(module), names=names) if module in MADE:
            modules = [f"{module}.{one.name}" for one in names if one.name != "of"]
        case ast.ImportFrom(module=str(module)):
            modules = [module]
        case _:
            return
    for name in modules:
        if (name.startswith("mlflowctl.stores") and name not in MADE | SHARED) or name.split(".")[0] in DRIVERS:
            yield f"imports {name}"


def _words(node: ast.AST, allowed: set[int]) -> Iterator[str]:
    if not isinstance(node, ast.Constant) or not isinstance(node.value, str):
        return
    if SQL.search(node.value) and id(node) not in allowed:
        yield f"has SQL: {node.value[:40]}"
    if node.value in PROGRAMS:
        yield f"runs {node.value}"
    if PLACES.search(node.value) and id(node) not in allowed:
        yield f"names a place in the store: {node.value}"


def _addresses(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Attribute(attr="settings", value=ast.Attribute(attr="database" | "artifacts")):
            yield "reads the settings of a store"
        case ast.BinOp(op=ast.Div(), left=left, right=right) if _address(left) or _address(right):
            yield f"makes an address: {ast.unparse(node)}"
        case ast.BinOp(op=ast.Add(), left=ast.Attribute(attr=name)) if name in ADDRESSES:
            yield f"makes an address: {ast.unparse(node)}"
        case ast.Call(func=ast.Name(id="Path"), args=[argument, *_]) if _address(argument):
            yield f"takes {ast.unparse(argument)} for a path"
        case ast.JoinedStr(values=values):
            made = any(isinstance(one, ast.FormattedValue) and _address(one.value) for one in values)
            parts = [str(one.value) for one in values if isinstance(one, ast.Constant)]
            if made and any(part.startswith(("/", ".before", ".orphans")) for part in parts):
                yield f"makes an address: {ast.unparse(node)}"


def _address(node: ast.expr) -> bool:
    """Whether an expression is an address of the store, or of a point's."""
    return any(
        (isinstance(one, ast.Attribute) and one.attr in ADDRESSES)
        or (isinstance(one, ast.Subscript) and isinstance(one.slice, ast.Constant) and one.slice.value == "store")
        for one in ast.walk(node)
    )


def test_only_stores_know_where_things_are() -> None:
    """All others use an interface."""
    found = [
        f"{path.relative_to(TREE)}:{violation}"
        for path in sorted(TREE.rglob("*.py"))
        if "stores" not in path.relative_to(TREE).parts
        for violation in violations(path.read_text())
    ]
    assert found == []


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("import psycopg", "imports psycopg"),
        ("from psycopg import sql", "imports psycopg"),
        ("def f():\n    import boto3.session", "imports boto3"),
        ("from mlflowctl.stores.database.postgresql.store import PostgreSQL", "imports mlflowctl.stores.database.postg"),
        ("from mlflowctl.stores.database import postgresql", "imports mlflowctl.stores.database.postgresql"),
        ("from mlflowctl.stores.artifacts import local", "imports mlflowctl.stores.artifacts.local"),
        ("import mlflowctl.stores.artifacts.local.tree", "imports mlflowctl.stores.artifacts.local"),
        ('c.execute("SELECT 1")', "has SQL"),
        ('c.execute("select name from runs")', "has SQL"),
        ('c.execute(f"DELETE FROM runs WHERE run_uuid = {x}")', "has SQL"),
        ('QUERY = """\n    UPDATE runs SET status = 1\n"""', "has SQL"),
        ('c.execute("DROP DATABASE x")', "has SQL"),
        ('run(["pg_dump", name])', "runs pg_dump"),
        ("x = config.artifacts.settings", "reads the settings"),
        ('x = config.volume_path / "drill"', "makes an address"),
        ('x = root / point["store"].lstrip("/")', "makes an address"),
        ('x = Path(artifacts.address)', "for a path"),
        ('x = Path(facts["store"])', "for a path"),
        ('x = f"{artifacts.address}/{path}"', "makes an address"),
        ("x = f\"{facts['store']}/{path}\"", "makes an address"),
        ('x = artifacts.address + "/" + path', "makes an address"),
        ('x = volume / "store"', "names a place"),
        ('x = root / ".volume-id"', "names a place"),
        ('x = f"store.before-{suffix}"', "names a place"),
        ("", ""),
        ('"""SELECT, DROP DATABASE and store are explained here."""', ""),
        ("from mlflowctl import stores\nwith stores.database.of(config).snapshot() as rows:\n    rows.revision()", ""),
        ("from mlflowctl.stores.artifacts.base import ArtifactStore, Tree", ""),
        ("from mlflowctl.stores import references", ""),
        ('raise Refused("select one of the points from the list: the store is full")', ""),
        ('artifacts.fetch(contents, facts["store"], root)', ""),
        ('x = f"{done} files stay in {source.address}"', ""),
    ],
)  # fmt: skip
def test_a_violation_is_seen(source: str, words: str) -> None:
    """And allowed code is not."""
    found = violations(source)
    assert bool(found) == bool(words), found
    assert words in " ".join(found)
