"""Networks as scikit-learn's tools take them."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from modelyard.training.neural.estimator import ENOUGH, NetworkClassifier, NetworkRegressor
from modelyard.training.neural.perceptron import Perceptron
from modelyard.training.neural.recipe import Recipe
from modelyard.training.rows import Array

SMALL = Perceptron(hidden_layer_sizes=(16,), dropout=0.0)
RECIPE = Recipe(epochs=30, batch_size=16, learning_rate=0.01)


def table(rows: int = 200, seed: int = 5) -> tuple[Array, Array]:
    generator = np.random.default_rng(seed)
    matrix = generator.normal(size=(rows, 4)).astype(np.float32)
    return matrix, matrix[:, 0] * 3 + np.abs(matrix[:, 1])


def named(target: Array) -> Array:
    return np.array(["low", "middle", "top"], dtype=object).take(np.digitize(target, [-1, 2]))


def test_a_classifier_learns_and_answers_by_its_classes() -> None:
    matrix, target = table()
    network = NetworkClassifier(SMALL, RECIPE).fit(matrix, named(target))
    assert network.classes_.tolist() == ["low", "middle", "top"]
    assert (network.predict(matrix) == named(target)).mean() > 0.9
    probabilities = network.predict_proba(matrix)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(axis=1), 1.0, rtol=1e-5)


def test_a_regressor_learns_at_unit_scale() -> None:
    matrix, target = table()
    network = NetworkRegressor(SMALL, RECIPE).fit(matrix, target * 1e6 + 5e6)
    assert network.score(matrix, target * 1e6 + 5e6) > 0.9


def test_a_constant_target_is_predicted() -> None:
    matrix, _ = table()
    network = NetworkRegressor(SMALL, Recipe(epochs=2)).fit(matrix, np.full(len(matrix), 7.0))
    assert np.abs(network.predict(matrix) - 7.0).max() < 2.0


def test_the_same_seed_makes_the_same_network() -> None:
    matrix, target = table()
    one, two, other = (
        NetworkRegressor(SMALL, RECIPE, seed).fit(matrix, target).predict(matrix)
        for seed in (4, 4, 5)
    )
    np.testing.assert_array_equal(one, two)
    assert not np.array_equal(one, other)


def test_it_can_be_kept_and_opened_again() -> None:
    matrix, target = table()
    network = NetworkClassifier(SMALL, RECIPE).fit(matrix, named(target))
    data = pickle.dumps(network)
    assert b"torch" not in data
    opened = pickle.loads(data)  # noqa: S301 - made above
    np.testing.assert_array_equal(opened.predict_proba(matrix), network.predict_proba(matrix))


def test_scikit_learns_tools_take_it() -> None:
    matrix, target = table()
    network = NetworkClassifier(SMALL, RECIPE, seed=3)
    assert clone(network).get_params(deep=False) == network.get_params(deep=False)
    told = network.get_params()
    assert (told["hidden_layer_sizes"], told["epochs"], told["random_state"]) == ((16,), 30, 3)
    assert cross_val_score(network, matrix, named(target), cv=3).mean() > 0.8


def test_a_sparse_matrix_is_made_dense_batch_by_batch() -> None:
    matrix, target = table()
    matrix = np.where(np.abs(matrix) > 0.5, matrix, 0)
    dense = NetworkRegressor(SMALL, RECIPE).fit(matrix, target)
    sparse = NetworkRegressor(SMALL, RECIPE).fit(scipy.sparse.csr_matrix(matrix), target)
    np.testing.assert_array_equal(
        dense.predict(matrix), sparse.predict(scipy.sparse.csr_matrix(matrix))
    )


def test_with_enough_rows_some_are_held_out() -> None:
    matrix, target = table(ENOUGH)
    stopped = NetworkRegressor(SMALL, RECIPE).fit(matrix, target)
    assert stopped.course_.held_loss is not None
    recipe = Recipe(epochs=3, early_stopping=False)
    assert NetworkRegressor(SMALL, recipe).fit(matrix, target).course_.held_loss is None


@pytest.mark.parametrize("loss", ["cross_entropy", "focal", "binary_cross_entropy"])
def test_balanced_classes_find_more_of_the_rare_one(loss: str) -> None:
    generator = np.random.default_rng(0)
    matrix = generator.normal(size=(400, 3)).astype(np.float32)
    rare = matrix[:, 0] + generator.normal(size=400) > 2.2
    found = {}
    for weight in (None, "balanced"):
        recipe = Recipe(
            epochs=15, loss=loss, class_weight=weight, early_stopping=False, learning_rate=0.01
        )
        predicted = NetworkClassifier(SMALL, recipe).fit(matrix, rare).predict(matrix)
        found[weight] = predicted[rare].mean()
    assert found["balanced"] > found[None] + 0.2
    assert found["balanced"] > 0.7
