from bench.contenders import BARE, LITSERVE, MLSERVER, OURS, SESSION
from bench.results import Spread
from bench.standing import Standing
from bench.targets import two_over_one, verdicts
from tests.unit.bench.conftest import Measure


def test_a_ratio_is_taken_within_its_repetition(measure: Measure) -> None:
    found = measure(
        ("B", BARE, 100.0, 1.0),
        ("B", OURS, 50.0, 1.0),
        ("B", BARE, 200.0, 1.0),
        ("B", OURS, 160.0, 1.0),
        ("B", BARE, 100.0, 1.0),
        ("B", OURS, 70.0, 1.0),
    )

    row = found.row("B", OURS)

    assert row is not None
    assert row.to_bare == Spread(0.7, 0.5, 0.8)
    assert row.to_session is None
    assert row.cpu == 70.0


def test_references_come_first_and_peers_by_what_they_cost(measure: Measure) -> None:
    found = measure(
        ("B", MLSERVER, 900.0, 1.0),
        ("B", LITSERVE, 300.0, 1.0),
        ("B", OURS, 50.0, 1.0),
        ("B", SESSION, 10.0, 1.0),
        ("B", BARE, 60.0, 1.0),
    )

    assert [row.server for row in found.rows] == [BARE, SESSION, OURS, LITSERVE, MLSERVER]


def test_each_target_is_said_to_be_met_or_not(measure: Measure) -> None:
    found = measure(
        ("B", BARE, 100.0, 1.0),
        ("B", OURS, 90.0, 1.0),
        ("B", MLSERVER, 1990.0, 1.0),
        ("B", LITSERVE, 2000.0, 1.0),
    )

    judged = {(each.server, each.what, each.limit): each.met for each in verdicts(found)}

    assert judged == {
        (OURS, "CPU of bare's", 1.0): True,
        (OURS, "aimed at", 0.75): False,
        # Every process counts: 2,000 over 100, and 2,010 over 100.
        (MLSERVER, "its CPU over ours", 20): True,
        (LITSERVE, "its CPU over ours", 20): True,
    }


def test_a_peer_that_is_faster_on_the_dear_model_is_not_passed_over(measure: Measure) -> None:
    found = measure(("F", OURS, 1.0, 500.0), ("F", MLSERVER, 1.0, 700.0))

    assert [(each.server, each.met) for each in verdicts(found)] == [(MLSERVER, False)]


def test_start_and_memory_are_held_to_their_bounds(measure: Measure) -> None:
    found = measure(standing=Standing(121_000_000, 80_000_000, 1.4, 1.6))

    assert [each.met for each in verdicts(found)] == [False, True, False]


def test_two_gateways_are_not_charged_for_the_load_generator(measure: Measure) -> None:
    one, two = ("J", f"{OURS}, 1 gateway", 1.0, 1000.0), ("J", f"{OURS}, 2 gateways", 1.0, 1350.0)

    assert two_over_one(measure(one, two, load_cores=0.5)) == 1.8
    assert two_over_one(measure(one)) is None
