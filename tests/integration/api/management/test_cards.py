"""Model cards, evaluations and plots over HTTP."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from modelyard.registry.evaluation import ClassScore, Curve, Evaluation

if TYPE_CHECKING:
    from tests.integration.api.management.conftest import Yard

pytestmark = pytest.mark.asyncio(loop_scope="module")


def measured(yard: Yard) -> str:
    version = yard.version()
    curve = Curve("yes", (0.0, 1.0), (0.0, 1.0))
    evaluation = Evaluation(classes=(ClassScore("yes", 0.4, 0.3, 0.34, 9),), roc=(curve,))
    with yard.store.begin() as tx:
        tx.models(yard.tenant).add_evaluation(version.id, evaluation)
    return "/models/churn/versions/1"


async def test_a_card_tells_what_the_model_is_for(yard: Yard) -> None:
    path = measured(yard)
    said = "Orders in Norway.\n\nNot for <b>people</b> | decisions."
    async with yard.client() as client:
        changed = await client.put("/models/churn/intended-use", json={"text": said})
        card = (await client.get(f"{path}/card")).json()
        text = await client.get(f"{path}/card.md")
        gone = await client.put("/models/nothing/intended-use", json={"text": "x"})
        long = await client.put("/models/churn/intended-use", json={"text": "x" * 5001})
    assert changed.json()["intended_use"] == card["intended_use"] == said
    assert card["plots"] == ["roc"]
    assert card["lineage"]["source"]
    assert "class 'yes' is told badly: F1 0.34 over 9 held-out rows" in card["limits"]
    assert text.headers["content-type"] == "text/markdown; charset=utf-8"
    assert text.text.startswith("# churn version 1\n\n## Intended use\n\nOrders in Norway.\n")
    assert "Not for &lt;b&gt;people&lt;/b&gt; \\| decisions." in text.text
    assert "| yes | 0.4000 | 0.3000 | 0.3400 | 9 |" in text.text
    assert (gone.status_code, long.status_code) == (404, 400)


async def test_a_plot_is_a_picture_that_may_do_nothing(yard: Yard) -> None:
    path = measured(yard)
    async with yard.client() as client:
        evaluation = (await client.get(f"{path}/evaluation")).json()
        plot = await client.get(f"{path}/plots/roc.svg")
        same = await client.get(f"{path}/plots/roc")
        other = await client.get(f"{path}/plots/residuals")
        no_version = await client.get("/models/churn/versions/2/plots/roc")
    assert evaluation["roc"] == [{"label": "yes", "x": [0.0, 1.0], "y": [0.0, 1.0]}]
    assert plot.headers["content-type"].startswith("image/svg+xml")
    assert plot.headers["x-content-type-options"] == "nosniff"
    assert "default-src 'none'" in plot.headers["content-security-policy"]
    assert plot.text == same.text
    assert plot.text.startswith("<svg ")
    assert other.status_code == 404
    assert "there are: roc" in other.json()["detail"]
    assert no_version.status_code == 404


async def test_a_version_that_was_never_measured_has_a_card_all_the_same(yard: Yard) -> None:
    yard.version()
    async with yard.client() as client:
        card = (await client.get("/models/churn/versions/1/card")).json()
        evaluation = await client.get("/models/churn/versions/1/evaluation")
    assert card["plots"] == []
    assert any("nothing was measured here" in limit for limit in card["limits"])
    assert evaluation.json() == {}
