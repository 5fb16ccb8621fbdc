"""The page in a real browser: upload a photo, get labels and saliency maps."""

import io
import shutil
import sys

import pytest
from PIL import Image

from imat_jax import demo, errors, inference

CHROMIUM = shutil.which('chromium') or shutil.which('google-chrome')
MAX_BYTES = 200_000
MIN_SIDE = 8


@pytest.fixture(scope='module')
def predictor(trained) -> inference.Predictor:
  return inference.Predictor(trained, batch_size=1)


@pytest.fixture(scope='module')
def address(predictor):
  blocks = demo.page(predictor, MIN_SIDE)
  _, url, _ = blocks.launch(
    quiet=True,
    prevent_thread_lock=True,
    max_file_size=MAX_BYTES,
    share=False,
    ssr_mode=False,
  )
  yield url
  blocks.close()


@pytest.fixture
def browser_page(address):
  if not CHROMIUM:
    pytest.skip('needs chromium')
  from playwright import sync_api

  with sync_api.sync_playwright() as playwright:
    browser = playwright.chromium.launch(
      executable_path=CHROMIUM, args=['--no-sandbox', '--disable-gpu']
    )
    page = browser.new_page()
    page.asked = []
    page.on('request', lambda request: page.asked.append(request.url))
    page.goto(address)
    page.wait_for_selector('input[type=file]', state='attached')
    yield page
    browser.close()


def test_a_dropped_photo_is_labelled(browser_page, address, kaggle, predictor):
  path = str(kaggle.images / 'validation/3.jpg')
  browser_page.set_input_files('input[type=file]', path)
  browser_page.wait_for_selector('.output-class')
  headings = browser_page.locator('.output-class').all_inner_texts()
  (predictions,) = predictor.label([path])
  best = [
    predictions.best(predictor.task_set, name)[0][0]
    for name in predictor.task_set.names
  ]
  assert [heading.strip() for heading in headings] == best
  # The photo and a map of each task.
  pictures = browser_page.locator('img[src*="file="]')
  pictures.nth(2).wait_for()
  assert pictures.count() == 3
  # No other machine is asked for anything.
  asked = [url for url in browser_page.asked if url.startswith('http')]
  assert all(url.startswith(address) for url in asked)


@pytest.mark.parametrize(
  'body, message',
  [
    (b'<html>', 'Not a photo'),
    (b'\xff\xd8\xff' + bytes(99), 'This photo is incomplete'),
    (bytes(MAX_BYTES + 1), 'exceed the maximum'),
  ],
)
def test_a_file_that_is_not_a_photo_is_reported(
  browser_page, tmp_path, body, message
):
  path = tmp_path / 'photo.jpg'
  path.write_bytes(body)
  browser_page.set_input_files('input[type=file]', str(path))
  browser_page.get_by_text(message).first.wait_for()
  assert browser_page.locator('.output-class').count() == 0


def test_a_small_photo_is_refused(predictor, tmp_path):
  path = tmp_path / 'dot.png'
  Image.new('RGB', (7, 7)).save(path)
  with pytest.raises(errors.UserError, match='too small'):
    demo.look(predictor, str(path), MIN_SIDE)


def test_without_gradio_the_extra_is_named(trained, monkeypatch):
  monkeypatch.setitem(sys.modules, 'gradio', None)
  with pytest.raises(errors.UserError, match=r'imat_jax\[demo\]'):
    demo.main(demo.Demo(run=trained))


def test_a_photo_that_keeps_its_decoder_busy_is_reported(predictor, tmp_path):
  body = io.BytesIO()
  Image.new('RGB', (2000, 2000)).save(body, 'JPEG', progressive=True)
  body = body.getvalue()
  scan = body[body.rindex(b'\xff\xda') : -2]
  (tmp_path / 'a.jpg').write_bytes(body[:-2] + scan * 6000 + body[-2:])
  with pytest.raises(errors.UserError, match='takes too long'):
    demo.look(predictor, str(tmp_path / 'a.jpg'), MIN_SIDE)
