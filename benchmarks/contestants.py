"""Who takes part in the duels, and how each is started."""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from benchmarks.duel import Contestant
from imat_jax import flags as command_flags

_PEERS = pathlib.Path(__file__).parent / 'peers'
# What imat_jax's commands set for themselves. It makes PyTorch faster by a
# third and does nothing to Keras.
_MALLOC = {'GLIBC_TUNABLES': command_flags.MALLOC}


def add_peers(parser: argparse.ArgumentParser) -> None:
  """The flags that name the peers' interpreters."""
  for peer in ('keras', 'torch'):
    parser.add_argument(
      f'--{peer}',
      metavar='PYTHON',
      help=f"interpreter of {peer}'s environment; without it, no {peer}",
    )


def add_photos(parser: argparse.ArgumentParser) -> None:
  """The flags that name the photos, as built for us and as downloaded."""
  parser.add_argument('--data_dir', required=True, help='the built data set')
  parser.add_argument('--annotations', required=True, help='the Kaggle files')
  parser.add_argument('--images', required=True, help='has train/ID.jpg')


def say_who_is_missing(flags: argparse.Namespace) -> None:
  for peer, python in (('keras', flags.keras), ('torch', flags.torch)):
    if not python:
      print(f'{peer} is left out: there is no --{peer}', file=sys.stderr)


def ours(*arguments: str, worker: str = 'ours_worker') -> Contestant:
  command = [sys.executable, '-m', f'benchmarks.{worker}', *arguments]
  return Contestant('ours', command, _MALLOC)


def peer(
  kind: str, name: str, python: str | None, *arguments: str
) -> list[Contestant]:
  """The contestant, or none where there is no environment.

  Args:
    kind: keras, torch or trunk.
    name: in the table.
    python: the interpreter of its environment.
    *arguments: of its worker.
  """
  command = [python, str(_PEERS / f'{kind}_worker.py'), *arguments]
  return [Contestant(name, command, _MALLOC)] if python else []


def loaders(
  flags: argparse.Namespace, *what: str, keras_inputs: Sequence[str]
) -> list[Contestant]:
  """Ours, and the peers with each of their ways to load photos."""
  photos = f'--annotations={flags.annotations}', f'--images={flags.images}'
  theirs = [*what, *photos]
  contestants = [ours(*what, f'--data_dir={flags.data_dir}')]
  for kind in keras_inputs:
    contestants += peer(
      'keras', f'keras {kind}', flags.keras, *theirs, f'--input={kind}'
    )
  for workers in (0, 2):
    name = f'torch workers_{workers}'
    contestants += peer(
      'torch', name, flags.torch, *theirs, f'--workers={workers}'
    )
  return contestants
