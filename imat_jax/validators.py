"""What a value may be: each check says nothing, or what is wrong with it."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from imat_jax import tasks

Check = Callable[[Any], str | None]


def at_least(bound: float) -> Check:
  """The check `value >= bound`, for a number or each number of a tuple."""

  def check(value):
    values = value if isinstance(value, tuple) else (value,)
    if not all(bound <= v < math.inf for v in values):
      return f'must be at least {bound}'

  return check


def between(low: float, high: float) -> Check:
  """The check `low <= value <= high`."""

  def check(value):
    if not low <= value <= high:
      return f'must be between {low} and {high}'

  return check


def three_counts(value):
  """Three numbers, each at least 1."""
  if len(value) != 3:
    return 'must be three numbers'
  return at_least(1)(value)


def not_empty(value):
  """A tuple of texts, none empty; or a text."""
  if not value or not all(value):
    return 'must not be empty'


def task_name(value):
  """A name that a task of its own may have."""
  taken = (tasks.APPAREL, 'photo', 'split')
  if not value.strip() or ':' in value or value.strip() in taken:
    return f'must not be empty, have a colon, or be one of {", ".join(taken)}'


def some_of(names: Sequence[str]) -> Check:
  """The check that a tuple has some of the names, each once."""

  def check(value):
    unknown = [name for name in value if name not in names]
    if not value or unknown or len(set(value)) < len(value):
      return f'must be some of {", ".join(names)}, each once'

  return check


def task_sets(value):
  """Task sets as `experiments.study` takes them."""
  sets = [one.split(',') for one in value.split(';')] if value else []
  sets = [[tasks.spelling(n) for n in one] for one in sets]
  if not all(name for one in sets for name in one):
    return "must look like 'apparel;apparel,color'"
  if len({one[0] for one in sets}) > 1:
    return 'all task sets must begin with the task that is compared'


def host_and_port(value):
  """HOST:PORT, or nothing."""
  host, _, port = value.rpartition(':')
  if value and not (host and port.isascii() and port.isdigit()):
    return 'must look like HOST:PORT'


# A folder in a bucket, with no name that leads elsewhere.
_URL = re.compile(r'(gs|s3|az)://[^/]+(/(?!\.{1,2}(/|$))[^/]+)*/?')


def place(value):
  """A folder, here or in a bucket."""
  if re.match(r'\w+:/', value) and not _URL.fullmatch(value):
    return 'must be a folder, or gs://, s3:// or az://BUCKET/FOLDER'
  return _path(value)


def folder(value):
  """A folder of this machine."""
  if re.match(r'\w+:/', value):
    return (
      'must be a folder of this machine; in a bucket are only --data_dir, '
      '--workdir and --run'
    )
  return _path(value)


def file(value):
  """A file of this machine."""
  if re.match(r'\w+:/', value):
    return 'must be a file of this machine'
  return _path(value)


def png(value):
  """A picture of this machine, or nothing."""
  if value and not value.lower().endswith('.png'):
    return 'must end in .png'
  return file(value)


# The checks of paths, in which a `~` is expanded before.
PATHS = (place, folder, file, png)


def _path(value):
  if '\0' in value:
    return 'must not contain NUL'
  if value.startswith('~'):
    return (
      'no such home folder is known here; write the path in full, or ./~… '
      'where a name begins with ~'
    )


def prefix_pair(value):
  """OLD=NEW, or nothing."""
  if value and not all(value.partition('=')):
    return 'must look like OLD=NEW'
