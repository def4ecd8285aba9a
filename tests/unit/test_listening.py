"""The address that `serve` listens at before anything is sent there."""

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from flowers17.errors import InvalidInput
from flows.prefect_api import listening
from tests.support.other_users import needs_root, squatting
from tests.support.processes import free_port


def test_is_every_one_that_a_host_means(monkeypatch: pytest.MonkeyPatch) -> None:
    port = free_port()
    meant = [
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port))
        for host in ("127.0.0.1", "127.0.0.2")
    ]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: meant)
    with listening("bench.example", port):
        for *_, address in meant:
            with pytest.raises(OSError, match="in use"):
                socket.create_server(address)
    for *_, address in meant:
        socket.create_server(address).close()


def test_is_refused_where_somebody_listens_at_any_of_them() -> None:
    with socket.create_server(("127.0.0.2", 0)) as taken:
        port = taken.getsockname()[1]
        told = pytest.raises(InvalidInput, match=rf"0\.0\.0\.0:{port}.*choose another --port")
        with told, listening("0.0.0.0", port):
            pass


@needs_root
@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0"])
def test_is_not_taken_by_another_user_who_had_bound_it(host: str) -> None:
    with squatting(free_port()) as squatter, listening(host, squatter.port) as (listener,):
        with ThreadPoolExecutor(1) as pool:
            accepted = pool.submit(listener.accept)
            socket.create_connection(("127.0.0.1", squatter.port)).close()
            accepted.result()[0].close()
        assert not squatter.takes_over()
