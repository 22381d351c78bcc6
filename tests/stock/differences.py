"""The answers that differ from a stock server's, and why; docs/reference/differences.md shows them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Difference:
    """Questions of ``ask.py`` (names, or patterns of names), what each server answers, and why that stays."""

    questions: tuple[str, ...]
    stock: str
    here: str
    why: str


# As the API and the UI's API ask for artifacts; nginx answers both here.
NGINX = "*API: "
NO_VALIDATORS = (
    "an artifact has no ETag and no date here: stock's have the second, or the file system's tick, and the size, so that "
    "content that was rewritten at once would count as unchanged, and a part of the new one as a part of the old"
)
PARTS = "parts must not be combined without a validator"
NO_FORM = "a refusal is JSON, whose message MLflow's client shows; a browser gets a page"
FORMS = (
    "what is not in this server's store would be in no recovery point, or the client may not read it; "
    "the refusal names the accepted forms"
)
HEAD = "the URL may have 64 KiB, the header another 64 KiB in 200 fields; the refusal is JSON and names the limit"
LINE_FEED = "a stock server cannot serve a file of that name"

DIFFERENCES: tuple[Difference, ...] = (
    # --- artifacts
    Difference(
        ("how long an artifact may be kept",),
        "nothing said",
        "no-cache",
        "without it a browser would cache a file that may be rewritten",
    ),
    Difference(
        (
            "unchanged, the UI: If-None-Match: the old ETag",
            "unchanged, the UI: If-None-Match: [*]",
            "unchanged, the UI: If-Modified-Since: the old date",
            "unchanged, the UI: If-Modified-Since: a later date",
        ),
        "304",
        "200 old",
        NO_VALIDATORS,
    ),
    Difference(
        (
            "rewritten, the UI: If-None-Match: [*]",
            "rewritten, the UI: If-Modified-Since: the old date",
            "rewritten, the UI: If-Modified-Since: a later date",
        ),
        "304",
        "200 new",
        NO_VALIDATORS,
    ),
    Difference(
        ("unchanged, the *: Range, If-Range: the old *",),
        "206 'content'",
        "200 old",
        PARTS,
    ),
    Difference(
        ("rewritten, the *: Range, If-Range: the old date",),
        "206 'content'",
        "200 new",
        PARTS,
    ),
    Difference((f"unchanged, {NGINX}Range, two",), "206 in parts", "200 old", PARTS),
    Difference((f"rewritten, {NGINX}Range, two",), "206 in parts", "200 new", PARTS),
    Difference(
        (f"unchanged, {NGINX}If-Match: *",),
        "200 old",
        "412",
        "there is no validator that could match; no client of MLflow sends it",
    ),
    Difference((f"rewritten, {NGINX}If-Match: *",), "200 new", "412", "as above"),
    Difference(
        (f"unchanged, {NGINX}If-None-Match: [*]",),
        "200 old",
        "304",
        "it requests the content only if none exists (RFC 9110, 13.1.2)",
    ),
    Difference((f"rewritten, {NGINX}If-None-Match: [*]",), "200 new", "304", "as above"),
    Difference(
        ("client: list_artifacts of a name of 3,000 bytes",),
        "INTERNAL_ERROR",
        "400 INVALID_PARAMETER_VALUE",
        "no file can have such a name: stock answers 500, and its client retries for minutes",
    ),
    Difference(
        tuple(f"name with line feed, {way}" for way in ("PUT", "GET", "DELETE", "mpu/create", "presigned")),
        "404 JSON",
        "400 INVALID_PARAMETER_VALUE",
        LINE_FEED,
    ),
    Difference(("name with NUL, PUT", "name with NUL, DELETE"), "200", "400 BAD_REQUEST", "nginx refuses such a URL"),
    Difference(("name with NUL, GET",), "200 old", "400 BAD_REQUEST", "as above"),
    Difference(
        ("name with NUL, mpu/create", "name with NUL, presigned"), "501 NOT_IMPLEMENTED", "400 BAD_REQUEST", "as above"
    ),
    # --- addresses and heads
    Difference(("address of 80 KiB, *",), "400 in text", "414 INVALID_PARAMETER_VALUE", HEAD),
    Difference(("cookie of 80 KiB, *",), "400 in text", "431 INVALID_PARAMETER_VALUE", HEAD),
    Difference(("250 fields, *",), "200", "431 INVALID_PARAMETER_VALUE", HEAD),
    Difference(("address of 40 KiB and cookie of 40 KiB, *",), "400 in text", "200", HEAD),
    # --- sources of model versions
    Difference(
        (
            "source runs:/RUN/model[?]query",
            "source runs:/RUN/model#fragment",
            "source RUNS:/RUN/model",
            "source s3://bucket/model",
            "source s3://bucket/model, no run",
            "source dbfs:/model",
            "source dbfs:/model, no run",
        ),
        "done",
        "INVALID_PARAMETER_VALUE",
        FORMS,
    ),
    Difference(
        (
            "source runs:/RUN/model[?]query, no run",
            "source runs:/RUN/model#fragment, no run",
            "source RUNS:/RUN/model, no run",
            "source runs://host/RUN/model*",
            "source runs:RUN/model*",
            "source runs:/",
            "source runs:/, no run",
            "source https:*",
            "source file:*",
            "source /etc*",
            "source model",
            "source model, no run",
        ),
        "INVALID_PARAMETER_VALUE",
        "INVALID_PARAMETER_VALUE",
        "the message names the accepted forms",
    ),
    # --- what is not there
    Difference(
        ("GET /nothing", "GET of an unknown address of the API"), "404 in HTML", "404 ENDPOINT_NOT_FOUND", NO_FORM
    ),
    Difference(("POST to a GET",), "405 in HTML", "405 BAD_REQUEST", NO_FORM),
    Difference(("GET of an artifact without its path",), "400 in HTML", "400 INVALID_PARAMETER_VALUE", NO_FORM),
    Difference(("GET of a directory",), "400 JSON", "400 INVALID_PARAMETER_VALUE", "with an error code besides"),
)
