"""Where providers may be: names, digits, redirects and resolvers that change their minds."""

from __future__ import annotations

import asyncio
import socket
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from modelyard.adapters.upstream.addresses import AddressRules
from modelyard.adapters.upstream.http import AiohttpCalls
from modelyard.adapters.upstream.probe import HttpProber
from modelyard.adapters.upstream.resolver import Found
from modelyard.core.http_timeouts import HttpTimeouts
from modelyard.core.secret import Secret
from modelyard.registry.provider import ProviderSpec
from modelyard.serving.upstream.failures import Kind, UpstreamFailed
from modelyard.serving.upstream.ports import HttpCall, read_whole
from tests.upstreams import KEY, Upstream, answers, hangs

pytestmark = pytest.mark.asyncio
PATIENT = HttpTimeouts(connect_seconds=20.0, first_byte_seconds=20.0, between_seconds=20.0)
QUICK = HttpTimeouts(connect_seconds=20.0, first_byte_seconds=0.3, between_seconds=0.3)


class Names:
    """A resolver: the n-th question is answered by the n-th list of addresses."""

    def __init__(self, *answers: list[str]) -> None:
        self.answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> list[Found]:
        self.asked.append(host)
        found = self.answers[min(len(self.asked), len(self.answers)) - 1]
        family = {False: socket.AF_INET, True: socket.AF_INET6}
        return [(family[":" in address], address) for address in found]


async def kind_of(calls: AiohttpCalls, url: str, timeouts: HttpTimeouts = PATIENT) -> Kind:
    """How asking there fails."""
    try:
        with pytest.raises(UpstreamFailed) as caught:
            await calls.open(HttpCall("GET", url, {"authorization": KEY}, timeouts=timeouts))
    finally:
        await calls.close()
    assert KEY not in f"{caught.value} {caught.value.detail} {caught.value.__cause__}"
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__ or caught.value.__context__ is None
    return caught.value.kind


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "localhost",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "0.0.0.0",  # noqa: S104 - not to listen on
        "169.254.169.254",
        "10.0.0.1",
        "[fe80::1]",
        "[fd00:ec2::254]",
    ],
)
async def test_nothing_but_the_internet_is_asked(upstream: Upstream, host: str) -> None:
    calls = AiohttpCalls(AddressRules())
    assert await kind_of(calls, f"http://{host}:{upstream.port}/v1/models") is Kind.ADDRESS
    assert upstream.received == []


@pytest.mark.parametrize("host", ["127.1", "2130706433", "0x7f000001", "017700000001"])
async def test_no_other_spelling_gets_there(upstream: Upstream, host: str) -> None:
    calls = AiohttpCalls(AddressRules(), Names(["127.0.0.1"]))
    kind = await kind_of(calls, f"http://{host}:{upstream.port}/v1/models")
    assert kind in (Kind.ADDRESS, Kind.REFUSED)
    assert upstream.received == []


async def test_a_name_with_one_address_that_is_not_allowed_has_none(upstream: Upstream) -> None:
    names = Names(["1.1.1.1", "127.0.0.1"])
    calls = AiohttpCalls(AddressRules(), names)
    assert await kind_of(calls, f"http://api.example.com:{upstream.port}/") is Kind.ADDRESS


async def test_what_was_checked_is_what_is_connected_to(upstream: Upstream) -> None:
    upstream.reactions["/v1/models"] = answers(200, {"data": []}, "connection: close\r\n")
    # The second answer would be for whoever asks again: nobody does.
    names = Names(["127.0.0.1"], ["169.254.169.254"])
    calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"), names)
    url = f"http://api.example.com:{upstream.port}/v1/models"
    answer = await calls.open(HttpCall("GET", url, {}))
    assert (answer.status, await read_whole(answer, 1000)) == (200, b'{"data": []}')
    assert names.asked == ["api.example.com"]
    assert upstream.received[0].headers["host"] == f"api.example.com:{upstream.port}"
    answer.close()
    # A new connection asks anew, and is checked anew.
    assert await kind_of(calls, f"http://api.example.com:{upstream.port + 1}/") is Kind.ADDRESS


async def test_no_redirect_is_followed_and_no_cookie_kept(upstream: Upstream) -> None:
    headers = f"location: http://127.0.0.1:{upstream.port}/elsewhere\r\nset-cookie: a=b\r\n"
    upstream.reactions["/v1/models"] = answers(302, b"", headers)
    calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"))
    for _ in range(2):
        answer = await calls.open(HttpCall("GET", f"{upstream.url}/models", {}))
        assert answer.status == 302
        answer.close()
    assert [each.path for each in upstream.received] == ["/v1/models"] * 2
    assert "cookie" not in upstream.received[1].headers
    await calls.close()


async def test_no_proxy_of_the_environment_is_used(
    upstream: Upstream, monkeypatch: pytest.MonkeyPatch
) -> None:
    upstream.reactions["/v1/models"] = answers(200, {"data": []})
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"))
    answer = await calls.open(HttpCall("GET", f"{upstream.url}/models", {}))
    assert answer.status == 200
    answer.close()
    await calls.close()


async def test_a_compressed_answer_is_refused(upstream: Upstream) -> None:
    upstream.reactions["/v1/models"] = answers(200, b"x", "content-encoding: gzip\r\n")
    calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"))
    assert await kind_of(calls, f"{upstream.url}/models") is Kind.MALFORMED
    assert upstream.received[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", Kind.MALFORMED),
        (b"", Kind.CONNECT),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n", Kind.MALFORMED),
    ],
    ids=["ssh", "nothing", "a long header"],
)
async def test_what_is_no_http(upstream: Upstream, said: bytes, kind: Kind) -> None:
    async def react(_: Upstream, __: Any, writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()
        raise ConnectionError

    upstream.reactions["/v1/models"] = react
    calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"))
    assert await kind_of(calls, f"{upstream.url}/models") is kind


async def test_nobody_there_and_nobody_who_answers(upstream: Upstream) -> None:
    with socket.create_server(("127.0.0.1", 0)) as unheard:
        port = unheard.getsockname()[1]
    calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"))
    assert await kind_of(calls, f"http://127.0.0.1:{port}/") is Kind.CONNECT
    upstream.reactions["/v1/models"] = hangs
    calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"))
    assert await kind_of(calls, f"{upstream.url}/models", QUICK) is Kind.TIMEOUT


async def test_a_certificate_of_nobodys_is_not_believed(tmp_path: Path) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(_certificate(tmp_path))
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", 0, ssl=context)
    async with server:
        port = server.sockets[0].getsockname()[1]
        calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"))
        assert await kind_of(calls, f"https://127.0.0.1:{port}/v1") is Kind.CONNECT


def _certificate(folder: Path) -> Path:
    """Of a server, signed by itself; with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    private = key.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    path = folder / "server.pem"
    path.write_bytes(private + certificate.public_bytes(pem))
    return path


@pytest.mark.parametrize(
    ("status", "body", "reason"),
    [
        (200, {"data": [{"id": "gpt"}]}, ""),
        (401, {"error": KEY}, "it does not take the key (status 401)"),
        (500, KEY.encode(), "it answered with status 500"),
        (200, b"<html>", "its answer is no list of models"),
        (200, b" " * (5 << 20), "its answer is no list of models"),
    ],
    ids=["good", "key", "failed", "html", "large"],
)
async def test_a_probe_tells_what_is_wrong(
    upstream: Upstream, status: int, body: Any, reason: str
) -> None:
    upstream.reactions["/v1/models"] = answers(status, body)
    calls = AiohttpCalls(AddressRules.parse("127.0.0.0/8"))
    probe = await HttpProber(lambda: calls).probe(ProviderSpec(upstream.url), Secret(KEY))
    assert (probe.reason, probe.models) == (reason, () if reason else ("gpt",))
    assert upstream.received[0].headers["authorization"] == f"Bearer {KEY}"
    await calls.close()


async def test_a_probe_tells_where_it_may_not_ask() -> None:
    calls = AiohttpCalls(AddressRules())
    probe = await HttpProber(lambda: calls).probe(ProviderSpec("http://127.0.0.1:1"), None)
    assert probe.reason.startswith("address: ")
    await calls.close()
