"""Downloads many links, of which a third is faulty, and is killed meanwhile.

  python -m benchmarks.soak --photos=data/photos/train

An image has one to three links on a loopback server (`web.py`), some of them on
a host that does not exist. The command is killed a few times and started again.
Then it is checked that nothing was lost: every image with a link that works has
its photo, whole, and its line in the manifest.
"""

import collections
import contextlib
import hashlib
import json
import pathlib
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from benchmarks import duel, memory, web

NAME = 'http://web.invalid'  # becomes the server's address
DEAD = 'http://dead.invalid'
GOOD = {web.PHOTO, 'busy'}


def main() -> None:
  parser = duel.flag_parser(__doc__)
  parser.add_argument('--photos', required=True, help='folder of JPEG files')
  parser.add_argument('--links', type=int, default=20_000)
  parser.add_argument('--faulty', type=float, default=0.3)
  parser.add_argument('--kills', type=int, default=3)
  flags = parser.parse_args()
  images = make_images(flags.links, flags.faulty)
  with tempfile.TemporaryDirectory() as folder, serving(flags.photos) as url:
    folder = pathlib.Path(folder)
    write_list(folder, images)
    start, samples = time.monotonic(), []
    for left in range(flags.kills, -1, -1):
      samples += run(folder, url, kill_after=8.0 if left else None)
    seconds = time.monotonic() - start
    lines = read_lines(folder)
    check(folder, images, lines)
  counts = collections.Counter(line['error'] or 'ok' for line in lines.values())
  print(
    duel.table(
      ('ends as', 'images'), [[k, f'{n:,}'] for k, n in counts.most_common()]
    )
  )
  quarters = [samples[len(samples) * n // 8] for n in (1, 3, 5, 7)]
  print(
    f'\n{flags.links:,} links of {len(images):,} images in {seconds:.0f} s, '
    f'killed {flags.kills} times; nothing is lost. Resident memory '
    f'{max(samples):.0f} MiB at most; on its way '
    f'{", ".join(f"{q:.0f}" for q in quarters)} MiB. {duel.about(())}.'
  )


def make_images(number: int, faulty: float) -> dict[str, list[str]]:
  """Image id → its links, `number` in all."""
  rng = random.Random(0)
  kinds = iter(web.draw_kinds(number, faulty, 0))
  images: dict[str, list[str]] = {}
  left = number
  while left:
    take = min(rng.choice((1, 1, 1, 2, 3)), left)
    key = str(len(images))
    images[key] = [f'{NAME}/{next(kinds)}/{key}.{n}' for n in range(take)]
    if rng.random() < faulty / 10:
      images[key][0] = f'{DEAD}/{key}'
    left -= take
  return images


@contextlib.contextmanager
def serving(photos: str) -> Iterator[str]:
  """The address of a `web.py` in a process of its own."""
  command = [sys.executable, '-m', 'benchmarks.web', f'--photos={photos}']
  process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
  try:
    yield process.stdout.readline().strip()
  finally:
    process.kill()
    process.wait()


def write_list(folder: pathlib.Path, images: dict[str, list[str]]) -> None:
  rows = [{'imageId': key, 'url': urls} for key, urls in images.items()]
  path = folder / 'fgvc4_iMat.test.image.json'
  path.write_text(json.dumps({'images': rows}))


def command(folder: pathlib.Path, url: str) -> list[str]:
  return [
    *(sys.executable, '-m', 'imat_jax.data.download', '--splits=test'),
    *(f'--annotations={folder}', f'--images={folder}'),
    *(f'--url_prefix={NAME}={url}', '--total_timeout=3', '--retries=2'),
  ]


def run(
  folder: pathlib.Path, url: str, kill_after: float | None
) -> list[float]:
  """One start of the command; returns its resident MiB, sampled."""
  process = subprocess.Popen(
    command(folder, url), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
  )
  samples, start = [], time.monotonic()
  while process.poll() is None:
    samples.append(memory.memory(process.pid)[0])
    if kill_after and time.monotonic() - start > kill_after:
      process.kill()
    time.sleep(0.2)
  if process.returncode != (-9 if kill_after else 0):
    raise SystemExit(f'the download ended with status {process.returncode}')
  return [sample for sample in samples if sample]


def read_lines(folder: pathlib.Path) -> dict[str, dict]:
  path = folder / 'test.manifest.jsonl'
  lines = map(json.loads, path.read_text().splitlines())
  return {line['imageId']: line for line in lines}


def check(
  folder: pathlib.Path, images: dict[str, list[str]], lines: dict[str, dict]
) -> None:
  """Raises if a photo that was to be had is not there."""
  assert lines.keys() == images.keys()
  stored = {path.name for path in (folder / 'test').iterdir()}
  for key, urls in images.items():
    works = any(
      url.startswith(NAME) and url.split('/')[3] in GOOD for url in urls
    )
    line = lines[key]
    assert (line['status'] == 'ok') == works, line
    assert (f'{key}.jpg' in stored) == works, line
    if works:
      body = (folder / 'test' / f'{key}.jpg').read_bytes()
      assert hashlib.sha256(body).hexdigest() == line['sha256'], line


if __name__ == '__main__':
  main()
