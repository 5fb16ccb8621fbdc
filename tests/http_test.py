import datetime

import pytest

from imat_jax.data import configs, urls
from imat_jax.data.downloading import fetcher, http

NOW = datetime.datetime(2022, 6, 1, 12, 0, 0, tzinfo=datetime.UTC)


def download_config(**changes) -> configs.Download:
  return configs.Download(annotations='here', images='there', **changes)


@pytest.mark.parametrize(
  'value, seconds',
  [
    ('120', 120),
    ('0', 0),
    ('Wed, 01 Jun 2022 12:01:30 GMT', 90),
    ('Wednesday, 01-Jun-22 12:01:30 GMT', 90),
    ('Wed Jun  1 12:01:30 2022', 90),
    ('Wed, 01 Jun 2022 11:00:00 GMT', 0),
    ('', 0),
    ('-5', 0),
    ('soon', 0),
    ('Wed, 99 Jun 2022 12:01:30 GMT', 0),
  ],
)
def test_retry_after(value, seconds):
  assert http.retry_after(value, NOW) == seconds


def test_the_wait_doubles_with_jitter():
  for attempt, middle in enumerate([0.5, 1, 2, 4], start=1):
    waits = [
      fetcher.seconds_to_wait(attempt, 0, download_config()) for _ in range(200)
    ]
    assert middle / 2 <= min(waits) < middle < max(waits) <= middle * 1.5


def test_the_wait_is_at_least_what_the_server_asks_and_is_bounded():
  config = download_config(max_wait=20)
  assert fetcher.seconds_to_wait(1, 7, config) == 7
  assert fetcher.seconds_to_wait(1, float('inf'), config) == 20
  assert fetcher.seconds_to_wait(5000, 0, config) == 20


@pytest.mark.parametrize(
  'base, reference, meant',
  [
    ('http://a/x//y?q', 'z', 'http://a/x//z'),
    ('http://a/x/y?q', '?p=%2F', 'http://a/x/y?p=%2F'),
    ('http://a/x/y/z', '../w?', 'http://a/x/w?'),
    ('http://a', './z', 'http://a/z'),
    ('https://a/x', '//b/c', 'https://b/c'),
    ('http://u@a:81/x', '/v//w?', 'http://u@a:81/v//w?'),
    ('http://a/x', 'HTTPS://b/c', 'HTTPS://b/c'),
    ('http://a/x', '', 'http://a/x'),
  ],
)
def test_a_reference_is_joined_as_it_is_written(base, reference, meant):
  assert urls.joined(base, reference) == meant


@pytest.mark.parametrize(
  'text, is_link',
  [
    ('http://a/b', True),
    ('HTTPS://A', True),
    ('http:///b', False),
    ('http://', False),
    ('https:\\\\a', False),
    ('photos/http://a', False),
    ('ftp://a/b', False),
  ],
)
def test_what_a_link_is(text, is_link):
  assert urls.is_link(text) == is_link
