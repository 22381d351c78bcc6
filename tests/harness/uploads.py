"""A client that sends slowly, on a plain socket."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import requests


@contextmanager
def half_an_upload(server: Any, http: Any, address: str) -> Iterator[ssl.SSLSocket]:
    """A client that has announced 10 MB, waited for "100 Continue" and sent a part."""
    url = urlsplit(address)
    context = ssl.create_default_context(cafile=server.ca)
    plain = socket.create_connection((url.hostname, url.port or 443), timeout=30)
    with context.wrap_socket(plain, server_hostname=url.hostname) as connection:
        prepared = http.prepare_request(requests.Request("PUT", address))
        connection.sendall(
            f"PUT {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\nAuthorization: {prepared.headers['Authorization']}\r\n"
            "Content-Length: 10000000\r\nExpect: 100-continue\r\n\r\n".encode()
        )
        assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
        connection.sendall(b"x" * 5_000_000)
        yield connection
