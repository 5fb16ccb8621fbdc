"""Checks of option values: each returns None or an error message."""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

from imat_jax import tasks

Check = Callable[[Any], str | None]


def at_least(bound: float) -> Check:
  """`value >= bound`, for a number or each number of a tuple."""

  def check(value):
    values = value if isinstance(value, tuple) else (value,)
    if not all(bound <= v < math.inf for v in values):
      return f'must be at least {bound}'

  return check


def zero_or_at_least(bound: float) -> Check:
  """`value == 0 or value >= bound`."""

  def check(value):
    if value != 0 and not bound <= value < math.inf:
      return f'must be 0, or at least {bound}'

  return check


def between(low: float, high: float) -> Check:
  """`low <= value <= high`."""

  def check(value):
    if not low <= value <= high:
      return f'must be between {low} and {high}'

  return check


def all_head_or_number(value):
  """`all`, `head` or a number from 1 on."""
  if value not in ('all', 'head') and not re.fullmatch('[1-9][0-9]*', value):
    return 'must be all, head or a number from 1 on'


def three_counts(value):
  """Three numbers, each at least 1."""
  if len(value) != 3:
    return 'must be three numbers'
  return at_least(1)(value)


def not_empty(value):
  """A string, or a tuple of strings, none empty."""
  if not value or not all(value):
    return 'must not be empty'


def task_name(value):
  """A name for a task of your data."""
  reserved = (tasks.APPAREL, 'photo', 'split')
  if not value.strip() or ':' in value or value.strip() in reserved:
    return (
      f'must not be empty, have a colon, or be one of {", ".join(reserved)}'
    )


def some_of(names: Sequence[str]) -> Check:
  """A tuple of some of the names, without duplicates."""

  def check(value):
    unknown = [name for name in value if name not in names]
    if not value or unknown or len(set(value)) < len(value):
      return f'must be some of {", ".join(names)}, each once'

  return check


def shares(value):
  """TASK=SHARE, each task once."""
  pairs = [text.rpartition('=') for text in value]
  names = [tasks.spelling(name) for name, _, _ in pairs]
  if not all(names) or len({*names}) < len(names):
    return 'must look like color=0.1,age=0.5, each task once'
  if not all(map(_is_share, (share for _, _, share in pairs))):
    return 'a share must be a number between 0 and 1'


def _is_share(text: str) -> bool:
  try:
    return 0 <= float(text) <= 1
  except ValueError:
    return False


def distinct_shares(value):
  """Numbers above 0 and at most 1, each once."""
  if not value or len({*value}) < len(value):
    return 'must be numbers, each once'
  if not all(0 < share <= 1 for share in value):
    return 'must be above 0 and at most 1'


def sparsities(value):
  """Numbers above 0 and below 1, each once; or none."""
  if value:
    return 'must be below 1' if max(value) >= 1 else distinct_shares(value)


def task_sets(value):
  """Task sets of `experiments.study`."""
  sets = [one.split(',') for one in value.split(';')] if value else []
  sets = [[tasks.spelling(n) for n in one] for one in sets]
  if not all(name for one in sets for name in one):
    return "must look like 'apparel;apparel,color'"
  if len({one[0] for one in sets}) > 1:
    return 'all task sets must begin with the same task, which is compared'


def host_and_port(value):
  """HOST:PORT, or empty."""
  host, _, port = value.rpartition(':')
  if value and not (host and port.isascii() and port.isdigit()):
    return 'must look like HOST:PORT'


# A folder in a bucket, without `.` or `..` as a name.
_URL = re.compile(r'(gs|s3|az)://[^/]+(/(?!\.{1,2}(/|$))[^/]+)*/?')


def place(value):
  """A local folder, or one in a bucket."""
  if re.match(r'\w+:/', value) and not _URL.fullmatch(value):
    return 'must be a folder, or gs://, s3:// or az://BUCKET/FOLDER'
  return _path(value)


def folder(value):
  """A local folder."""
  if re.match(r'\w+:/', value):
    return (
      'must be a local folder; only --data_dir, --workdir and --run may be in '
      'a bucket'
    )
  return _path(value)


def file(value):
  """A local file."""
  if re.match(r'\w+:/', value):
    return 'must be a local file'
  return _path(value)


def png(value):
  """A local PNG file, or empty."""
  if value and not value.lower().endswith('.png'):
    return 'must end in .png'
  return file(value)


# The checks of paths, in which `~` is expanded first.
PATHS = (place, folder, file, png)


def _path(value):
  if '\0' in value:
    return 'must not contain NUL'
  if value.startswith('~'):
    return (
      'unknown home folder; write the path in full, or as ./~… if a name '
      'begins with ~'
    )


def prefix_pair(value):
  """OLD=NEW, or empty."""
  if value and not all(value.partition('=')):
    return 'must look like OLD=NEW'
