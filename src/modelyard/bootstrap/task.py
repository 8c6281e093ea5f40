"""A task of a job or an import, in a process of its own."""

from __future__ import annotations


def run(arguments: list[str]) -> int:
    """Do what the arguments say; returns the exit status."""
    from modelyard.adapters.engine.child import main
    from modelyard.training import tasks

    by_name = {
        "train": tasks.train,
        "inspect": tasks.inspect_dataset,
        "open-model": tasks.open_model,
        "examine-model": tasks.examine_model,
        "try-engine": tasks.examine_model,
    }
    return main(by_name, arguments)
