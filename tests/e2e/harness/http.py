"""The little HTTP/1.1 that tests need, on a TlsClient or any socket-like pair of calls."""

from dataclasses import dataclass


@dataclass
class Response:
    status: int
    headers: dict
    body: bytes


class HttpClient:
    """Keep-alive requests, one after the other."""

    def __init__(self, client):
        self.client = client
        self._rest = b""

    def request(self, path="/", method="GET", body=None):
        head = f"{method} {path} HTTP/1.1\r\nHost: app.example\r\n"
        if body is not None:
            head += f"Content-Length: {len(body)}\r\n"
        self.client.send(head.encode() + b"\r\n" + (body or b""))
        return self.response()

    def response(self):
        status, headers = self._head()
        size = int(headers.get("content-length", 0))
        while len(self._rest) < size:
            self._more()
        body, self._rest = self._rest[:size], self._rest[size:]
        return Response(status, headers, body)

    def _head(self):
        while b"\r\n\r\n" not in self._rest:
            self._more()
        head, _, self._rest = self._rest.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        pairs = (line.split(":", 1) for line in lines)
        return int(first.split()[1]), {key.lower(): value.strip() for key, value in pairs}

    def _more(self):
        part = self.client.recv()
        if not part:
            raise EOFError("the connection ended within a response")
        self._rest += part
