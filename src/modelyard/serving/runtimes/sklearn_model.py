"""Estimators of scikit-learn's kind, from a pickle, joblib or skops file.

Reading one executes whatever its maker put in: this runs in a sandbox only.
"""

from __future__ import annotations

import contextlib
import pickle
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

import joblib
import msgspec
import numpy as np

from modelyard.core.tensors import NUMPY, Datatype, Signature, Tensor, TensorSpec
from modelyard.serving.runtimes.answers import (
    LABEL,
    PREDICTION,
    PROBABILITIES,
    TRANSFORMED,
    as_specified,
    output_specs,
)
from modelyard.serving.runtimes.contract import CannotLoad, RuntimeManifest
from modelyard.serving.runtimes.estimator import (
    columns_of,
    feature_names,
    inputs_of,
    takes_text,
)
from modelyard.serving.runtimes.function import FunctionModel, describe, uninterrupted
from modelyard.serving.runtimes.measuring import resident_bytes
from modelyard.serving.runtimes.tables import frame, matrix


def load(folder: Path, manifest: RuntimeManifest) -> FunctionModel:
    """Load an estimator and find out what it takes and gives, as far as that is not known.

    Raises:
        CannotLoad: the file cannot be read, or holds no estimator; the message says why.
    """
    before = resident_bytes()
    path = manifest.path(folder)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model = Estimator(_read(path, manifest.format))
    notes = [" ".join(str(one.message).split())[:300] for one in caught]
    # From here on its warnings (of names that a matrix lacks, say) would come with every request.
    warnings.simplefilter("ignore")
    signature = manifest.signature or model.signature()
    if signature is not None:
        model.specify(signature)
    return FunctionModel(
        uninterrupted(model.answer),
        signature,
        native=model.estimator,
        kind=_kind(model.estimator),
        before=before,
        notes=tuple(dict.fromkeys(notes)),
    )


def _kind(estimator: Any) -> str:
    """The class of the estimator, or of a pipeline's last step."""
    steps = getattr(estimator, "steps", None)
    return type(steps[-1][1] if steps else estimator).__name__


def _read(path: Path, format_: str) -> Any:
    try:
        return _READERS[format_](path)
    except ModuleNotFoundError as error:
        raise CannotLoad(
            f"the file needs the Python module '{error.name}', which is not installed here; "
            "install it beside the server, or bring its code along in a custom Python model"
        ) from None
    except AttributeError as error:
        raise CannotLoad(
            f"the file refers to code that is not in it ({describe(error)}); functions and classes "
            "of a script or notebook are not stored in a pickle: use a custom Python model"
        ) from None
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - unpickling raises whatever the file makes it raise
        raise CannotLoad(f"the file cannot be read: {describe(error)}") from None


def _unpickle(path: Path) -> Any:
    with path.open("rb") as file:
        return pickle.load(file)  # noqa: S301 - in the sandbox only


def _read_skops(path: Path) -> Any:
    from skops import io

    # The list of trusted types would be a gate; here the sandbox is.
    return io.load(path, trusted=io.get_untrusted_types(file=path))


_READERS: Final[Mapping[str, Callable[[Path], Any]]] = {
    "pickle": _unpickle,
    "joblib": joblib.load,
    "skops": _read_skops,
}


class Estimator:
    """An estimator behind tensors. `specify` comes before `answer`."""

    def __init__(self, estimator: Any) -> None:
        if not hasattr(estimator, "predict") and not hasattr(estimator, "transform"):
            kind = type(estimator)
            raise CannotLoad(
                f"the file holds a {kind.__module__}.{kind.__qualname__}, which has neither "
                "'predict' nor 'transform'; save the fitted model or pipeline itself"
            )
        self.estimator = estimator
        self._names = feature_names(estimator)
        self._text = takes_text(estimator)
        self._inputs: tuple[TensorSpec, ...] = ()
        self._outputs: tuple[TensorSpec, ...] = ()
        self._precision: np.dtype[Any] = np.dtype(np.float64)
        self._single_thread()

    def specify(self, signature: Signature) -> None:
        """Take and give the tensors of this signature."""
        self._inputs, self._outputs = signature.inputs, signature.outputs
        with contextlib.suppress(Exception):
            self._settle(self._trial())

    def answer(self, inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The outputs of the signature."""
        if not self._inputs:
            raise CannotLoad("nothing tells what this model takes: give a signature or a sample")
        return as_specified(self.predict(self.rows(inputs)), self._outputs)

    def rows(self, inputs: Mapping[str, Tensor]) -> Any:
        """What the estimator is called with: texts, a frame if it knows columns, or a matrix."""
        if self._text:
            return inputs[self._inputs[0].name]
        if self._names:
            return frame(inputs, self._inputs, self._names, self._precision)
        values = matrix(inputs, self._inputs)
        return values.astype(self._precision) if values.dtype == np.float32 else values

    def predict(self, rows: Any) -> dict[str, Tensor]:
        """Its own answers, by the names that models of tables give them."""
        if not hasattr(self.estimator, "predict"):
            return {TRANSFORMED: _dense(self.estimator.transform(rows))}
        predicted = _dense(self.estimator.predict(rows))
        if not self._labels(predicted):
            return {PREDICTION: predicted}
        answer = {LABEL: predicted}
        if predicted.ndim == 1 and hasattr(self.estimator, "predict_proba"):
            answer[PROBABILITIES] = np.asarray(self.estimator.predict_proba(rows))
        return answer

    def _labels(self, predicted: Tensor) -> bool:
        return hasattr(self.estimator, "classes_") or predicted.dtype.kind in "iubOUS"

    def signature(self) -> Signature | None:
        """What it takes and gives; None when it does not tell how many features there are."""
        self._inputs = inputs_of(self.estimator)
        if not self._inputs:
            return None
        trial = self._trial()
        try:
            answer = self._settle(trial)
        except Exception as error:  # noqa: BLE001 - whatever the estimator raises
            raise CannotLoad(f"the model fails on a trial row: {describe(error)}") from None
        self._inputs = tuple(self._with_nullable(spec, trial) for spec in self._inputs)
        classes = [str(one) for one in getattr(self.estimator, "classes_", ())]
        return Signature(self._inputs, output_specs(answer, self._inputs, classes))

    def _settle(self, trial: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Find out in which precision it takes numbers; return its answer to the trial row.

        FP64, in which most were trained, is nearest to what their makers saw. Some (k-means, for
        one) were compiled for the precision that they were trained in, and take no other.
        """
        try:
            return self.predict(self.rows(trial))
        except Exception:
            self._precision = np.dtype(np.float32)
            with contextlib.suppress(Exception):
                return self.predict(self.rows(trial))
            self._precision = np.dtype(np.float64)
            raise

    def _trial(self) -> dict[str, Tensor]:
        """One row of zeros and of words that it knows."""
        if self._text:
            return {self._inputs[0].name: np.array(["some words"], np.object_)}
        first = self._inputs[0]
        if len(self._inputs) == 1 and len(first.shape) == 2:
            return {first.name: np.zeros((1, first.shape[1]), NUMPY[first.datatype])}
        columns = columns_of(self.estimator)
        return {
            spec.name: np.array([column.example], np.object_)
            if spec.datatype is Datatype.BYTES
            else np.zeros(1, NUMPY[spec.datatype])
            for spec, column in zip(self._inputs, columns, strict=True)
        }

    def _with_nullable(self, spec: TensorSpec, trial: Mapping[str, Tensor]) -> TensorSpec:
        """Whether a missing value is taken is tried; a missing text would be an empty one."""
        if self._text:
            return spec
        missing = np.nan if spec.datatype is not Datatype.BYTES else ""
        gap = np.full_like(trial[spec.name], missing)
        marked = msgspec.structs.replace(spec, nullable=True)
        known = self._inputs
        self._inputs = tuple(marked if one is spec else one for one in known)
        try:
            self.predict(self.rows({**trial, spec.name: gap}))
        except Exception:  # noqa: BLE001 - whatever the estimator raises, it does not take it
            return spec
        finally:
            self._inputs = known
        return marked

    def _single_thread(self) -> None:
        """Requests are what runs in parallel: a pool for each call costs more than it saves."""
        parts = [self.estimator, *(step for _, step in getattr(self.estimator, "steps", ()))]
        for part in parts:
            if getattr(part, "n_jobs", None) not in (None, 1):
                part.n_jobs = 1


def _dense(values: Any) -> Tensor:
    return np.asarray(values.toarray() if hasattr(values, "toarray") else values)
