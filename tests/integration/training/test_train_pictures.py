"""Training on pictures, from the archive to the served form, as the tasks do it."""

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from modelyard.core.errors import Invalid
from modelyard.core.tasks import RESULT_FILE, SPEC_FILE, Progress
from modelyard.core.tensors import Datatype
from modelyard.registry.artifact import Format
from modelyard.serving.runtimes import image_classifier
from modelyard.serving.runtimes.contract import MODEL, RuntimeManifest
from modelyard.training.dataset import Inspection
from modelyard.training.tasks import TABLE_FILE, inspect_dataset, train
from modelyard.training.trained import Trained
from tests.picture_sets import archive, digits, png, stripes

QUICK = {"epochs": 8, "batch_size": 32, "learning_rate": 0.01}


class Run:
    """One data set of pictures and a training on it, in a folder of its own."""

    def __init__(self, folder: Path, files: dict[str, bytes], **spec: Any) -> None:
        self.folder = folder
        self.story: list[Progress] = []
        (folder / "upload").write_bytes(archive(files))
        self._tell({"file": "upload", "filename": "pictures.zip"})
        inspect_dataset(folder, self.story.append)
        self.inspection = msgspec.json.decode((folder / RESULT_FILE).read_bytes(), type=Inspection)
        self._tell({"table": TABLE_FILE, "target": "label", **spec})
        train(folder, self.story.append)
        self.result = msgspec.json.decode((folder / RESULT_FILE).read_bytes(), type=Trained)

    def _tell(self, spec: dict[str, Any]) -> None:
        (self.folder / SPEC_FILE).write_bytes(msgspec.json.encode(spec))

    def predict(self, files: list[bytes]) -> dict[str, Any]:
        """As a replica answers."""
        names = {one.format: one.name for one in self.result.artifacts}
        manifest = RuntimeManifest("image_classifier", {MODEL: names[Format.IMAGE_CLASSIFIER]})
        model = image_classifier.load(self.folder, manifest)
        assert model.signature == self.result.signature
        return model.infer({"image": np.array(files, dtype=np.object_)})


@pytest.mark.parametrize(
    ("algorithm", "parameters", "least"),
    [
        ("cnn", {**QUICK, "conv_channels": [8], "augment_shift": 0.05}, 0.93),
        ("neural_network", QUICK, 0.88),
        ("logistic_regression", {}, 0.88),
        ("random_forest", {"n_estimators": 20}, 0.8),
    ],
)
def test_digits_are_told_apart_and_served(
    tmp_path: Path, algorithm: str, parameters: dict[str, Any], least: float
) -> None:
    files = digits(700)
    run = Run(tmp_path, files, algorithm=algorithm, parameters=parameters)
    result = run.result
    assert result.card.metrics["accuracy"] >= least
    assert result.card.features == ("image",)
    assert result.parity.agreed, result.parity.reason
    assert result.parity.rows == 140
    assert (result.parity.largest_difference or 0.0) < 1e-5
    assert result.profile is not None
    assert result.profile.row_seconds > 0
    assert result.signature.inputs[0].datatype is Datatype.BYTES
    assert result.signature.inputs[0].binary
    names, shown = list(files), list(files.values())
    answer = run.predict(shown[:50])
    truth = [name.split("/")[0] for name in names[:50]]
    assert (answer["label"] == np.array(truth, dtype=object)).mean() > 0.9
    assert answer["labels"].shape == (50, 5)


def test_auto_compares_what_suits_pictures(tmp_path: Path) -> None:
    run = Run(tmp_path, stripes(), folds=2)
    board = {one.algorithm: one.score for one in run.result.card.leaderboard}
    assert board.keys() == {"cnn", "logistic_regression"}
    assert run.result.card.algorithm == "cnn"
    assert board["cnn"] is not None
    assert board["cnn"] > 0.8


def test_pictures_of_other_sizes_and_colours_are_brought_to_one(tmp_path: Path) -> None:
    files = stripes(40)
    for number in range(8):
        pixels = np.full((20 + number, 31, 3), (250, 10 * number, 0))
        files[f"red/{number}.png"] = png(pixels)
    run = Run(tmp_path, files, algorithm="logistic_regression", image_size=16, image_grey=False)
    assert run.inspection.warnings == ()
    labels = run.predict([files["red/0.png"], files["lying/000.png"], png(np.zeros((3, 3)))])
    assert labels["label"].tolist()[:2] == ["red", "lying"]
    assert labels["labels"].shape == (3, 3)


def test_a_table_beside_the_pictures_names_the_target(tmp_path: Path) -> None:
    files = {name.replace("/", "-"): data for name, data in stripes(40).items()}
    lines = "".join(f"{name},{name.split('-')[0]},{len(name)}\n" for name in files)
    files["labels.csv"] = f"file,kind,length\n{lines}".encode()
    run = Run(tmp_path, files, target="kind", algorithm="logistic_regression")
    assert run.result.card.features == ("image",)
    assert run.result.card.target == "kind"
    assert "column 'length' was left out" in " ".join(run.result.card.warnings)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"task": "regression", "target": "size"}, "pictures ('image') are told apart by class"),
        ({"target": "image"}, "target 'image' holds pictures; a class is needed"),
        ({"target": None, "task": "clustering"}, "pictures ('image') are told apart by class"),
        ({"algorithm": "ridge"}, "by algorithms that give probabilities"),
        ({"exclude": ["image"], "image_size": 8}, "image_size and image_grey are for pictures"),
        (
            {"algorithm": "cnn", "parameters": {"conv_channels": [4] * 5}},
            "5 conv_channels halve pictures of 12 x 12 pixels to nothing",
        ),
        ({"algorithm": "cnn", "exclude": ["image"]}, "'cnn' learns from pictures, and there are"),
    ],
)
def test_what_pictures_cannot_be_used_for_is_told(
    tmp_path: Path, spec: dict[str, Any], said: str
) -> None:
    files = {name.split("/")[1]: data for name, data in stripes(24).items()}
    lines = "".join(f"{name},{at % 2},{at}.5,w{at % 3}\n" for at, name in enumerate(files))
    files["labels.csv"] = f"file,label,size,word\n{lines}".encode()
    with pytest.raises(Invalid) as caught:
        Run(tmp_path, files, **spec)
    assert said in caught.value.message


def test_a_single_class_is_nothing_to_tell_apart(tmp_path: Path) -> None:
    files = {name: data for name, data in stripes(40).items() if name.startswith("lying")}
    with pytest.raises(Invalid, match="target 'label' has a single value in all 20 rows"):
        Run(tmp_path, files)
