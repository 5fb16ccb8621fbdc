"""How much a host is asked: few links at once, and none while it is dead."""

import asyncio
import contextlib
import ipaddress
import time
from collections.abc import AsyncIterator, Callable

import yarl

from imat_jax import config
from imat_jax.data.link import LinkError

# Failures without a word from the host; so many in a row and it is dead.
SILENT = frozenset({'timeout', 'refused', 'connection', 'dns', 'tls'})
DEAD_AFTER = 8


class NotAskedError(LinkError):
  """No request was made: the link is none, or its host is dead."""


class Hosts:
  """Bounds the links in flight, in all and per host, and spares dead hosts.

  A host that was silent `DEAD_AFTER` times in a row is not asked for
  `max_wait` seconds, then once, and twice as long if that fails too. So
  thousands of links on a dead host cost the time-outs of a few.
  """

  def __init__(
    self, config: config.Download, clock: Callable[[], float] = time.monotonic
  ):
    self._config, self._clock = config, clock
    self._in_all = asyncio.Semaphore(config.concurrency)
    self._of_host: dict[str, asyncio.Semaphore] = {}
    self._circuits: dict[yarl.URL, _Circuit] = {}

  @contextlib.asynccontextmanager
  async def hold(self, url: str) -> AsyncIterator[None]:
    """Waits for a slot of the link's host, then for one of all; holds both.

    Raises:
      NotAskedError: `bad_url`, it is no link of the web, or `dead_host`.
    """
    origin = origin_of(url)
    # In this order: who waits for a busy host takes nothing from the others.
    if origin.host not in self._of_host:
      self._of_host[origin.host] = asyncio.Semaphore(self.limit(origin.host))
    circuit = self._circuits.setdefault(
      origin, _Circuit(self._config.max_wait, self._clock)
    )
    async with self._of_host[origin.host], self._in_all:
      circuit.enter()
      try:
        yield
      except LinkError as error:
        circuit.leave(error.error in SILENT)
        raise
      except Exception:
        circuit.leave(silent=False)
        raise
      circuit.leave(silent=False)

  def limit(self, host: str) -> int:
    """How many links of this host may be in flight."""
    if not is_loopback(host):
      return self._config.per_host
    return self._config.per_loopback_host or self._config.concurrency


class _Circuit:
  """The circuit breaker of a host."""

  def __init__(self, rest: float, clock: Callable[[], float]):
    self._first_rest, self._clock = rest, clock
    self._silent, self._rest, self._until = 0, rest, 0.0

  def enter(self) -> None:
    if self._silent < DEAD_AFTER:
      return
    if self._clock() < self._until:
      raise NotAskedError('dead_host')
    # This one finds out; the others stay out for as long as it may take.
    self._rest *= 2
    self._until = self._clock() + self._rest

  def leave(self, silent: bool) -> None:
    if not silent:
      self._silent, self._rest = 0, self._first_rest
      return
    self._silent += 1
    if self._silent == DEAD_AFTER:
      self._until = self._clock() + self._rest


def origin_of(url: str) -> yarl.URL:
  """Scheme, host and port of a link of the web, else a `NotAskedError`."""
  try:
    parsed = yarl.URL(url)
    if parsed.scheme in ('http', 'https') and parsed.host:
      return parsed.origin()
  except ValueError:
    pass
  raise NotAskedError('bad_url')


def is_loopback(host: str) -> bool:
  """Whether the host is this machine, by its name."""
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == 'localhost' or host.endswith('.localhost')
