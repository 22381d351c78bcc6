"""Read every request to its end before it is answered.

MLflow refuses some requests without reading their body. nginx then has its
answer and sends the next request on the same connection, while gunicorn's
gthread worker is still discarding the old body: it may read and lose the first
bytes of the next request. nginx waits until gunicorn's ``keepalive`` expires and
answers 502, or drops its own client.
Seen with gunicorn 26.2: gthread.py ``_keepalive_after``, parser.py ``finish_body``.
"""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PIECE_BYTES = 1 << 16


class ReadToTheEnd:
    """WSGI middleware: reads the rest of the body before the answer is sent.

    So a client that sends its whole body first also receives the reason of a refusal.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._application(environ, start_response)
        while environ["wsgi.input"].read(PIECE_BYTES):
            pass
        return answer
