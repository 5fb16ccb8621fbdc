"""Runs that are trained together: one program, R seeds and task sets.

A run that is trained alone is an ensemble of one. Every array of its state has
R as its first axis.
"""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import numpy as np

from imat_jax import config, tasks


@dataclasses.dataclass(frozen=True)
class Ensemble:
  """Runs that differ in their seeds and tasks alone.

  `task_set` holds the tasks of all of them: the network has a head for each,
  and a run is a row of task weights, 0 for a task that is not its own.
  """

  runs: tuple[config.Run, ...]
  task_set: tasks.TaskSet

  def __len__(self) -> int:
    return len(self.runs)

  @property
  def training(self) -> config.Training:
    """What the runs have in common."""
    return self.runs[0]

  @property
  def model(self) -> config.Model:
    """The network of all runs."""
    return self.runs[0].model

  @property
  def most_tasks(self) -> int:
    """How many tasks the run with the most has."""
    return max(len(run.tasks) for run in self.runs)

  @property
  def seed_R(self) -> np.ndarray:
    """The seeds."""
    return np.array([run.seed for run in self.runs], np.uint32)

  @property
  def weight_RxT(self) -> np.ndarray:
    """The weights of the tasks in the runs' losses."""
    return np.array([self._weights(run) for run in self.runs], np.float32)

  def own_tasks(self, number: int) -> tasks.TaskSet:
    """The tasks of a run, in its order."""
    return self.task_set.select(self.runs[number].tasks)

  def _weights(self, run: config.Run) -> list[float]:
    # By the run's own order; the ensemble's may be another.
    names = self.task_set.select(run.tasks).names
    weights = tasks.weights(len(names), run.task_weight_decay)
    by_name = dict(zip(names, weights, strict=True))
    return [by_name.get(name, 0.0) for name in self.task_set.names]


def vmap_runs(one: Callable, axes: tuple[Any, ...]) -> Callable:
  """`one` for each run of an ensemble.

  Args:
    one: a function of one run.
    axes: 0 for an argument with a part per run, None for one that all share; a
      named tuple of these for one that has both.

  Returns:
    a function whose arguments of axis 0, and whose results, have R in front.
  """

  def of_runs(*arguments):
    mapped = [a for a, axis in zip(arguments, axes, strict=True) if axis == 0]
    if len(jax.tree.leaves(mapped)[0]) > 1:
      return jax.vmap(one, axes)(*arguments)
    # Not vmapped: that would put a CPU's compiled kernel into a loop.
    results = one(*map(_first, axes, arguments))
    return jax.tree.map(lambda x: x[None], results)

  return of_runs


def _first(axis: Any, argument: Any) -> Any:
  """What the first run has of an argument."""
  if isinstance(axis, tuple):
    return type(axis)(*map(_first, axis, argument))
  return argument if axis is None else jax.tree.map(lambda x: x[0], argument)
