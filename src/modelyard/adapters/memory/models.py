"""Models, their versions and aliases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from msgspec.structs import replace

from modelyard.adapters.memory.state import State, cut, cut_numbered
from modelyard.core import ids
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.model import Alias, Model
from modelyard.registry.version import ModelVersion, NewVersion, VersionState


class MemoryModels:
    """The models of one tenant."""

    def __init__(self, state: State, tenant_id: str) -> None:
        self._state = state
        self._tenant_id = tenant_id

    def ensure(self, name: str, now: datetime) -> Model:
        new = Model(ids.new_id(ids.MODEL), name, now)
        return self._state.models.setdefault((self._tenant_id, name), new)

    def get(self, name: str) -> Model:
        try:
            return self._state.models[self._tenant_id, name]
        except KeyError:
            raise NotFound(f"there is no model '{name}'") from None

    def add_version(self, name: str, new: NewVersion, now: datetime) -> ModelVersion:
        job_id = new.lineage.job_id
        if job_id and self.version_of_job(job_id) is not None:
            raise Conflict(f"job '{job_id}' has made its version already")
        model = self.get(name)
        number = model.versions + 1
        latest = number if new.state is VersionState.READY else model.latest
        model = replace(model, versions=number, latest=latest)
        version = ModelVersion(
            id=ids.new_id(ids.VERSION),
            model=name,
            number=number,
            created_at=now,
            **{field: getattr(new, field) for field in new.__struct_fields__},
        )
        self._state.models[self._tenant_id, name] = model
        self._state.versions[self._tenant_id, name, version.number] = version
        return version

    def version(self, name: str, number: int) -> ModelVersion:
        self.get(name)
        try:
            return self._state.versions[self._tenant_id, name, number]
        except KeyError:
            raise NotFound(f"model '{name}' has no version {number}") from None

    def versions(self, name: str, page: PageRequest) -> Page[ModelVersion]:
        self.get(name)
        own = (version for version in self._versions() if version.model == name)
        return cut_numbered(own, page, lambda version: version.number)

    def add_evaluation(self, version_id: str, evaluation: Evaluation) -> None:
        self._state.evaluations[self._tenant_id, version_id] = evaluation

    def evaluation(self, version_id: str) -> Evaluation | None:
        return self._state.evaluations.get((self._tenant_id, version_id))

    def set_intended_use(self, name: str, text: str) -> Model:
        model = replace(self.get(name), intended_use=text)
        self._state.models[self._tenant_id, name] = model
        return model

    def version_of_job(self, job_id: str) -> ModelVersion | None:
        made = (version for version in self._versions() if version.lineage.job_id == job_id)
        return next(made, None)

    def set_alias(self, name: str, alias: str, number: int, now: datetime) -> Alias:
        moved = Alias(alias, self.version(name, number).number, now)
        self._state.aliases[self._tenant_id, name, alias] = moved
        return moved

    def alias(self, name: str, alias: str) -> Alias:
        self.get(name)
        try:
            return self._state.aliases[self._tenant_id, name, alias]
        except KeyError:
            raise NotFound(f"model '{name}' has no alias '{alias}'") from None

    def aliases(self, name: str) -> Sequence[Alias]:
        self.get(name)
        own = [
            alias
            for (tenant_id, model, _), alias in self._state.aliases.items()
            if (tenant_id, model) == (self._tenant_id, name)
        ]
        return sorted(own, key=lambda alias: alias.name)

    def drop_alias(self, name: str, alias: str) -> None:
        self.alias(name, alias)
        del self._state.aliases[self._tenant_id, name, alias]

    def list(self, page: PageRequest) -> Page[Model]:
        own = (model for (tenant, _), model in self._state.models.items() if self._owns(tenant))
        return cut(own, page, lambda model: model.name)

    def _versions(self) -> Sequence[ModelVersion]:
        return [
            version
            for (tenant_id, _, _), version in self._state.versions.items()
            if self._owns(tenant_id)
        ]

    def _owns(self, tenant_id: str) -> bool:
        return tenant_id == self._tenant_id
