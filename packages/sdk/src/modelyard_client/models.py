"""Models, their immutable versions, and the aliases that point at them."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import msgspec

from modelyard_client.errors import ClientError
from modelyard_client.evaluation import Evaluation, Interval
from modelyard_client.files import send_path
from modelyard_client.pages import Page, collect
from modelyard_client.providers import Upstream
from modelyard_client.transport import Transport, route

CHECK_SECONDS: Final = 600.0
"""The server tries an imported model before it answers."""


class Model(msgspec.Struct, frozen=True):
    """A model. `latest` is the number of its newest version that is ready, 0 while it has none.

    `versions` is how many numbers were given, those of failed versions among them.
    """

    id: str
    name: str
    created_at: datetime
    latest: int = 0
    description: str = ""
    versions: int = 0
    intended_use: str = ""


class Alias(msgspec.Struct, frozen=True):
    """A movable name for a version, such as `champion`."""

    name: str
    version: int
    updated_at: datetime


class TensorSpec(msgspec.Struct, frozen=True):
    """One named tensor. A dimension of -1 is free; `columns` names the last dimension. The elements
    of a `binary` one are bytes that are no text; an `optional` input may be left out.
    """

    name: str
    datatype: str
    shape: list[int]
    columns: list[str] = []
    nullable: bool = False
    binary: bool = False
    optional: bool = False


class Signature(msgspec.Struct, frozen=True):
    """What a model takes and gives."""

    inputs: list[TensorSpec]
    outputs: list[TensorSpec]


class Artifact(msgspec.Struct, frozen=True):
    """One file of a version. `digest` is its SHA-256, `size` is in bytes."""

    name: str
    format: str
    digest: str
    size: int


class Candidate(msgspec.Struct, frozen=True):
    """One algorithm that was compared: mean score and spread over the folds."""

    algorithm: str
    score: float | None
    spread: float | None = None
    seconds: float = 0.0
    error: str = ""


class Tuning(msgspec.Struct, frozen=True):
    """What a search for better parameters has found; `first` is the score without it."""

    trials: int
    best: int
    score: float
    first: float | None = None
    parameters: dict[str, Any] = {}
    pruned: int = 0
    failed: int = 0
    seconds: float = 0.0


class Member(msgspec.Struct, frozen=True):
    """One algorithm in an ensemble: its parameters as far as they were tuned, its score in
    cross-validation, and for numbers its weight in a `stacking`.
    """

    algorithm: str
    score: float
    parameters: dict[str, Any] = {}
    weight: float | None = None


class Ensemble(msgspec.Struct, frozen=True):
    """What a version that is several algorithms is made of: `method` is `voting` or `stacking`,
    whose head has learned from `rows` rows in `folds` folds.
    """

    method: str
    members: list[Member]
    folds: int
    rows: int


class Confusion(msgspec.Struct, frozen=True):
    """Counts by true class (rows) and predicted class (columns)."""

    labels: list[str]
    counts: list[list[int]]


class Split(msgspec.Struct, frozen=True):
    """How the held-out rows were chosen: at random (`ratio`), the latest (`time`), or whole groups
    (`group`).
    """

    method: str
    train_rows: int
    test_rows: int
    fraction: float
    seed: int | None = None
    column: str = ""
    stratified: bool = False
    boundary: str = ""
    train_groups: int = 0
    test_groups: int = 0


class EngineTrial(msgspec.Struct, frozen=True):
    """How an engine did with a language model when it was registered: seconds to load it, tokens
    a second of one answer `alone` and of several `together`; or the `error` for which it does not
    take it.
    """

    engine: str
    load_seconds: float = 0.0
    alone: float = 0.0
    together: float = 0.0
    error: str = ""


class Card(msgspec.Struct, frozen=True):
    """How well a version does on rows that training never saw. `engines` are those that a language
    model was tried with, the fastest first.
    """

    task: str
    algorithm: str
    target: str = ""
    features: list[str] = []
    train_rows: int = 0
    test_rows: int = 0
    split: Split | None = None
    metric: str = ""
    metrics: dict[str, float] = {}
    intervals: dict[str, Interval] = {}
    confusion: Confusion | None = None
    leaderboard: list[Candidate] = []
    tuning: Tuning | None = None
    ensemble: Ensemble | None = None
    reasons: list[str] = []
    warnings: list[str] = []
    description: str = ""
    engines: list[EngineTrial] = []


class Parity(msgspec.Struct, frozen=True):
    """How the served form compares with the one that it was made from, on real rows."""

    agreed: bool
    rows: int = 0
    largest_difference: float | None = None
    tolerance: float | None = None
    label_agreement: float | None = None
    reason: str = ""


class LanguageProfile(msgspec.Struct, frozen=True):
    """A language model: the engines that load it, the fastest first; the most tokens that it can
    look at, the bytes that each takes in the cache, and the bytes of its weights.
    """

    engines: list[str]
    context: int
    cache_bytes: int
    weight_bytes: int


class Profile(msgspec.Struct, frozen=True):
    """What the form that is served costs: bytes, and seconds of a call and of each of its rows."""

    memory_bytes: int
    call_seconds: float
    row_seconds: float
    stackable: bool = False
    language: LanguageProfile | None = None


class ModelVersion(msgspec.Struct, frozen=True):
    """One version. `signature` is None when nothing could tell it.

    `state` is `ready`, or `failed` for a file that could not be read or tried; `reason` says why.
    """

    id: str
    model: str
    number: int
    created_at: datetime
    signature: Signature | None
    artifacts: list[Artifact]
    lineage: dict[str, Any]
    card: Card
    parity: Parity | None = None
    profile: Profile | None = None
    state: str = "ready"
    reason: str = ""


class VersionFailed(ClientError):
    """An imported file cannot be read or tried. Its version stays on record as failed."""

    def __init__(self, version: ModelVersion) -> None:
        super().__init__(
            f"version {version.number} of model '{version.model}' has failed: {version.reason}"
        )
        self.version = version


class Models:
    """`/api/v1/models`."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport

    def get(self, name: str) -> Model:
        """One model."""
        return self._transport.request("GET", route("models", name), Model)

    def versions(self, name: str, limit: int = 1000) -> Sequence[ModelVersion]:
        """Its versions, newest first."""
        path = route("models", name, "versions")
        return collect(self._transport, path, Page[ModelVersion], limit)

    def version(self, name: str, number: int) -> ModelVersion:
        """One version."""
        path = route("models", name, "versions", number)
        return self._transport.request("GET", path, ModelVersion)

    def card(self, name: str, number: int) -> dict[str, Any]:
        """A version's model card: intended use, data, metrics, limits, lineage, names of plots."""
        path = route("models", name, "versions", number, "card")
        return self._transport.request("GET", path, dict[str, Any])

    def card_markdown(self, name: str, number: int) -> str:
        """The same in Markdown."""
        path = route("models", name, "versions", number, "card.md")
        return self._transport.once("GET", path).text

    def evaluation(self, name: str, number: int) -> Evaluation:
        """How a version did on held-out rows, in more detail than its card has room for."""
        path = route("models", name, "versions", number, "evaluation")
        return self._transport.request("GET", path, Evaluation)

    def download_card(self, name: str, number: int, folder: str | Path) -> Sequence[Path]:
        """Write the card as `card.md` with its pictures below `plots/`; returns the files."""
        target = Path(folder) / "card.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        path = route("models", name, "versions", number, "card.md")
        self._transport.download(path, target)
        return [target, *self.download_plots(name, number, target.parent / "plots")]

    def download_plots(self, name: str, number: int, folder: str | Path) -> Sequence[Path]:
        """Write each plot of a version as `NAME.svg`; returns the files."""
        names = self.card(name, number)["plots"]
        targets = [Path(folder) / f"{plot}.svg" for plot in names]
        for target in targets:
            target.parent.mkdir(parents=True, exist_ok=True)
            path = route("models", name, "versions", number, "plots", target.name)
            self._transport.download(path, target)
        return targets

    def set_intended_use(self, name: str, text: str) -> Model:
        """Say what the model is for, on the cards of all its versions."""
        path = route("models", name, "intended-use")
        return self._transport.request("PUT", path, Model, body={"text": text})

    def aliases(self, name: str) -> Sequence[Alias]:
        """Its aliases, by name."""
        path = route("models", name, "aliases")
        return self._transport.request("GET", path, Page[Alias]).items

    def set_alias(self, name: str, alias: str, version: int) -> Alias:
        """Point the alias at a version; each deployment of `name@alias` follows."""
        path = route("models", name, "aliases", alias)
        return self._transport.request("PUT", path, Alias, body={"version": version})

    def delete_alias(self, name: str, alias: str) -> None:
        """Remove the alias; the version stays."""
        path = route("models", name, "aliases", alias)
        self._transport.request("DELETE", path, type(None))

    def import_model(
        self,
        name: str,
        path: str | Path,
        *,
        sample: str | Path | None = None,
        description: str = "",
        filename: str = "",
    ) -> ModelVersion:
        """Upload a model as the newest version of `name`.

        `path` is the model's file, a ZIP or tar archive with it, or a folder, which is packed on
        the way. `sample` is a JSON file with rows that it takes. `filename` is what the version's
        lineage calls it, instead of the path's last part.

        Raises:
            VersionFailed: it was registered, and cannot be used; says why.
        """
        file = Path(path)
        body: dict[str, Any] = {
            "upload": send_path(self._transport, file).digest,
            "filename": filename or file.resolve().name,
            "description": description,
        }
        if sample is not None:
            body["sample"] = send_path(self._transport, Path(sample)).digest
        version = self._transport.request(
            "POST",
            route("models", name, "versions"),
            ModelVersion,
            body=body,
            timeout=CHECK_SECONDS,
        )
        if version.state == "failed":
            raise VersionFailed(version)
        return version

    def link(
        self,
        name: str,
        upstreams: Sequence[Upstream],
        *,
        capabilities: Sequence[str] = ("chat",),
        dimensions: int | None = None,
        description: str = "",
    ) -> ModelVersion:
        """Have the newest version of `name` stand for models of providers.

        `capabilities` are `chat` and `completions`, or `embeddings` alone, for which `dimensions`
        may ask for another width than the model's own.

        Raises:
            VersionFailed: they cannot stand together; says why.
        """
        told: dict[str, Any] = {
            "upstreams": [msgspec.to_builtins(one) for one in upstreams],
            "capabilities": list(capabilities),
        }
        if dimensions is not None:
            told["dimensions"] = dimensions
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "upstreams.json"
            path.write_bytes(msgspec.json.encode(told))
            return self.import_model(name, path, description=description)

    def list(self, limit: int = 1000) -> Sequence[Model]:
        """All models, by name."""
        return collect(self._transport, route("models"), Page[Model], limit)
