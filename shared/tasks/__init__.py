"""The queue of tasks, as a producer sees it."""

from shared.tasks.protocol import Task, TaskQueue

__all__ = ["Task", "TaskQueue"]
