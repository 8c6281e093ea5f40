"""Models, versions and aliases: use cases."""

from __future__ import annotations

from collections.abc import Sequence

from modelyard.core.clock import Clock
from modelyard.core.errors import NotFound
from modelyard.core.names import check_name
from modelyard.core.pages import Page, PageRequest
from modelyard.core.ports import Store
from modelyard.registry.document import CardDocument, document
from modelyard.registry.evaluation import Evaluation
from modelyard.registry.model import Alias, Model, Reference
from modelyard.registry.ports import ModelRepository, RegistryTransaction
from modelyard.registry.version import ModelVersion, NewVersion, check_ready


class RegistryService:
    """Keeps models and their versions."""

    def __init__(self, store: Store[RegistryTransaction], clock: Clock) -> None:
        self._store = store
        self._clock = clock

    def register(self, tenant_id: str, name: str, new: NewVersion) -> ModelVersion:
        """Add a version to the model of this name, which is made if it is not there."""
        check_name("model", name)
        with self._store.begin() as tx:
            return self.register_in(tx, tenant_id, name, new)

    def register_in(
        self, tx: RegistryTransaction, tenant_id: str, name: str, new: NewVersion
    ) -> ModelVersion:
        """The same inside a transaction of the caller's."""
        now = self._clock.now()
        models = tx.models(tenant_id)
        models.ensure(name, now)
        version = models.add_version(name, new, now)
        tx.bump()
        return version

    def models(self, tenant_id: str, page: PageRequest) -> Page[Model]:
        """The tenant's models by name."""
        with self._store.read() as tx:
            return tx.models(tenant_id).list(page)

    def model(self, tenant_id: str, name: str) -> Model:
        """Raises NotFound."""
        with self._store.read() as tx:
            return tx.models(tenant_id).get(name)

    def versions(self, tenant_id: str, name: str, page: PageRequest) -> Page[ModelVersion]:
        """Newest first. Raises NotFound."""
        with self._store.read() as tx:
            return tx.models(tenant_id).versions(name, page)

    def version(self, tenant_id: str, reference: Reference) -> ModelVersion:
        """The version that the reference means. Raises NotFound."""
        with self._store.read() as tx:
            return resolve(tx.models(tenant_id), reference)

    def evaluation(self, tenant_id: str, reference: Reference) -> Evaluation:
        """How the version did on held-out rows; an empty one where nobody has measured it here.

        Raises:
            NotFound: no such version.
        """
        with self._store.read() as tx:
            models = tx.models(tenant_id)
            return models.evaluation(resolve(models, reference).id) or Evaluation()

    def document(self, tenant_id: str, reference: Reference) -> CardDocument:
        """The version's model card. Raises NotFound."""
        with self._store.read() as tx:
            models = tx.models(tenant_id)
            version = resolve(models, reference)
            model = models.get(version.model)
            return document(model, version, models.evaluation(version.id) or Evaluation())

    def set_intended_use(self, tenant_id: str, name: str, text: str) -> Model:
        """Say what the model is for, on the cards of all its versions. Raises NotFound."""
        with self._store.begin() as tx:
            return tx.models(tenant_id).set_intended_use(name, text)

    def aliases(self, tenant_id: str, name: str) -> Sequence[Alias]:
        """By name. Raises NotFound for the model."""
        with self._store.read() as tx:
            return tx.models(tenant_id).aliases(name)

    def set_alias(self, tenant_id: str, name: str, alias: str, number: int) -> Alias:
        """Point an alias at a version; deployments that follow the alias follow it there.

        Raises:
            NotFound: no such model or version.
            Conflict: the version has failed.
        """
        check_name("alias", alias)
        with self._store.begin() as tx:
            models = tx.models(tenant_id)
            check_ready(models.version(name, number))
            moved = models.set_alias(name, alias, number, self._clock.now())
            tx.bump()
            return moved

    def drop_alias(self, tenant_id: str, name: str, alias: str) -> None:
        """Raises NotFound."""
        with self._store.begin() as tx:
            tx.models(tenant_id).drop_alias(name, alias)
            tx.bump()


def resolve(models: ModelRepository, reference: Reference) -> ModelVersion:
    """Read the version that `reference` means.

    Raises:
        NotFound: no such model, version or alias, or a model without a version.
    """
    if reference.alias is not None:
        number = models.alias(reference.model, reference.alias).version
    elif reference.version is not None:
        number = reference.version
    else:
        number = models.get(reference.model).latest
        if number == 0:
            raise NotFound(f"model '{reference.model}' has no version that is ready yet")
    return models.version(reference.model, number)
