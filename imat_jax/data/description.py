"""What people should know of a data set: its source, licence and labellers.

A TOML file that goes with `--description` into the data set's metadata, from
which pages and model cards show it:

  title = "Fashion Product Images (Small)"
  source = "Kaggle; photos of a shop's catalogue"
  license = "MIT"

  [labels]              # who or what labelled each task
  article = "the shop"
  color = "computed from the pixels of the photo"

All keys may be missing. The metadata are no part of the fingerprint: another
description makes no other data set.
"""

import collections
import pathlib
import tomllib
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from imat_jax import errors, tasks

_KEY = 'description'
_TEXTS = ('title', 'source', 'license')
_LABELS = 'labels'


def read(path: str, names: Collection[str]) -> dict[str, Any]:
  """The part of the metadata that holds the description; empty without one.

  Args:
    path: of the file; may be empty.
    names: of the tasks that the annotations have.

  Raises:
    UserError: the file is missing or not of this form, or names a task that the
      annotations lack.
  """
  if not path:
    return {}
  try:
    content = tomllib.loads(pathlib.Path(path).read_text(encoding='utf-8'))
  except OSError as error:
    raise errors.UserError(f'{path}: {error.strerror}') from None
  except ValueError as error:  # not UTF-8, or not TOML
    raise errors.UserError(f'{path}: {errors.first_line(error)}') from None
  known = (*_TEXTS, _LABELS)
  if unknown := content.keys() - set(known):
    raise errors.UserError(
      f'{path}: unknown key {sorted(unknown)[0]!r}; it may have: '
      f'{", ".join(known)}'
    )
  labels = content.pop(_LABELS, {})
  texts = list(content.items())
  if not isinstance(labels, dict):
    raise errors.UserError(f'{path}: [labels] must be a table, TASK = "text"')
  texts += [(f'labels.{name}', text) for name, text in labels.items()]
  for name, text in texts:
    if not isinstance(text, str) or not text.strip():
      raise errors.UserError(f'{path}: {name} must be a text')
  labels = {tasks.resolve(name, names): text for name, text in labels.items()}
  if unknown := labels.keys() - set(names):
    raise errors.UserError(
      f"{path}: [labels] has no task '{sorted(unknown)[0]}'; available: "
      f'{", ".join(sorted(n for n in names if ":" not in n))}'
    )
  return {_KEY: content | {_LABELS: labels}}


def of(metadata: Mapping[str, Any]) -> dict[str, Any] | None:
  """The description in a data set's metadata."""
  return metadata.get(_KEY)


def notes(metadata: Mapping[str, Any], names: Sequence[str]) -> list[str]:
  """A line on the photos, and one on who labelled which of the tasks."""
  described = of(metadata)
  if described is None:
    return []
  tasks_by_text = collections.defaultdict(list)
  for name in names:
    if text := labelled_by(metadata, name):
      tasks_by_text[text].append(name)
  texts = [f'{", ".join(n)}: {text}' for text, n in tasks_by_text.items()]
  lines = [described[key] for key in ('title',) if key in described]
  return lines + [f'labelled by: {"; ".join(texts)}'] * bool(texts)


def labelled_by(metadata: Mapping[str, Any], task: str) -> str | None:
  """Who labelled a task; None: not stated.

  A group of labels is labelled as its fine task is, `shoe:color` as `color` is.
  """
  labels = (of(metadata) or {_LABELS: {}})[_LABELS]
  task = metadata.get('groups', {}).get(task, {'task': task})['task']
  return labels.get(task) or labels.get(task.rpartition(':')[2])
