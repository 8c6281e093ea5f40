"""Neural networks in PyTorch, as estimators that scikit-learn's tools take.

To add a kind of network:

1. Write its architecture (see `architecture.py`): a frozen msgspec Struct whose fields are its
   parameters, with `build(shape, outputs)`, which returns a `torch.nn.Module`. The module takes a
   batch [n, *shape] (FP32 of floats, INT64 of whole numbers, UINT8 as it is) and returns [n,
   outputs]. `perceptron.py` is the shortest one.
2. Wrap it in `estimator.NetworkClassifier` or `NetworkRegressor`, with a `Recipe`: they know
   classes, class weights, the scale of a target, early stopping, checkpoints and pickling.
3. Make an `Algorithm` of it with `trainers/network.py`, which has the recipe's parameters.
4. Say in `conversion/network_graph.py` how its layers are written in ONNX.

What is no classifier of rows and no regression (tags, sequences) calls `loop.train` itself: it
takes any module, any arrays of the same length and any loss, and does epochs, schedules, early
stopping, progress and checkpoints.

Everything here imports torch but `recipe.py` and `architecture.py`; trainers import it when they
build, so that torch stays an extra.
"""
