"""What an option is: a field of a frozen dataclass, with a check and a help.

`flags` turns the fields into command-line flags; nothing else holds a default.
A value that fails its check raises `ValueError` with one line that names the
flag. No jax here: loader processes and `--help` import this.
"""

import dataclasses
import importlib
import os
import pkgutil
import typing
from collections.abc import Callable
from typing import Any, Literal

Check = Callable[[Any], str | None]  # the problem with a value, or None

# Fields of the first version, by the names that they had then. Digests of runs
# hold all of these, and of later fields those that are not the default: so a
# new field changes no digest of a run from before it.
# fmt: off
FIRST_FIELDS = frozenset((
  'data_dir', 'workdir', 'task_weight_decay', 'epochs', 'batch_size',
  'eval_augmented', 'resident', 'affinity_steps', 'augmentation',
  'optimizer', 'stopping', 'saving', 'loader', 'cluster', 'tasks', 'seed',
  'profile', 'tensorboard', 'wandb', 'model', 'models', 'task_sets',
  'seeds', 'geometry', 'runs_at_once', 'dry_run', 'rotation', 'shift',
  'zoom', 'flip', 'fill', 'learning_rate', 'adam_b1', 'adam_b2',
  'adam_epsilon', 'min_delta', 'patience', 'save_seconds', 'save_steps',
  'save_epochs', 'loader_threads', 'loader_processes', 'coordinator',
  'num_processes', 'process_id', 'heartbeat_seconds', 'filters', 'dropout',
  'shared_widths', 'shared_activation', 'head_widths', 'head_activation',
  'head_widths_per_label',
))
# fmt: on
FORMER_NAMES = {'cache_on_device': 'resident'}


def option(
  help: str,
  default: Any = dataclasses.MISSING,
  check: Check | None = None,
  *,
  is_path: bool = False,
  may_change: bool = False,
  changes_result: bool = True,
):
  """A field with what one has to know of an option.

  Args:
    help: of its flag.
    default: none makes it required.
    check: of its value.
    is_path: in which `~` is expanded.
    may_change: between two starts of one run, or of one study.
    changes_result: of a run; a model card shows these.
  """
  metadata = {
    'help': help,
    'check': check,
    'is_path': is_path,
    'may_change': may_change,
    'changes_result': changes_result,
  }
  return dataclasses.field(default=default, metadata=metadata)


def group(kind: type, **metadata: bool):
  """A field that holds a config of its own; `metadata` as of `option`."""
  return dataclasses.field(default_factory=kind, metadata=metadata)


def one_of(package: str, default: str, help: str, before: str):
  """A field that holds a `Part`, by the name of its file in a package.

  The file is imported when the part is made: trunks need jax.

  Args:
    package: whose files are the parts.
    default: the name of one.
    help: of its flag.
    before: the part of runs whose config.json has none, as they are older.
  """
  metadata = {'package': package, 'help': help, 'before': before}
  return dataclasses.field(
    default_factory=lambda: part(package, default)(), metadata=metadata
  )


def part_names(package: str) -> tuple[str, ...]:
  """The parts that a package offers: its files, but those like `_blocks.py`."""
  modules = pkgutil.iter_modules(importlib.import_module(package).__path__)
  names = (module.name for module in modules)
  return tuple(sorted(name for name in names if not name.startswith('_')))


def part(package: str, name: str) -> type['Part']:
  """The class of a part: the only one in its file."""
  try:
    module = importlib.import_module(f'{package}.{name}')
  except ValueError as error:  # else it would be taken for that of a flag
    raise ImportError(f'{package}.{name}: {error}') from error
  kinds = [
    value
    for value in vars(module).values()
    if isinstance(value, type)
    and issubclass(value, Part)
    and value.__module__ == module.__name__
  ]
  if len(kinds) != 1:
    raise TypeError(
      f'{module.__file__}: must define exactly one {Part.__name__}, such as a '
      f'Trunk or a Strategy, and defines {len(kinds)}; helpers go into a file '
      'whose name begins with _'
    )
  (kind,) = kinds
  if any(isinstance(value, dataclasses.Field) for value in vars(kind).values()):
    raise TypeError(
      f'{module.__file__}: {kind.__name__} has options, so it needs '
      '@dataclasses.dataclass(frozen=True, kw_only=True)'
    )
  return kind


def part_from_text(package: str, text: str) -> 'Part':
  """A part with some of its options: `NAME` or `NAME:option=value:…`.

  Raises:
    ValueError: no such part or option, or a value that it does not take.
  """
  name, *settings = text.split(':')
  if name not in part_names(package):
    raise ValueError(f'{name!r} is none of {", ".join(part_names(package))}')
  kind, values = part(package, name), {}
  types = {field.name: field.type for field in dataclasses.fields(kind)}
  for setting in settings:
    option_name, _, value = setting.partition('=')
    if option_name not in types:
      raise ValueError(
        f'{name} has no option {option_name!r}; it has: {", ".join(types)}'
      )
    values[option_name] = _from_text(option_name, types[option_name], value)
  return kind(**values)


def _from_text(name: str, kind: Any, text: str) -> Any:
  if typing.get_origin(kind) is not Literal:
    return kind(text)
  choices = typing.get_args(kind)
  if text not in choices:
    raise ValueError(f'{name}={text} is none of {", ".join(choices)}')
  return text


def arguments(name: str, help: str, check: Check):
  """A field that holds what stands on the command line beside the flags."""
  metadata = {'help': help, 'check': check, 'is_path': True, 'arguments': name}
  return dataclasses.field(metadata=metadata)


def text(value: Any) -> str:
  """A value as it stands on the command line."""
  return ','.join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config:
  """Base of all configs: runs each field's check when it is made.

  In paths `~` and `~user` become home folders, as bash leaves them alone in
  `--flag=~/folder`.
  """

  def __post_init__(self):
    for field in dataclasses.fields(self):
      if field.metadata.get('is_path'):
        expanded = _expanded(getattr(self, field.name))
        object.__setattr__(self, field.name, expanded)
      check, value = field.metadata.get('check'), getattr(self, field.name)
      complaint = check(value) if check else None
      if complaint:
        raise ValueError(f'--{field.name}={text(value)}: {complaint}')


@dataclasses.dataclass(frozen=True, kw_only=True)
class Part(Config):
  """Base of the configs that are a choice: trunks, multi-task methods.

  Each has a file of its own in its package, after which it is called.
  """

  @property
  def kind(self) -> str:
    return type(self).__module__.rpartition('.')[2]


def _expanded(value: str | tuple[str, ...]) -> str | tuple[str, ...]:
  if isinstance(value, tuple):
    return tuple(map(os.path.expanduser, value))
  return os.path.expanduser(value)


def may_change(kind: type) -> set[str]:
  """Fields of a config that may change between two starts."""
  fields = dataclasses.fields(kind)
  return {field.name for field in fields if field.metadata.get('may_change')}


def to_json(value: Any) -> Any:
  """What `config.json` holds of a config; a part has its `kind` in it."""
  if isinstance(value, Config):
    named = {'kind': value.kind} if isinstance(value, Part) else {}
    return named | {n: to_json(v) for n, v in vars(value).items()}
  return list(value) if isinstance(value, tuple) else value


def from_json(kind: type, value: Any) -> Any:
  """The config that `to_json` made `value` of, today or in an earlier version.

  A field that is later than the first version may be missing: it has its
  default.

  Raises:
    ValueError: an unknown or missing field, a wrong type, or a failed check.
  """
  fields = {field.name: field for field in dataclasses.fields(kind)}
  if not isinstance(value, dict):
    raise ValueError(f'{kind.__name__}: no object')
  value = _migrated(kind, value)
  unknown = value.keys() - fields.keys()
  missing = {
    name
    for name, field in fields.items()
    if name not in value
    and (former_name(name) in FIRST_FIELDS or _is_required(field))
  }
  problems = sorted(unknown | missing)
  if problems:
    raise ValueError(
      f'the fields are not those of {kind.__name__}: {", ".join(problems)}'
    )
  return kind(**{n: _field_from_json(fields[n], v) for n, v in value.items()})


def fixed(value: Config) -> dict[str, Any]:
  """All that must not change between two starts, flat: what digests hold."""
  flat = {}
  for field in dataclasses.fields(value):
    current, name = getattr(value, field.name), former_name(field.name)
    if field.metadata.get('may_change'):
      continue
    if isinstance(current, Part):
      if current.kind != field.metadata['before']:
        flat[name] = current.kind
      flat |= fixed(current)
    elif isinstance(current, Config):
      flat |= fixed(current)
    elif name in FIRST_FIELDS or current != field.default:
      flat[name] = list(current) if isinstance(current, tuple) else current
  return flat


def _is_required(field: dataclasses.Field) -> bool:
  """Whether a field has no default."""
  defaults = field.default, field.default_factory
  return defaults == (dataclasses.MISSING, dataclasses.MISSING)


def former_name(name: str) -> str:
  """What a field was called in the first version."""
  return FORMER_NAMES.get(name, name)


def _migrated(kind: type, value: dict[str, Any]) -> dict[str, Any]:
  """The fields of an earlier version under today's names."""
  now = {former: name for name, former in FORMER_NAMES.items()}
  value = {now.get(name, name): v for name, v in value.items()}
  for field in dataclasses.fields(kind):
    if 'package' in field.metadata and field.name not in value:
      # The fields of the part were the config's own.
      before = field.metadata['before']
      own = dataclasses.fields(part(field.metadata['package'], before))
      moved = {f.name: value.pop(f.name) for f in own if f.name in value}
      value[field.name] = {'kind': before, **moved}
  return value


def _field_from_json(field: dataclasses.Field, value: Any) -> Any:
  if 'package' in field.metadata:
    names = part_names(field.metadata['package'])
    if not isinstance(value, dict) or value.get('kind') not in names:
      raise ValueError(f'{field.name}={value!r} is none of {", ".join(names)}')
    kind = part(field.metadata['package'], value['kind'])
    return from_json(kind, {n: v for n, v in value.items() if n != 'kind'})
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
