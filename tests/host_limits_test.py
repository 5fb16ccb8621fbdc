import asyncio

import pytest
from http_test import download_config

from imat_jax.data.downloading import host_limits, http


@pytest.mark.parametrize(
  'host, limit',
  [
    ('shop.example', 4),
    ('10.0.0.1', 4),
    ('localhost.example', 4),
    ('127.0.0.1', 64),
    ('127.9.9.9', 64),
    ('::1', 64),
    ('localhost', 64),
    ('shop.localhost', 64),
  ],
)
def test_limit_per_host(host, limit):
  assert host_limits.Hosts(download_config()).limit(host) == limit


def test_limit_of_this_machine_can_be_set():
  slots = host_limits.Hosts(download_config(per_host=2, per_loopback_host=7))
  assert slots.limit('localhost') == 7
  assert slots.limit('shop.example') == 2


@pytest.mark.parametrize(
  'url, host',
  [
    ('http://Shop.Example/a b.jpg', 'shop.example'),
    ('HTTPS://shop.example:8443/', 'shop.example'),
    ('http://[::1]:80/', '::1'),
  ],
)
def test_origin_of(url, host):
  assert host_limits.origin_of(url).host == host


async def try_once(hosts: host_limits.Hosts, url: str, error: str = '') -> str:
  """Asks a host that gives this error; returns what the caller sees."""
  try:
    async with hosts.hold(url, is_retry=False):
      if error:
        raise http.LinkError(error)
  except http.LinkError as raised:
    return raised.error
  return 'ok'


def ask(hosts: host_limits.Hosts, *errors: str, url='http://a/') -> list[str]:
  async def all_of_them():
    return [await try_once(hosts, url, error) for error in errors]

  return asyncio.run(all_of_them())


def test_a_dead_host_is_skipped():
  hosts = host_limits.Hosts(download_config())
  silent = ['timeout'] * host_limits.DEAD_AFTER
  assert ask(hosts, *silent, 'timeout', '') == [
    *silent,
    'dead_host',
    'dead_host',
  ]
  assert ask(hosts, '', url='http://a:81/') == ['ok'], 'another server'
  assert ask(hosts, '', url='http://b/') == ['ok']


@pytest.mark.parametrize('error', sorted(host_limits.NO_REPLY))
def test_any_reply_is_a_sign_of_life(error):
  hosts = host_limits.Hosts(download_config())
  nearly = [error] * (host_limits.DEAD_AFTER - 1)
  for sign in ('http_404', 'too_large', 'redirects', 'truncated', ''):
    assert ask(hosts, *nearly, sign)[-1] == (sign or 'ok')
  assert 'dead_host' in ask(hosts, *nearly, error, error)


def test_a_photo_that_is_none_is_a_sign_of_life():
  hosts = host_limits.Hosts(download_config())

  async def bad_picture():
    with pytest.raises(KeyError):
      async with hosts.hold('http://a/', is_retry=False):
        raise KeyError

  ask(hosts, *['refused'] * (host_limits.DEAD_AFTER - 1))
  asyncio.run(bad_picture())
  assert ask(hosts, *['refused'] * host_limits.DEAD_AFTER)[-1] == 'refused'


def test_retries_of_a_dead_host_continue():
  hosts = host_limits.Hosts(download_config())
  ask(hosts, *['refused'] * host_limits.DEAD_AFTER)

  async def again():
    async with hosts.hold('http://a/', is_retry=True):
      pass

  assert ask(hosts, '') == ['dead_host']
  asyncio.run(again())
  assert ask(hosts, '') == ['ok']


def test_a_host_that_is_forgiven_is_asked_again():
  hosts = host_limits.Hosts(download_config())
  assert ask(hosts, *['dns'] * host_limits.DEAD_AFTER, '')[-1] == 'dead_host'
  hosts.reset_dead_hosts()
  assert ask(hosts, '', 'dns', '') == ['ok', 'dns', 'ok']
