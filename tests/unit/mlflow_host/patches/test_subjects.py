"""The headers in which MLflow reports a request's subject to nginx, without MLflow: values, messages, successive requests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from mlflow_host.patches.security import subjects


def message(kind: str, file: str = "service.proto", **values: Any) -> Any:
    """Like a protobuf message; each kind is a separate class."""
    fields = [SimpleNamespace(name=name) for name in values]
    descriptor = SimpleNamespace(fields=fields, full_name=f"mlflow.{kind}", file=SimpleNamespace(name=file))
    return type(kind, (), {"DESCRIPTOR": descriptor, **values})()


def headers(read: Any = None, **request: Any) -> dict[str, str]:
    """The headers of the answer to a request in which MLflow reads ``read``."""
    asked = SimpleNamespace(**({"view_args": None, "endpoint": None} | request))
    listener = subjects.Listener(asked)
    seen: list[tuple[str, str]] = []

    def application(_environ: Any, start: Any) -> list[bytes]:
        if isinstance(read, dict):
            listener.fields(lambda: read)()
        elif read is not None:
            assert listener.message(lambda: read)() is read
        start("200 OK", [("Content-Type", "text/plain")])
        return []

    def start(_status: str, headers: list[tuple[str, str]], *_: Any) -> Any:
        seen.extend(headers)

    listener.wrap(application)({}, start)
    assert seen[0] == ("Content-Type", "text/plain")
    assert len(dict(seen)) == len(seen)
    return {name.removeprefix("X-Subject-").lower(): value for name, value in seen[1:]}


@given(st.text(max_size=600))
@example("\r\nX-Subject-Run: x")
@example(" x ")
@example("%41")
@example("\ud800")
@example("n" * 257)
def test_a_value_is_one_header_and_can_be_read_again(value: str) -> None:
    """Without line ends and control characters, limited in length; decoding gives the name, unless it is marked as truncated."""
    header = subjects.header_value(value)
    content = header.encode("latin-1")
    assert len(content) <= subjects.LONGEST + len(subjects.CUT_OFF)
    text = content.decode()
    assert text.isprintable()
    assert text == text.strip()
    if text.endswith(subjects.CUT_OFF):
        kept = unquote(text.removesuffix(subjects.CUT_OFF), errors="surrogatepass")
        assert value.startswith(kept)
        assert len(kept) < len(value)
    else:
        assert unquote(text, errors="surrogatepass") == value


@pytest.mark.parametrize(
    ("given_number", "found"),
    [
        ("7", "7"),
        ("007", "7"),
        (" 7 ", "7"),
        (7, "7"),
        ("", ""),
        ("x", ""),
        ("7x", ""),
        (True, ""),
        (["7"], ""),
        (None, ""),
        ("9" * 5000, ""),
        pytest.param(10**5000, "", id="huge"),
    ],
)
def test_a_number_is_written_as_the_database_has_it(given_number: Any, found: str) -> None:
    """Other values of a client are not logged."""
    assert subjects.number(given_number) == found


@pytest.mark.parametrize(
    ("read", "found"),
    [
        (message("SetTag", run_id="v", run_uuid="d"), {"run": "v"}),
        (message("SetTag", run_id="", run_uuid="v"), {"run": "v"}),
        (message("DeleteRun", run_id=""), {}),
        (message("LogMetric", run_id="v", run_uuid="", model_id="m-1"), {"run": "v", "model": "m-1"}),
        (message("UpdateExperiment", experiment_id="07", new_name="d"), {"experiment": "7"}),
        (message("SearchRuns", experiment_ids=["1", "2"]), {}),
        (message("CreateDataset", experiment_ids=["1", "x", "02"], name="d"), {"experiment": "1,2"}),
        (message("StartTraceV3", experiment_id="7"), {}),
        (message("CreateExperiment", name="d"), {}),
        (message("CreateWebhook", "webhooks.proto", name="d"), {}),
        (message("RenameRegisteredModel", subjects.REGISTRY, name="v", new_name="d"), {"model": "v"}),
        (message("UpdateModelVersion", subjects.REGISTRY, name="v", version="01"), {"model": "v", "version": "1"}),
        (
            message("CreateModelVersion", subjects.REGISTRY, name="v", run_id="r", model_id="m-1"),
            {"model": "v", "run": "r"},
        ),
        ({"experiment_id": "07", "run_id": "d"}, {"experiment": "7"}),
        ({"experiment_id": ["7"]}, {}),
    ],
)
def test_the_subject_is_what_the_handler_goes_by(read: Any, found: dict[str, str]) -> None:
    """From the parsed message, not from the request."""
    assert headers(read) == found


def test_of_url_and_body_the_one_that_counts_is_logged() -> None:
    """MLflow finalizes a logged model by the body, and all else by the path."""
    address = {"view_args": {"model_id": "address"}}
    assert headers(message("SetLoggedModelTags", model_id="body"), **address) == {"model": "address"}
    assert headers(message("FinalizeLoggedModel", model_id="body"), **address) == {"model": "body"}
    assert headers(None, **address) == {"model": "address"}
    assert headers(None, view_args={"dataset_id": "d"}) == {}


def test_what_has_no_message_is_read_as_its_view_reads_it() -> None:
    """Arguments of an upload, plain JSON of two views, and none for all others."""
    arguments = {"run_uuid": "v", "run_id": "d"}
    assert headers(endpoint=subjects.UPLOAD, args=arguments) == {"run": "v"}
    body = {"experiment_id": "7", "run_id": "d"}
    assert headers(endpoint=subjects.BY_JSON[0], get_json=lambda silent: body) == {"experiment": "7"}
    assert headers(endpoint=subjects.BY_JSON[0], get_json=lambda silent: ["x"]) == {}
    assert headers(endpoint="_graphql", args=arguments, get_json=lambda silent: body) == {}


def test_a_request_has_no_subject_of_the_one_before() -> None:
    """A thread processes many, and some of them fail."""
    listener = subjects.Listener(SimpleNamespace(view_args=None, endpoint=None))
    headers: list[Any] = []

    def start(_status: str, found: list[tuple[str, str]], *_: Any) -> Any:
        headers.extend(found)

    def failing(_environ: Any, _start: Any) -> Any:
        listener.message(lambda: message("DeleteRun", run_id="before"))()
        raise RuntimeError

    def silent(_environ: Any, start: Any) -> Any:
        return start("200 OK", [])

    with pytest.raises(RuntimeError):
        listener.wrap(failing)({}, start)
    listener.wrap(silent)({}, start)
    assert headers == []


def test_a_new_trace_is_where_its_answer_says() -> None:
    """MLflow moves an existing one."""
    place = SimpleNamespace(mlflow_experiment=SimpleNamespace(experiment_id="7"))
    trace = SimpleNamespace(trace_info=SimpleNamespace(trace_location=place))
    answer = message("StartTraceV3.Response", trace=trace)
    listener = subjects.Listener(SimpleNamespace(view_args=None, endpoint=None))
    headers: list[Any] = []

    def application(_environ: Any, start: Any) -> Any:
        assert listener.answer(lambda _message, **_named: "{}")(answer, pretty=False) == "{}"
        return start("200 OK", [])

    def start(_status: str, found: list[tuple[str, str]], *_: Any) -> Any:
        headers.extend(found)

    listener.wrap(application)({}, start)
    assert headers == [("X-Subject-Experiment", "7")]


def test_a_changed_mlflow_fails_loudly() -> None:
    """Otherwise the log would have no subjects."""
    handlers = SimpleNamespace(_get_request_message=1, _get_validated_flask_request_json=1, message_to_json=1)
    views = [subjects.UPLOAD, *subjects.BY_JSON]
    subjects.check(handlers, views)
    with pytest.raises(subjects.SubjectError, match=subjects.UPLOAD):
        subjects.check(handlers, views[1:])
    del handlers.message_to_json
    with pytest.raises(subjects.SubjectError, match="message_to_json"):
        subjects.check(handlers, views)
