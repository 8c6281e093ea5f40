"""`/api/v1/datasets`: tables to learn from."""

from __future__ import annotations

from typing import Annotated, Final

import msgspec
from litestar import Router, get, post
from litestar.params import JSONBody
from msgspec import Meta

from modelyard.api.management.admission import LANE, Lane
from modelyard.api.management.authorization import needs
from modelyard.api.management.dependencies import Caller, Paging, Services
from modelyard.api.management.fields import Digest, Filename, Name, Number
from modelyard.api.management.operations import Idempotent
from modelyard.api.management.problems import refusals
from modelyard.core.access import Permission
from modelyard.core.pages import Page
from modelyard.training.dataset import Dataset, DatasetVersion
from modelyard.training.profile import DataProfile


class NewDataset(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A file to add as a dataset's next version."""

    name: Annotated[str, Meta(min_length=1, max_length=63, examples=["churn"])]
    upload: Digest
    filename: Filename


@get("/", summary="List datasets", responses=refusals(), sync_to_thread=True)
def list_datasets(services: Services, caller: Caller, page: Paging) -> Page[Dataset]:
    """By name."""
    return services.datasets.list(caller.tenant_id, page)


@post(
    "/",
    summary="Add a dataset version",
    responses=refusals(404, 409, 413, 415, 422, 501),
    operation_class=Idempotent,
    opt={LANE: Lane.FILES},
    sync_to_thread=True,
)
def add_dataset(services: Services, caller: Caller, data: JSONBody[NewDataset]) -> DatasetVersion:
    """Upload the file first (`PUT /api/v1/uploads/{sha256}`), then name its digest here.

    The file (CSV, Parquet, JSON Lines, CoNLL, or a ZIP of pictures) is read through before the
    answer, which holds the inferred columns. The same bytes as the newest version's make no new
    one.
    """
    return services.datasets.add(caller.tenant_id, data.name, data.upload, data.filename)


@get("/{dataset:str}", summary="Show a dataset", responses=refusals(404), sync_to_thread=True)
def show_dataset(services: Services, caller: Caller, dataset: Name) -> Dataset:
    """`latest` is the number of its newest version."""
    return services.datasets.get(caller.tenant_id, dataset)


@get(
    "/{dataset:str}/versions",
    summary="List a dataset's versions",
    responses=refusals(404),
    sync_to_thread=True,
)
def list_dataset_versions(
    services: Services, caller: Caller, dataset: Name, page: Paging
) -> Page[DatasetVersion]:
    """Newest first."""
    return services.datasets.versions(caller.tenant_id, dataset, page)


@get(
    "/{dataset:str}/versions/{number:int}",
    summary="Show a dataset's version",
    responses=refusals(404),
    sync_to_thread=True,
)
def show_dataset_version(
    services: Services, caller: Caller, dataset: Name, number: Number
) -> DatasetVersion:
    """With its columns and a preview of its first rows."""
    return services.datasets.version(caller.tenant_id, dataset, number)


@get(
    "/{dataset:str}/versions/{number:int}/profile",
    summary="Show a dataset version's profile",
    responses=refusals(404),
    sync_to_thread=True,
)
def show_dataset_profile(
    services: Services, caller: Caller, dataset: Name, number: Number
) -> DataProfile:
    """How each column is distributed, and warnings of what could mislead a training."""
    return services.datasets.profile(caller.tenant_id, dataset, number)


datasets: Final = Router(
    "/datasets",
    route_handlers=[
        list_datasets,
        add_dataset,
        show_dataset,
        list_dataset_versions,
        show_dataset_version,
        show_dataset_profile,
    ],
    tags=["datasets"],
    opt=needs(Permission.MODELS_READ, Permission.MODELS_WRITE),
)
