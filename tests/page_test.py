"""The page in a real browser: no error, no request, the right numbers."""

import contextlib
import io
import json
import pathlib
import re
import shutil

import pytest
import tiny

from imat_jax.data import build, configs
from imat_jax.models import presets
from imat_jax.reporting import charts
from imat_jax.study import sweep
from imat_jax.study.config import Study

TAG = '</script><img src=x onerror=console.error(1)>'
CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
FLAGS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
]


@pytest.fixture(scope='module')
def study(built, tmp_path_factory) -> pathlib.Path:
  """A finished study whose data set has a name that wants to be a tag."""
  path = tmp_path_factory.mktemp('page') / '<b>study'
  return _run_study(built, path, 'apparel;apparel,color;apparel,age')


def _run_study(data_dir: str, path: pathlib.Path, sets: str) -> pathlib.Path:
  given = Study(
    data_dir=data_dir,
    workdir=str(path),
    models=('public_3m',),
    task_sets=sets,
    seeds=2,
    epochs=3,
    batch_size=8,
    cache_on_device=True,
    affinity_steps=2,
  )
  with (
    pytest.MonkeyPatch.context() as patched,
    contextlib.redirect_stdout(io.StringIO()),
  ):
    patched.setattr(presets, 'by_name', lambda name: tiny.SMALL)
    sweep.run_study(given)
  return path


@pytest.fixture(scope='module')
def hostile(kaggle, tmp_path_factory) -> pathlib.Path:
  """A finished study of a data set whose names want to be markup."""
  root = tmp_path_factory.mktemp('hostile')
  shutil.copytree(kaggle.annotations, root / 'annotations')
  for path in (root / 'annotations').glob('*_map.json'):
    text = path.read_text()
    for plain, name in (
      ('color', TAG),
      ('red', TAG),
      ('blue', 'سماء\n🧥{{1}}'),
    ):
      text = text.replace(f'{plain}"', json.dumps(name)[1:])
    path.write_text(text)
  given = configs.Build(
    annotations=str(root / 'annotations'),
    images=str(kaggle.images),
    data_dir=str(root / 'built'),
  )
  with contextlib.redirect_stdout(io.StringIO()):
    build.main(given)
  return _run_study(given.data_dir, root / 'study', f'apparel;apparel,{TAG}')


@pytest.fixture(scope='module')
def browser():
  if CHROMIUM is None:
    pytest.skip('needs chromium on the PATH')
  from playwright import sync_api

  with sync_api.sync_playwright() as playwright:
    opened = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
    yield opened
    opened.close()


@contextlib.contextmanager
def _opened(browser, path: pathlib.Path, width: int, scheme: str):
  """The page; fails on an error or a request."""
  context = browser.new_context(
    viewport={'width': width, 'height': 900}, color_scheme=scheme
  )
  page, faults = context.new_page(), []
  page.on('console', lambda m: m.type != 'log' and faults.append(m.text))
  page.on('pageerror', lambda error: faults.append(str(error)))
  page.on(
    'request',
    lambda r: (
      r.url.startswith(('data:', 'blob:', 'file:')) or faults.append(r.url)
    ),
  )
  page.goto(path.resolve().as_uri())
  yield page
  assert not faults
  context.close()


@pytest.mark.parametrize(('width', 'scheme'), [(1300, 'light'), (390, 'dark')])
def test_the_page_opens_without_error_or_request(browser, study, width, scheme):
  with _opened(browser, study / 'report.html', width, scheme) as page:
    # Of each comparison two curves, a forest plot, and the affinities.
    assert page.locator('.charts svg.marks').count() == 6
    assert not page.locator('script').count()
    # Nothing but its own tables and charts scrolls sideways.
    scroll = 'document.documentElement.scrollWidth'
    assert page.evaluate(scroll) <= width
    images = page.locator('img')
    assert images.count()
    for image in images.all():
      assert image.get_attribute('alt')
    for chart in page.locator('.charts svg.marks').all():
      assert chart.locator('title').count()
    text = page.locator('body').inner_text()
    assert '−' in text
    assert not re.search(r'(?<![\w.])-\d', text)  # a hyphen is no minus
    assert '0.0000' not in text  # no p is 0
    # What was found is on the screen, without scrolling.
    highlighted = page.locator('#comparison-table td.finding + td').first
    box = highlighted.bounding_box()
    assert box['x'] + box['width'] <= width


def test_closed_sections_are_printed(browser, study):
  with _opened(browser, study / 'report.html', 1300, 'light') as page:
    last = page.locator('details:not([open]) .matrix').last
    assert not last.is_visible()
    page.emulate_media(media='print')
    assert last.is_visible()


def test_the_tables_have_the_numbers_of_study_json(browser, study):
  content = json.loads((study / 'study.json').read_text())
  with _opened(browser, study / 'report.html', 1300, 'light') as page:
    assert page.locator('#verdict').inner_text() == ' '.join(content['verdict'])
    rows = page.locator('#comparison-table tbody tr:has(td)')
    assert rows.count() == len(content['comparisons']) == 2
    for number, compared in enumerate(content['comparisons']):
      cells = rows.nth(number).locator('td').all_inner_texts()
      scores = compared['scores']
      assert cells[0] == ' + '.join(compared['tasks'][1:])
      assert cells[2].endswith(scores['accuracy']['verdict'])
      assert cells[3] == f'{scores["accuracy"]["p_holm"]:.4f}'
      for column, name in ((1, 'accuracy'), (4, 'loss'), (5, 'macro_f1')):
        cell = cells[column].replace('−', '-')
        said = [float(x) for x in re.findall(r'-?\d+\.\d+', cell)]
        wanted = [scores[name][part] for part in ('mean', 'low', 'high')]
        assert said == pytest.approx(wanted, abs=6e-4)
    rows = page.locator('#score-table tbody tr:has(td)')
    values = [
      scores for cell in content['cells'] for scores in cell['scores'].values()
    ]
    assert rows.count() == len(values) == 5
    for number, scores in enumerate(values):
      accuracy = rows.nth(number).locator('td').nth(2).inner_text()
      said = float(accuracy.split()[0])
      assert said == pytest.approx(scores['accuracy']['mean'], abs=6e-4)


def test_marks_have_their_numbers_as_titles(browser, study):
  """Which a browser shows when they are hovered."""
  folder = study / 'runs/public_3m'
  values = [
    json.loads(line)['validation']['apparel']['accuracy']
    for path in sorted(folder.glob('apparel/seed_*/metrics.jsonl'))
    for line in path.read_text().splitlines()[2:]
  ]
  (compared, _) = json.loads((study / 'study.json').read_text())['comparisons']
  with _opened(browser, study / 'report.html', 1300, 'light') as page:
    start = 'epoch 3, validation, apparel alone: mean accuracy '
    titles = page.locator('#chart-accuracy title').all_text_contents()
    (of_epoch, _) = [x for x in titles if x.startswith(start)]  # in two panels
    mean = float(of_epoch.removeprefix(start).split(',')[0])
    assert mean == pytest.approx(sum(values) / 2, abs=6e-5)
    titles = page.locator('#chart-differences title').all_text_contents()
    seeds = [x for x in titles if x.startswith('+ color, seed ')]
    points = [float(x.split(': ')[1].replace('−', '-')) for x in seeds]
    wanted = [100 * x for x in compared['scores']['accuracy']['values']]
    assert points == pytest.approx(wanted, abs=0.06)


def test_a_keyboard_reaches_tables_and_opens_details(browser, study):
  with _opened(browser, study / 'report.html', 390, 'light') as page:
    closed = page.locator('details:not([open]) > summary').first
    closed.focus()
    page.keyboard.press('Enter')
    assert page.locator('details[open]').count() >= 2
    region = page.locator('.wide[tabindex="0"]').first
    region.focus()
    focused = 'document.activeElement.getAttribute("role")'
    assert page.evaluate(focused) == 'region'


def test_the_page_of_a_run(browser, built, tmp_path):
  path = tmp_path / 'run <i>x'
  tiny.run(built, path, tasks=('apparel', 'color'), epochs=2, batch_size=16)
  with _opened(browser, path / 'report.html', 1300, 'light') as page:
    assert page.locator('h1').inner_text() == 'run <i>x'
    assert page.locator('.charts svg.marks').count() == 4
    assert page.locator('#score-table tbody tr').count() == 2
    assert not page.locator('#comparisons').count()


def test_names_from_data_stay_text(browser, hostile):
  with _opened(browser, hostile / 'report.html', 1300, 'light') as page:
    assert TAG in page.locator('#comparison-table').inner_text()
    assert page.locator('#affinity').inner_text()
    titles = page.locator('#chart-differences title').all_text_contents()
    assert any(TAG in title for title in titles)
    sources = [i.get_attribute('src') for i in page.locator('img').all()]
    assert sources and all(s.startswith('data:') for s in sources)


def test_control_characters_do_not_end_the_process():
  """As they do in vl_convert."""
  names = ['a', 'b\x00\ud800<']
  pair = {'model': 'm', 'tasks': names, 'pair': names}
  (chart,) = charts.affinity([pair | {'epochs': [1], 'cosine': [0.5]}])
  assert 'a · b\\x00\\ud800&lt; (m)' in charts.svg(chart)
