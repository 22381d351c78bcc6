"""Read every request to its end before it is answered.

MLflow refuses some requests without reading their body. nginx then has its
answer and sends the next request on the same connection, while gunicorn's
gthread worker is still throwing the old body away: that may read the next
request's first bytes as well, and then nobody looks at them. nginx waits until
gunicorn's ``keepalive`` ends and answers 502, or drops its own client.
Seen with gunicorn 26.2: gthread.py ``_keepalive_after``, parser.py ``finish_body``.
"""

from __future__ import annotations

from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

PIECE_BYTES = 1 << 16


class ReadToTheEnd:
    """WSGI middleware: what the application left unread is read, then the answer is sent.

    A client that has sent all it wanted also gets to read why it was refused.
    """

    def __init__(self, application: WSGIApplication) -> None:
        self._application = application

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        answer = self._application(environ, start_response)
        while environ["wsgi.input"].read(PIECE_BYTES):
            pass
        return answer
