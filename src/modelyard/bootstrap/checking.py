"""What `modelyard models check` needs: a sandbox and a runner of tasks, and no server."""

from __future__ import annotations

from typing import TYPE_CHECKING

from modelyard.bootstrap.parts import judge_sandbox, open_sandbox, task_runner

if TYPE_CHECKING:
    from modelyard.core.settings import Settings
    from modelyard.training.checking import ModelChecker


def make_checker(settings: Settings) -> ModelChecker:
    """A checker within the same bounds as a server's imports."""
    from modelyard.training.checking import ModelChecker

    judge_sandbox(settings)
    admit = open_sandbox().capabilities.admit_code
    return ModelChecker(task_runner(settings, settings.inspect_seconds), admit)
