"""The Python client of Modelyard.

from modelyard_client import Client

with Client() as client:
    client.datasets.add("churn", "churn.csv")
    job = client.jobs.submit_train("churn", dataset="churn", target="left")
    client.jobs.wait(job.id)
    client.deployments.put("churn", "churn")
    client.deployments.wait_ready("churn")
    client.predict("churn", [{"age": 41, "plan": "basic"}])
"""

from modelyard_client.client import Client
from modelyard_client.deployments import (
    CacheOptions,
    DeploymentFailed,
    LanguageOptions,
    ReplicaOptions,
    ServingOptions,
)
from modelyard_client.errors import (
    ApiError,
    BadArgument,
    ClientError,
    ServerNotFound,
    TimedOut,
    UnexpectedAnswer,
    Unreachable,
)
from modelyard_client.inference import InferenceResponse, Tensor, tensors
from modelyard_client.providers import Timeouts, Upstream

__all__ = [
    "ApiError",
    "BadArgument",
    "CacheOptions",
    "Client",
    "ClientError",
    "DeploymentFailed",
    "InferenceResponse",
    "LanguageOptions",
    "ReplicaOptions",
    "ServerNotFound",
    "ServingOptions",
    "Tensor",
    "TimedOut",
    "Timeouts",
    "UnexpectedAnswer",
    "Unreachable",
    "Upstream",
    "tensors",
]
