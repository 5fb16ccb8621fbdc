"""Downloads an image's photo: links in order, with retries and limits."""

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
  """The outcome of an image."""

  line: Entry
  body: bytes  # of the photo, else empty
  skipped: tuple[str, ...] = ()  # links of dead hosts


@contextlib.asynccontextmanager
async def opened(config: configs.Download) -> AsyncIterator['Fetcher']:
  """A `Fetcher` with a session and threads."""
  # A name that does not resolve blocks a thread for seconds; asyncio's default
  # threads are so few that other links would wait.
  lookups = concurrent.futures.ThreadPoolExecutor(config.concurrency)
  asyncio.get_running_loop().set_default_executor(lookups)
  with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
    async with http.open_session(config) as session:
      yield Fetcher(config, session, pool)


class Fetcher:
  """Tries links one after the other; used for many images concurrently."""

  def __init__(
    self,
    config: configs.Download,
    session: aiohttp.ClientSession,
    pool: concurrent.futures.Executor,
  ):
    self._config, self._session, self._pool = config, session, pool
    self._hosts = host_limits.Hosts(config)

  async def fetch(self, image: kaggle.Image) -> Fetched:
    """The photo of the first link that works, or the error to report."""
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
    """Allows requests to dead hosts again."""
    self._hosts.reset_dead_hosts()

  async def in_thread(self, call: Callable[..., Any], *arguments: Any) -> Any:
    """Runs a call in one of the threads."""
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
        if not error.is_transient or attempt > self._config.retries:
          return failed(error.error, attempt), b''
        wait = seconds_to_wait(attempt, error.retry_after, self._config)
      await asyncio.sleep(wait)  # holds no slot

  async def _try_once(
    self, url: str, attempt: int
  ) -> tuple[bytes, image_validation.Picture]:
    # Slots are held until the photo is checked: bodies would pile up in memory
    # if decoding is slower than the network.
    async with self._hosts.hold(url, is_retry=attempt > 1):
      body = await http.fetch(self._session, url, self._config.max_bytes)
      min_side = self._config.min_side
      return body, await self.in_thread(image_validation.check, body, min_side)


def seconds_to_wait(
  attempt: int, asked: float, config: configs.Download
) -> float:
  """The wait after an attempt (from 1): at most `max_wait`.

  The longer of the exponential backoff with jitter and `asked`, the server's
  Retry-After or 0.
  """
  backoff = config.backoff * 2 ** min(attempt - 1, 30)
  return min(max(backoff * random.uniform(0.5, 1.5), asked), config.max_wait)


def failure_to_report(failures: Sequence[Entry]) -> Entry:
  """The last retryable failure, else the last one."""
  retryable = [line for line in failures if not line.is_permanent]
  return (retryable or failures)[-1]
