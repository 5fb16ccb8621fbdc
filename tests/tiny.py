"""The smallest network that has all the parts, and the run that tests share."""

import contextlib
import dataclasses
import functools
import io
import json
import pathlib
import re
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from imat_jax import config, train
from imat_jax.models.network import Network, trained_input
from imat_jax.models.trunks.paper import Paper
from imat_jax.strategies import Strategy
from imat_jax.strategies.weighted_sum import WeightedSum
from imat_jax.training import compiled, state, trained_model

MODEL = config.Model(
  trunk=Paper(filters=(2, 3, 4), shared_widths=(8,)), head_widths=(4,)
)
WEIGHTED_SUM = WeightedSum()
FLAGS = ('--filters=2,3,4', '--shared_widths=8', '--head_widths=4')
# The same on photos of 32 pixels: a step takes a twentieth of the time.
SMALL = dataclasses.replace(
  MODEL, trunk=dataclasses.replace(MODEL.trunk, image_size=32)
)
SMALL_FLAGS = (*FLAGS, '--image_size=32')
# The run of `uninterrupted`, as a command; 13 steps an epoch.
RUN_FLAGS = (
  *SMALL_FLAGS,
  '--tasks=apparel,age',
  '--batch_size=4',
  '--epochs=3',
)

# `jax.jit` for a formula that runs a few times: with the compiler's full effort
# most of a test's time would go by in it.
jit = functools.partial(
  jax.jit,
  compiler_options={
    'xla_backend_optimization_level': 0,
    'xla_cpu_use_fusion_emitters': False,
  },
)


@dataclasses.dataclass(frozen=True)
class KeepsGramian(Strategy):
  """The tasks' gradients become equally long; the state is their Gramian."""

  gradients_at: str

  def init(self, num_tasks: int) -> jax.Array:
    return jnp.zeros((num_tasks, num_tasks))

  def update(self, evidence, state):
    norm_T = jnp.sqrt(jnp.diagonal(evidence.gramian_TxT))
    is_here_T = norm_T > 0
    weight_T = evidence.weight_T / jnp.where(is_here_T, norm_T, 1)
    return jnp.where(is_here_T, weight_T, 0), evidence.gramian_TxT


def fresh(
  network: Network,
  optimizer: optax.GradientTransformation,
  weight_T,
  strategy: Strategy = WEIGHTED_SUM,
  averages: bool = False,
) -> state.TrainState:
  """The state at step 0 of seed 3."""

  @compiled.jit_once
  def create():
    return state.create(
      *(network, optimizer, strategy, trained_input(network.model.trunk)),
      *(jnp.uint32(3), jnp.array(weight_T, jnp.float32)),
      averages=averages,
    )

  return create()


def model(**options) -> config.Model:
  """The network with other options of its trunk."""
  trunk = dataclasses.replace(MODEL.trunk, **options)
  return dataclasses.replace(MODEL, trunk=trunk)


def run(data_dir: str, workdir: str | pathlib.Path, **changes) -> str:
  """The run of `RUN_FLAGS`, in this process; returns what it prints."""
  options = {
    'tasks': ('apparel', 'age'),
    'epochs': 3,
    'batch_size': 4,
    'model': SMALL,
  }
  printed = io.StringIO()
  with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
    train.train(
      config.Run(data_dir=data_dir, workdir=str(workdir), **options | changes)
    )
  return printed.getvalue()


def without_progress(said: str) -> list[str]:
  """The lines of stderr but those that only a busy machine prints."""
  return [x for x in said.splitlines() if not re.search(r', elapsed \d+ s', x)]


def results(path: str | pathlib.Path) -> dict[str, Any]:
  """All of a run that no interruption may change."""
  path = pathlib.Path(path)
  lines = (path / 'metrics.jsonl').read_text().splitlines()
  rows = [json.loads(line) for line in lines]
  times = ('seconds', 'examples_per_second')
  variables = trained_model.load(path).variables
  leaves = jax.tree_util.tree_leaves_with_path(variables)
  return {
    'rows': [{k: v for k, v in r.items() if k not in times} for r in rows],
    'evaluation': (path / 'evaluation.json').read_bytes(),
    'variables': {str(key): np.asarray(x).tobytes() for key, x in leaves},
  }
