"""From an image's links to its photo: in order, with retries, within limits."""

import asyncio
import concurrent.futures
import contextlib
import dataclasses
import functools
import itertools
import os
import random
from collections.abc import AsyncIterator, Callable, Sequence
from typing import Any, NamedTuple

import aiohttp

from imat_jax.data import configs, image_validation, kaggle, manifest
from imat_jax.data.downloading import host_limits, http
from imat_jax.data.manifest import Entry


class Fetched(NamedTuple):
  """What became of an image."""

  line: Entry
  body: bytes  # of the photo, if there is one
  skipped: tuple[str, ...] = ()  # links that were not asked: their host is dead


@contextlib.asynccontextmanager
async def opened(config: configs.Download) -> AsyncIterator['Fetcher']:
  """A `Fetcher` with its session and its threads."""
  # A name that does not resolve blocks a thread for seconds; with the few
  # threads that asyncio has by default the other links would wait for it.
  lookups = concurrent.futures.ThreadPoolExecutor(config.concurrency)
  asyncio.get_running_loop().set_default_executor(lookups)
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    async with http.open_session(config) as session:
      yield Fetcher(config, session, pool)


class Fetcher:
  """Tries links one after the other; many images at once may use it."""

  def __init__(
    self,
    config: configs.Download,
    session: aiohttp.ClientSession,
    pool: concurrent.futures.Executor,
  ):
    self._config, self._session, self._pool = config, session, pool
    self._hosts = host_limits.Hosts(config)

  async def fetch(self, image: kaggle.Image) -> Fetched:
    """The first photo that a link gives, or how they fail."""
    failures, attempts = [], 0
    for url in image.urls:
      line, body = await self._try_link(image.image_id, url)
      attempts += line.attempts
      if line.is_ok:
        return Fetched(dataclasses.replace(line, attempts=attempts), body)
      failures.append(line)
    line = failure_to_report(failures)
    skipped = tuple(f.url for f in failures if f.error == host_limits.DEAD_HOST)
    return Fetched(dataclasses.replace(line, attempts=attempts), b'', skipped)

  def reset_dead_hosts(self) -> None:
    """Lets dead hosts be asked again."""
    self._hosts.reset_dead_hosts()

  async def in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
    """What the call returns, made in one of the threads."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(self._pool, call, *arguments)

  async def _try_link(self, image_id: str, url: str) -> tuple[Entry, bytes]:
    failed = functools.partial(manifest.failed, image_id, url)
    for attempt in itertools.count(1):
      try:
        body, picture = await self._try_once(url, attempt)
        return manifest.ok(image_id, url, picture, attempt), body
      except image_validation.InvalidImage as error:
        return failed(str(error), attempt), b''
      except host_limits.SkippedLinkError as error:
        return failed(error.error, 0), b''
      except http.LinkError as error:
        if not error.passing or attempt > self._config.retries:
          return failed(error.error, attempt), b''
        wait = seconds_to_wait(attempt, error.retry_after, self._config)
      await asyncio.sleep(wait)  # holds no slot

  async def _try_once(
    self, url: str, attempt: int
  ) -> tuple[bytes, image_validation.Picture]:
    # The slots are held until the photo is checked, so that bodies do not pile
    # up in memory where decoding is slower than the network.
    async with self._hosts.hold(url, again=attempt > 1):
      body = await http.fetch(self._session, url, self._config.max_bytes)
      min_side = self._config.min_side
      return body, await self.in_thread(image_validation.check, body, min_side)


def seconds_to_wait(
  attempt: int, asked: float, config: configs.Download
) -> float:
  """The wait after a try (the first is 1).

  The longer of `asked` (by the server, 0 if it did not) and the exponential
  back-off with its jitter; never more than `max_wait`.
  """
  backoff = config.backoff * 2 ** min(attempt - 1, 30)
  return min(max(backoff * random.uniform(0.5, 1.5), asked), config.max_wait)


def failure_to_report(failures: Sequence[Entry]) -> Entry:
  """The last failure that may pass, else the last one."""
  passing = [line for line in failures if not line.is_permanent]
  return (passing or failures)[-1]
