import asyncio
import collections
import contextlib
import errno
import gzip
import hashlib
import io
import json
import os
import pathlib
import re
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import zlib

import pytest
from fault_server import FaultServer, Reply
from PIL import Image

from imat_jax import errors
from imat_jax.data import configs, download
from imat_jax.runtime import files

SHARED = pathlib.Path(__file__).resolve().parents[2] / 'shared'
KEYS = ['imageId', 'status', 'url', 'sha256']
KEYS += ['width', 'height', 'attempts', 'error']


def photo(width=24, height=16, seed=0, kind='JPEG') -> bytes:
  noise = hashlib.shake_256(bytes([seed])).digest(width * height * 3)
  body = io.BytesIO()
  Image.frombytes('RGB', (width, height), noise).save(body, kind)
  return body.getvalue()


def slow_gif() -> bytes:
  """A comment of a letter per block, which takes Pillow half a minute."""
  body = photo(kind='GIF')
  start = 13 + 3 * 2 ** ((body[10] & 7) + 1)  # behind the palette
  comment = b'!\xfe' + b'\1a' * 7_500_000 + b'\0'
  return body[:start] + comment + body[start:]


PHOTO = photo()
OK = Reply(PHOTO)
GONE = Reply(b'gone', 404)
BUSY = Reply(b'busy', 503)
HTML = Reply(b'<!DOCTYPE html><html>' + b'This picture has moved. ' * 400)


@pytest.fixture
def server():
  with FaultServer() as server:
    yield server


@contextlib.contextmanager
def no_photo_is_fine():
  """Allows jobs without a photo: most errors are of the only link."""
  try:
    yield
  except errors.UserError as error:
    if 'listed photos could be downloaded' not in str(error):
      raise


class Job:
  """A split `test` of some images, in its folder."""

  def __init__(self, folder: pathlib.Path):
    self.folder = folder
    self.photos = folder / 'images' / 'test'
    self.manifest = folder / 'images' / 'test.manifest.jsonl'
    self.flags = {'backoff': 0.01, 'allow_private_hosts': True}

  def list(self, links: dict[str, list[str]]) -> None:
    images = [{'imageId': key, 'url': urls} for key, urls in links.items()]
    text = json.dumps({'images': images})
    (self.folder / 'fgvc4_iMat.test.image.json').write_text(text)

  def run(self, **flags) -> dict[str, dict]:
    with no_photo_is_fine():
      download.main(self.config(**flags))
    return self.lines()

  def config(self, **flags) -> configs.Download:
    return configs.Download(
      annotations=str(self.folder),
      images=str(self.folder / 'images'),
      splits=('test',),
      **(self.flags | flags),
    )

  def lines(self) -> dict[str, dict]:
    lines = map(json.loads, self.manifest.read_text().splitlines())
    return {line['imageId']: line for line in lines}

  def stored(self) -> set[str]:
    return {path.name for path in self.photos.iterdir()}


@pytest.fixture
def job(tmp_path):
  return Job(tmp_path)


@pytest.fixture
def full_disk(monkeypatch):
  """Within `full_disk(name)` the file of this name finds no room."""
  write = files.write_bytes

  @contextlib.contextmanager
  def fail_at(name):
    def write_or_fail(path, content):
      if path.name == name:
        raise OSError(errno.ENOSPC, 'No space left on device')
      write(path, content)

    with monkeypatch.context() as patch:
      patch.setattr(files, 'write_bytes', write_or_fail)
      yield

  return fail_at


def fetch_one(job, *links, **flags):
  job.list({'1': list(links)})
  return job.run(**flags)['1']


def free_port() -> int:
  with socket.socket() as probe:
    probe.bind(('127.0.0.1', 0))
    return probe.getsockname()[1]


# One image


def test_a_photo_is_kept_as_it_came_with_its_line(job, server):
  body = photo(kind='PNG')
  link = server.add('/a', Reply(body, headers={'Content-Type': 'text/html'}))
  line = fetch_one(job, link)
  assert list(line) == KEYS
  assert (job.photos / '1.jpg').read_bytes() == body
  assert line == {
    'imageId': '1',
    'status': 'ok',
    'url': link,
    'sha256': hashlib.sha256(body).hexdigest(),
    'width': 24,
    'height': 16,
    'attempts': 1,
    'error': None,
  }


def test_links_are_tried_in_order_until_one_gives_a_photo(job, server):
  links = [
    server.add('/gone', GONE),
    server.add('/html', HTML),
    server.add('/good', OK),
    server.add('/never', OK),
  ]
  line = fetch_one(job, *links)
  assert server.asked == ['/gone', '/html', '/good']
  assert (line['url'], line['attempts']) == (links[2], 3)


def png(side, *chunks) -> bytes:
  """A PNG of this side (or so it says) with these chunks after the header."""
  size = struct.pack('>IIBBBBB', side, side, 8, 2, 0, 0, 0)
  framed = (
    struct.pack('>I', len(chunk) - 4)
    + chunk
    + struct.pack('>I', zlib.crc32(chunk))
    for chunk in (b'IHDR' + size, *chunks)
  )
  return b'\x89PNG\r\n\x1a\n' + b''.join(framed)


PIXELS = zlib.compress(hashlib.shake_256().digest(60 * 181))
TRUNCATED = Reply(PHOTO[: len(PHOTO) // 2], announced=len(PHOTO))
GZIP = {'Content-Encoding': 'gzip'}


@pytest.mark.parametrize(
  'reply, error, attempts',
  [
    (GONE, 'http_404', 1),
    (Reply(b'', 410), 'http_410', 1),
    (Reply(b'', 403), 'http_403', 1),
    (Reply(b'', 302), 'http_302', 1),
    (BUSY, 'http_5xx', 3),
    (Reply(b'', 500), 'http_5xx', 3),
    (Reply(b'', 429), 'http_429', 3),
    (HTML, 'not_an_image', 1),
    (Reply(b''), 'not_an_image', 1),
    (Reply(photo(kind='EPS')), 'not_an_image', 1),
    (TRUNCATED, 'truncated', 3),
    (Reply(PHOTO[:300]), 'truncated', 1),
    (Reply(PHOTO[:-100]), 'truncated', 1),
    (Reply(photo(kind='PNG')[:-100]), 'truncated', 1),
    (Reply(png(60, b'IDAT' + PIXELS[:99], b'\xff' * 9)), 'truncated', 1),
    (Reply(png(60, b'IDAT' + PIXELS[:99], b'IEND')), 'damaged', 1),
    (Reply(photo(kind='GIF')[:-9]), 'truncated', 1),
    (Reply(photo(kind='WEBP')[:-9]), 'truncated', 1),
    (Reply(photo(1, 1)), 'too_small', 1),
    (Reply(photo(300, 7)), 'too_small', 1),
    (Reply(PHOTO, announced=10**9), 'too_large', 1),
    (Reply(b'x' * 200_000, announced=-1), 'too_large', 1),
    (Reply(png(10_000, b'IDAT')), 'too_large', 1),
    (Reply(png(60_000, b'IDAT')), 'too_large', 1),
    (Reply(gzip.compress(bytes(10**7)), 200, GZIP), 'too_large', 1),
    (Reply(PHOTO, delay=0.5), 'timeout', 3),
    (Reply(PHOTO, drip=0.05), 'timeout', 3),
    (Reply(raw=b''), 'connection', 3),
    (Reply(raw=b'SSH-2.0-OpenSSH_9.6\r\n'), 'connection', 3),
    (Reply(b'not gzip', 200, GZIP), 'truncated', 3),
    (Reply(b'', 301, {'Location': '/a'}), 'redirects', 1),
    (Reply(b'', 301, {'Location': 'ftp://127.0.0.1/a'}), 'bad_url', 1),
    (Reply(b'', 301, {'Location': 'http://[oops'}), 'bad_url', 1),
  ],
)
def test_error_class(job, server, reply, error, attempts):
  line = fetch_one(
    job,
    server.add('/a', reply),
    retries=2,
    read_timeout=0.1,
    total_timeout=0.3,
    max_bytes=100_000,
  )
  assert (line['status'], line['error']) == ('failed', error)
  assert line['attempts'] == attempts
  assert line['url'] == server.url + '/a'
  assert line['sha256'] is line['width'] is line['height'] is None
  assert not job.stored()


def test_a_photo_that_keeps_its_decoder_busy(job, server):
  started = time.monotonic()
  line = fetch_one(job, server.add('/a', Reply(slow_gif())))
  assert (line['error'], line['attempts']) == ('too_slow', 1)
  assert time.monotonic() - started < 20
  server.asked.clear()
  job.run()
  assert not server.asked, 'once is enough'


@pytest.mark.parametrize(
  'link',
  ['', 'shop/1.jpg', 'ftp://a/b', 'file:///etc/hosts', 'http:///a', '//a/b']
  + ['http://[::1', 'http://a:99999/', 'data:image/png;base64,iVBORw0KGgo='],
)
def test_only_web_links_are_tried(job, link):
  line = fetch_one(job, link)
  assert (line['error'], line['attempts']) == ('bad_url', 0)


def test_refused(job):
  line = fetch_one(job, f'http://127.0.0.1:{free_port()}/a', retries=1)
  assert (line['error'], line['attempts']) == ('refused', 2)


@pytest.mark.parametrize(
  'code, attempts', [(socket.EAI_NONAME, 1), (socket.EAI_AGAIN, 3)]
)
def test_dns(job, monkeypatch, code, attempts):
  def fail(*args, **kwargs):
    raise socket.gaierror(code, 'no such name')

  monkeypatch.setattr(socket, 'getaddrinfo', fail)
  line = fetch_one(job, 'http://shop.invalid/a', retries=2)
  assert (line['error'], line['attempts']) == ('dns', attempts)


def test_connect_timeout_holds_for_the_name_too(job, monkeypatch):
  monkeypatch.setattr(socket, 'getaddrinfo', lambda *a, **k: time.sleep(0.5))
  started = time.monotonic()
  line = fetch_one(job, 'http://slow.invalid/', connect_timeout=0.1, retries=0)
  assert line['error'] == 'timeout'
  assert time.monotonic() - started < 2


def test_many_dead_names_are_looked_up_at_once(job, monkeypatch):
  together = threading.Barrier(40)

  def fail(*args, **kwargs):
    together.wait(timeout=5)
    raise socket.gaierror(socket.EAI_NONAME, 'no such name')

  monkeypatch.setattr(socket, 'getaddrinfo', fail)
  job.list({str(n): [f'http://{n}.invalid/'] for n in range(40)})
  assert {line['error'] for line in job.run().values()} == {'dns'}
  assert not together.broken


def test_read_timeout(job, server):
  link = server.add('/a', Reply(PHOTO, delay=0.5))
  line = fetch_one(job, link, read_timeout=0.1, retries=0)
  assert line['error'] == 'timeout'


def test_a_duplicate_link_is_tried_once(job, server):
  link = server.add('/a', GONE)
  assert fetch_one(job, link, link)['attempts'] == 1


def test_tls(job, server):
  link = server.add('/a', OK).replace('http:', 'https:')
  assert fetch_one(job, link)['error'] == 'tls'


def test_five_redirects_are_followed(job, server):
  hops = [Reply(b'', 302, {'Location': f'/{n + 1}'}) for n in range(5)]
  for number, hop in enumerate(hops):
    server.add(f'/{number}', hop)
  server.add('/5', OK)
  assert fetch_one(job, server.url + '/0')['status'] == 'ok'
  assert len(server.asked) == 6


PRIVATE = ['127.0.0.1', 'localhost', '[::ffff:127.0.0.1]', '2130706433']


@pytest.mark.parametrize('host', PRIVATE)
def test_no_link_leads_into_this_network(job, server, host):
  link = server.add('/a', OK).replace('127.0.0.1', host)
  line = fetch_one(job, link, allow_private_hosts=False, retries=3)
  assert line['error'] in ('private_address', 'bad_url', 'dns')
  assert not server.asked
  assert fetch_one(job, server.url + '/a')['status'] == 'ok', 'once allowed'


def test_a_redirect_is_checked_as_a_link_is(job, server):
  """The named server may be private; where it leads to may not."""
  with FaultServer() as inside:
    secret = inside.add('/metadata', OK)
    server.add('/a', Reply(b'', 302, {'Location': secret}))
    line = fetch_one(
      job,
      'http://shop.example/a',
      allow_private_hosts=False,
      url_prefix=f'http://shop.example={server.url}',
    )
    assert line['error'] == 'private_address'
    assert server.asked == ['/a'] and not inside.asked


def test_a_dead_host_costs_a_few_time_outs(job, server):
  links = {
    str(n): [server.add(f'/{n}', Reply(PHOTO, delay=9))] for n in range(200)
  }
  with FaultServer() as other:
    links['good'] = [server.url + '/0', other.add('/good', OK)]
    job.list(links)
    lines = job.run(read_timeout=0.2, per_loopback_host=4, max_wait=60)
  assert lines['good']['status'] == 'ok'
  errors = collections.Counter(line['error'] for line in lines.values())
  assert len(server.asked) < 100
  assert errors['dead_host'] > 160
  server.replies = {path: [OK] for path in server.replies}
  assert {line['status'] for line in job.run().values()} == {'ok'}


def test_a_host_that_wakes_up_loses_nothing(job, server):
  """No replies at first, as of a restarting server; others continue."""
  links = {str(n): [server.add(f'/{n}', OK)] for n in range(50)}
  with FaultServer() as other:
    sleepy = [Reply(raw=b'')] * 20 + [OK]
    for n in range(50):
      links[f'other {n}'] = [other.add('/one', *sleepy)]
    job.list(links)
    lines = job.run(retries=0, concurrency=4)
  errors = collections.Counter(line['error'] for line in lines.values())
  assert errors.keys() == {None, 'connection'}
  assert errors['connection'] <= 20


def test_no_link(job):
  assert fetch_one(job)['error'] == 'no_link'


@pytest.mark.parametrize(
  'image_id',
  ['', '.', '..', '.hidden', '../1', '/etc/1', 'a\\b', 'a\0b', 'a\nb', 'C:1']
  + ['NUL', 'con.1', 'Com1', 'x' * 300]
  + ['x' * 201, 'é' * 101, '\ud800'],
)
def test_an_id_that_could_leave_the_folder_is_refused(job, server, image_id):
  job.list({image_id: [server.add('/a', OK)], 'good': [server.url + '/a']})
  lines = job.run()
  assert lines[image_id]['error'] == 'bad_id'
  assert server.asked == ['/a']
  assert job.stored() == {'good.jpg'}


@pytest.mark.parametrize('image_id', ['a=b', 'x' * 200, 'Größe 7', 'a..b'])
def test_an_odd_id_that_is_safe_is_fetched(job, server, image_id):
  job.list({image_id: [server.add('/a', OK)]})
  assert job.run()[image_id]['status'] == 'ok'
  assert job.stored() == {f'{image_id}.jpg'}


def test_the_error_is_that_of_the_last_link_that_could_still_come(job, server):
  busy, gone, html = (
    server.add('/busy', BUSY),
    server.add('/gone', GONE),
    server.add('/html', HTML),
  )
  job.list({'a': [busy, gone], 'b': [gone, html], 'c': [html, gone]})
  lines = job.run(retries=1)
  told = {key: (line['error'], line['url']) for key, line in lines.items()}
  assert told == {
    'a': ('http_5xx', busy),
    'b': ('not_an_image', html),
    'c': ('http_404', gone),
  }
  assert lines['a']['attempts'] == 3


# Links as they are written, replies as browsers take them

TARGETS = [
  '/thumbor/http%3A%2F%2Fcdn.example%2Fa.jpg',
  '/i/dress%281%29%2Cred.jpg',
  '/p.jpg?Credential=me%40x.iam%2F2021&Signature=qZ0A%2BPg%3D',
  '/fit//a/../b.jpg?',
  '/a.jpg?q=a+b|c"{}&&',
  '/%7Eshop/%e4.jpg?%zz=%',
]


@pytest.mark.parametrize('target', TARGETS)
def test_a_link_is_sent_as_it_is_written(job, server, target):
  """To signatures and proxies %2F is not /; so is what a redirect leads to."""
  link = server.add(target, OK)
  assert fetch_one(job, link)['status'] == 'ok'
  assert server.asked == [target]
  for location in (target, link):
    server.asked.clear()
    hop = server.add('/a', Reply(b'', 302, {'Location': location}))
    (job.photos / '1.jpg').unlink()
    assert fetch_one(job, hop)['status'] == 'ok'
    assert server.asked == ['/a', target]


@pytest.mark.parametrize(
  'written, sent',
  [
    ('/a b.jpg', '/a%20b.jpg'),
    ('/é.jpg?ü=ß', '/%C3%A9.jpg?%C3%BC=%C3%9F'),
    ('/a.jpg#b', '/a.jpg'),
    ('?a=1', '/?a=1'),
    ('', '/'),
    ('/a\r\nX: y', '/a%0D%0AX:%20y'),
  ],
)
def test_what_a_request_cannot_hold_is_quoted(job, server, written, sent):
  server.add(sent, OK)
  assert fetch_one(job, server.url + written)['status'] == 'ok'
  assert server.asked == [sent]


def test_a_scheme_in_capitals_is_one(job, server):
  link = server.add('/a', OK).replace('http', 'HTTP')
  assert fetch_one(job, link)['status'] == 'ok'


def raw(*headers: str, body: bytes = PHOTO) -> Reply:
  head = '\r\n'.join(['HTTP/1.1 200 OK', *headers, '', ''])
  return Reply(raw=head.encode() + body)


LENGTH = f'Content-Length: {len(PHOTO)}'
CHUNKED = b'%x\r\n%s\r\n0\r\n\r\n' % (len(PHOTO), PHOTO)


@pytest.mark.parametrize(
  'reply',
  [
    raw('Content-Security-Policy: img-src ' + 'https://a ' * 20_000, LENGTH),
    raw(*(f'Set-Cookie: {n}={"x" * 90}' for n in range(300)), LENGTH),
    raw(LENGTH, 'Server: a', LENGTH.lower()),
    raw(f'{LENGTH}, {len(PHOTO)}'),
    raw('Transfer-Encoding: chunked', LENGTH, body=CHUNKED),
    raw('Content-Length: 7', 'Transfer-Encoding: chunked', body=CHUNKED),
    Reply(raw=b'HTTP/1.1 103 Hints\r\n\r\n' + raw(LENGTH, LENGTH).raw),
    Reply(raw=b'HTTP/1.1 200 OK\nServer: a\n\n' + PHOTO),
  ],
  ids=['long', 'many', 'twice', 'list', 'chunked', 'lie', 'early', 'lines'],
)
def test_heads_that_browsers_take(job, server, reply):
  assert fetch_one(job, server.add('/a', reply), retries=0)['error'] is None


def test_lengths_that_differ_are_refused(job, server):
  link = server.add('/a', raw(LENGTH, 'Content-Length: 7'))
  assert fetch_one(job, link, retries=0)['error'] == 'connection'


# Retries


def test_retry_after_is_honoured(job, server):
  asked = {'Retry-After': '1'}
  link = server.add('/a', Reply(b'', 429, asked), OK)
  started = time.monotonic()
  line = fetch_one(job, link)
  assert (line['status'], line['attempts']) == ('ok', 2)
  assert time.monotonic() - started >= 1


@pytest.mark.parametrize('failure', [BUSY, TRUNCATED, Reply(raw=b'HTP')])
def test_a_transient_error_costs_no_photo(job, server, failure):
  line = fetch_one(job, server.add('/a', failure, OK))
  assert (line['status'], line['attempts']) == ('ok', 2)


# Many images


def numbered(server, count, reply=OK):
  links = {str(n): [server.add(f'/{n}', reply)] for n in range(count)}
  return links


def test_the_manifest_has_the_order_of_the_file(job, server):
  links = numbered(server, 12)
  server.add('/0', Reply(PHOTO, delay=0.2))
  job.list(links)
  assert list(job.run()) == list(links)


@pytest.mark.parametrize(
  'flags, most',
  [
    ({'per_host': 2}, 16),  # not of this machine
    ({'per_loopback_host': 2}, 2),
    ({'concurrency': 3}, 3),
  ],
)
def test_how_many_links_are_asked_at_once(job, server, flags, most):
  job.list(numbered(server, 16, Reply(PHOTO, delay=most / 20)))
  job.run(**flags)
  assert set(server.busiest.values()) == {most}


def test_a_slow_host_does_not_hold_up_the_others(job, server):
  slow = f'localhost:{server.server_port}'
  links = {}
  for number in range(10):
    server.add(f'/slow/{number}', Reply(PHOTO, delay=0.1))
    links[f's{number}'] = [f'http://{slow}/slow/{number}']
  for number in range(16):
    links[f'f{number}'] = [server.add(f'/fast/{number}', OK)]
  job.list(links)
  job.run(concurrency=4, per_loopback_host=2)
  last_fast = max(n for n, p in enumerate(server.asked) if '/fast/' in p)
  assert sum('/slow/' in path for path in server.asked[:last_fast]) <= 6
  assert len(job.stored()) == 26


@pytest.mark.parametrize('new', ['/', '/fetch?url='])  # split at the first =
def test_url_prefix(job, server, new):
  link = server.add(f'{new}a?size=2', OK)
  rule = f'http://old.invalid/={server.url}{new}'
  line = fetch_one(job, 'http://old.invalid/a?size=2', url_prefix=rule)
  assert (line['status'], line['url']) == ('ok', link)


def test_the_summary_counts_by_error_class(job, server, capsys):
  links = numbered(server, 3)
  links |= {'a': [server.add('/a', GONE)], 'b': [server.add('/b', HTML)]}
  job.list(links)
  job.run()
  job.run()
  first, second = capsys.readouterr().out.split('photos')[1:]
  rows = dict(line.rsplit(maxsplit=1) for line in second.splitlines()[3:9])
  assert re.search(r'new +3', first)
  assert {name.strip(): int(count) for name, count in rows.items()} == {
    'ok': 3,
    'already there': 3,
    'new': 0,
    'failed': 2,
    'http_404': 1,
    'not_an_image': 1,
  }


# Run again


def test_run_again_it_asks_only_for_what_could_still_come(job, server):
  links = numbered(server, 3)
  links |= {'gone': [server.add('/gone', GONE)]}
  links |= {'busy': [server.add('/busy', BUSY)]}
  job.list(links)
  job.run(retries=1)
  server.asked.clear()
  before = job.manifest.read_bytes()
  lines = job.run(retries=1)
  assert server.asked == ['/busy'] * 2
  assert lines['busy']['attempts'] == 4
  assert job.manifest.read_bytes() == before.replace(
    b'"attempts": 2, "error": "http_5xx"', b'"attempts": 4, "error": "http_5xx"'
  )
  server.add('/busy', OK)
  assert job.run()['busy']['status'] == 'ok'


def test_a_permanent_failure_is_kept_only_for_its_links(job, server):
  link = server.add('/gone', GONE)
  job.list({'1': [link]})
  job.run()
  job.list({'1': [link, server.add('/better', OK)]})
  server.asked.clear()
  assert job.run()['1']['status'] == 'failed' and not server.asked
  job.list({'1': [server.url + '/better']})
  assert job.run()['1']['status'] == 'ok'


def test_a_line_without_its_photo_is_fetched_again(job, server):
  job.list(numbered(server, 3))
  job.run()
  (job.photos / '1.jpg').unlink()
  (job.photos / '2.jpg').write_bytes(PHOTO[:100])
  server.asked.clear()
  lines = job.run()
  assert sorted(server.asked) == ['/1', '/2']
  assert (job.photos / '2.jpg').read_bytes() == PHOTO
  assert lines['1']['attempts'] == 2


def test_a_lost_manifest_does_not_lose_the_photos(job, server):
  job.list(numbered(server, 3))
  job.run()
  job.manifest.unlink()
  (job.photos / '2.jpg').write_bytes(PHOTO[:100])
  server.asked.clear()
  lines = job.run()
  assert server.asked == ['/2']
  remaining = dict(url=None, attempts=0, width=24, status='ok')
  assert remaining.items() <= lines['0'].items()
  assert lines['0']['sha256'] == hashlib.sha256(PHOTO).hexdigest()


@pytest.mark.parametrize(
  'damage',
  [b'{"imageId": "2", "sta', b'{}', b'[1]', b'\xff\xfe', b'null\n', b'7\n\n']
  + [json.dumps(dict.fromkeys(KEYS, [])).encode()]
  + [json.dumps(dict.fromkeys(KEYS, '2') | {'error': []}).encode()],
)
def test_a_torn_line_is_ignored(job, server, damage):
  job.list(numbered(server, 3))
  job.run()
  whole = job.manifest.read_bytes()
  remaining = whole.splitlines(keepends=True)[:2]
  job.manifest.write_bytes(b''.join(remaining) + damage)
  (job.photos / '2.jpg').unlink()
  server.asked.clear()
  job.run()
  assert server.asked == ['/2']
  assert job.manifest.read_bytes() == whole


def test_nothing_is_appended_to_a_torn_line(job, server, full_disk):
  job.list(numbered(server, 9))
  job.manifest.parent.mkdir()
  job.manifest.write_text('{"imageId": "3", "sta')
  with full_disk('5.jpg'), pytest.raises(errors.UserError):
    job.run(concurrency=1)
  lines = job.run()
  assert [line['url'] for line in lines.values()] == [
    f'{server.url}/{n}' for n in range(9)
  ]


def test_what_a_killed_run_was_writing_is_removed(job, server, monkeypatch):
  job.list(numbered(server, 1))
  replace = os.replace

  def die_at_a_photo(source, target):
    if target.suffix == '.jpg':
      raise OSError(errno.EIO, 'killed')
    replace(source, target)

  with monkeypatch.context() as patch:
    patch.setattr(os, 'replace', die_at_a_photo)
    patch.setattr(os, 'unlink', lambda path: None)
    with pytest.raises(errors.UserError):
      job.run()
  assert len(job.stored()) == 1
  job.run()
  assert job.stored() == {'0.jpg'}


# Whose photo it is

OTHER = photo(seed=1)


def test_a_corrected_link_is_fetched_again(job, server):
  """Also where it is dead: the former photo may show anything."""
  fetch_one(job, server.add('/a', OK))
  line = fetch_one(job, server.add('/b', Reply(OTHER)))
  assert line['url'] == f'{server.url}/b'
  assert (job.photos / '1.jpg').read_bytes() == OTHER
  assert fetch_one(job, server.add('/gone', GONE))['error'] == 'http_404'
  assert not job.stored()


def test_a_photo_stays_while_one_of_its_links_does(job, server):
  fetch_one(job, server.add('/a', OK))
  fetch_one(job, server.add('/new', Reply(OTHER)), server.url + '/a')
  assert server.asked == ['/a']


def test_links_that_change_their_images_take_the_photos_along(job, server):
  links = [server.add('/0', OK), server.add('/1', Reply(OTHER))]
  job.list(dict(zip('ab', [[x] for x in links], strict=True)))
  job.run()
  job.list(dict(zip('ba', [[x] for x in links], strict=True)))
  job.run()
  assert (job.photos / 'a.jpg').read_bytes() == OTHER
  assert (job.photos / 'b.jpg').read_bytes() == PHOTO


def test_another_prefix_for_the_same_link_fetches_nothing(job, server):
  link, rule = 'http://old.invalid/a', f'http://old.invalid={server.url}'
  server.add('/a', OK)
  first = fetch_one(job, link, url_prefix=rule)
  for other in ('', 'http://old.invalid=http://mirror.invalid', rule):
    assert fetch_one(job, link, url_prefix=other) == first
  assert server.asked == ['/a']
  line = fetch_one(job, 'http://new.invalid/a', retries=0)
  assert line['error'] == 'dns', 'the same path on another host'


def test_a_row_that_comes_back_is_not_fetched_again(job, server):
  links = numbered(server, 2)
  job.list(links)
  first = job.run()
  job.list({'0': links['0']})
  assert job.run() == first, 'the manifest knows whose file it is'
  job.list(links)
  assert job.run() == first
  assert sorted(server.asked) == ['/0', '/1']


def test_a_photo_of_a_file_needs_no_link(job, server):
  """`own` puts it there with its line."""
  line = dict.fromkeys(KEYS, None) | {'imageId': '1', 'status': 'ok'}
  line |= {'sha256': hashlib.sha256(PHOTO).hexdigest(), 'attempts': 0}
  job.photos.mkdir(parents=True)
  (job.photos / '1.jpg').write_bytes(PHOTO)
  job.manifest.write_text(json.dumps(line) + '\n')
  job.list({'1': []})
  assert job.run() == {'1': line}


@pytest.mark.parametrize('body', [b'my notes', b'<svg/>', png(60_000, b'IDAT')])
def test_a_file_of_the_user_is_never_overwritten(job, server, body):
  job.photos.mkdir(parents=True)
  (job.photos / '1.jpg').write_bytes(body)
  job.list({'1': [server.add('/a', OK)]})
  with pytest.raises(errors.UserError, match=r'test/1\.jpg: .*move it away$'):
    job.run()
  assert (job.photos / '1.jpg').read_bytes() == body and not server.asked


def test_two_downloads_of_a_split_do_not_meet(job, server):
  job.list({'1': [server.add('/a', Reply(PHOTO, delay=2))]})
  first = threading.Thread(target=job.run)
  first.start()
  wait_until(lambda: server.asked)
  with pytest.raises(errors.UserError, match='locked by another process'):
    job.run()
  first.join()
  assert server.asked == ['/a'] and job.lines()['1']['status'] == 'ok'


# Killed


@pytest.mark.parametrize('sign', [signal.SIGKILL, signal.SIGINT])
def test_killed_and_resumed_equals_uninterrupted(job, server, sign):
  # Slow enough to be at work for seconds after the twelfth photo.
  job.list(numbered(server, 60, Reply(PHOTO, delay=0.4)))
  # Tests in the background of a shell ignore SIGINT, and so would the process.
  before = signal.signal(signal.SIGINT, signal.default_int_handler)
  process = subprocess.Popen(
    [sys.executable, '-m', 'imat_jax.data.download', '--concurrency=4']
    + [f'--annotations={job.folder}', f'--images={job.folder}/images']
    + ['--splits=test', '--allow_private_hosts'],
    stderr=subprocess.PIPE,
    text=True,
  )
  signal.signal(signal.SIGINT, before)
  wait_until(lambda: len(list(job.photos.glob('[0-9]*'))) >= 12)
  process.send_signal(sign)
  output = process.communicate()[1]
  if sign == signal.SIGINT:
    assert process.returncode == 130
    assert output == 'imat_jax.data.download: interrupted\n'
  downloaded = {path.stem for path in job.photos.glob('[0-9]*')}
  assert 12 <= len(downloaded) < 60
  for path in job.photos.glob('[0-9]*'):
    assert path.read_bytes() == PHOTO
  numbered(server, 60)
  lines = job.run()
  times = collections.Counter(path.removeprefix('/') for path in server.asked)
  assert {times[image_id] for image_id in downloaded} == {1}
  assert job.stored() == {f'{n}.jpg' for n in range(60)}
  assert list(lines) == [str(n) for n in range(60)]
  assert {line['url'] for line in lines.values()} == {
    f'{server.url}/{n}' for n in range(60)
  }


def wait_until(condition, seconds=10):
  end = time.monotonic() + seconds
  while not condition():
    assert time.monotonic() < end
    time.sleep(0.01)


# The command


def test_a_full_disk_ends_it_with_one_line(job, server, full_disk):
  job.list(numbered(server, 40))
  with full_disk('7.jpg'), pytest.raises(errors.UserError) as error:
    job.run()
  output = f'{job.folder}/images: No space left on device; '
  assert str(error.value).startswith(output) and '\n' not in str(error.value)
  lines = job.run()
  assert {line['status'] for line in lines.values()} == {'ok'}
  assert len(job.stored()) == 40


@pytest.mark.parametrize(
  'links, message',
  [
    (
      {'1': ['http://127.0.0.1/a'], '2': ['http://10.0.0.1/a']},
      'private_address 2; .*--allow_private_hosts, or --url_prefix=OLD=NEW',
    ),
    ({'1': ['/a'], '2': ['/b'], '3': []}, 'bad_url 2, no_link 1; '),
    ({}, 'no images listed in test'),
  ],
)
def test_no_photo_is_an_error(job, capsys, links, message):
  job.list(links)
  with pytest.raises(errors.UserError, match=message) as error:
    download.main(job.config(allow_private_hosts=False))
  assert '\n' not in str(error.value)
  assert 'images' in capsys.readouterr().out, 'the summary is there, too'


def test_photos_of_an_earlier_start_are_enough(job, server):
  job.list({'1': [server.add('/a', OK)], '2': [server.add('/gone', GONE)]})
  download.main(job.config())
  download.main(job.config())


def test_in_a_notebook(job, server):
  """There an event loop is running."""
  job.list({'1': [server.add('/a', OK)]})

  async def cell():
    return job.run()

  assert asyncio.run(cell())['1']['status'] == 'ok'


def command(*arguments):
  return subprocess.run(
    [sys.executable, '-m', 'imat_jax.data.download', *arguments],
    capture_output=True,
    text=True,
  )


@pytest.mark.parametrize(
  'annotations, images, message',
  [
    ('absent', 'images', 'absent: no such folder'),
    ('.', 'file', 'file/test: Not a directory'),
  ],
)
def test_a_wrong_path_is_one_line(job, annotations, images, message):
  job.list({'1': []})
  (job.folder / 'file').write_text('')
  done = command(
    f'--annotations={job.folder / annotations}',
    f'--images={job.folder / images}',
    '--splits=test',
  )
  assert done.returncode == 1
  assert message in done.stderr and done.stderr.count('\n') == 1


def test_wrong_flags_and_help():
  assert command('--images=here').returncode == 2
  printed = command('--help')
  assert printed.returncode == 0
  assert '--per_host=4' in printed.stdout and 'truncated' in printed.stdout


@pytest.mark.skipif(not SHARED.exists(), reason='no ../shared with real photos')
def test_the_real_photos(tmp_path):
  source = SHARED / 'data' / 'clothing'
  script = SHARED / 'tools' / 'serve_clothing.py'
  web = subprocess.Popen(
    [sys.executable, '-u', script, '--port=0'],
    stdout=subprocess.PIPE,
    stderr=subprocess.DEVNULL,
    text=True,
  )
  arguments = [
    f'--annotations={source}',
    f'--images={tmp_path}',
    '--splits=validation',
    f'--url_prefix=http://127.0.0.1:8017={web.stdout.readline().strip()}',
    '--backoff=0.05',
  ]
  try:
    assert command(*arguments).returncode == 0
    first = (tmp_path / 'validation.manifest.jsonl').read_bytes()
    changed = times_of(tmp_path / 'validation')
  finally:
    web.kill()
    web.communicate()
  check_against_the_annotations(tmp_path, source)
  # The server is stopped: any request would now be 'refused'.
  assert command(*arguments).returncode == 0
  assert (tmp_path / 'validation.manifest.jsonl').read_bytes() == first
  assert times_of(tmp_path / 'validation') == changed


def times_of(folder):
  return {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}


def check_against_the_annotations(images, source):
  text = (source / 'fgvc4_iMat.validation.data.json').read_text()
  listed = json.loads(text)['images']
  text = (images / 'validation.manifest.jsonl').read_text()
  lines = list(map(json.loads, text.splitlines()))
  assert [i['imageId'] for i in listed] == [i['imageId'] for i in lines]
  classes = {'gone': 'http_404', 'html': 'not_an_image'}
  for image, line in zip(listed, lines, strict=True):
    kinds = [url.split('/')[3] for url in image['url']]
    name = f'{image["imageId"]}.jpg'
    stored = images / 'validation' / name
    if {'images', 'flaky'} & set(kinds):
      original = (source / 'images' / 'validation' / name).read_bytes()
      assert stored.read_bytes() == original
      assert line['sha256'] == hashlib.sha256(original).hexdigest()
    else:
      assert line['error'] == classes[kinds[-1]]
      assert not stored.exists()
