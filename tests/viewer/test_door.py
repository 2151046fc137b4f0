"""Who comes in: those with the whole address, through their own page, and nobody else."""

import http.client
import socket
from urllib.parse import urlsplit

import pytest

from geoflow_viewer.browser import Browser, BrowserUnavailableError
from geoflow_viewer.door import Door, why_closed
from geoflow_viewer.items import Rung
from geoflow_viewer.state import State

pytest.importorskip("viser", reason="needs the extra geoflow[viewer]")


class Headers(dict):
    def get_all(self, name):
        return [self[name]] if name in self else []


def judged(door, path="/", **headers):
    """Status and headers of the answer; None where one is let in."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = door.judge(path, Headers({"Host": "127.0.0.1:8080"} | named))
    return answer if answer is None else answer[:2]


@pytest.fixture
def door():
    return Door("127.0.0.1", 8080)


def cookie(door):
    return f"other=1; geoflow-8080={door.token}"


def test_the_address_gives_a_cookie_and_the_cookie_lets_in(door):
    status, headers = judged(door, f"/?token={door.token}")
    assert (status, headers["Location"]) == (303, "/")
    assert f"geoflow-8080={door.token}; HttpOnly; SameSite=Lax" in headers["Set-Cookie"]
    assert judged(door, Cookie=cookie(door)) is None
    assert judged(door, "/assets/a.js", Cookie=cookie(door)) is None
    ours = {"Upgrade": "websocket", "Origin": "http://127.0.0.1:8080", "Cookie": cookie(door)}
    assert judged(door, **ours) is None


@pytest.mark.parametrize(
    "change",
    [
        {"Cookie": "geoflow-8080=guess"},
        {"Cookie": ""},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:9999"},
        {"Host": "evil.example:8080"},
        {"Host": "evil.example"},
        {"Host": ""},
        {"Host": "[::1"},
    ],
)
@pytest.mark.parametrize("upgrade", [{}, {"Upgrade": "websocket"}])
def test_others_are_turned_away(door, change, upgrade):
    right = {"Cookie": cookie(door), "Origin": "http://127.0.0.1:8080", **upgrade}
    assert judged(door, **right) is None
    assert judged(door, **right | change)[0] == 403


def test_the_token_in_an_address_is_for_pages_alone(door):
    """A script of another site cannot bring it along, and no page is told another server."""
    asked = {"Upgrade": "websocket"}
    assert judged(door, f"/?token={door.token}", **asked)[0] == 403
    assert judged(door, "/?token=guess")[0] == 403
    assert judged(door, "/?websocket=ws://evil.example", Cookie=cookie(door))[1] == {
        "Location": "/"
    }


@pytest.mark.parametrize("host", ["192.168.1.7:8080", "[fe80::1]:8080", "localhost:9999"])
def test_addresses_of_numbers_are_no_rebound_names(door, host):
    assert judged(door, Host=host, Origin=f"http://{host}", Cookie=cookie(door)) is None


def test_doors_have_tokens_of_their_own():
    tokens = {Door("127.0.0.1", 1).token for _ in range(20)}
    assert len(tokens) == 20
    assert min(map(len, tokens)) >= 20


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture
def face(models):
    with Browser(models, State(model="tiny"), port=free_port(), rungs=(Rung(16, 64),)) as face:
        yield face


def answer(face, path="/", **headers):
    connection = http.client.HTTPConnection("127.0.0.1", urlsplit(face.url).port, timeout=30)
    connection.request("GET", path, headers=headers)
    got = connection.getresponse()
    got.read()
    connection.close()
    return got


UPGRADE = {
    "Upgrade": "websocket", "Connection": "Upgrade", "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==", "Sec-WebSocket-Protocol": "viser-v1.1.1",
}  # fmt: skip


def test_visers_server_has_the_door(face):
    """Of a change of viser's way of serving, this would be told; so would whoever starts it."""
    asked = urlsplit(face.url)
    assert answer(face).status == 403
    assert answer(face, **UPGRADE).status == 403
    welcome = answer(face, f"/?{asked.query}")
    assert welcome.status == 303
    own = {"Cookie": welcome.getheader("Set-Cookie").split(";")[0]}
    page = answer(face, **own)
    assert page.status == 200
    assert page.getheader("X-Frame-Options") == "DENY"
    assert "frame-ancestors 'none'" in page.getheader("Content-Security-Policy")
    assert answer(face, **own, **UPGRADE).status == 101
    assert answer(face, **own, **UPGRADE, Origin="http://evil.example").status == 403
    assert answer(face, **own, Host="evil.example").status == 403
    assert answer(face, "/../../etc/passwd", **own).status == 404


STRANGE = [
    b"Host: 127.0.0.1\r\nOrigin: http://[::1",
    b"Host: 127.0.0.1\r\nHost: evil.example",
    b"Host: 127.0.0.1\r\nOrigin: http://127.0.0.1\r\nOrigin: http://evil.example",
    b"Host: 127.0.0.1\r\nCookie: geoflow-1=\xff\xfe",
    b"Host: evil.example\\@127.0.0.1",
    b"Host: 127.0.0.1@evil.example",
    b"Host: [fe80::1%25evil.example]",
    b"no header",
]


@pytest.mark.parametrize("lines", STRANGE)
def test_what_is_no_request_is_refused_and_writes_nothing_on_the_screen(face, lines, capfd):
    for path in (b"/", b"//[x/"):
        with socket.create_connection(("127.0.0.1", urlsplit(face.url).port), timeout=30) as asked:
            asked.sendall(b"GET " + path + b" HTTP/1.1\r\n" + lines + b"\r\n\r\n")
            said = b""
            while more := asked.recv(4096):
                said += more
        assert said == b"" or said.startswith((b"HTTP/1.1 400", b"HTTP/1.1 403"))
    assert capfd.readouterr().err == ""


def test_nothing_is_served_where_the_door_is_not_used(models, monkeypatch):
    monkeypatch.setattr(Door, "guarding", lambda self: __import__("contextlib").nullcontext())
    with pytest.raises(RuntimeError, match="guarded"):
        Browser(models, State(model="tiny"), port=free_port())


@pytest.mark.parametrize(
    "host", ["203.0.113.7", "a b", "::zz", "x" * 300, "no.such.name.invalid", "\0"]
)
def test_where_nothing_can_listen_is_said_and_not_waited_for(host, models):
    with pytest.raises(BrowserUnavailableError) as refused:
        Browser(models, State(), host=host, port=8080)
    said = str(refused.value)
    assert said.startswith(f"no page: nothing can listen at {host!r}, port 8080: ")
    assert "\n" not in said


def test_where_something_listens_another_one_cannot():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        port = listener.getsockname()[1]
        assert f"port {port} is taken" in why_closed("127.0.0.1", port)
    assert why_closed("127.0.0.1", port) == ""
