"""Models, their versions and aliases."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import ColumnElement, Select

from modelyard.adapters.store.tables import (
    MAX_NUMBER,
    aliases,
    evaluations,
    model_versions,
    models,
)
from modelyard.adapters.store.tenant_rows import TenantRows
from modelyard.core import ids
from modelyard.core.errors import Conflict, NotFound
from modelyard.core.pages import Page, PageRequest
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.model import Alias, Model
from modelyard.registry.version import ModelVersion, NewVersion, VersionState

_MODEL: Final = tuple(models.c[name] for name in Model.__struct_fields__)
VERSION: Final = (
    model_versions.c.id,
    models.c.name,
    *(model_versions.c[name] for name in ModelVersion.__struct_fields__[2:]),
)
_ALIAS: Final = (aliases.c.name, aliases.c.number, aliases.c.updated_at)


class SqlModels(TenantRows):
    """The models of one tenant."""

    def ensure(self, name: str, now: datetime) -> Model:
        self._added(
            models,
            id=ids.new_id(ids.MODEL),
            name=name,
            created_at=now,
            latest=0,
            description="",
            versions=0,
            intended_use="",
        )
        return self.get(name)

    def get(self, name: str) -> Model:
        statement = self._select(models, *_MODEL).where(models.c.name == name)
        row = self._connection.execute(statement).one_or_none()
        if row is None:
            raise NotFound(f"there is no model '{name}'")
        return Model(*row)

    def add_version(self, name: str, new: NewVersion, now: datetime) -> ModelVersion:
        job_id = new.lineage.job_id or None
        if job_id is not None and self.version_of_job(job_id) is not None:
            raise Conflict(f"job '{job_id}' has made its version already")
        # The update locks the model's row: whoever adds at the same time waits for the number.
        number = models.c.versions + 1
        counted = {"versions": number}
        if new.state is VersionState.READY:
            counted["latest"] = number
        allocated = self._connection.execute(
            self._update(models)
            .where(models.c.name == name)
            .values(counted)
            .returning(models.c.id, models.c.versions)
        ).one_or_none()
        if allocated is None:
            raise NotFound(f"there is no model '{name}'")
        version_id = ids.new_id(ids.VERSION)
        self._connection.execute(
            self._insert(
                model_versions,
                id=version_id,
                model_id=allocated.id,
                number=allocated.versions,
                created_at=now,
                job_id=job_id,
                signature=new.signature,
                artifacts=new.artifacts,
                lineage=new.lineage,
                card=new.card,
                parity=new.parity,
                profile=new.profile,
                state=new.state,
                reason=new.reason,
            )
        )
        return self.version(name, allocated.versions)

    def version(self, name: str, number: int) -> ModelVersion:
        found = None
        if number <= MAX_NUMBER:
            found = self._one_version(models.c.name == name, model_versions.c.number == number)
        if found is None:
            self.get(name)
            raise NotFound(f"model '{name}' has no version {number}")
        return found

    def versions(self, name: str, page: PageRequest) -> Page[ModelVersion]:
        model = self.get(name)
        statement = self._select_versions().where(model_versions.c.model_id == model.id)
        after = page.after_number()
        if after is not None:
            statement = statement.where(model_versions.c.number < after)
        rows = self._connection.execute(
            statement.order_by(model_versions.c.number.desc()).limit(page.limit + 1)
        )
        return Page.cut(
            [ModelVersion(*row) for row in rows], page, lambda version: str(version.number)
        )

    def add_evaluation(self, version_id: str, evaluation: Evaluation) -> None:
        self._connection.execute(
            self._insert(evaluations, version_id=version_id, evaluation=evaluation)
        )

    def evaluation(self, version_id: str) -> Evaluation | None:
        statement = self._select(evaluations, evaluations.c.evaluation).where(
            evaluations.c.version_id == version_id
        )
        found: Evaluation | None = self._connection.execute(statement).scalar_one_or_none()
        return found

    def set_intended_use(self, name: str, text: str) -> Model:
        changed = self._update(models).where(models.c.name == name).values(intended_use=text)
        self._connection.execute(changed)
        return self.get(name)

    def version_of_job(self, job_id: str) -> ModelVersion | None:
        return self._one_version(model_versions.c.job_id == job_id)

    def set_alias(self, name: str, alias: str, number: int, now: datetime) -> Alias:
        version = self.version(name, number)
        row = self._upsert(
            aliases,
            model_id=self.get(name).id,
            name=alias,
            number=version.number,
            updated_at=now,
        )
        self._connection.execute(
            row.on_conflict_do_update(
                index_elements=[aliases.c.model_id, aliases.c.name],
                set_={"number": row.excluded.number, "updated_at": row.excluded.updated_at},
            )
        )
        return self.alias(name, alias)

    def alias(self, name: str, alias: str) -> Alias:
        model = self.get(name)
        row = self._connection.execute(
            self._select(aliases, *_ALIAS).where(
                aliases.c.model_id == model.id, aliases.c.name == alias
            )
        ).one_or_none()
        if row is None:
            raise NotFound(f"model '{name}' has no alias '{alias}'")
        return Alias(*row)

    def aliases(self, name: str) -> Sequence[Alias]:
        model = self.get(name)
        rows = self._connection.execute(
            self._select(aliases, *_ALIAS)
            .where(aliases.c.model_id == model.id)
            .order_by(aliases.c.name)
        )
        return [Alias(*row) for row in rows]

    def drop_alias(self, name: str, alias: str) -> None:
        model = self.get(name)
        dropped = self._connection.execute(
            self._delete(aliases).where(aliases.c.model_id == model.id, aliases.c.name == alias)
        )
        if dropped.rowcount == 0:
            raise NotFound(f"model '{name}' has no alias '{alias}'")

    def list(self, page: PageRequest) -> Page[Model]:
        statement = self._select(models, *_MODEL)
        if page.after is not None:
            statement = statement.where(models.c.name > page.after)
        rows = self._connection.execute(statement.order_by(models.c.name).limit(page.limit + 1))
        return Page.cut([Model(*row) for row in rows], page, lambda model: model.name)

    def _select_versions(self) -> Select[Any]:
        return self._select(model_versions, *VERSION).join(
            models, models.c.id == model_versions.c.model_id
        )

    def _one_version(self, *where: ColumnElement[bool]) -> ModelVersion | None:
        row = self._connection.execute(self._select_versions().where(*where)).one_or_none()
        return None if row is None else ModelVersion(*row)
