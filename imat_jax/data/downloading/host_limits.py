"""How much a host is asked: few links at once, and none while it is dead."""

import asyncio
import collections
import contextlib
import ipaddress
from collections.abc import AsyncIterator

import yarl

from imat_jax.data import configs
from imat_jax.data.downloading import http
from imat_jax.data.downloading.http import LinkError

# Failures without a word from the host; so many in a row and it is dead.
SILENT = frozenset({'timeout', 'refused', 'connection', 'dns', 'tls'})
DEAD_AFTER = 8
DEAD_HOST = 'dead_host'


class NotAskedError(LinkError):
  """No request was made: the link is none, or its host is dead."""


class Hosts:
  """Bounds the links in flight, in all and per host, and spares dead hosts.

  A host that was silent `DEAD_AFTER` times in a row is dead: it is not asked
  again until it is forgiven. So thousands of links on it cost the time-outs of
  a few.
  """

  def __init__(self, config: configs.Download):
    self._config = config
    self._in_all = asyncio.Semaphore(config.concurrency)
    self._of_host: dict[str, asyncio.Semaphore] = {}
    self._silent: collections.Counter[yarl.URL] = collections.Counter()

  def forgive(self) -> None:
    """Lets every host be asked again."""
    self._silent.clear()

  @contextlib.asynccontextmanager
  async def hold(self, url: str, again: bool) -> AsyncIterator[None]:
    """Waits for a slot of the link's host, then for one of all; holds both.

    Args:
      url: the link.
      again: it was asked before; then it is asked, dead host or not. What has
        begun runs its course, and only links that nobody asked are spared.

    Raises:
      NotAskedError: `bad_url`, it is no link of the web, or `dead_host`.
    """
    origin = origin_of(url)
    # In this order: who waits for a busy host takes nothing from the others.
    if origin.host not in self._of_host:
      self._of_host[origin.host] = asyncio.Semaphore(self.limit(origin.host))
    async with self._of_host[origin.host], self._in_all:
      if self._silent[origin] >= DEAD_AFTER and not again:
        raise NotAskedError(DEAD_HOST)
      try:
        yield
      except LinkError as error:
        silent = error.error in SILENT
        self._silent[origin] = self._silent[origin] + 1 if silent else 0
        raise
      except Exception:  # the host gave something, if no photo
        self._silent[origin] = 0
        raise
      self._silent[origin] = 0

  def limit(self, host: str) -> int:
    """How many links of this host may be in flight."""
    if not is_loopback(host):
      return self._config.per_host
    return self._config.per_loopback_host or self._config.concurrency


def origin_of(url: str) -> yarl.URL:
  """Scheme, host and port of a link of the web, else a `NotAskedError`."""
  try:
    return http.to_url(url).origin()
  except ValueError:
    raise NotAskedError('bad_url') from None


def is_loopback(host: str) -> bool:
  """Whether the host is this machine, by its name."""
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == 'localhost' or host.endswith('.localhost')
