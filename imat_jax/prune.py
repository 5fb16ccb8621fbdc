"""Makes a smaller or a sparser network of a trained run, as a new run.

  python -m imat_jax.prune --run=runs/color --data_dir=data/built \\
    --workdir=runs/small --sparsity=0.5 --epochs=5
  python -m imat_jax.prune --run=runs/color --data_dir=data/built \\
    --workdir=runs/sparse --sparsity=0.9 --prune_unit=weight

Removes units, which are filters of convolutions and units of dense layers, from
each layer the same share: fewer parameters, a smaller export, a faster network.
Or sets weights to 0, which changes no shape. Then trains what is left, with the
options that the run was trained with; with --epochs=0 not at all.

Killed, the same command resumes; all other commands take the new run. To prune
step by step, train with --sparsity and --prune_unit; this removes the units
that are 0 then.
"""

import dataclasses
import hashlib
from typing import TYPE_CHECKING, Any

from imat_jax import config, errors, options, validators
from imat_jax.runtime import run_folders

if TYPE_CHECKING:
  from imat_jax.training.trained_model import TrainedModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Prune(options.Config):
  """Options of `imat_jax.prune`."""

  run: str = config.place('workdir of a trained run')
  data_dir: str = config.place(
    'folder with a data set that has the labels of the run'
  )
  workdir: str = config.place('folder of the new run; start again to resume')
  sparsity: float = options.option(
    'share of the units of each layer that are removed, or of the weights of '
    'kernels that become 0',
    0.5,
    validators.between(0.001, 0.999),
  )
  prune_by: config.PruneBy = options.option(
    'which go first: the smallest of each layer, or of the whole trunk, those '
    "that change the first batch's loss least (SNIP), or any, as a control",
    'magnitude',
  )
  prune_unit: config.PruneUnit = options.option(
    'unit: filters and units; weight: single weights', 'unit'
  )
  epochs: int = options.option(
    'passes over the train photos afterwards', 5, validators.at_least(0)
  )
  learning_rate: float = options.option(
    'step size of these epochs, at its largest; 0: as of the run',
    0.0,
    validators.at_least(0),
  )

  def __post_init__(self):
    super().__post_init__()
    self.pruning  # noqa: B018  raises where its options do not go together

  @property
  def pruning(self) -> config.Pruning:
    """All at once, at the first step."""
    return config.Pruning(
      sparsity=self.sparsity,
      prune_by=self.prune_by,
      prune_unit=self.prune_unit,
      prune_from=0.0,
      prune_until=0.0,
    )


def main(command: Prune) -> None:
  """Prunes, trains and reports."""
  run_folders.check(command.run)
  run_folders.refuse_foreign(command.workdir)
  # Imported late, so that --help and path errors are fast.
  from imat_jax import train
  from imat_jax.data import source
  from imat_jax.training import trained_model

  trained = trained_model.load(command.run)
  built = source.read_tasks(command.data_dir).select(trained.run.tasks)
  if built != trained.task_set:
    raise errors.UserError(
      f'{command.data_dir}: has other labels than {command.run}; give a data '
      'set with the same ones'
    )
  start = prune(command, trained)
  train.train(start.run, start=start)


def prune(command: Prune, trained: 'TrainedModel') -> 'TrainedModel':
  """The run that begins with the pruned network.

  Raises:
    UserError: its units cannot be removed.
  """
  from imat_jax.models import network
  from imat_jax.runtime import progress
  from imat_jax.training.history import History

  run, variables = _new_run(command, trained), trained.variables
  if command.prune_unit == 'unit' or not command.epochs:
    try:
      run, variables = _pruned(command, run, trained)
    except ValueError as error:
      raise errors.UserError(f'{command.run}: {error}') from error
  before, after = (
    network.num_params(model, trained.task_set)
    for model in (trained.run.model, run.model)
  )
  progress.say(f'{command.run}: {before:,} parameters → {after:,}')
  history = History() if command.epochs else trained.history
  return trained._replace(run=run, variables=variables, history=history)


def _new_run(command: Prune, trained: 'TrainedModel') -> config.Run:
  """The trained run's config, with what is other; the model is the same."""
  run, number = trained.run, len(trained.history.rows)
  by_unit = command.prune_unit == 'unit'
  optimizer = dataclasses.replace(
    run.optimizer,
    learning_rate=command.learning_rate or run.optimizer.learning_rate,
    pruning=config.Pruning() if by_unit else command.pruning,
  )
  how = f'{command.sparsity:g} of the {command.prune_unit}s by '
  how += command.prune_by + ('' if command.epochs else ', and not trained')
  return dataclasses.replace(
    run,
    data_dir=command.data_dir,
    workdir=command.workdir,
    epochs=command.epochs or number,
    optimizer=optimizer,
    pruned_from=f'{_digest(trained)}: {how}',
    cluster=config.Cluster(),
    profile=False,
    tensorboard=False,
    wandb=False,
  )


def _digest(trained: 'TrainedModel') -> str:
  """A digest of a run's parameters."""
  import jax
  import numpy as np

  digest = hashlib.sha256()
  for leaf in jax.tree.leaves(trained.variables):
    digest.update(np.asarray(leaf).tobytes())
  return digest.hexdigest()[:12]


def _pruned(
  command: Prune, run: config.Run, trained: 'TrainedModel'
) -> tuple[config.Run, dict[str, Any]]:
  """The run with its network pruned, and that network's variables.

  By a training step of size 0 on the first batch, which prunes as any does.
  """
  import jax
  import optax

  from imat_jax import train
  from imat_jax.models import units
  from imat_jax.training import compiled, inputs
  from imat_jax.training.ensemble import Ensemble

  still = config.Optimizer(learning_rate=0.0, pruning=command.pruning)
  stepped = dataclasses.replace(run, optimizer=still, cache_on_device=False)
  ensemble = Ensemble((stepped,), trained.task_set)
  with train.prepared(run.batch_size, run.model.trunk.uses_kernels):
    data = inputs.open_inputs(stepped, run.model.trunk, trained.task_set)
    first = compiled.fresh(ensemble, trained.variables)
    state, _ = compiled.train_step(ensemble)(
      first.state, first.metrics, next(data.train(ensemble.seed_R, 0))
    )
    mask = optax.tree_utils.tree_get(state.opt_state, 'mask')
    params, mask = jax.tree.map(
      lambda leaf_R: leaf_R[0], jax.device_get((state.params, mask))
    )
  if command.prune_unit == 'unit':
    model, params = units.shrunk(run.model, params, mask)
    run = dataclasses.replace(run, model=model)
  # Of a frozen trunk the parameters are none of the state's.
  params = trained.variables['params'] | params
  return run, trained.variables | {'params': params}


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, Prune)
