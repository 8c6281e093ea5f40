"""The client: one server, one key."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

from modelyard_client.billing import Prices, Usage
from modelyard_client.catalogue import Catalogue
from modelyard_client.chat import Chat
from modelyard_client.datasets import Datasets
from modelyard_client.deployments import Deployments
from modelyard_client.inference import Inference, InferenceResponse, Tensor
from modelyard_client.invoices import Credits, Invoices
from modelyard_client.jobs import Jobs
from modelyard_client.keys import Keys
from modelyard_client.location import locate
from modelyard_client.models import Models
from modelyard_client.people import Members, Sessions, Users
from modelyard_client.providers import Providers
from modelyard_client.quotas import Quotas
from modelyard_client.tenants import Tenants
from modelyard_client.transport import Transport


class Client:
    """A Modelyard server.

    Without arguments it is found by `MODELYARD_URL` and `MODELYARD_API_KEY`, else by the home of a
    server on this machine. Connections open with the first request and are kept; close the client
    or use it in a `with` block. One client serves one thread at a time.

    Args:
        url: such as `http://127.0.0.1:8000`.
        api_key: `my_...`.
        tenant: the tenant to manage, where it is not the key's own: for the operator's key.
        timeout: seconds that any one read or write may take.

    Raises:
        ServerNotFound: there is no address to be had.
    """

    def __init__(
        self,
        url: str | None = None,
        api_key: str | None = None,
        *,
        tenant: str | None = None,
        timeout: float = 60.0,
    ) -> None:
        location = locate(url, api_key, tenant=tenant)
        transport = Transport(location, timeout)
        self.url = location.url
        self.datasets = Datasets(transport)
        self.jobs = Jobs(transport)
        self.models = Models(transport)
        self.providers = Providers(transport)
        self.deployments = Deployments(transport)
        self.catalogue = Catalogue(transport)
        self.tenants = Tenants(transport)
        self.members = Members(transport)
        self.users = Users(transport)
        self.sessions = Sessions(transport)
        self.keys = Keys(transport)
        self.prices = Prices(transport)
        self.quotas = Quotas(transport)
        self.usage = Usage(transport)
        self.invoices = Invoices(transport)
        self.credits = Credits(transport)
        self.inference = Inference(transport)
        self.chat = Chat(transport)
        self._transport = transport

    def predict(self, deployment: str, instances: Sequence[Any]) -> Sequence[Any]:
        """Short for `inference.predict`: one prediction for each record or row."""
        return self.inference.predict(deployment, instances)

    def infer(
        self,
        deployment: str,
        inputs: Sequence[Tensor | Mapping[str, Any]],
        outputs: Sequence[str] = (),
    ) -> InferenceResponse:
        """Short for `inference.infer`: tensors in, tensors out."""
        return self.inference.infer(deployment, inputs, outputs)

    def close(self) -> None:
        """Close the connections."""
        self._transport.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()
