"""Rules for every artifact, whether nginx or MLflow serves it: it is complete, has the right owner, and can be deleted."""

from __future__ import annotations

import time
import uuid
from typing import Any

import pytest

from tests.harness.artifacts import API, listing
from tests.harness.uploads import half_an_upload


@pytest.mark.parametrize("size", [1, 2_000_000], ids=["by the first nginx", "by the second"])
def test_mlflow_deletes_what_nginx_has_written(http: Any, server: Any, root: str, size: int) -> None:
    """One file, then a whole directory, each in directories that nginx has created."""
    for name in ("keep", "one", "folder/two", "folder/deeper/three"):
        assert http.put(f"{root}/{name}", data=b"x" * size).ok
    assert http.delete(f"{root}/folder/two").ok
    assert http.get(f"{root}/folder/two").status_code == 404
    assert http.delete(f"{root}/folder").ok
    assert http.delete(f"{root}/one").ok
    assert list(listing(http, server, root)) == ["keep"]


def test_a_download_stays_whole_while_it_is_overwritten(http: Any, root: str) -> None:
    """A download in progress gets the old file to its end; the next one gets the new one."""
    old, new = b"o" * 40_000_000, b"n" * 100
    http.put(f"{root}/file", data=old)
    with http.get(f"{root}/file", stream=True) as download:
        parts = download.iter_content(1_000_000)
        begun = next(parts)
        http.put(f"{root}/file", data=new)
        assert begun + b"".join(parts) == old
    assert http.get(f"{root}/file").content == new


def test_a_killed_upload_leaves_nothing(host: Any, server: Any, http: Any, root: str) -> None:
    """No partial file remains, neither under its name nor elsewhere."""
    incoming = f"find {server['mlflow_volume_path']}/incoming -type f"
    http.put(f"{root}/old", data=b"old")
    with half_an_upload(server, http, f"{root}/new"), half_an_upload(server, http, f"{root}/old"):
        assert len(host.check_output(incoming).splitlines()) == 2
        assert list(listing(http, server, root)) == ["old"]
    deadline = time.monotonic() + 20
    while host.check_output(incoming) and time.monotonic() < deadline:
        time.sleep(0.5)
    assert host.check_output(incoming) == ""
    assert listing(http, server, root) == {"old": (False, 3)}
    assert http.get(f"{root}/old").content == b"old"


def test_an_upload_with_expect_continue_arrives(server: Any, http: Any, root: str) -> None:
    """Expect: 100-continue is answered, and then the file."""
    with half_an_upload(server, http, f"{root}/file") as connection:
        connection.sendall(b"y" * 5_000_000)
        assert connection.recv(1000).startswith(b"HTTP/1.1 201 ")
    assert http.get(f"{root}/file").content == b"x" * 5_000_000 + b"y" * 5_000_000


def test_nothing_is_written_past_the_rules(host: Any, server: Any, http: Any, anonymous: Any, root: str) -> None:
    """Clients without a login, viewers, and requests for nginx's internal paths change nothing and see nothing."""
    http.put(f"{root}/file", data=b"mine")
    viewer = (server["mlflow_users"][1]["name"], "second-secret-word")
    path = root.removeprefix(server.url + API)
    assert anonymous.put(f"{root}/file", data=b"theirs").status_code == 401
    assert anonymous.get(f"{root}/file").status_code == 401
    assert anonymous.put(f"{root}/file", data=b"theirs", auth=viewer).status_code == 403
    assert anonymous.get(f"{root}/file", auth=viewer).content == b"mine"
    for own in ("/-/write", "/-/read", "/%2d/write", "/-/./write"):
        for method in ("PUT", "GET"):
            assert http.request(method, f"{server.url}{own}{path}/file", data=b"theirs").status_code in (400, 404, 405)
    for trick in ("/../x", "/%2e%2e/x", "/..%2fx", "/%252e%252e/x"):
        http.put(f"{server.url}{API}{trick}", data=b"theirs")
    assert http.get(f"{root}/file").content == b"mine"
    volume = server["mlflow_volume_path"]
    assert host.run(f"find {volume} -newer {volume}/store{path}/file -name x").stdout == ""


def test_everybody_waits_for_a_restore(host: Any, server: Any, http: Any, root: str) -> None:
    """While a recovery point is swapped in, nginx touches no artifact either."""
    http.put(f"{root}/file", data=b"1")
    closed = f"/run/{server.unit}-restore/closed"
    host.check_output(f"mkdir -p {closed.rpartition('/')[0]} && touch {closed}")
    try:
        assert http.get(f"{root}/file").status_code == 429
        assert http.put(f"{root}/file", data=b"2").status_code == 429
    finally:
        host.check_output(f"rm {closed}")
    assert http.get(f"{root}/file").content == b"1"


@pytest.mark.parametrize(
    "name",
    [
        ".artifact.uploading.x",
        ".artifact.uploading.d/x",
        "a/.artifact.uploading.d/b/x",
        "%2Eartifact.uploading.d/x",
        "a/%252Eartifact%252Euploading%252Ed/x",
        ".artifact.uploading.%21/x",
    ],
)
def test_what_no_recovery_point_would_hold_is_refused(http: Any, root: str, name: str) -> None:
    """MLflow reserves this prefix for uploads in progress, which are not in recovery points: other files may not use it."""
    answer = http.put(f"{root}/{name}", data=b"lost")
    assert (answer.status_code, answer.json()["error_code"]) == (400, "INVALID_PARAMETER_VALUE")
    assert http.get(f"{root}/{name}").status_code in (400, 404)


def test_an_experiment_in_such_a_place_takes_no_artifact(server: Any, http: Any) -> None:
    """Clients' uploads are refused; files that MLflow writes for the UI are below the experiment's ID, and so in the point."""
    api = f"{server.url}/api/2.0/mlflow"
    place = {"name": uuid.uuid4().hex, "artifact_location": "mlflow-artifacts:/.artifact.uploading.e"}
    experiment = http.post(f"{api}/experiments/create", json=place).json()["experiment_id"]
    info = http.post(f"{api}/runs/create", json={"experiment_id": experiment}).json()["run"]["info"]
    run, path = info["run_id"], info["artifact_uri"].removeprefix("mlflow-artifacts:/")
    written = http.put(f"{server.url}{API}/{path}/x", data=b"lost")
    address = f"{server.url}/ajax-api/2.0/mlflow/upload-artifact"
    uploaded = http.post(address, params={"run_uuid": run, "path": "x"}, data=b"lost")
    assert (written.status_code, uploaded.status_code) == (400, 200)
    assert http.get(f"{server.url}{API}/{experiment}/{run}/artifacts/x").content == b"lost"
    # `.partial` and the like are ordinary names, and are in the point.
    assert http.put(f"{server.url}{API}/0/{run}/artifacts/.partial/CACHEDIR.TAG", data=b"kept").ok
