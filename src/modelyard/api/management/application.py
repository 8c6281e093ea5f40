"""The management application: the routes, put behind what holds for all of them."""

from __future__ import annotations

from typing import Any, Final, cast

from litestar import Litestar, Router
from litestar.exceptions import HTTPException
from litestar.middleware import DefineMiddleware

from modelyard.api.asgi import App
from modelyard.api.management.admission import Admission, Lanes
from modelyard.api.management.authorization import Authorization
from modelyard.api.management.billing_profile import billing_profile
from modelyard.api.management.bodies import MAX_BODY, WholeBody
from modelyard.api.management.catalogue import catalogue, listings, subscriptions
from modelyard.api.management.credits import credits
from modelyard.api.management.datasets import datasets
from modelyard.api.management.dependencies import provided
from modelyard.api.management.deployments import deployments
from modelyard.api.management.description import describe
from modelyard.api.management.documentation import Documentation, documentation_routes
from modelyard.api.management.edge import Edge
from modelyard.api.management.idempotency import Idempotency
from modelyard.api.management.invoices import invoices
from modelyard.api.management.jobs import jobs
from modelyard.api.management.json_request import JsonRequest
from modelyard.api.management.keys import keys
from modelyard.api.management.models import models
from modelyard.api.management.people import me, members, passwords, sessions, users
from modelyard.api.management.prices import prices
from modelyard.api.management.problems import on_expected, on_http, on_unexpected
from modelyard.api.management.providers import providers
from modelyard.api.management.quotas import quotas
from modelyard.api.management.services import ManagementServices
from modelyard.api.management.statements import statements
from modelyard.api.management.tenants import tenants
from modelyard.api.management.uploads import uploads
from modelyard.api.management.usage import usage
from modelyard.core.errors import ModelyardError

PREFIX: Final = "/api/v1"
NOUNS: Final = (
    uploads,
    datasets,
    jobs,
    models,
    providers,
    deployments,
    catalogue,
    listings,
    subscriptions,
    tenants,
    members,
    users,
    sessions,
    passwords,
    me,
    keys,
    quotas,
    usage,
    prices,
    invoices,
    credits,
    statements,
    billing_profile,
)


def make_management_app(services: ManagementServices) -> App:
    """The ASGI application.

    Each request must come with its `core.access.Grant` in `scope["auth"]`; without one it is
    answered 401. Database work runs on the event loop's default thread pool.
    """
    return Edge(cast(App, make_litestar(services)))


def make_litestar(services: ManagementServices) -> Litestar:
    """The routes with what runs between routing and handlers, outermost first."""
    api = Router(PREFIX, route_handlers=list(NOUNS))
    dependencies = provided(services)
    return Litestar(
        [api, documentation_routes(Documentation(lambda: describe(api, dependencies)))],
        dependencies=dependencies,
        middleware=[
            _layer(Authorization, tenancy=services.tenancy),
            _layer(WholeBody),
            _layer(Admission, lanes=Lanes()),
            _layer(Idempotency, store=services.store, clock=services.clock),
        ],
        exception_handlers={
            ModelyardError: on_expected,
            HTTPException: on_http,
            Exception: on_unexpected,
        },
        request_class=JsonRequest,
        request_max_body_size=MAX_BODY,
        # Logging is set up once, by the composition root; the description is made on demand.
        logging_config=None,
        openapi_config=None,
        debug=False,
        pdb_on_exception=False,
    )


def _layer(kind: Any, **parts: Any) -> DefineMiddleware:
    # Litestar types ASGI by its own scopes and messages, which are narrower than ASGI's.
    return DefineMiddleware(kind, **parts)
