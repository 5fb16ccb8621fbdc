"""Times the download of photos against img2dataset.

  python -m benchmarks.download --photos=data/photos/train \
    --img2dataset=img2dataset-env/bin/img2dataset

Both fetch the same images from one loopback server (`web.py`), with the same
number of links in flight, time-outs and retries, and write the bytes as they
came: once all links work, and once a third of the first links is faulty. There
ours also has the second link of an image, of which img2dataset knows nothing.
In turn; medians. Links that drip or never end are left out: img2dataset would
wait for them for ever.
"""

import itertools
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable

from benchmarks import duel, soak, web

IN_FLIGHT = 64
KINDS = [kind for kind in web.FAULTS if kind not in ('drip', 'endless')]


def main() -> None:
  parser = duel.flag_parser(__doc__)
  parser.add_argument('--photos', required=True, help='folder of JPEG files')
  parser.add_argument('--img2dataset', help='the command; without it, ours')
  parser.add_argument('--images', type=int, default=4000)
  parser.add_argument('--repetitions', type=int, default=3)
  flags = parser.parse_args()
  contestants: dict[str, Callable] = {'ours': ours}
  if flags.img2dataset:
    for processes in (1, 2):
      contestants[f'img2dataset, {processes} processes'] = img2dataset(
        flags.img2dataset, processes
      )
  rows, marks = [], itertools.count()
  with soak.serving(flags.photos) as url:
    for faulty in (0.0, 0.3):
      images = make_images(flags.images, faulty)
      seconds = {name: [] for name in contestants}
      for _ in range(flags.repetitions):
        for name, contestant in contestants.items():
          # Links of its own each time: some are busy at the first request.
          mark = f'.{next(marks)}'
          marked = {k: [x + mark for x in v] for k, v in images.items()}
          seconds[name].append(timed(contestant, marked, url))
      mine = seconds['ours']
      for name, results in seconds.items():
        seconds = statistics.median(s for s, _ in results)
        ratio = statistics.median(
          s / m for (s, _), (m, _) in zip(results, mine, strict=True)
        )
        photos = statistics.median(n for _, n in results)
        rows.append(
          [
            f'{faulty:.0%}',
            name,
            f'{photos:,.0f}',
            f'{seconds:.1f}',
            f'{photos / seconds:,.0f}',
            f'{ratio:.2f}',
          ]
        )
  head = ('faulty', 'what', 'photos', 'seconds', 'photos/s', 'times ours')
  print(duel.table(head, rows))
  print(f'\n{flags.images:,} images, {IN_FLIGHT} in flight. {duel.about(())}.')


def make_images(number: int, faulty: float) -> dict[str, list[str]]:
  """Image id → two links; the second works."""
  kinds = web.draw_kinds(number, faulty, 1, KINDS)
  return {
    str(n): [f'{soak.NAME}/{kind}/{n}', f'{soak.NAME}/{web.PHOTO}/{n}']
    for n, kind in enumerate(kinds)
  }


def timed(
  contestant: Callable, images: dict[str, list[str]], url: str
) -> tuple[float, int]:
  """Seconds, and the number of photos that came."""
  folder = pathlib.Path(tempfile.mkdtemp())
  try:
    command = contestant(folder, images, url)
    start = time.monotonic()
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    seconds = time.monotonic() - start
    if done.returncode:
      raise SystemExit(f'{command[0]} failed: {done.stderr[-2000:]}')
    return seconds, sum(1 for _ in folder.rglob('*.jpg'))
  finally:
    shutil.rmtree(folder)


def ours(folder: pathlib.Path, images: dict[str, list[str]], url: str):
  soak.write_list(folder, images)
  return [*soak.command(folder, url), f'--concurrency={IN_FLIGHT}']


def img2dataset(program: str, processes: int) -> Callable:
  """With as many processes, which share the links in flight."""

  def make(folder: pathlib.Path, images: dict[str, list[str]], url: str):
    links = [first.replace(soak.NAME, url) for first, _ in images.values()]
    (folder / 'links.txt').write_text('\n'.join(links))
    given = {
      'url_list': folder / 'links.txt',
      'output_folder': folder / 'out',
      'output_format': 'files',
      'thread_count': IN_FLIGHT // processes,
      'processes_count': processes,
      'number_sample_per_shard': len(images) // processes,
      'disable_all_reencoding': True,
      'timeout': 3,
      'retries': 2,
      'enable_wandb': False,
    }
    return [program, *(f'--{name}={value}' for name, value in given.items())]

  return make


if __name__ == '__main__':
  main()
