"""Trains the autoencoder on photos in memory; killed, it resumes exactly.

After each epoch its state replaces that of the epoch before, in a file whose
name holds what it depends on. Order and noise are functions of seed and step.
"""

import functools
import hashlib
import json
import math
import pathlib
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import serialization

from imat_jax import errors, options
from imat_jax.data import random
from imat_jax.label_space.vae import Autoencoder, Terms
from imat_jax.runtime import files, progress
from imat_jax.study.label_space_config import Vae
from imat_jax.training import rng

_AT_ONCE = 256  # photos that are encoded


class State(NamedTuple):
  """All that training needs to go on."""

  params: dict[str, Any]
  optimizer: optax.OptState
  step: jax.Array


class Trained(NamedTuple):
  """An autoencoder, with the mean terms of each epoch's photos."""

  config: Vae
  params: dict[str, Any]
  term_Ex2: np.ndarray  # log likelihood and KL divergence, in nats

  def encode(self, image_NxHxWxC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Means and logarithms of the variances of the latents, N × Z each."""
    parts = [
      _apply(
        self.config, 'encode', self.params, image_NxHxWxC[n : n + _AT_ONCE]
      )
      for n in range(0, len(image_NxHxWxC), _AT_ONCE)
    ]
    return tuple(map(np.concatenate, zip(*parts, strict=True)))

  def decode(self, latent_NxZ: np.ndarray) -> np.ndarray:
    """The means of photos, uint8, N × H × W × C."""
    image = _apply(self.config, 'decode', self.params, latent_NxZ)
    return np.rint(255 * np.asarray(image)).astype(np.uint8)


def train(
  config: Vae,
  image_NxHxWxC: np.ndarray,
  seed: int,
  folder: pathlib.Path,
  fingerprint: str,
) -> Trained:
  """Trains, or goes on with, the autoencoder of a seed.

  Args:
    config: its options.
    image_NxHxWxC: the train photos, uint8.
    seed: of everything random.
    folder: where its state is kept.
    fingerprint: of the data set.

  Raises:
    UserError: its file is damaged.
  """
  path = folder / _name(config, seed, fingerprint)
  state, term_Ex2 = _restore(path, _init(config, seed))
  photos = jnp.asarray(image_NxHxWxC)
  with progress.Progress(
    config.vae_epochs, f'autoencoder {seed}', 'epoch', len(term_Ex2)
  ) as bar:
    for epoch in range(len(term_Ex2), config.vae_epochs):
      terms = []
      for example_B in _order(config, seed, epoch, len(photos)):
        weight = config.beta * min(1, (epoch + 1) / (config.warmup_epochs + 1))
        state, of_step = _step(config, state, photos, example_B, seed, weight)
        terms.append(of_step)
      mean = np.mean(jax.device_get(terms), 0)
      term_Ex2 = np.concatenate([term_Ex2, mean[None]])
      _save(path, state, term_Ex2)
      bar.advance()
  return Trained(config, state.params, term_Ex2)


def _name(config: Vae, seed: int, fingerprint: str) -> str:
  facts = {'data_set': fingerprint, **options.fixed(config)}
  digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
  return f'vae-{digest.hexdigest()[:16]}-seed_{seed}.msgpack'


def _order(config: Vae, seed: int, epoch: int, number: int) -> np.ndarray:
  """The examples of an epoch's steps, S × B; a rest of less than B is left."""
  size = min(config.batch_size, number)
  order_N = random.permutation(seed, epoch, number)
  return order_N[: number // size * size].reshape(-1, size)


def _init(config: Vae, seed: int) -> State:
  """Kernels as Glorot and Bengio (2010) draw them, biases 0.

  Drawn by numpy: XLA compiles a draw per kernel, for a second each.
  """
  image_BxHxWxC = jnp.zeros((1, config.vae_side, config.vae_side, 3))
  shapes = jax.eval_shape(
    Autoencoder(config).init,
    jax.random.key(0),
    image_BxHxWxC,
    jax.random.key(0),
  )
  generator = np.random.default_rng(seed)

  def draw(leaf: jax.ShapeDtypeStruct) -> jax.Array:
    if leaf.ndim == 1:
      return jnp.zeros(leaf.shape)
    *taps, fan_in, fan_out = leaf.shape
    limit = math.sqrt(6 / (math.prod(taps) * (fan_in + fan_out)))
    return jnp.float32(generator.uniform(-limit, limit, leaf.shape))

  params = jax.tree.map(draw, shapes)
  optimizer = optax.adam(config.learning_rate)
  return State(params, optimizer.init(params), jnp.int32(0))


@functools.partial(jax.jit, static_argnames='config', donate_argnames='state')
def _step(
  config: Vae,
  state: State,
  image_NxHxWxC: jax.Array,
  example_B: jax.Array,
  seed: jax.Array,
  weight: jax.Array,
) -> tuple[State, Terms]:
  """One update, and the terms of its photos, their means."""
  key = rng.key(seed, 'latents', state.step)

  def loss_of(params):
    terms = Autoencoder(config).apply(params, image_NxHxWxC[example_B], key)
    terms = jax.tree.map(jnp.mean, terms)
    return weight * terms.kl_B - terms.log_likelihood_B, terms

  gradients, terms = jax.grad(loss_of, has_aux=True)(state.params)
  updates, optimizer = optax.adam(config.learning_rate).update(
    gradients, state.optimizer
  )
  params = optax.apply_updates(state.params, updates)
  return State(params, optimizer, state.step + 1), terms


@functools.partial(jax.jit, static_argnames=('config', 'method'))
def _apply(config: Vae, method: str, params: dict[str, Any], x: jax.Array):
  return Autoencoder(config).apply(params, x, method=method)


def _save(path: pathlib.Path, state: State, term_Ex2: np.ndarray) -> None:
  content = {'state': jax.device_get(state), 'terms': term_Ex2}
  files.write_bytes(path, serialization.to_bytes(content))


def _restore(path: pathlib.Path, fresh: State) -> tuple[State, np.ndarray]:
  like = {'state': fresh, 'terms': np.zeros((0, 2), np.float32)}
  if path.is_file():
    try:
      like = serialization.from_bytes(like, path.read_bytes())
    except (ValueError, TypeError, KeyError) as error:
      raise errors.UserError(
        f'{path}: damaged ({errors.first_line(error)}); delete it to train '
        'this autoencoder anew'
      ) from None
  return jax.tree.map(jnp.asarray, like['state']), np.asarray(like['terms'])
