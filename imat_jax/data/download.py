"""Fetches every photo once, from the first of its links that gives a picture.

  python -m imat_jax.data.download --annotations=raw --images=photos

leaves photos/SPLIT/ID.jpg, the bytes as they came, and for each split
photos/SPLIT.manifest.jsonl, a line per image: imageId, status (ok or failed),
url, sha256, width, height, attempts (tries of its links in all runs) and
error. Killed or done, it can be run again: it tries only what is missing and
could still come.

Links are tried in order. A try that fails for a passing reason is repeated
after a growing, random wait, or the one that the server asks for. An image
whose links all fail has the error and the url of the last link that could still
come, else of the last link.

  error                          tried again in the run     in a later run
  timeout refused connection     yes                        yes
  http_5xx http_429 _425 _408    yes                        yes
  dns                            unless the name is wrong   yes
  tls                            no                         yes
  dead_host private_address      no                         yes
  truncated                      if the transfer broke off  no
  damaged too_slow               no                         no
  http_404, other http_ errors   no                         no
  not_an_image too_small         no                         no
  too_large redirects            no                         no
  bad_url bad_id no_link         no                         no

A host that gave no reply eight times in a row is a dead_host: its other links
are skipped until all else is done, then tried. A private_address is one of this
machine or its network, where only --allow_private_hosts or the host of
--url_prefix may lead; redirects are checked in the same way.

A too_slow picture takes its decoder far more CPU time than its pixels need.
Links are sent as they are written: %2F and / are not the same.

Failures of the last kind stand until the image gets other links, so a new
--url_prefix starts afresh. To try everything again, delete the manifest: photos
that are there are checked and kept, only the record of their links is lost.

A photo whose link is no longer listed is removed and fetched by the new one;
another --url_prefix for the same link fetches nothing again. Other files are
never overwritten. Without one photo at the end the exit status is 1.
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
from imat_jax.data.downloading import fetcher, on_disk
from imat_jax.data.manifest import Entry
from imat_jax.runtime import files, progress

# A line per --url_prefix that photos of a folder came by.
_RULES = '.url_prefixes'
# The rows of the summary that come before those of the error classes.
_ROWS = ('images', 'ok', '  already there', '  new', 'failed')


def main(config: configs.Download) -> None:
  """Fetches the splits one after the other and prints what came."""
  source = pathlib.Path(config.annotations)
  splits = [kaggle.read_split(source, s) for s in config.splits]
  try:
    counts = {split.name: fetch_split(config, split) for split in splits}
  except OSError as error:
    path, reason = error.filename or config.images, error.strerror or error
    raise errors.UserError(
      f'{path}: {reason}; what came is kept, mend this and run again'
    ) from None
  print(summary(counts))
  total = sum(counts.values(), collections.Counter())
  if not total['ok']:
    raise errors.UserError(_nothing(config, total))


def fetch_split(
  config: configs.Download, split: kaggle.Split
) -> collections.Counter[str]:
  """Fetches what is missing of a split and leaves its manifest.

  Returns:
    the figures of the split for `summary`.

  Raises:
    OSError: the disk does not take a photo or the manifest.
  """
  folder = pathlib.Path(config.images) / split.name
  folder.mkdir(parents=True, exist_ok=True)
  with manifest.locked(config.images, split.name):
    _remove_leftovers(folder)
    path = manifest.path(config.images, split.name)
    known = manifest.read(path)
    rules = _rules(config)
    settled = on_disk.settled_lines(folder, split.images, known, rules)
    # Before anything is appended: the last line may be torn.
    manifest.write(path, (known | settled).values())
    missing = [
      _with_prefix(image, config.url_prefix)
      for image in split.images
      if image.image_id not in settled
    ]
    with path.open('a') as file:
      fetched = _run(_fetch_all(config, folder, missing, known, file))
    listed = {i.image_id: (settled | fetched)[i.image_id] for i in split.images}
    # A row that is taken out of a table may come back.
    manifest.write(path, (listed | (known | listed)).values())
  return _count(settled.values(), fetched.values())


def summary(counts: dict[str, collections.Counter[str]]) -> str:
  """The table of what came: a column per split, a row per error class."""
  errors = sorted(set().union(*counts.values()) - set(_ROWS))
  rows = [['', *counts]]
  for name in (*_ROWS, *errors):
    rows.append([name, *(f'{count[name]:,}' for count in counts.values())])
  width = max(len(name) for name, *_ in rows)
  return '\n'.join(
    name.ljust(width) + ''.join(cell.rjust(12) for cell in cells)
    for name, *cells in rows
  )


def _nothing(config: configs.Download, total: collections.Counter[str]) -> str:
  """Why there is no photo."""
  if not total['images']:
    splits = ', '.join(config.splits)
    return f'{config.annotations}: no image is listed in {splits}'
  failures = {n.strip(): c for n, c in total.most_common() if n not in _ROWS}
  classes = ', '.join(f'{name} {count:,}' for name, count in failures.items())
  if 'private_address' in failures:
    advice = (
      'links into this machine or its network need --allow_private_hosts, or '
      '--url_prefix=OLD=NEW for the server that has them'
    )
  elif manifest.RETRYABLE & failures.keys():
    advice = 'is this machine online? Then run it again'
  else:
    advice = f'{config.images}/*.manifest.jsonl have each link'
  return (
    f'{config.images}: none of the {total["images"]:,} listed photos came: '
    f'{classes}; {advice}'
  )


def _rules(config: configs.Download) -> list[str]:
  """All --url_prefix that photos of this folder came by; the present one last.

  By them a photo is known to be of a link, whatever server it was fetched from.
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


def _remove_leftovers(folder: pathlib.Path) -> None:
  """Removes what a killed run was writing."""
  for leftover in folder.glob(f'{files.WRITING}*'):
    leftover.unlink()


def _run(work: Coroutine[Any, Any, dict[str, Entry]]) -> dict[str, Entry]:
  try:
    return _run_anywhere(work)
  except ExceptionGroup as group:
    raise group.exceptions[0] from None


def _run_anywhere(work: Coroutine[Any, Any, Any]) -> Any:
  """`asyncio.run`, in a thread of its own where a loop runs in this one."""
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
  """Fetches the images; appends each line to `file` as soon as it is known.

  Links that were skipped for their host's sake are tried when the others are
  done, as long as such a round brings a photo: the host may have been silent by
  chance, or for a while.
  """
  lines = {}

  async def fetch(image: kaggle.Image) -> kaggle.Image | None:
    """Returns the image with the links that were skipped, if any were."""
    line, body, skipped = await web.fetch(image)
    previous = lines.get(image.image_id) or known.get(image.image_id)
    line = _add_attempts(line, previous)
    # The line comes first: killed in between, the photo is fetched again. A
    # photo without a line would be kept, but never tell from where it came.
    manifest.append(file, line)
    if line.is_ok:
      await web.in_thread(
        files.write_bytes, on_disk.photo_path(folder, image), body
      )
    lines[image.image_id] = line
    bar.advance(not skipped)
    return dataclasses.replace(image, urls=skipped) if skipped else None

  with progress.Progress(len(missing), folder.name, 'photo') as bar:
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


def _add_attempts(line: Entry, previous: Entry | None) -> Entry:
  attempts = line.attempts + (previous.attempts if previous else 0)
  return dataclasses.replace(line, attempts=attempts)


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
