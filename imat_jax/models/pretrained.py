"""Weights that others have trained, as parameters of a trunk."""

import dataclasses
import functools
import importlib.util
import pathlib
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from imat_jax import config, errors
from imat_jax.models.trunks import PretrainedTrunk
from imat_jax.runtime import extras

_HUB = 'hf://'


def find(trunk: PretrainedTrunk) -> pathlib.Path:
  """The file of weights that `--pretrained` names.

  Raises:
    UserError: there is none, or it cannot be had.
  """
  name = trunk.pretrained
  if name == 'imagenet':
    return _installed(trunk)
  if name.startswith(_HUB):
    return _downloaded(name)
  path = pathlib.Path(name)
  if not path.is_file():
    raise errors.UserError(f'--pretrained={name}: no such file')
  return path


def resolve(model: config.Model) -> config.Model:
  """The same network, whose trunk knows the hash of its weights.

  Raises:
    UserError: the file cannot be had, or is another than it was.
  """
  trunk = model.trunk
  if not trunk.pretrained:
    return model
  from imat_jax.models import weights  # here: most runs have none

  path = find(trunk)
  digest = weights.digest(path)
  if trunk.weights_hash not in ('', digest):
    raise errors.UserError(
      f'{path}: other weights than before (SHA-256 {digest[:12]}…, not '
      f'{trunk.weights_hash[:12]}…)'
    )
  trunk = dataclasses.replace(trunk, weights_hash=digest)
  return dataclasses.replace(model, trunk=trunk)


@functools.lru_cache(maxsize=2)
def params(trunk: PretrainedTrunk) -> dict[str, Any]:
  """The trunk's parameters, numpy, from its file of weights.

  Raises:
    UserError: the file does not fit the network; names what does not.
  """
  from imat_jax.models import weights

  path = find(trunk)
  resolve(config.Model(trunk=trunk))
  read = weights.read(path)
  numbers = trunk.from_weights(read)
  read.check_all_taken()
  expected = shapes(trunk)
  of_name = jax.tree_util.tree_leaves_with_path
  for (key, leaf), (_, array) in zip(
    of_name(expected), of_name(numbers), strict=True
  ):
    if leaf.shape != array.shape:
      raise errors.UserError(
        f'{path}: {jax.tree_util.keystr(key)} has the shape {array.shape}, '
        f'the network {leaf.shape}; these are weights of another network'
      )
  return numbers


def shapes(trunk: PretrainedTrunk) -> dict[str, Any]:
  """The shapes of the trunk's parameters."""
  init = functools.partial(trunk.make().init, deterministic=True)
  image_BxHxWxC = jnp.zeros((1, *trunk.shape, 3))
  return jax.eval_shape(init, jax.random.key(0), image_BxHxWxC)['params']


def complete(trunk: Any, variables: dict[str, Any]) -> dict[str, Any]:
  """A run's variables with those of a frozen trunk, which runs do not save."""
  if not trunk.is_frozen:
    return variables
  whole = {'trunk': params(trunk), **variables['params']}
  return variables | {'params': whole}


def _installed(trunk: PretrainedTrunk) -> pathlib.Path:
  """The file in the package of the trunk's weights."""
  package = trunk.package
  if not package:
    raise errors.UserError(
      '--pretrained=imagenet: no package has weights for this network; give '
      'a file'
    )
  name = package.replace('-', '_')
  extras.require(name, 'pretrained', '--pretrained=imagenet')
  (folder,) = importlib.util.find_spec(name).submodule_search_locations
  (path,) = pathlib.Path(folder, 'models').glob('*.pth')
  return path


def _downloaded(name: str) -> pathlib.Path:
  """A file of the Hugging Face hub, from the user's cache where it is there."""
  extras.require('huggingface_hub', 'pretrained', f'--pretrained={name}')
  import huggingface_hub

  organisation, _, rest = name.removeprefix(_HUB).partition('/')
  repository, _, file = rest.partition('/')
  try:
    return pathlib.Path(
      huggingface_hub.hf_hub_download(
        f'{organisation}/{repository}', file or 'model.safetensors'
      )
    )
  except Exception as error:  # of many kinds: network, names, rights
    raise errors.UserError(
      f'--pretrained={name}: cannot be had ({errors.first_line(error)})'
    ) from error


def as_runs(tree: dict[str, Any], number: int) -> dict[str, Any]:
  """The same parameters for each run of an ensemble, R in front."""
  return jax.tree.map(
    lambda leaf: np.broadcast_to(leaf, (number, *leaf.shape)), tree
  )
