"""A proxy on loopback that lets nobody through, and remembers who asked."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest


@dataclass
class Proxy:
    """Where it listens (host:port), and the first line, or bytes, of each request so far."""

    place: str
    requests: list[bytes] = field(default_factory=list)

    def variables(self, *kinds: str, scheme: str = "http") -> dict[str, str]:
        """Return the variables that lead to it. kinds: as `http` or `ALL`, spelled alike."""
        address = f"{scheme}://person:secret@{self.place}"
        return {f"{kind}_{'proxy' if kind.islower() else 'PROXY'}": address for kind in kinds}


@contextmanager
def no_proxies() -> Iterator[pytest.MonkeyPatch]:
    """Take all variables of proxies out of the environment; what is set inside is undone."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
            for variable in (name, name.upper()):
                patch.setenv(variable, "")  # so that it is undone
                patch.delenv(variable)
        yield patch


@contextmanager
def refusing_proxy(status: str = "403 Forbidden") -> Iterator[Proxy]:
    """Yield a proxy that answers each request with a status; to SOCKS it says: not allowed."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        proxy = Proxy(f"127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            while True:
                try:
                    stream, _ = listener.accept()
                except OSError:  # closed
                    return
                with stream:
                    head = stream.recv(65536)
                    proxy.requests.append(head.split(b"\r\n")[0])
                    if head.startswith(b"\x05"):
                        stream.sendall(b"\x05\xff")
                    else:
                        stream.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 0\r\n\r\n".encode())

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield proxy
        finally:
            listener.shutdown(socket.SHUT_RDWR)
            thread.join(10)
