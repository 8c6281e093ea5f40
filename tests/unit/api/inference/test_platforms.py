import pytest

from modelyard.api.inference.platforms import backend_of, platform_of
from modelyard.serving.runtimes.catalogue import FORMATS


@pytest.mark.parametrize(
    ("format_", "platform"),
    [
        ("onnx", "onnxruntime_onnx"),
        ("skops", "sklearn_skops"),
        ("xgboost", "xgboost"),
        ("torchscript", "pytorch_torchscript"),
        ("python", "python"),
    ],
)
def test_a_platform_is_library_and_format(format_: str, platform: str) -> None:
    assert platform_of(format_) == platform


@pytest.mark.parametrize("format_", sorted(FORMATS))
def test_every_format_has_a_platform(format_: str) -> None:
    assert platform_of(format_).startswith(backend_of(format_))
