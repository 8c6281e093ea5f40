"""What gateways and the runtime host say to each other, in the frames of `serving.replica`.

A gateway says what it wants served (`Want`), asks for a channel when it has work and none
(`Connect`), and tells how much it has to do (`Load`). The host gives channels, asked for
(`Connected`) or not (`Offer`), and takes them back (`Drain`). A channel is one end of a socket
pair whose other end the replica has; its descriptor comes with the message. A gateway has at
most one channel to each replica. That a replica is gone shows as the end of its channel.
"""

from __future__ import annotations

from typing import Final

import msgspec

from modelyard.core.profile import Profile
from modelyard.core.tensors import Signature
from modelyard.core.trust import Trust
from modelyard.serving.options import LanguageOptions


class ReplicaKey(msgspec.Struct, frozen=True):
    """What all replicas of one version for one deployment have in common. `form` is how it is
    loaded, where there are several ways.
    """

    deployment_id: str
    version_id: str
    form: str = ""


class ModelFile(msgspec.Struct, frozen=True):
    """One file of a version; `role` is what it is to the runtime. `size` is in bytes."""

    role: str
    name: str
    digest: str
    size: int


class ReplicaOptions(msgspec.Struct, frozen=True, omit_defaults=True):
    """How many replicas there may be, and what each may take.

    `memory_bytes` is the most that one may hold; 0 leaves that to the host. After `idle_seconds`
    without a call a version with `minimum` 0 has no replica. `target_concurrency` is how many
    requests, running and waiting, a replica is there for.
    """

    minimum: int = 1
    maximum: int = 1
    target_concurrency: int = 4
    pinned: bool = False
    idle_seconds: float = 300.0
    memory_bytes: int = 0
    load_seconds: float = 120.0


class ReplicaSpec(msgspec.Struct, frozen=True, omit_defaults=True):
    """A version to be served for a deployment. `profile` is what was measured before, if it was;
    `language` how a language model is to be run.
    """

    key: ReplicaKey
    tenant_id: str
    name: str
    model: str
    version: int
    format: str
    trust: Trust
    files: tuple[ModelFile, ...]
    signature: Signature
    options: ReplicaOptions = ReplicaOptions()
    profile: Profile | None = None
    language: LanguageOptions | None = None


class Hello(msgspec.Struct, frozen=True, tag="hello"):
    """The first message of a gateway."""

    gateway_id: str


class Want(msgspec.Struct, frozen=True, tag="want"):
    """Have this version ready to be served; answered by `Prepared` or `Failed`, then and whenever
    that changes. Said again with other options, it replaces what was said before.
    """

    spec: ReplicaSpec


class Unwant(msgspec.Struct, frozen=True, tag="unwant"):
    """This gateway does not serve the version any more. Its channels are asked back."""

    key: ReplicaKey


class Connect(msgspec.Struct, frozen=True, tag="connect"):
    """There is work, and no channel to give it to: answered by `Connected` or `Refused` with the
    same number, which may take as long as loading takes.
    """

    request: int
    key: ReplicaKey


class Load(msgspec.Struct, frozen=True, tag="load", omit_defaults=True):
    """Requests of a version that are at replicas and that wait for one, in this gateway now, and
    how many calls were answered since the last such message.
    """

    key: ReplicaKey
    in_flight: int = 0
    waiting: int = 0
    answered: int = 0


class Released(msgspec.Struct, frozen=True, tag="released"):
    """This gateway holds no channel to the replica any more, asked for it or not."""

    replica_id: str


class Misbehaved(msgspec.Struct, frozen=True, tag="misbehaved"):
    """The replica does not keep to the protocol, or to any deadline: it is to be killed."""

    replica_id: str
    reason: str


class Accuse(msgspec.Struct, frozen=True, tag="accuse"):
    """A replica died with requests of these digests in its hands. The host passes it on to the
    other gateways, so that no request has to kill a replica for each of them.
    """

    key: ReplicaKey
    digests: tuple[bytes, ...]


class Clear(msgspec.Struct, frozen=True, tag="clear"):
    """Requests that were accused before have been answered. The host passes it on."""

    key: ReplicaKey
    digests: tuple[bytes, ...]


class Prepared(msgspec.Struct, frozen=True, tag="prepared"):
    """The version can be served; a replica of it is there, or will be when there is work."""

    key: ReplicaKey
    profile: Profile


class Failed(msgspec.Struct, frozen=True, tag="failed"):
    """The version cannot be served, for a reason that a person can read. It is tried again in
    `retry_after` seconds; 0: it is not, unless it is wanted anew.
    """

    key: ReplicaKey
    reason: str
    retry_after: float


class Connected(msgspec.Struct, frozen=True, tag="connected"):
    """A channel, as asked for. Its descriptor comes with this message."""

    request: int
    key: ReplicaKey
    replica_id: str


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    """No channel. It makes sense to ask again after `retry_after` seconds; never if 0."""

    request: int
    key: ReplicaKey
    reason: str
    retry_after: float


class Offer(msgspec.Struct, frozen=True, tag="offer"):
    """A channel to a replica that has come up. Its descriptor comes with this message."""

    key: ReplicaKey
    replica_id: str


class Drain(msgspec.Struct, frozen=True, tag="drain"):
    """Send this replica nothing more. When its calls have ended, close the channel and answer
    `Released`; the host waits for that only so long.
    """

    replica_id: str


GatewayMessage = Hello | Want | Unwant | Connect | Load | Released | Misbehaved | Accuse | Clear
HostMessage = Prepared | Failed | Connected | Refused | Offer | Drain | Accuse | Clear

FROM_GATEWAY: Final = (Hello, Want, Unwant, Connect, Load, Released, Misbehaved, Accuse, Clear)
FROM_HOST: Final = (Prepared, Failed, Connected, Refused, Offer, Drain, Accuse, Clear)
WITH_DESCRIPTOR: Final = (Connected, Offer)
"""Each of these comes with exactly one descriptor, and no other message with any."""
