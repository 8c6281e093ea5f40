"""What the data plane needs: the control plane's wishes, the journal, a runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from datetime import datetime
from typing import NamedTuple, Protocol, runtime_checkable

import msgspec

from modelyard.core.access import Grant
from modelyard.core.errors import ModelyardError
from modelyard.core.events import PredictionMade
from modelyard.core.http_timeouts import HttpTimeouts
from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature, Tensor
from modelyard.core.trust import Trust
from modelyard.serving.limits.charges import Rates
from modelyard.serving.limits.quota import WantedQuota
from modelyard.serving.options import ServingOptions
from modelyard.serving.stopping import StopSignal


class KeyEntry(msgspec.Struct, frozen=True):
    """A key in force: its hash, what it grants, and until when."""

    hash: bytes
    grant: Grant
    expires_at: datetime | None


class WantedArtifact(msgspec.Struct, frozen=True):
    """One file of what is to be served. `role` is `model`, or `features` beside a text model.

    `digest` is its blob's, `size` is in bytes.
    """

    role: str
    name: str
    format: str
    digest: str
    size: int


class WantedProvider(msgspec.Struct, frozen=True):
    """Somebody else's OpenAI API. `sealed` is its key; empty where it wants none."""

    id: str
    name: str
    base_url: str
    sealed: bytes
    forward_headers: tuple[str, ...] = ()
    timeouts: HttpTimeouts = HttpTimeouts()


class RouteKey(NamedTuple):
    """A deployment's and a version's id: what is loaded for each other is apart. `form` tells
    apart what has to be loaded anew, since other options are wanted.
    """

    deployment_id: str
    version_id: str
    form: str = ""


class WantedRoute(msgspec.Struct, frozen=True):
    """A deployment that a gateway should serve.

    `trust` says where its artifacts may be opened; it is None where there are none. `profile` is
    what was measured when the version was tried, where it was. `providers` are the tenant's, for
    a version that stands for models of theirs. `generation` is the one of the deployment's spec.
    """

    deployment_id: str
    tenant_id: str
    name: str
    model: str
    version: int
    version_id: str
    signature: Signature
    artifacts: tuple[WantedArtifact, ...]
    options: ServingOptions = ServingOptions()
    trust: Trust | None = None
    profile: Profile | None = None
    providers: tuple[WantedProvider, ...] = ()
    generation: int = 1

    @property
    def key(self) -> RouteKey:
        """What it is loaded under."""
        language = self.options.language
        form = "" if language is None else msgspec.json.encode(language).decode()
        return RouteKey(self.deployment_id, self.version_id, form)

    @property
    def format(self) -> str:
        """The model's format; empty when there is nothing to serve."""
        model = self.artifact("model")
        return "" if model is None else model.format

    def artifact(self, role: str) -> WantedArtifact | None:
        """The file of this role, if there is one."""
        return next((one for one in self.artifacts if one.role == role), None)


class WantedName(msgspec.Struct, frozen=True):
    """A name by which a tenant calls another tenant's deployment."""

    tenant_id: str
    name: str
    deployment_id: str


class Wanted(msgspec.Struct, frozen=True):
    """All that a gateway should know, as of `revision`.

    `rates` are the prices in force and to come of each deployment, in the order of their time;
    those alone are there that a quota needs.
    """

    revision: int
    keys: Sequence[KeyEntry]
    routes: Sequence[WantedRoute]
    subscriptions: Sequence[WantedName] = ()
    quotas: Sequence[WantedQuota] = ()
    rates: Mapping[str, Sequence[Rates]] = {}


class ReplicaOutcome(msgspec.Struct, frozen=True):
    """What became of loading one version for one deployment; `reason` is empty when it serves.

    `generation` is the one of the spec that it was loaded for. `replicas` counts its processes;
    None for a version that is loaded in the gateway.
    """

    deployment_id: str
    version_id: str
    generation: int
    reason: str = ""
    replicas: int | None = None


class ControlPlane(Protocol):
    """The control plane as a gateway sees it. Any call may fail while the database is away."""

    def revision(self) -> int:
        """A number that goes up whenever `wanted` may have changed. Cheap."""
        ...

    def wanted(self) -> Wanted:
        """Keys that are neither revoked nor expired, and the routes that have a target."""
        ...

    def report(self, gateway_id: str, now: datetime, outcomes: Sequence[ReplicaOutcome]) -> None:
        """Say that this gateway is alive, and how each of its replicas is.

        The outcomes are all there are: what an earlier report said and this one does not, is gone.
        """
        ...

    def leave(self, gateway_id: str) -> None:
        """Say that this gateway stops."""
        ...


Recorded = Callable[[ModelyardError | None], None]
"""Told None once an event is recorded, or why it could not be. It must not raise."""


class Journal(Protocol):
    """Where served requests are recorded before they are answered."""

    def append(self, event: PredictionMade, recorded: Recorded) -> None:
        """Record the event; call `recorded` when it may be acknowledged, or cannot be."""
        ...


class Loaded(Protocol):
    """A loaded model version, in this process or elsewhere.

    `call_seconds` and `row_seconds` are measured: a call on n rows takes about the first and n
    times the second. This decides whether the gateway calls it on its event loop.
    `stackable`: each row is answered by itself, so rows of several requests may share a call.
    """

    call_seconds: float
    row_seconds: float
    stackable: bool


@runtime_checkable
class Runtime(Loaded, Protocol):
    """A model that is loaded in this process."""

    def infer(
        self, inputs: Mapping[str, Tensor], stop: StopSignal | None = None
    ) -> dict[str, Tensor]:
        """Run the model on checked inputs; outputs by name. `stop` ends the call early.

        Raises:
            Invalid: the model refuses these values.
        """
        ...


class RuntimeLoader(Protocol):
    """Loads versions into runtimes, wherever those are. May be called from any thread."""

    def load(self, wanted: WantedRoute) -> Future[Loaded]:
        """Begin to load. What is loaded for the same key already is given again, under the
        options that are asked for now.

        The future fails with a ModelyardError whose message tells a person why it cannot be
        served. Cancelling it does not matter: see `release`.
        """
        ...

    def release(self, key: RouteKey) -> None:
        """Nothing is asked of it any more, beyond what was asked already."""
        ...

    def close(self) -> None:
        """Load nothing more, and let go of everything. On the event loop."""
        ...
