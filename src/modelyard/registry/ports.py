"""What this room needs from the store."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from modelyard.core.pages import Page, PageRequest
from modelyard.core.secret import Secret
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.model import Alias, Model
from modelyard.registry.provider import Probe, Provider, ProviderSpec
from modelyard.registry.version import ModelVersion, NewVersion


class ModelRepository(Protocol):
    """The models of one tenant, with their versions and aliases."""

    def ensure(self, name: str, now: datetime) -> Model:
        """The model of this name, made if it is not there."""
        ...

    def get(self, name: str) -> Model:
        """Raises NotFound."""
        ...

    def list(self, page: PageRequest) -> Page[Model]:
        """By name."""
        ...

    def add_version(self, name: str, new: NewVersion, now: datetime) -> ModelVersion:
        """Give the version the model's next number and keep it. Raises NotFound."""
        ...

    def version(self, name: str, number: int) -> ModelVersion:
        """Raises NotFound, naming the model or the version, whichever is missing."""
        ...

    def versions(self, name: str, page: PageRequest) -> Page[ModelVersion]:
        """Newest first. Raises NotFound for the model."""
        ...

    def add_evaluation(self, version_id: str, evaluation: Evaluation) -> None:
        """Keep how a version of this tenant did; once."""
        ...

    def evaluation(self, version_id: str) -> Evaluation | None:
        """How the version did; None for one that was never measured here."""
        ...

    def set_intended_use(self, name: str, text: str) -> Model:
        """Raises NotFound."""
        ...

    def version_of_job(self, job_id: str) -> ModelVersion | None:
        """The version that this job made, if it has made one."""
        ...

    def set_alias(self, name: str, alias: str, number: int, now: datetime) -> Alias:
        """Point the alias at a version. Raises NotFound for the model or the version."""
        ...

    def alias(self, name: str, alias: str) -> Alias:
        """Raises NotFound."""
        ...

    def aliases(self, name: str) -> Sequence[Alias]:
        """By name. Raises NotFound for the model."""
        ...

    def drop_alias(self, name: str, alias: str) -> None:
        """Raises NotFound."""
        ...


class RegistryTransaction(Protocol):
    """A transaction over models."""

    def models(self, tenant_id: str) -> ModelRepository: ...

    def bump(self) -> None:
        """Tell controller and gateways that something they follow has changed."""
        ...


class ProviderRepository(Protocol):
    """The providers of one tenant."""

    def get(self, name: str) -> Provider:
        """Raises NotFound."""
        ...

    def find(self, name: str) -> Provider | None:
        """The same without the error."""
        ...

    def list(self, page: PageRequest) -> Page[Provider]:
        """By name."""
        ...

    def put(self, provider: Provider) -> None:
        """Insert, or replace the one of the same name."""
        ...

    def delete(self, name: str) -> None:
        """Raises NotFound."""
        ...


class ProviderTransaction(Protocol):
    """A transaction over providers."""

    def providers(self, tenant_id: str) -> ProviderRepository: ...

    def bump(self) -> None:
        """Tell gateways that something they follow has changed."""
        ...


class Prober(Protocol):
    """Asks providers how they are."""

    async def probe(self, spec: ProviderSpec, key: Secret | None) -> Probe:
        """Ask for its models. Whatever goes wrong is told in the answer."""
        ...
