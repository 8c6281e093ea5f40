"""The whole measurement: each repetition takes every server once.

The bare handler stays up throughout and idles; of the others only the one that is measured is up.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from bench.contenders import OURS, TITLES, Contender, bare, modelyard, peers
from bench.environments import CannotInstall
from bench.homes import make_home
from bench.measuring import Bench, CannotRun, Run
from bench.models import Model, make_models
from bench.scenarios import LOGISTIC, SCENARIOS, STANDING, TWO_GATEWAYS, Scenario, scenario
from bench.servers import DidNotStart, Server, running
from bench.standing import Standing, stand


class Plan(msgspec.Struct, frozen=True):
    """What to measure, how often, how long, and on which cores."""

    letters: Sequence[str]
    peers: Sequence[str]
    runs: int
    seconds: float
    server_core: int
    load_core: int


class Absence(msgspec.Struct, frozen=True):
    """Why a server has no number; `scenario` is empty when it has none at all."""

    server: str
    scenario: str
    reason: str


class Measured(msgspec.Struct):
    """Everything that was measured, as it came."""

    runs: list[Run] = []
    standings: list[Standing] = []
    absences: list[Absence] = []
    versions: dict[str, str] = {}


def measure(plan: Plan, say: Callable[[str], None]) -> Measured:
    """Run the plan."""
    with tempfile.TemporaryDirectory(prefix="modelyard-bench-") as name:
        scratch = Path(name)
        (scratch / "graphs").mkdir()
        say("making the models")
        rounds = _Rounds(plan, make_models(scratch / "graphs"), scratch, say)
        return rounds.run()


class _Rounds:
    def __init__(
        self, plan: Plan, models: dict[str, Model], scratch: Path, say: Callable[[str], None]
    ) -> None:
        self._plan = plan
        self._models = models
        self._graphs = scratch / "graphs"
        self._home = scratch / "home"
        self._small_home = scratch / "small"
        self._scenarios = [each for each in SCENARIOS if each.letter in plan.letters]
        self._say = say
        self._bench = Bench(models, plan.seconds, plan.server_core, [plan.load_core])
        self._found = Measured()
        self._key = self._small_key = ""
        self._peers = self._prepared(peers(self._graphs, scratch))

    def run(self) -> Measured:
        self._make_homes()
        with running(bare(self._graphs), [self._plan.server_core], [LOGISTIC]) as reference:
            for repetition in range(self._plan.runs):
                self._say(f"run {repetition + 1} of {self._plan.runs}")
                self._one(reference)
        return self._found

    def _prepared(self, known: dict[str, Callable[[], Contender]]) -> list[Contender]:
        ready = []
        for name in self._plan.peers:
            try:
                peer = known[name]()
            except CannotInstall as error:
                self._absent(TITLES[name], "", f"does not install: {error}")
            else:
                ready.append(peer)
                self._found.versions[peer.name] = peer.version
        return ready

    def _make_homes(self) -> None:
        core = self._plan.server_core
        if self._scenarios or TWO_GATEWAYS in self._plan.letters:
            self._say("deploying the models")
            self._key = make_home(self._home, self._models.values(), core)
        if STANDING in self._plan.letters:
            self._small_key = make_home(self._small_home, [self._models[LOGISTIC]], core)

    def _one(self, reference: Server) -> None:
        if self._scenarios:
            self._all_of(modelyard(self._home, self._key), reference)
        for peer in self._peers:
            self._all_of(peer)
        if TWO_GATEWAYS in self._plan.letters:
            self._two_gateways()
        if STANDING in self._plan.letters:
            self._say("  start and memory")
            self._found.standings.append(
                stand(
                    modelyard(self._small_home, self._small_key),
                    self._models[LOGISTIC],
                    self._plan.server_core,
                )
            )

    def _all_of(self, contender: Contender, reference: Server | None = None) -> None:
        """Every scenario on one server; with a reference, that and the session right before."""
        self._say(f"  {contender.name}")
        try:
            with running(contender, [self._plan.server_core], list(self._models)) as server:
                for each in self._scenarios:
                    if reference is not None:
                        self._load(reference, each)
                        self._found.runs.append(self._bench.in_process(each))
                    self._load(server, each)
        except DidNotStart as error:
            if contender.name == OURS:
                raise
            self._absent(contender.name, "", f"does not start: {error}")

    def _load(self, server: Server, each: Scenario) -> None:
        try:
            self._found.runs.append(self._bench.load(server, each))
        except CannotRun as error:
            self._absent(server.contender.name, each.letter, str(error))

    def _two_gateways(self) -> None:
        """One gateway on one core, then two on both, which the load generator shares with them."""
        plan, many = self._plan, scenario("C")
        both = [plan.server_core, plan.load_core]
        for gateways, cores, load_cores in ((1, both[:1], both[1:]), (2, both, both)):
            self._say(f"  {OURS}, gateways: {gateways}")
            contender = modelyard(self._home, self._key, gateways)
            with running(contender, cores, [LOGISTIC]) as server:
                run = self._bench.load(server, many, cores=load_cores)
            name = f"{OURS}, {gateways} gateway{'s' if gateways > 1 else ''}"
            self._found.runs.append(
                msgspec.structs.replace(run, scenario=TWO_GATEWAYS, server=name)
            )

    def _absent(self, server: str, letter: str, reason: str) -> None:
        absence = Absence(server, letter, reason)
        if absence not in self._found.absences:
            self._found.absences.append(absence)
            self._say(f"    {server} {letter}: {reason}")
