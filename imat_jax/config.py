"""Every knob with its default and its check, as frozen dataclasses.

`flags` turns the fields into command-line flags; nothing else holds a default.
A value that fails its check raises `ValueError` with one line that names the
flag. No jax here: loader processes and `--help` import this.
"""

import dataclasses
import math
import os
import typing
from typing import Any, Literal

from imat_jax import validators


def option(
  help: str,
  default: Any = dataclasses.MISSING,
  check: validators.Check | None = None,
  *,
  may_change: bool = False,
  changes_result: bool = True,
):
  """A field with what one has to know of an option.

  Args:
    help: of its flag.
    default: none makes it required.
    check: of its value.
    may_change: between two starts of one run, or of one study.
    changes_result: of a run; a model card shows these.
  """
  metadata = {
    'help': help,
    'check': check,
    'may_change': may_change,
    'changes_result': changes_result,
  }
  return dataclasses.field(default=default, metadata=metadata)


def group(kind: type, **metadata: bool):
  """A field that holds a config of its own; `metadata` as of `option`."""
  return dataclasses.field(default_factory=kind, metadata=metadata)


def arguments(name: str, help: str):
  """A field that holds what stands on the command line beside the flags."""
  metadata = {'help': help, 'check': validators.not_empty, 'arguments': name}
  return dataclasses.field(metadata=metadata)


def is_path(field: dataclasses.Field) -> bool:
  """Whether a field holds a path, or the paths beside the flags."""
  check = field.metadata.get('check')
  return check in validators.PATHS or 'arguments' in field.metadata


def text(value: Any) -> str:
  """A value as it stands on the command line."""
  return ','.join(map(str, value)) if isinstance(value, tuple) else str(value)


# The report's networks, see `models.presets`.
MODELS = ('private_1_4m', 'public_1_4m', 'public_3m', 'public_3m_three_tasks')

# jax folds larger seeds onto smaller ones.
_SEED = validators.between(0, 2**32 - 1)


# Of options that say where and how fast a run is trained, not what comes of it.
_HOW = {'may_change': True, 'changes_result': False}

# What fields were called in the config.json of earlier runs: theirs are read,
# and digests of configs keep the names.
FORMER_NAMES = {'cache_on_device': 'resident'}


def _here(help):
  return option(help, check=validators.folder)


def _file(help, default=dataclasses.MISSING):
  return option(help, default, validators.file)


def _anywhere(help, default=dataclasses.MISSING, **metadata):
  help = f'{help}; or in a bucket: gs://, s3://, az://'
  return option(help, default, validators.place, **metadata)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """Base of all configs: runs each field's check when it is made.

  In paths `~` and `~user` become home folders, as bash leaves them alone in
  `--flag=~/folder`.
  """

  def __post_init__(self):
    for field in dataclasses.fields(self):
      if is_path(field):
        expanded = _expanded(getattr(self, field.name))
        object.__setattr__(self, field.name, expanded)
      check, value = field.metadata.get('check'), getattr(self, field.name)
      complaint = check(value) if check else None
      if complaint:
        raise ValueError(f'--{field.name}={text(value)}: {complaint}')


def _expanded(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
  if isinstance(value, tuple):
    return tuple(map(os.path.expanduser, value))
  return os.path.expanduser(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Download(Config):
  """Knobs of `imat_jax.data.download`."""

  annotations: str = _here('folder with the fgvc4_iMat.*.json files')
  images: str = _here('folder that receives SPLIT/ID.jpg and the manifests')
  splits: tuple[str, ...] = option(
    'splits to fetch: train, validation, test',
    ('train', 'validation'),
    validators.not_empty,
  )
  url_prefix: str = option(
    'OLD=NEW: links that begin with OLD are fetched from NEW',
    '',
    validators.prefix_pair,
  )
  allow_private_hosts: bool = option(
    'links may lead to this machine and its network; the host of --url_prefix '
    'always may be there',
    False,
  )
  concurrency: int = option(
    'links in flight at once', 64, validators.at_least(1)
  )
  per_host: int = option(
    'of these, at most per host', 4, validators.at_least(1)
  )
  per_loopback_host: int = option(
    'the same for this machine; 0 is no cap', 0, validators.at_least(0)
  )
  connect_timeout: float = option(
    'seconds to connect', 10.0, validators.at_least(0.01)
  )
  read_timeout: float = option(
    'seconds without a byte of the reply', 20.0, validators.at_least(0.01)
  )
  total_timeout: float = option(
    'seconds for one try of a link, from the first to the last byte',
    120.0,
    validators.at_least(0.01),
  )
  retries: int = option(
    'further tries of a link that fails for a passing reason',
    3,
    validators.at_least(0),
  )
  backoff: float = option(
    'seconds before the first retry, half as many to half as many again at '
    'random; doubles with each retry',
    0.5,
    validators.at_least(0),
  )
  max_wait: float = option(
    'longest wait in seconds before a retry, whatever Retry-After says',
    30.0,
    validators.at_least(0),
  )
  max_bytes: int = option(
    'largest body that is kept', 25_000_000, validators.at_least(1)
  )
  min_side: int = option(
    'smallest width and height in pixels', 8, validators.at_least(1)
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(Config):
  """Knobs of `imat_jax.data.own`."""

  source: str = _here(
    'a table (CSV, .xlsx, .jsonl, .parquet, COCO, …), or a folder of folders '
    'with photos'
  )
  annotations: str = _here('folder that receives the fgvc4_iMat.*.json files')
  images: str = _here('folder that receives SPLIT/ID.jpg')
  task: str = option(
    'what folders, one-hot columns or categories are labels of',
    'kind',
    validators.task_name,
  )
  photo_column: str = option(
    'column with the file or link of each photo, where its name is another',
    '',
  )
  photo_folder: str = option(
    'folder that the files of the table are relative to; empty for that of the '
    'table',
    '',
    validators.folder,
  )
  split_column: str = option(
    'column with the splits, where its name is another', ''
  )
  group_column: str = option(
    'column that photos of one product have in common, where its name is none '
    'of sku, product_id and the like; a drawn split keeps them together',
    '',
  )
  keep_columns: tuple[str, ...] = option(
    'columns that are tasks, though they look as if they could not be learned',
    (),
  )
  drop_columns: tuple[str, ...] = option('columns that are no tasks', ())
  keep_label: tuple[str, ...] = option(
    'labels that look like missing ones, such as NA, none or -', ()
  )
  exact_labels: bool = option(
    'labels that differ in case or blanks are different ones', False
  )
  skip_bad_rows: bool = option(
    'leave out rows with more or fewer cells than columns', False
  )
  encoding: str = option(
    'of the table, such as cp1251; empty to try UTF-8, UTF-16 where it is '
    'marked, and Windows-1252',
    '',
  )
  validation_share: float = option(
    'share of the photos that is for validation, where no column says it',
    0.2,
    validators.between(0.01, 0.99),
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build(Config):
  """Knobs of `imat_jax.data.build`."""

  annotations: str = _here('folder with the fgvc4_iMat.*.json files')
  images: str = _here('folder with SPLIT/ID.jpg, as the download leaves it')
  data_dir: str = _anywhere('folder that receives the data set')
  image_size: int = option(
    'training size in pixels; stored photos have a quarter more for the warp',
    128,
    validators.between(8, 4096),
  )
  min_label_share: float = option(
    "labels on a smaller share of a task's labelled train photos become "
    "'other'; where they are together on over 36%, the task is kept whole",
    0.01,
    validators.between(0, 1),
  )
  require_any_of: tuple[str, ...] = option(
    'keep only photos with a label for one of these tasks, such as '
    'color,material,gender,age (the selection of the 2022 report)',
    (),
  )
  drop_duplicates: bool = option(
    'leave out validation photos of which a near-duplicate stands in train',
    False,
  )
  overwrite: bool = option('replace a different data set in data_dir', False)
  beam: str = option(
    'options of an Apache Beam pipeline that decodes the photos, such as '
    "'--runner=FlinkRunner --temp_location=gs://bucket/temp'; without them "
    'this machine does',
    '',
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Doctor(Config):
  """Knobs of `imat_jax.doctor`."""

  data_dir: str = _anywhere('a data set to open', '')
  workdir: str = _anywhere('a folder to write to', '')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Augmentation(Config):
  """The random warp of a train photo; the defaults are the report's."""

  rotation: float = option(
    'degrees, uniform in ±this', 45.0, validators.between(0, 180)
  )
  shift: float = option(
    'share of width and height, uniform in ±this',
    0.25,
    validators.between(0, 1),
  )
  zoom: float = option(
    'per axis, uniform in 1 ± this', 0.2, validators.between(0, 0.9)
  )
  flip: float = option(
    'probability of a mirror image', 0.5, validators.between(0, 1)
  )
  fill: Literal['nearest', 'constant', 'reflect'] = option(
    'what stands outside of the photo', 'nearest'
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Loader(Config):
  """How batches are made; changes no number, only the speed."""

  loader_threads: int = option('reading threads', 4, validators.at_least(1))
  loader_processes: int = option(
    'worker processes; 0 loads in this one', 0, validators.at_least(0)
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Model(Config):
  """The network: a convolutional trunk, shared dense layers, a head per task.

  `models.presets` has the report's; the defaults are public 3M.
  """

  geometry: Literal['report', 'original'] = option(
    'report: 128x128, three poolings of stride 2; original: 256x256, two '
    'poolings of stride 4',
    'report',
  )
  filters: tuple[int, ...] = option(
    'filters of the three convolutions', (8, 16, 32), validators.three_counts
  )
  dropout: float = option(
    'rate after the trunk', 0.5, validators.between(0, 0.99)
  )
  shared_widths: tuple[int, ...] = option(
    'widths of the dense layers that all tasks share',
    (384, 384),
    validators.at_least(1),
  )
  shared_activation: Literal['relu', 'tanh'] = option(
    'activation of the shared layers', 'relu'
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


@dataclasses.dataclass(frozen=True, kw_only=True)
class Optimizer(Config):
  """Adam, with the report's constants."""

  learning_rate: float = option(
    'step size of Adam', 1e-3, validators.at_least(0)
  )
  adam_b1: float = option(
    'decay of the mean', 0.9, validators.between(0, 0.999999)
  )
  adam_b2: float = option(
    'decay of the square', 0.999, validators.between(0, 0.999999)
  )
  # Not 0: a number without a gradient, as padding is, would become 0 / 0.
  adam_epsilon: float = option(
    'added to the root', 1e-7, validators.at_least(1e-12)
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Stopping(Config):
  """Early stopping on the total validation loss."""

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

  data_dir: str = _anywhere('folder with the built data set', **_HOW)
  workdir: str = _anywhere(
    'folder of the results; start again to resume', **_HOW
  )
  task_weight_decay: float = option(
    'weight of a task over that of the task before',
    0.95,
    validators.between(0, 1),
  )
  epochs: int = option(
    'passes over the train photos', 20, validators.at_least(1)
  )
  batch_size: int = option('photos per step', 128, validators.at_least(1))
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
  augmentation: Augmentation = group(Augmentation)
  optimizer: Optimizer = group(Optimizer)
  stopping: Stopping = group(Stopping)
  saving: Saving = group(Saving, **_HOW)
  loader: Loader = group(Loader, **_HOW)
  cluster: Cluster = group(Cluster, **_HOW)


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
  seed: int = option('seed of everything random', 0, _SEED)
  profile: bool = option(
    'trace ten steps into WORKDIR/profile for TensorBoard and Perfetto',
    False,
    **_HOW,
  )
  tensorboard: bool = option(
    'write event files for TensorBoard into WORKDIR/tensorboard: scores, the '
    'first batch, confusion matrices',
    False,
    **_HOW,
  )
  wandb: bool = option(
    'log the same to Weights & Biases; with WANDB_MODE=offline into '
    'WORKDIR/wandb',
    False,
    **_HOW,
  )
  model: Model = group(Model)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study(Training):
  """The grid models × task sets × seeds: the config of `experiments.study`."""

  models: tuple[str, ...] = option(
    f'some of {", ".join(MODELS)}',
    ('private_1_4m', 'public_1_4m', 'public_3m'),
    validators.some_of(MODELS),
    may_change=True,
  )
  task_sets: str = option(
    "such as 'apparel;apparel,color;apparel,age': all begin with the task that "
    'is compared, and the others are compared with the set of that task alone; '
    "empty for the report's",
    '',
    validators.task_sets,
    may_change=True,
  )
  seeds: int = option(
    'how many: 0, 1, …', 8, validators.at_least(1), may_change=True
  )
  geometry: Literal['report', 'original'] = option(
    'of all networks; report: 128x128, original: 256x256', 'report'
  )
  runs_at_once: int = option(
    'runs in one program, which needs --cache_on_device; 0: on a CPU one, '
    'elsewhere as many as the memory holds',
    0,
    validators.at_least(0),
    **_HOW,
  )
  dry_run: bool = option(
    'only print the grid, its parameters, and the time and memory it needs',
    False,
    **_HOW,
  )

  def __post_init__(self):
    super().__post_init__()
    if self.runs_at_once > 1 and not self.cache_on_device:
      raise ValueError(
        f'--runs_at_once={self.runs_at_once}: needs the photos on the device '
        '(--cache_on_device)'
      )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Evaluate(Config):
  """Knobs of `imat_jax.evaluate`."""

  run: str = _anywhere('workdir of a trained run')
  data_dir: str = _anywhere('folder with a built data set, any one')
  split: str = option('split to score', 'validation')
  temperature_from: str = option(
    'split on which a temperature per task is fitted; where it is the scored '
    'one, half of its photos at random are for that and the others are scored',
    '',
  )
  reliability: str = option(
    'FILE.png that receives the reliability diagrams', '', validators.png
  )
  batch_size: int = option('photos per step', 128, validators.at_least(1))
  loader: Loader = dataclasses.field(default_factory=Loader)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Predict(Config):
  """Knobs of `imat_jax.predict`."""

  paths: tuple[str, ...] = arguments(
    'PATH…',
    'photos, folders of photos (with all below them), or - for a list of both '
    'on standard input',
  )
  run: str = _anywhere('workdir of a trained run')
  format: Literal['auto', 'table', 'csv', 'json'] = option(
    'how the labels are listed: json has a line per photo and task; auto: '
    'table on a terminal, else csv',
    'auto',
  )
  top: int = option('how many labels of each task', 3, validators.at_least(1))
  save_grid: str = option(
    'FILE.png that receives the first 64 photos with their labels',
    '',
    validators.png,
  )
  batch_size: int = option('photos per step', 64, validators.at_least(1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Demo(Config):
  """Knobs of `imat_jax.demo`."""

  run: str = _anywhere('workdir of a trained run')
  host: str = option('address to serve at; 0.0.0.0 for all', '127.0.0.1')
  port: int = option('port to serve at', 7860, validators.between(1, 65535))
  max_bytes: int = option(
    'largest photo that is taken', 25_000_000, validators.at_least(1)
  )
  min_side: int = option(
    'smallest width and height in pixels', 8, validators.at_least(1)
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Submit(Config):
  """Knobs of `imat_jax.submit`."""

  run: str = _anywhere('workdir of a trained run, best of all tasks')
  annotations: str = _here('folder with the fgvc4_iMat.*.json files')
  images: str = _here('folder with test/ID.jpg, as the download leaves it')
  output: str = _file('FILE.csv that receives the submission')
  batch_size: int = option('photos per step', 64, validators.at_least(1))


@dataclasses.dataclass(frozen=True, kw_only=True)
class Export(Config):
  """Knobs of `imat_jax.export`."""

  run: str = _anywhere('workdir of a trained run')
  format: Literal['stablehlo', 'onnx'] = option(
    'stablehlo: for jax; onnx: for onnxruntime and others', 'stablehlo'
  )
  output: str = _file(
    'file to write; without it RUN/model.stablehlo or RUN/model.onnx', ''
  )


def may_change(kind: type) -> set[str]:
  """Fields of a config that may change between two starts."""
  fields = dataclasses.fields(kind)
  return {field.name for field in fields if field.metadata.get('may_change')}


def from_json(kind: type, value: Any) -> Any:
  """The config that `dataclasses.asdict` and JSON made `value` of.

  Raises:
    ValueError: an unknown or missing field, a wrong type, or a failed check.
  """
  fields = {field.name: field for field in dataclasses.fields(kind)}
  if isinstance(value, dict):
    now = {former: name for name, former in FORMER_NAMES.items()}
    value = {now.get(name, name): v for name, v in value.items()}
  if not isinstance(value, dict) or value.keys() != fields.keys():
    raise ValueError(f'the fields are not those of {kind.__name__}')
  return kind(**{n: _field_from_json(fields[n], v) for n, v in value.items()})


def _field_from_json(field: dataclasses.Field, value: Any) -> Any:
  if dataclasses.is_dataclass(field.type):
    return from_json(field.type, value)
  origin, parts = typing.get_origin(field.type), typing.get_args(field.type)
  if origin is tuple and isinstance(value, list):
    matches, value = all(type(v) is parts[0] for v in value), tuple(value)
  elif origin is Literal:
    matches = value in parts
  else:
    matches = type(value) is field.type
  if not matches:
    raise ValueError(f'{field.name}={value!r} is not of the right kind')
  return value
