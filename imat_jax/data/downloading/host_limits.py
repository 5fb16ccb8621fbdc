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
NO_REPLY = frozenset({'timeout', 'refused', 'connection', 'dns', 'tls'})
DEAD_AFTER = 8
DEAD_HOST = 'dead_host'


class SkippedLinkError(LinkError):
  """No request was made: the link is none, or its host is dead."""


class Hosts:
  """Bounds the links in flight, in all and per host, and spares dead hosts.

  A host that was silent `DEAD_AFTER` times in a row is dead: it is not asked
  again until it is forgiven. So thousands of links on it cost the time-outs of
  a few.
  """

  def __init__(self, config: configs.Download):
    self._config = config
    self._all_slots = asyncio.Semaphore(config.concurrency)
    self._host_slots: dict[str, asyncio.Semaphore] = {}
    self._no_replies: collections.Counter[yarl.URL] = collections.Counter()

  def reset_dead_hosts(self) -> None:
    """Lets every host be asked again."""
    self._no_replies.clear()

  @contextlib.asynccontextmanager
  async def hold(self, url: str, again: bool) -> AsyncIterator[None]:
    """Waits for a slot of the link's host, then for one of all; holds both.

    Args:
      url: the link.
      again: it was asked before; then it is asked, dead host or not. What has
        begun runs its course, and only links that nobody asked are skipped.

    Raises:
      SkippedLinkError: `bad_url`, it is no link of the web, or `dead_host`.
    """
    origin = origin_of(url)
    # In this order: who waits for a busy host takes nothing from the others.
    if origin.host not in self._host_slots:
      self._host_slots[origin.host] = asyncio.Semaphore(self.limit(origin.host))
    async with self._host_slots[origin.host], self._all_slots:
      if self._no_replies[origin] >= DEAD_AFTER and not again:
        raise SkippedLinkError(DEAD_HOST)
      try:
        yield
      except LinkError as error:
        silent = error.error in NO_REPLY
        self._no_replies[origin] = self._no_replies[origin] + 1 if silent else 0
        raise
      except Exception:  # the host gave something, if no photo
        self._no_replies[origin] = 0
        raise
      self._no_replies[origin] = 0

  def limit(self, host: str) -> int:
    """How many links of this host may be in flight."""
    if not is_loopback(host):
      return self._config.per_host
    return self._config.per_loopback_host or self._config.concurrency


def origin_of(url: str) -> yarl.URL:
  """Scheme, host and port of a link of the web, else a `SkippedLinkError`."""
  try:
    return http.to_url(url).origin()
  except ValueError:
    raise SkippedLinkError('bad_url') from None


def is_loopback(host: str) -> bool:
  """Whether the host is this machine, by its name."""
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == 'localhost' or host.endswith('.localhost')
