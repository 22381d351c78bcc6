"""Names of artifacts that no person would choose: accepted files are complete, served, and in the next recovery point."""

from __future__ import annotations

from http.client import HTTPException, HTTPSConnection
from urllib.parse import quote

from tests.abuse.found import NO_ANSWER, Attack

ROOT = "abuse-names"
RIGHT = {"200", "201", "204", "400", "403", "404", "405", "409", "411", "413", "414", "421"}


def name(attack: Attack) -> tuple[str, str]:
    """A kind of name, and an example of it, encoded for a URL."""
    rng, word = attack.rng, attack.word(5)
    controls = ["00", "01", "07", "08", "09", "0a", "0d", "1b", "7f", "85", "20", "ff", "c3%28"]
    signs = ["22", "24", "26", "27", "28", "3a", "3b", "3c", "5c", "60", "7c", "7b", "252f", "255c"]
    ends = ["/", "//", "/.", "/./x", "/../x", "/...", "/..%2fx", "%2f", "%2F%2E%2E%2Fx"]
    heads = [".", "..", "...", ".x", "..x", "x.", "x..", "-", "--help", "~", "~root", "*", "?x", "%23"]
    kinds = {
        "long components": quote(rng.choice("aé€\U0001f600") * rng.choice([60, 127, 128, 200, 255, 256, 300])),
        "long paths": "/".join([word * 20] * rng.randrange(10, 45)),
        "ends with slashes and dots": word + rng.choice(ends),
        "begins oddly": rng.choice(heads) + word,
        "control characters": f"{word}%{rng.choice(controls)}{word}",
        "signs": f"{word}%{rng.choice(signs)}{word}",
        "names of unfinished uploads": rng.choice([".", "%2e", f"{word}/.", "x."]) + f"artifact.uploading.{word}",
        "directories of unfinished uploads": f".artifact.uploading.{word}/{rng.choice(['x', '%24'])}{word}",
        "names that tools use": rng.choice([f"{word}.lock", f".nfs{word}", f".snapshot/{word}", f"lost+found/{word}"]),
        "invisible characters": quote(f"{word}\u202e{word}\u00a0\u2028"),
    }
    return rng.choice(list(kinds.items()))


def artifacts(attack: Attack) -> None:
    """By PUT, small and large, and by the UI's upload; then read back."""
    target, found, rng = attack.target, attack.found, attack.rng
    with target.session("editor") as http:
        while attack.has_time():
            below = rng.choice([f"{ROOT}/{attack.word()}/", f"{ROOT}/", ""])
            kind, chosen = name(attack)
            # Files outside of all experiments' directories are removed again.
            if not below and not chosen.startswith((".artifact", "%2eartifact")):
                below = f"{ROOT}/"
            data = chosen.encode()[:50] + b"x" * rng.choice([1, 10, 1_500_000])
            # requests would normalize the URL.
            url = f"{target.artifacts(below)}{chosen}"
            status, body = _raw(attack, "PUT", url, data)
            found.expect(f"PUT, {kind}", status, RIGHT, body)
            # The part after a question mark is not in the name.
            if status in ("200", "201", "204") and "?" not in chosen:
                answer, _ = _raw(attack, "GET", url)
                found.expect(f"GET, {kind}, of what was accepted", answer, {"200"})
        listing = http.get(target.artifacts("").rstrip("/"), params={"path": ROOT}, timeout=60)
        found.expect("a list of unusual names", str(listing.status_code), {"200"})


def _raw(attack: Attack, method: str, url: str, data: bytes = b"") -> tuple[str, str]:
    """Status and body of a request whose URL is sent as it is."""
    target = attack.target
    host, port = target.address
    connection = HTTPSConnection(host, port, context=target.tls(), timeout=60)
    try:
        headers = {"Authorization": target.authorization("editor"), "Host": target.netloc}
        connection.request(method, url[len(target.origin) :], body=data or None, headers=headers)
        answer = connection.getresponse()
        return str(answer.status), answer.read().decode("utf-8", "replace")
    except (OSError, HTTPException):
        return NO_ANSWER, ""
    finally:
        connection.close()
