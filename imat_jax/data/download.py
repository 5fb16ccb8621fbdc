"""Downloads every photo once, from the first of its links that works.

  python -m imat_jax.data.download --annotations=raw --images=photos

writes photos/SPLIT/ID.jpg, the bytes as received, and for each split
photos/SPLIT.manifest.jsonl, a line per image: imageId, status (ok or failed),
url, sha256, width, height, attempts (on all links, in all runs) and error. Run
it again at any time, also when killed: it fetches only what is missing and
retryable.

Links are tried in order. Transient errors are retried with exponential backoff
and jitter, or after the server's Retry-After. An image whose links all fail has
the error and url of the last retryable link, else of the last link.

  error                          retried in this run        in a later run
  timeout refused connection     yes                        yes
  http_5xx http_429 _425 _408    yes                        yes
  dns                            unless the name is wrong   yes
  tls                            no                         yes
  dead_host private_address      no                         yes
  truncated                      if the connection broke    no
  damaged too_slow               no                         no
  http_404, other http_ errors   no                         no
  not_an_image too_small         no                         no
  too_large redirects            no                         no
  bad_url bad_id no_link         no                         no

A dead_host did not reply eight times in a row; its other links are tried last.
A private_address is on this machine or its network: links and redirects there
are blocked without --allow_private_hosts, except to the host of --url_prefix.
A too_slow photo takes its decoder far more CPU time than its pixels need.
Links are requested verbatim: %2F and / differ.

Permanent failures are kept until the image gets other links, such as by a new
--url_prefix. To retry everything, delete the manifest: existing photos are
checked and kept, but the record of their links is lost.

A photo whose link is no longer listed is deleted and downloaded from the new
one; another --url_prefix for the same link downloads nothing again. Other files
are never overwritten. The exit status is 1 if there is no photo at the end.
"""

import asyncio
import collections
import concurrent.futures
import dataclasses
import pathlib
from collections.abc import Collection, Coroutine, Sequence
from typing import Any, TextIO

from imat_jax import errors
from imat_jax.data import configs, kaggle, manifest
from imat_jax.data import urls as urls_lib
from imat_jax.data.downloading import on_disk
from imat_jax.data.manifest import Entry
from imat_jax.runtime import extras, files, progress, text_table

# A line per --url_prefix that photos of a folder were downloaded with.
_RULES = '.url_prefixes'
# The rows of the summary before those of the error classes.
_ROWS = ('images', 'ok', '  already there', '  new', 'failed')


def main(config: configs.Download) -> None:
  """Downloads the splits one after the other and prints a summary."""
  extras.require('aiohttp', 'download', 'a download')
  source = pathlib.Path(config.annotations)
  splits = [kaggle.read_split(source, s) for s in config.splits]
  try:
    counts = {split.name: fetch_split(config, split) for split in splits}
  except OSError as error:
    path, reason = error.filename or config.images, error.strerror or error
    raise errors.UserError(
      f'{path}: {reason}; fix this and run again (finished photos are kept)'
    ) from None
  print(summary(counts))
  total = sum(counts.values(), collections.Counter())
  if not total['ok']:
    raise errors.UserError(_no_photo_message(config, total))


def fetch_split(
  config: configs.Download, split: kaggle.Split
) -> collections.Counter[str]:
  """Downloads the missing photos of a split and writes its manifest.

  Returns:
    the split's counts for `summary`.

  Raises:
    OSError: a photo or the manifest cannot be written.
  """
  folder = pathlib.Path(config.images) / split.name
  folder.mkdir(parents=True, exist_ok=True)
  with manifest.locked(config.images, split.name):
    for leftover in folder.glob(f'{files.WRITING}*'):  # of a killed run
      leftover.unlink()
    path = manifest.path(config.images, split.name)
    known = manifest.read(path)
    rules = _rules(config)
    settled = on_disk.settled_lines(folder, split.images, known, rules)
    # Before appending: the last line may be incomplete.
    manifest.write(path, (known | settled).values())
    missing = [
      _with_prefix(image, config.url_prefix)
      for image in split.images
      if image.image_id not in settled
    ]
    with path.open('a') as file:
      fetched = _run(_fetch_all(config, folder, missing, known, file))
    listed = {i.image_id: (settled | fetched)[i.image_id] for i in split.images}
    # Images that are no longer listed may be listed again.
    manifest.write(path, (listed | (known | listed)).values())
  return _count(settled.values(), fetched.values())


def summary(counts: dict[str, collections.Counter[str]]) -> str:
  """A table of counts: a column per split, a row per error class."""
  errors = sorted(set().union(*counts.values()) - set(_ROWS))
  rows = [['photos', *counts]]
  for name in (*_ROWS, *errors):
    rows.append([name, *(f'{count[name]:,}' for count in counts.values())])
  return text_table.aligned(rows)


def _no_photo_message(
  config: configs.Download, total: collections.Counter[str]
) -> str:
  if not total['images']:
    splits = ', '.join(config.splits)
    return f'{config.annotations}: no images listed in {splits}'
  failures = {n.strip(): c for n, c in total.most_common() if n not in _ROWS}
  classes = ', '.join(f'{name} {count:,}' for name, count in failures.items())
  if 'private_address' in failures:
    advice = (
      'links to this machine or its network need --allow_private_hosts, or '
      '--url_prefix=OLD=NEW for the server of the photos'
    )
  elif manifest.RETRYABLE & failures.keys():
    advice = 'check the network and run again'
  else:
    advice = f'see {config.images}/*.manifest.jsonl for each link'
  return (
    f'{config.images}: none of the {total["images"]:,} listed photos could be '
    f'downloaded: {classes}; {advice}'
  )


def _rules(config: configs.Download) -> list[str]:
  """All --url_prefix rules this folder was downloaded with, the current last.

  They map a link to the url in the manifest, whatever server it came from.
  """
  path = pathlib.Path(config.images) / _RULES
  text = path.read_text() if path.exists() else ''
  earlier = [rule for rule in text.splitlines() if rule != config.url_prefix]
  if config.url_prefix and config.url_prefix not in text.splitlines():
    with path.open('a') as file:
      file.write(f'{config.url_prefix}\n')
  return list(dict.fromkeys(['', *earlier, config.url_prefix]))


def _with_prefix(image: kaggle.Image, rule: str) -> kaggle.Image:
  urls = (urls_lib.with_prefix(url, rule) for url in image.urls)
  return dataclasses.replace(image, urls=tuple(dict.fromkeys(urls)))


def _run(work: Coroutine[Any, Any, dict[str, Entry]]) -> dict[str, Entry]:
  try:
    return _run_anywhere(work)
  except ExceptionGroup as group:
    raise group.exceptions[0] from None


def _run_anywhere(work: Coroutine[Any, Any, Any]) -> Any:
  """`asyncio.run`, in a new thread if this one already runs a loop."""
  try:
    asyncio.get_running_loop()
  except RuntimeError:
    return asyncio.run(work)
  running = []

  async def run() -> Any:
    running.append((asyncio.get_running_loop(), asyncio.current_task()))
    return await work

  with concurrent.futures.ThreadPoolExecutor(1) as pool:
    future = pool.submit(asyncio.run, run())
    try:
      return future.result()
    except KeyboardInterrupt:
      for loop, task in running:
        loop.call_soon_threadsafe(task.cancel)
      raise


async def _fetch_all(
  config: configs.Download,
  folder: pathlib.Path,
  missing: Sequence[kaggle.Image],
  known: dict[str, Entry],
  file: TextIO,
) -> dict[str, Entry]:
  """Downloads the images; appends the line of each to `file` at once.

  Links of dead hosts are skipped and tried again after the others, as long as
  such a round yields a photo: the host may have been down for a while.
  """
  lines = {}

  async def fetch(image: kaggle.Image) -> kaggle.Image | None:
    """Returns the image with its skipped links, if any."""
    line, body, skipped = await web.fetch(image)
    if previous := lines.get(image.image_id) or known.get(image.image_id):
      attempts = line.attempts + previous.attempts
      line = dataclasses.replace(line, attempts=attempts)
    # The line first: if killed in between, the photo is downloaded again. A
    # photo without a line would be kept without its url.
    manifest.append(file, line)
    if line.is_ok:
      await web.in_thread(
        files.write_bytes, on_disk.photo_path(folder, image), body
      )
    lines[image.image_id] = line
    bar.advance(not skipped)
    return dataclasses.replace(image, urls=skipped) if skipped else None

  with progress.Progress(len(missing), folder.name, 'photo') as bar:
    from imat_jax.data.downloading import fetcher  # needs an extra

    async with fetcher.opened(config) as web:
      any_ok = True
      while missing and any_ok:
        web.reset_dead_hosts()
        async with asyncio.TaskGroup() as group:
          tasks = [group.create_task(fetch(image)) for image in missing]
        any_ok = any(lines[image.image_id].is_ok for image in missing)
        missing = [for_retry for task in tasks if (for_retry := task.result())]
      bar.advance(len(missing))
  return lines


def _count(
  settled: Collection[Entry], fetched: Collection[Entry]
) -> collections.Counter[str]:
  already = sum(line.is_ok for line in settled)
  new = sum(line.is_ok for line in fetched)
  failed = [line for line in (*settled, *fetched) if not line.is_ok]
  totals = len(settled) + len(fetched), already + new, already, new, len(failed)
  counts = collections.Counter(dict(zip(_ROWS, totals, strict=True)))
  counts.update(f'  {line.error}' for line in failed)
  return counts


if __name__ == '__main__':
  from imat_jax import flags

  flags.run(main, configs.Download)
