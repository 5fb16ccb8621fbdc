"""What a search may vary: options of a run, as ranges or as choices.

  learning_rate=1e-4..1e-2:log; dropout=0..0.6; epochs=5..40; trunk=paper,resnet

Any option that changes a run's result can stand there, also a trunk's or a
strategy's own: it is left out of the trials whose trunk or strategy has no such
option.
"""

import dataclasses
import itertools
import typing
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from imat_jax import config, options

# They say which run it is, not how it is trained.
_FIXED = 'data_dir', 'workdir', 'seed', 'tasks'
# Choices that bring options of their own.
_PARTS = 'trunk', 'strategy'


@dataclasses.dataclass(frozen=True)
class Range:
  """All numbers between two, both included."""

  name: str
  low: float
  high: float
  is_log: bool

  @property
  def ends(self) -> tuple[float, float]:
    return self.low, self.high


@dataclasses.dataclass(frozen=True)
class Choice:
  """Some values."""

  name: str
  values: tuple[Any, ...]

  @property
  def ends(self) -> tuple[Any, ...]:
    return self.values


Dimension = Range | Choice


def parse(text: str, run: config.Run) -> tuple[Dimension, ...]:
  """The space that a text describes, checked against a run's options.

  Args:
    text: as above.
    run: whose options are varied.

  Raises:
    ValueError: names the option and what is wrong with it.
  """
  parts = [part.strip() for part in text.split(';') if part.strip()]
  pairs = [part.partition('=')[::2] for part in parts]
  names = [name.strip() for name, _ in pairs]
  if not names or len(set(names)) < len(names):
    raise ValueError(f'--space={text}: must have some options, each once')
  space = []
  for name, values in zip(names, (values for _, values in pairs), strict=True):
    try:
      space.append(_dimension(name, values.strip(), run, space))
    except ValueError as error:
      raise ValueError(f'--space: {name}={values}: {error}') from error
  return tuple(space)


def changed(run: config.Run, values: Mapping[str, Any]) -> config.Run:
  """The run with other values of some options.

  Raises:
    ValueError: it has no such option, or not with this value.
  """
  # In this order, as a part's own options come with it.
  for name in sorted(values, key=lambda name: name not in _PARTS):
    if not applies(run, name):
      raise ValueError(f'{name}: no such option')
    run = _replaced(run, name, values[name])
  return run


def applies(run: config.Run, name: str) -> bool:
  """Whether the run has the option."""
  return any(_owners(run, name))


def part_values(space: Sequence[Dimension]) -> Iterator[dict[str, str]]:
  """Each combination of the trunks and strategies of a space."""
  parts = [
    [(dimension.name, value) for value in dimension.values]
    for dimension in space
    if isinstance(dimension, Choice) and dimension.name in _PARTS
  ]
  return map(dict, itertools.product(*parts))


def _dimension(
  name: str, text: str, run: config.Run, before: Sequence[Dimension]
) -> Dimension:
  runs = [changed(run, values) for values in part_values(before)]
  runs = [one for one in runs if applies(one, name)]
  if not runs or name in _FIXED:
    raise ValueError('no option of a run that can be searched')
  owner = next(_owners(runs[0], name))
  its_field = {f.name: f for f in dataclasses.fields(owner)}[name]
  dimension = _typed(name, text, its_field)
  for one, end in itertools.product(runs, dimension.ends):
    changed(one, {name: end})  # raises if the run refuses it
  return dimension


def _typed(name: str, text: str, its_field: dataclasses.Field) -> Dimension:
  kind = its_field.type
  if '..' in text and kind in (int, float):
    bounds, _, scale = text.partition(':')
    low, high = map(kind, bounds.split('..'))
    if scale not in ('', 'log') or low >= high or (scale and low <= 0):
      raise ValueError(
        'must be LOW..HIGH or, of positive numbers, LOW..HIGH:log'
      )
    return Range(name, low, high, bool(scale))
  return Choice(
    name, tuple(_value(part, its_field) for part in text.split(','))
  )


def _value(text: str, its_field: dataclasses.Field) -> Any:
  kind, text = its_field.type, text.strip()
  if 'package' in its_field.metadata:
    names = options.part_names(its_field.metadata['package'])
    if text not in names:
      raise ValueError(f'{text!r} is none of {", ".join(names)}')
    return text
  if kind is bool:
    if text not in ('true', 'false'):
      raise ValueError(f'{text!r} is neither true nor false')
    return text == 'true'
  if typing.get_origin(kind) is typing.Literal:
    if text not in typing.get_args(kind):
      raise ValueError(
        f'{text!r} is none of {", ".join(typing.get_args(kind))}'
      )
    return text
  if kind not in (int, float, str):
    raise ValueError('is a list, which cannot be searched')
  return kind(text)


def _owners(value: options.Config, name: str) -> Iterator[options.Config]:
  """The configs, of this one and those within it, that have the option."""
  for f in dataclasses.fields(value):
    current = getattr(value, f.name)
    if not f.metadata.get('changes_result', True):
      continue
    if f.name == name and (
      'package' in f.metadata or not isinstance(current, options.Config)
    ):
      yield value
    elif isinstance(current, options.Config):
      yield from _owners(current, name)


def _replaced(value: Any, name: str, new: Any) -> Any:
  """The config with another value of one option, wherever in it that is."""
  changes = {}
  for f in dataclasses.fields(value):
    current = getattr(value, f.name)
    if f.name == name and 'package' in f.metadata:
      changes[name] = options.part(f.metadata['package'], new)()
    elif f.name == name and not isinstance(current, options.Config):
      changes[name] = new
    elif isinstance(current, options.Config) and applies(current, name):
      changes[f.name] = _replaced(current, name, new)
  return dataclasses.replace(value, **changes)
