"""`modelyard demo`: the main job from end to end, on real data, against a real server."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from modelyard.cli.demo_data import HELD_BACK, TARGET, Tumours, require_libraries, write_tumours
from modelyard.cli.demo_llm import CHAT, LanguageDemo
from modelyard.cli.demo_models import require_engines
from modelyard.cli.display import Flag, size, table, terminal
from modelyard.cli.failure import CommandFailed
from modelyard.cli.local_server import LocalServer
from modelyard.cli.prices import currency_of, told
from modelyard.cli.steps import Steps
from modelyard.cli.train import follow, result_of
from modelyard.cli.usage import usage_table
from modelyard_client import Client, ClientError, InferenceResponse, Tensor, tensors
from modelyard_client.billing import UsageLine

if TYPE_CHECKING:
    from rich.console import Console

NAME: Final = "tumours"
PRICE: Final = "0.001"
V1_REQUEST: Final = "v1.json"
V2_REQUEST: Final = "v2.json"
_INGEST_SECONDS: Final = 30.0


def demo(*, keep: Flag = False, llm: Flag = False) -> None:
    """Train, deploy, call and bill a model on real data, in about a minute.

    Starts a server of its own on a free port with a temporary home, and removes both at the end.

    Args:
        keep: Leave the server running, and print what to try next.
        llm: Do it with a language model and a sentence embedder, which are downloaded as packages.
    """
    if llm:
        require_engines()
    else:
        require_libraries()
    folder = Path(tempfile.mkdtemp(prefix="modelyard-demo-"))
    server = LocalServer(folder / "home", folder / "server.log")
    out = terminal()
    kept = False
    with _terminable():
        try:
            if llm:
                made = _Made(*LanguageDemo(server, folder, out).run())
            else:
                made = _Demo(server, folder, out).run()
            kept = keep
            if kept:
                tries = _language_tries() if llm else _tries(folder)
                _what_next(out, server, folder, made, tries)
        except (ClientError, CommandFailed):
            out.print(server.last_words(), style="dim")
            raise
        finally:
            if not kept:
                _clean_up(out, server, folder)


class _Made(NamedTuple):
    """What is left to try with: the server's address, and a key that may call models."""

    url: str
    key: str


class _Demo:
    """The steps. Each prints the command that does the same, then what the server answered."""

    def __init__(self, server: LocalServer, folder: Path, out: Console) -> None:
        self._server = server
        self._folder = folder
        self._out = out
        self._steps = Steps(out)

    def run(self) -> _Made:
        """All steps in order."""
        self._out.print(
            "569 tumours, ten properties of their cell nuclei in three statistics each:\n"
            "malignant or benign? (Wisconsin diagnostic breast cancer data, 1993)"
        )
        started = time.monotonic()
        self._steps.begin("Start a server", shlex.join(self._server.command))
        with self._server.start() as client:
            took = time.monotonic() - started
            self._out.print(f"   URL={client.url} answers after {took:.1f} s")
            tumours = self._add(client)
            self._train(client)
            self._deploy(client)
            self._price(client)
            key = self._make_key(client)
            with Client(client.url, key) as consumer:
                self._call(consumer, tumours)
            self._account(client)
        return _Made(client.url, key)

    def _add(self, client: Client) -> Tumours:
        tumours = write_tumours(self._folder)
        self._steps.begin(
            "Add the data", f"modelyard datasets add {NAME} {shlex.quote(str(tumours.known))}"
        )
        version = client.datasets.add(NAME, tumours.known)
        found = version.inspection
        self._out.print(
            f"   {version.dataset} version {version.number}: {found.rows} rows, "
            f"{len(found.columns)} columns, {size(version.size)}; "
            f"{len(tumours.truths)} more rows are held back for the calls below"
        )
        return tumours

    def _train(self, client: Client) -> None:
        options = f"--dataset {NAME} --target {TARGET} --alias champion --wait"
        self._steps.begin(
            "Train: compare algorithms, keep the best", f"modelyard train {NAME} {options}"
        )
        job = client.jobs.submit_train(
            NAME, dataset=NAME, target=TARGET, algorithm="auto", alias="champion"
        )
        self._steps.show(result_of(follow(client, job, self._out)))

    def _deploy(self, client: Client) -> None:
        model = f"{NAME}@champion"
        self._steps.begin("Deploy it", f"modelyard deploy {model} --as {NAME} --wait")
        client.deployments.put(NAME, model)
        status = client.deployments.wait_ready(NAME).status
        self._out.print(
            f"   {model} is {status.state} on {status.gateways_ready} of {status.gateways} gateways"
        )

    def _price(self, client: Client) -> None:
        self._steps.begin("Set a price", f"modelyard prices set {NAME} --per request={PRICE}")
        price = client.prices.set(NAME, "request", PRICE)
        amount = f"{told(price)} {currency_of(price)}"
        self._out.print(f"   {price.deployment} costs {amount} per {price.unit}")

    def _make_key(self, client: Client) -> str:
        command = "modelyard keys create --scope infer --name demo"
        self._steps.begin("Make a key that may only call models", command)
        made = client.keys.create("demo", "infer")
        self._out.print(f"   KEY={made.key[:9]}… of scope {made.scope} ({made.id})")
        return made.key

    def _call(self, consumer: Client, tumours: Tumours) -> None:
        inputs = tensors(consumer.inference.metadata(NAME), tumours.records[:1])
        request = self._folder / V2_REQUEST
        request.write_bytes(msgspec.json.encode({"inputs": inputs}))
        self._steps.begin(
            "Call it by the Open Inference Protocol v2", _curl(f"/v2/models/{NAME}/infer", request)
        )
        answer = consumer.infer(NAME, inputs)
        self._out.print(f"   {_told(answer)}; the truth is {tumours.truths[0]}")

        request = self._folder / V1_REQUEST
        request.write_bytes(msgspec.json.encode({"instances": tumours.records}))
        self._steps.begin(
            "Call it by KServe V1 with all rows that were held back",
            _curl(f"/v1/models/{NAME}:predict", request),
        )
        predictions = consumer.predict(NAME, tumours.records)
        rows = [
            (at, truth, predicted, "yes" if truth == predicted else "no")
            for at, (truth, predicted) in enumerate(
                zip(tumours.truths, predictions, strict=True), start=1
            )
        ]
        self._steps.show(table(("ROW", "TRUTH", "PREDICTED", "AGREE"), rows))

    def _account(self, client: Client) -> None:
        self._steps.begin("See the usage and what it costs", "modelyard usage --by deployment")
        self._steps.show(usage_table("deployment", _ingested_usage(client)))


def _ingested_usage(client: Client) -> Sequence[UsageLine]:
    """The usage, once the two calls have come from the gateways' journals into the ledger."""
    end = time.monotonic() + _INGEST_SECONDS
    while True:
        lines = client.usage.report("deployment")
        if sum(line.requests for line in lines) >= 2:
            return lines
        if time.monotonic() > end:
            raise CommandFailed(f"the usage was not ingested within {_INGEST_SECONDS:.0f} s")
        time.sleep(0.1)


def _curl(path: str, body: Path) -> str:
    """A call as one would type it, with the address in $URL and the key in $KEY."""
    header = '-H "Authorization: Bearer $KEY"'
    return f"curl -s $URL{path} {header} -d @{shlex.quote(str(body))}"


def _told(answer: InferenceResponse) -> str:
    """The first row's label, with its probability where the model gives one."""
    label = answer.output("label").data[0]
    probabilities: Sequence[Tensor] = [t for t in answer.outputs if t.name == "probabilities"]
    if not probabilities:
        return f"it says {label}"
    return f"it says {label}, with probability {max(probabilities[0].data):.3f}"


def _tries(folder: Path) -> tuple[str, ...]:
    return (
        f"modelyard models show {NAME}@champion",
        f"modelyard predict {NAME} --input {shlex.quote(str(folder / HELD_BACK))}",
        _curl(f"/v1/models/{NAME}:predict", folder / V1_REQUEST),
        "modelyard usage --by key",
    )


def _language_tries() -> tuple[str, ...]:
    return (f"modelyard models show {CHAT}", f"modelyard chat {CHAT}", "modelyard usage --by key")


def _what_next(
    out: Console, server: LocalServer, folder: Path, made: _Made, tries: Sequence[str]
) -> None:
    # These come before the home, and would lead the commands below to another server.
    elsewhere = [name for name in ("MODELYARD_URL", "MODELYARD_API_KEY") if name in os.environ]
    lines = (
        "",
        "The server goes on. Paste these, then try the commands above again:",
        "",
        *([f"   unset {' '.join(elsewhere)}"] if elsewhere else []),
        f"   export MODELYARD_HOME={shlex.quote(str(server.home))}",
        f"   export URL={made.url} KEY={made.key}",
        "",
        *(f"   {line}" for line in tries),
        "",
        "When you have seen enough:",
        "",
        f"   kill {server.pid}",
        f"   rm -r {shlex.quote(str(folder))}",
    )
    out.print("\n".join(lines), soft_wrap=True)


def _clean_up(out: Console, server: LocalServer, folder: Path) -> None:
    started = time.monotonic()
    code = server.stop()
    took = time.monotonic() - started
    shutil.rmtree(folder, ignore_errors=True)
    said = "had to be killed" if code is None else f"stopped with exit code {code}"
    out.print(f"\nThe server {said} after {took:.1f} s; {folder} is removed.")


@contextmanager
def _terminable() -> Iterator[None]:
    """Let SIGTERM, and a terminal that is closed, end the demo in good order as Ctrl-C does."""

    def interrupt(_signal: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {each: signal.signal(each, interrupt) for each in (signal.SIGTERM, signal.SIGHUP)}
    try:
        yield
    finally:
        for each, handler in before.items():
            signal.signal(each, handler)
