"""The recipe of a run: each option with its default.

The options of other commands are in their own modules. No jax here.
"""

import dataclasses
import math
from typing import Literal

from imat_jax import tasks, validators
from imat_jax.options import (
  Config,
  Part,
  group,
  one_of,
  option,
)
from imat_jax.recipe import Augmentation, Loss, Optimizer, Recipe
from imat_jax.recipe import PruneBy as PruneBy  # with the others, for users
from imat_jax.recipe import PruneUnit as PruneUnit
from imat_jax.recipe import Pruning as Pruning

# jax folds larger seeds onto smaller ones.
SEED = validators.between(0, 2**32 - 1)


# Of options that say where and how fast a run is trained, not what comes of it.
HOW = {'may_change': True, 'changes_result': False}


def folder(help, default=dataclasses.MISSING):
  """An option that is a folder of this machine."""
  return option(help, default, validators.folder, is_path=True)


def file(help, default=dataclasses.MISSING, check=validators.file):
  """An option that is a file of this machine."""
  return option(help, default, check, is_path=True)


def place(help, default=dataclasses.MISSING, **metadata):
  """An option that is a folder, here or in a bucket."""
  help = f'{help}; or in a bucket: gs://, s3://, az://'
  return option(help, default, validators.place, is_path=True, **metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loader(Config):
  """How batches are made; changes no number, only the speed."""

  loader_threads: int = option('reading threads', 4, validators.at_least(1))
  loader_processes: int = option(
    'worker processes; 0 loads in this one', 0, validators.at_least(0)
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model(Config):
  """The network: a trunk that all tasks share, and a head per task.

  `models.presets` has the paper's; the defaults are public 3M.
  """

  trunk: Part = one_of(
    'imat_jax.models.trunks',
    'paper',
    'from photos to features; its options appear with --trunk=NAME --help',
    before='paper',
  )
  normalize_features: bool = option(
    "each photo's features are brought to mean 0 and deviation 1", False
  )
  head_widths: tuple[int, ...] = option(
    "widths of a head's hidden layers", (128,), validators.at_least(1)
  )
  head_activation: Literal['relu', 'tanh'] = option(
    "activation of a head's hidden layers", 'tanh'
  )
  head_widths_per_label: bool = option(
    "head_widths are multiplied by the task's number of labels", False
  )
  average_mirrored: bool = option(
    'outside of training a photo has the mean logits of itself and its mirror '
    'image',
    False,
  )
  precision: Literal['float32', 'bfloat16'] = option(
    "of the trunk's operations in training; parameters, heads and evaluation "
    'stay float32. bfloat16 is for GPUs and TPUs',
    'float32',
  )

  def __post_init__(self):
    super().__post_init__()
    if self.average_mirrored and self.trunk.is_frozen:
      raise ValueError(
        '--average_mirrored: not with a frozen trunk, which has --mirrored'
      )
    if self.precision != 'float32' and self.trunk.is_frozen:
      raise ValueError(
        f'--precision={self.precision}: a frozen trunk has no operations in '
        'training'
      )

  def check_units(self) -> None:
    """Raises `ValueError` if its units cannot be removed."""
    layers, problem = self.trunk.unit_layers, ''
    if not layers:
      problem = f'--trunk={self.trunk.kind} has none that can be removed'
    elif self.head_widths_per_label:
      problem = 'not with --head_widths_per_label'
    elif self.normalize_features and not layers[-1].reader:
      problem = (
        'not with --normalize_features, which would change for all of them'
      )
    if problem:
      raise ValueError(f'--prune_unit=unit: {problem}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stopping(Config):
  """Which epoch is kept, and early stopping: by the validation loss."""

  min_delta: float = option(
    'a smaller fall of the validation loss is no change',
    0.001,
    validators.at_least(0),
  )
  patience: int = option(
    'epochs without a change before the run stops; 0 takes the rule '
    'int(max(6, 1 + sqrt(epochs)))',
    0,
    validators.at_least(0),
  )
  select_by: Literal['total', 'main'] = option(
    'whose validation loss decides: that of all tasks (total), or of the first '
    'one (main), which compares task sets on equal terms',
    'total',
  )

  def epochs_to_wait(self, epochs: int) -> int:
    """The report's rule, unless `patience` is given."""
    return self.patience or int(max(6, 1 + math.sqrt(epochs)))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Saving(Config):
  """When a run saves a checkpoint, besides at its start and its end."""

  save_seconds: float = option(
    'seconds between checkpoints; 0 for none by time',
    60.0,
    validators.at_least(0),
  )
  save_steps: int = option(
    'steps between checkpoints; 0 for none by steps', 0, validators.at_least(0)
  )
  save_epochs: bool = option('a checkpoint at the end of each epoch', True)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Cluster(Config):
  """The processes of a job; on TPU and Slurm they find each other."""

  coordinator: str = option(
    'HOST:PORT at which the first of several processes waits for the others',
    '',
    validators.host_and_port,
  )
  num_processes: int = option('processes of the job', 1, validators.at_least(1))
  process_id: int = option(
    'which of them this is: 0, 1, …', 0, validators.at_least(0)
  )
  heartbeat_seconds: int = option(
    'after so many without a sign of life a process counts as dead, and the '
    'others end',
    60,
    validators.at_least(5),
  )

  def __post_init__(self):
    super().__post_init__()
    if self.process_id >= self.num_processes:
      raise ValueError(
        f'--process_id={self.process_id}: must be less than --num_processes='
        f'{self.num_processes}'
      )
    if (self.num_processes > 1) != bool(self.coordinator):
      raise ValueError(
        '--coordinator and --num_processes belong together: several processes '
        'meet at HOST:PORT'
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Training(Config):
  """How to train, whatever the network, the tasks and the seed."""

  data_dir: str = place('folder with the built data set', **HOW)
  workdir: str = place('folder of the results; start again to resume', **HOW)
  task_weight_decay: float = option(
    'weight of a task over that of the task before',
    0.95,
    validators.between(0, 1),
  )
  epochs: int = option(
    'passes over the train photos', 20, validators.at_least(1)
  )
  batch_size: int = option('photos per step', 128, validators.at_least(1))
  balanced_task: str = option(
    'of this task all labels are seen equally often: an epoch has the photos '
    'of rare ones several times, and not all of the others; empty: each photo '
    'once',
    '',
  )
  eval_augmented: bool = option(
    'augment the validation photos too, as the report did', False
  )
  cache_on_device: bool = option(
    'decode all photos at the start, keep them on the device and warp them in '
    'the step; on a CPU they stay in memory',
    False,
  )
  affinity_steps: int = option(
    "compare the tasks' gradients on the trunk every so many steps; 0 for "
    'never',
    0,
    validators.at_least(0),
    may_change=True,
  )
  strategy: Part = one_of(
    'imat_jax.strategies',
    'weighted_sum',
    "how the tasks' losses become one update; its options appear with "
    '--strategy=NAME --help',
    before='weighted_sum',
  )
  augmentation: Augmentation = group(Augmentation)
  optimizer: Optimizer = group(Optimizer)
  loss: Loss = group(Loss)
  stopping: Stopping = group(Stopping)
  saving: Saving = group(Saving, **HOW)
  loader: Loader = group(Loader, **HOW)
  cluster: Cluster = group(Cluster, **HOW)

  @property
  def recipe(self) -> Recipe:
    """What is compiled into the step."""
    return Recipe(self.strategy, self.optimizer, self.augmentation, self.loss)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Run(Training):
  """One training run: the config of `experiments.*`."""

  epochs: int = option(
    'passes over the train photos; more of them resume a run that is done',
    20,
    validators.at_least(1),
    may_change=True,
  )
  tasks: tuple[str, ...] = option(
    'tasks, the first with weight 1, the next with 0.95, 0.95^2, …',
    ('apparel',),
    validators.not_empty,
  )
  seed: int = option('seed of everything random', 0, SEED)
  train_photos: int = option(
    'train on so many photos only, drawn by the seed; 0: on all',
    0,
    validators.at_least(0),
  )
  label_share: tuple[str, ...] = option(
    'keep only a share of the train labels of a task, drawn by the seed: such '
    'as color=0.1,age=0.5. Those of a smaller share are among those of a '
    'larger one',
    (),
    validators.shares,
  )
  suggest_tasks: int = option(
    'every so many steps, look ahead: what would each other task do to the '
    "first one's validation loss? The page proposes a task set; 0 for never",
    0,
    validators.at_least(0),
    may_change=True,
  )
  pruned_from: str = option(
    'imat_jax.prune sets it: a digest of the parameters of the run that it has '
    'pruned, and how',
    '',
  )
  profile: bool = option(
    'trace ten steps into WORKDIR/profile for TensorBoard and Perfetto',
    False,
    **HOW,
  )
  tensorboard: bool = option(
    'write event files for TensorBoard into WORKDIR/tensorboard: scores, the '
    'first batch, confusion matrices',
    False,
    **HOW,
  )
  wandb: bool = option(
    'log the same to Weights & Biases; with WANDB_MODE=offline into '
    'WORKDIR/wandb',
    False,
    **HOW,
  )
  model: Model = group(Model)

  def __post_init__(self):
    super().__post_init__()
    spellings = [*map(tasks.spelling, self.tasks)]
    if tasks.spelling(self.balanced_task) not in ('', *spellings):
      raise ValueError(
        f'--balanced_task={self.balanced_task}: none of --tasks='
        f'{",".join(self.tasks)}'
      )
    for name in self.label_shares:
      if tasks.spelling(name) not in spellings:
        raise ValueError(
          f'--label_share={",".join(self.label_share)}: {name} is none of '
          f'--tasks={",".join(self.tasks)}'
        )
    pruning = self.optimizer.pruning
    if pruning.sparsity and pruning.prune_unit == 'unit':
      self.model.check_units()
    if self.suggest_tasks and self.optimizer.accumulation > 1:
      raise ValueError(
        f'--suggest_tasks={self.suggest_tasks}: not with --accumulation='
        f'{self.optimizer.accumulation}, as most steps then change nothing'
      )
    if self.strategy.gradients_at == 'trunk' and self.model.trunk.is_frozen:
      raise ValueError(
        '--gradients_at=trunk: no parameter of a frozen trunk is trained, so '
        'there are no gradients; take features'
      )
    if self.augmentation.cutmix and self.model.trunk.is_frozen:
      raise ValueError(
        f'--cutmix={self.augmentation.cutmix}: a frozen trunk has no photos in '
        'its steps'
      )

  @property
  def label_shares(self) -> dict[str, float]:
    """Task → the share of its train labels that is kept."""
    pairs = (text.partition('=') for text in self.label_share)
    return {name: float(share) for name, _, share in pairs}
