"""The example configurations of proxies, each in front of the API on a path prefix, with TLS."""

from __future__ import annotations

import datetime
import json
import re
import ssl
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx2
import pytest
import yaml
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from audit_trail.embedded.broker import LOOPBACK, free_ports
from event_store.database import READER, Database
from event_store.log_reader import LogReader
from ingest.publisher import Publisher
from ingest.settings import IngestSettings
from queries.read_models import ReadModels
from tests.foreign_server import answer, foreign
from tests.installed import installed
from tests.tokens import ADMIN, authentication
from tests.waiting import eventually
from tests.web.conftest import NO_BROKER, serving
from web.app import create_app
from web.probes import StoreProbes
from web.settings import WebSettings

DEPLOY = Path(__file__).parents[2] / "deploy"
CLIENT = "127.0.0.2"
"""The address that the client connects from: not that of the proxy."""
SUBSCRIPTION = "subscription { eventRecorded(after: 0) { position } }"


Proxy = Callable[[Path, int, int], list[str | Path]]
"""The command of a proxy from its folder, the port of the API, and the port to listen on."""


class Proxied(NamedTuple):
    port: int
    client: httpx2.Client
    seen: list[str]
    """The address of each client, as the API sees it."""


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate for the loopback address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "audit.example")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    certificate, private = folder / "audit.example.crt", folder / "audit.example.key"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    return certificate, private


@contextmanager
def running(command: Sequence[str | Path], port: int, log: Path) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(list(map(str, command)), stdout=output, stderr=output)
    try:
        eventually(lambda: listens(port) or process.poll() is not None)
        assert process.poll() is None, log.read_text(encoding="utf-8")
        yield
    finally:
        process.terminate()
        process.wait(20)


def listens(port: int) -> bool:
    try:
        httpx2.get(f"https://{LOOPBACK}:{port}/", verify=False)
    except httpx2.TransportError:
        return False
    return True


def nginx(folder: Path, api: int, port: int) -> list[str | Path]:
    certificate(folder)
    text = (DEPLOY / "nginx" / "audit-trail.conf").read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:8000", f"{LOOPBACK}:{api}").replace(
        "listen 443", f"listen {LOOPBACK}:{port}"
    )
    text = text.replace("/etc/nginx/tls", str(folder))
    folders = "".join(
        f"{each}_temp_path {folder}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; pid {folder}/nginx.pid; error_log stderr;\n"
        f"events {{ worker_connections 64; }}\nhttp {{ {folders} access_log off;\n{text}}}\n",
        encoding="utf-8",
    )
    return [installed("nginx") or "", "-c", file, "-p", folder]


def haproxy(folder: Path, api: int, port: int) -> list[str | Path]:
    made, key = certificate(folder)
    (folder / "audit.example.pem").write_bytes(made.read_bytes() + key.read_bytes())
    text = (DEPLOY / "haproxy" / "haproxy.cfg").read_text(encoding="utf-8")
    text = text.replace("127.0.0.1:8000", f"{LOOPBACK}:{api}").replace("bind :443", f"bind {LOOPBACK}:{port}")
    file = folder / "haproxy.cfg"
    file.write_text(text.replace("/etc/haproxy/tls", str(folder)), encoding="utf-8")
    return [installed("haproxy") or "", "-db", "-f", file]


def traefik(folder: Path, api: int, port: int) -> list[str | Path]:
    certificate(folder)
    changes = {
        "127.0.0.1:8000": f"{LOOPBACK}:{api}",
        '":443"': f'"{LOOPBACK}:{port}"',
        "/etc/traefik/tls": str(folder),
        "/etc/traefik": str(folder),
        "Host(`audit.example`)": f"Host(`{LOOPBACK}`)",
    }
    for name in ("traefik.yaml", "audit-trail.yaml"):
        text = (DEPLOY / "traefik" / name).read_text(encoding="utf-8")
        for documented, here in changes.items():
            text = text.replace(documented, here)
        (folder / name).write_text(text, encoding="utf-8")
    return [installed("traefik") or "", f"--configFile={folder / 'traefik.yaml'}"]


PROXIES = pytest.mark.parametrize(
    "proxy",
    [
        pytest.param(each, marks=pytest.mark.needs_program(each.__name__))
        for each in (nginx, haproxy, traefik)
    ],
    ids=lambda each: each.__name__,
)


@contextmanager
def client_of(proxy: Proxy, folder: Path, api: int) -> Iterator[httpx2.Client]:
    """A client of a proxy in front of the API on the port `api`."""
    (port,) = free_ports(1)
    transport = httpx2.HTTPTransport(verify=False, local_address=CLIENT)
    with (
        running(proxy(folder, api, port), port, folder / "proxy.log"),
        httpx2.Client(
            base_url=f"https://{LOOPBACK}:{port}", headers=ADMIN, timeout=20, transport=transport
        ) as client,
    ):
        eventually(lambda: client.get("/audit/healthz").status_code == 200)
        yield client


@pytest.fixture
def proxied(proxy: Proxy, hospital_url: str, server_folder: Path) -> Iterator[Proxied]:
    seen: list[str] = []
    with ExitStack() as stack:
        database = stack.enter_context(closing(Database(hospital_url, READER, size=4)))
        publisher = stack.enter_context(closing(Publisher(IngestSettings(bootstrap_servers=(NO_BROKER,)))))
        app = create_app(
            ReadModels(database),
            LogReader(database),
            publisher,
            StoreProbes(database),
            WebSettings(path_prefix="/audit", pages=True),
            authentication=authentication(),
        )

        async def noting(scope: Any, receive: Any, send: Any) -> None:
            if scope["type"] != "lifespan" and scope["path"] != "/readyz":
                seen.append(scope["client"][0])
            await app(scope, receive, send)

        noting.state = app.state  # type: ignore[attr-defined]  # the server stops the streams by it
        direct = stack.enter_context(serving(noting, trusted_proxies=(LOOPBACK,)))
        client = stack.enter_context(client_of(proxy, server_folder, direct.base_url.port or 0))
        yield Proxied(client.base_url.port or 0, client, seen)


@PROXIES
def test_links_pages_and_documents_work_below_the_prefix(proxied: Proxied) -> None:
    client = proxied.client
    listed = client.get("/audit/v1/events", params={"first": 2}).json()
    assert client.get(listed["next"]).status_code == 200
    assert client.get("/audit/openapi.json").json()["servers"] == [{"url": "/audit"}]
    page = client.get("/audit/graphql", headers={"Accept": "text/html"})
    assert 'src="static/graphiql/page.js"' in page.text
    assert client.get("/audit/static/graphiql/page.js").status_code == 200
    answer = client.post("/audit/graphql", json={"query": "{ events(first: 1) { asOfPosition } }"})
    assert answer.json()["data"]["events"]["asOfPosition"] > 0


@PROXIES
def test_metrics_are_hidden_however_the_path_is_written(proxied: Proxied) -> None:
    for path in ("metrics", "%6detrics", "./metrics", "/metrics", "metrics?all=1"):
        assert proxied.client.get(f"/audit/{path}").status_code in {400, 404}, path


@PROXIES
def test_the_api_sees_where_the_client_is_and_not_what_it_says(proxied: Proxied) -> None:
    proxied.seen.clear()
    headers = {"X-Forwarded-For": "9.9.9.9", "Forwarded": "for=9.9.9.9", "X-Real-IP": "9.9.9.9"}
    assert proxied.client.get("/audit/healthz", headers=headers).status_code == 200
    assert proxied.seen == [CLIENT]


@PROXIES
def test_a_websocket_passes_with_the_origin_of_the_proxy(proxied: Proxied) -> None:
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with connect(
        f"wss://{LOOPBACK}:{proxied.port}/audit/graphql",
        subprotocols=[Subprotocol("graphql-transport-ws")],
        additional_headers=ADMIN,
        origin=Origin(f"https://{LOOPBACK}:{proxied.port}"),
        ssl=context,
    ) as socket:
        socket.send('{"type": "connection_init"}')
        assert json.loads(socket.recv(timeout=10)) == {"type": "connection_ack"}
        payload = {"query": SUBSCRIPTION}
        socket.send(json.dumps({"type": "subscribe", "id": "1", "payload": payload}))
        assert json.loads(socket.recv(timeout=10))["payload"]["data"]["eventRecorded"]["position"] == 1


@PROXIES
def test_an_event_stream_is_not_held_back(proxied: Proxied) -> None:
    began = time.monotonic()
    line = next(line for line in map(first_event, [proxied.client] * 3) if line)
    assert json.loads(line.removeprefix("data:"))["data"]["eventRecorded"]["position"] == 1
    assert time.monotonic() - began < 10


def first_event(client: httpx2.Client) -> str:
    """The first event of a stream; empty when the proxy broke it off, as Traefik 3.7 does to one in a hundred."""
    headers = {"Accept": "text/event-stream"}
    with (
        suppress(httpx2.RemoteProtocolError),
        client.stream("POST", "/audit/graphql", json={"query": SUBSCRIPTION}, headers=headers) as answer,
    ):
        return next(each for each in answer.iter_lines() if each.startswith("data:"))
    return ""


@PROXIES
def test_a_publication_of_the_largest_size_passes(proxied: Proxied) -> None:
    body = b"[" + b" " * (5 * 1024 * 1024 - 2) + b"]"
    headers = {"Content-Type": "application/json"}
    assert proxied.client.post("/audit/v1/events", content=body, headers=headers).status_code == 400


@PROXIES
def test_a_publication_that_got_no_answer_is_not_sent_again(proxy: Proxy, server_folder: Path) -> None:
    def api(request: bytes) -> Iterator[bytes]:
        if request.startswith(b"GET"):
            yield answer(200)

    with foreign(api) as server, client_of(proxy, server_folder, server.port) as client:
        with suppress(httpx2.RemoteProtocolError):  # HAProxy closes a connection that was used before
            assert client.post("/audit/v1/events", json={}).status_code in {502, 503}
        sent = [each for each in server.requests if each.startswith(b"POST")]
    assert len(sent) == 1


def test_the_configuration_of_traefik_names_the_same_paths() -> None:
    document = yaml.safe_load((DEPLOY / "traefik" / "audit-trail.yaml").read_text(encoding="utf-8"))
    router = document["http"]["routers"]["audit-trail"]
    assert re.findall(r"Path(?:Prefix)?\(`([^`]*)`\)", router["rule"]) == ["/audit/", "/audit/metrics"]
    service = document["http"]["services"][router["service"]]["loadBalancer"]
    assert service["healthCheck"]["path"] == "/readyz"
    assert service["serversTransport"] in document["http"]["serversTransports"]
    assert service["passHostHeader"] is True
