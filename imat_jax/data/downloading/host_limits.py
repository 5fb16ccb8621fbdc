"""Limits requests per host: a few at once, none while it is dead."""

import asyncio
import collections
import contextlib
import ipaddress
from collections.abc import AsyncIterator

import yarl

from imat_jax.data import configs
from imat_jax.data.downloading import http
from imat_jax.data.downloading.http import LinkError

# Errors without a reply from the host; after `DEAD_AFTER` in a row it is dead.
NO_REPLY = frozenset({'timeout', 'refused', 'connection', 'dns', 'tls'})
DEAD_AFTER = 8
DEAD_HOST = 'dead_host'


class SkippedLinkError(LinkError):
  """No request was made: not a link, or its host is dead."""


class Hosts:
  """Bounds the requests in flight, in total and per host; skips dead hosts.

  A host that did not reply `DEAD_AFTER` times in a row is dead until
  `reset_dead_hosts`, so that thousands of its links cost only a few time-outs.
  """

  def __init__(self, config: configs.Download):
    self._config = config
    self._all_slots = asyncio.Semaphore(config.concurrency)
    self._host_slots: dict[str, asyncio.Semaphore] = {}
    self._no_replies: collections.Counter[yarl.URL] = collections.Counter()

  def reset_dead_hosts(self) -> None:
    """Allows requests to every host again."""
    self._no_replies.clear()

  @contextlib.asynccontextmanager
  async def hold(self, url: str, is_retry: bool) -> AsyncIterator[None]:
    """Waits for a slot of the link's host, then for a global one; holds both.

    Args:
      url: the link.
      is_retry: the link was requested before; then a dead host is no obstacle:
        only links without any attempt are skipped.

    Raises:
      SkippedLinkError: `bad_url`, not a web link, or `dead_host`.
    """
    origin = origin_of(url)
    # In this order: waiting for a busy host must not hold a global slot.
    if origin.host not in self._host_slots:
      self._host_slots[origin.host] = asyncio.Semaphore(self.limit(origin.host))
    async with self._host_slots[origin.host], self._all_slots:
      if self._no_replies[origin] >= DEAD_AFTER and not is_retry:
        raise SkippedLinkError(DEAD_HOST)
      has_replied = True  # if not with a photo
      try:
        yield
      except LinkError as error:
        has_replied = error.error not in NO_REPLY
        raise
      finally:
        count = self._no_replies[origin]
        self._no_replies[origin] = 0 if has_replied else count + 1

  def limit(self, host: str) -> int:
    """The maximum of links of this host in flight."""
    if not is_loopback(host):
      return self._config.per_host
    return self._config.per_loopback_host or self._config.concurrency


def origin_of(url: str) -> yarl.URL:
  """Scheme, host and port of a web link, else a `SkippedLinkError`."""
  try:
    return http.to_url(url).origin()
  except ValueError:
    raise SkippedLinkError('bad_url') from None


def is_loopback(host: str) -> bool:
  """Whether the host's name or address is this machine's."""
  try:
    return ipaddress.ip_address(host).is_loopback
  except ValueError:
    return host == 'localhost' or host.endswith('.localhost')
