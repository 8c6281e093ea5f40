"""How a network is trained: everything but its layers, in the names that the field uses."""

from __future__ import annotations

from typing import Final

import msgspec

OPTIMIZERS: Final = ("sgd", "adam", "adamw")
SCHEDULES: Final = ("constant", "step", "cosine", "one_cycle")
CLASS_LOSSES: Final = ("cross_entropy", "binary_cross_entropy", "focal")
NUMBER_LOSSES: Final = ("mse", "mae", "huber")


class Recipe(msgspec.Struct, frozen=True):
    """How a network is trained.

    Attributes:
        epochs: passes over the rows, at most.
        batch_size: rows of one step, about: batches are of like size.
        optimizer: one of `OPTIMIZERS`.
        learning_rate: of the first step; of the highest one with `one_cycle`.
        momentum: of `sgd`.
        weight_decay: L2 penalty; decoupled from the gradient with `adamw`.
        l1: L1 penalty on all weights but biases, added to the loss.
        lr_schedule: one of `SCHEDULES`.
        lr_step_size: epochs after which `step` multiplies the learning rate.
        lr_gamma: what it multiplies by.
        gradient_clip: largest norm of a step's gradient; None for no bound.
        loss: one of `CLASS_LOSSES` or `NUMBER_LOSSES`; None for the first of them.
        focal_gamma: of `focal`: how little a row counts that is told well already.
        huber_delta: of `huber`: where it turns from squares to absolute values.
        label_smoothing: of `cross_entropy`.
        class_weight: `balanced` lets every class count the same.
        early_stopping: hold a part of the rows out, stop when it gets no better, and keep the best
            weights; None does so where there are enough rows.
        patience: epochs without a better one before that stop.
        validation_fraction: of the rows, for early stopping.
    """

    epochs: int = 100
    batch_size: int = 64
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    momentum: float = 0.9
    weight_decay: float = 0.01
    l1: float = 0.0
    lr_schedule: str = "cosine"
    lr_step_size: int = 10
    lr_gamma: float = 0.1
    gradient_clip: float | None = None
    loss: str | None = None
    focal_gamma: float = 2.0
    huber_delta: float = 1.0
    label_smoothing: float = 0.0
    class_weight: str | None = None
    early_stopping: bool | None = None
    patience: int = 20
    validation_fraction: float = 0.1
