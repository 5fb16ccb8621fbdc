"""One HTTP request: limits, redirects, and the error class of a failure."""

import asyncio
import datetime
import email.utils
import errno
import functools
import re
import socket
import ssl

import aiohttp
import yarl
from aiohttp import client_proto

from imat_jax.data import configs, manifest, urls
from imat_jax.data.downloading import ssrf

MAX_REDIRECTS = 5
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
# Bytes of a header, as in browsers: policies and cookies are long.
_MAX_HEADER = 256 * 1024
_MAX_HEADERS = 1000
HEADERS = {
  'User-Agent': 'imat_jax (fetches a list of photos once, for research)',
  'Accept': 'image/jpeg,image/*;q=0.9,*/*;q=0.8',
  # Photos are compressed already, and Content-Length is then the photo's size.
  'Accept-Encoding': 'identity',
}

# The first exception that matches names the error.
_KINDS = (
  # exception, error class, transient
  (TimeoutError, 'timeout', True),
  (aiohttp.ClientConnectorDNSError, 'dns', False),
  ((aiohttp.ClientSSLError, ssl.SSLError), 'tls', False),
  ((aiohttp.NonHttpUrlClientError, ValueError), 'bad_url', False),
  (aiohttp.ClientPayloadError, 'truncated', True),
  (Exception, 'connection', True),
)


class LinkError(Exception):
  """A request failed.

  Attributes:
    error: the error class, as in the manifest.
    is_transient: whether a retry may help.
    retry_after: seconds that the server asks to wait.
  """

  def __init__(self, error: str, is_transient: bool = False, retry_after=0.0):
    super().__init__(error)
    self.error, self.is_transient = error, is_transient
    self.retry_after = retry_after


def open_session(config: configs.Download) -> aiohttp.ClientSession:
  """A session with the config's time-outs; `Hosts` limits the requests."""
  guard = None
  if not config.allow_private_hosts:
    guard = ssrf.guard(config.url_prefix.partition('=')[2])
  return aiohttp.ClientSession(
    connector=_Connector(limit=0, ttl_dns_cache=300, socket_factory=guard),
    cookie_jar=aiohttp.DummyCookieJar(),
    headers=HEADERS,
    timeout=aiohttp.ClientTimeout(
      total=config.total_timeout,
      connect=config.connect_timeout,
      sock_read=config.read_timeout,
    ),
    max_line_size=_MAX_HEADER,
    max_field_size=_MAX_HEADER,
    max_headers=_MAX_HEADERS,
  )


def to_url(text: str) -> yarl.URL:
  """A link that is sent verbatim, see `urls.parts`.

  Raises:
    ValueError: not a web link.
  """
  scheme, authority, target = urls.parts(text)
  # yarl accepts other spellings of a host, but rewrites paths, except one given
  # as encoded.
  host = yarl.URL(f'{scheme}://{authority}')
  return yarl.URL.build(
    scheme=scheme, authority=host.raw_authority, path=target, encoded=True
  )


async def fetch(
  session: aiohttp.ClientSession, url: str, max_bytes: int
) -> bytes:
  """The body of the response to one request, redirects followed.

  Raises:
    LinkError: no complete body of at most `max_bytes`.
  """
  try:
    async with asyncio.timeout(session.timeout.total):
      # aiohttp would rewrite the target of a redirect.
      for _ in range(MAX_REDIRECTS + 1):
        async with session.get(to_url(url), allow_redirects=False) as response:
          target = response.headers.get('Location', '')
          if response.status not in _REDIRECTS or not target:
            _check_head(response, max_bytes)
            return await _read(response.content, max_bytes)
        url = urls.joined(url, target)
  except (aiohttp.ClientError, OSError, ValueError) as error:
    raise _classify(error) from error
  raise LinkError('redirects')


def retry_after(value: str, now: datetime.datetime) -> float:
  """Seconds of a `Retry-After`: a number or an HTTP date, else 0.

  RFC 9110, section 10.2.3.
  """
  if value.isdecimal():
    return float(value)
  try:
    until = email.utils.parsedate_to_datetime(value)
    if until.tzinfo is None:
      until = until.replace(tzinfo=datetime.UTC)
    return max(0.0, (until - now).total_seconds())
  except (ValueError, TypeError, OverflowError):
    return 0.0


def _check_head(response: aiohttp.ClientResponse, max_bytes: int) -> None:
  if response.status != 200:
    number = '5xx' if response.status >= 500 else response.status
    error = f'http_{number}'
    asked = response.headers.get('Retry-After', '')
    seconds = retry_after(asked, datetime.datetime.now(datetime.UTC))
    raise LinkError(error, error in manifest.RETRYABLE, seconds)
  if (response.content_length or 0) > max_bytes:
    raise LinkError('too_large')


async def _read(stream: aiohttp.StreamReader, max_bytes: int) -> bytes:
  # Content-Length may be missing or wrong.
  body = bytearray()
  async for chunk in stream.iter_any():
    body += chunk
    if len(body) > max_bytes:
      raise LinkError('too_large')
  return bytes(body)


def _classify(error: Exception) -> LinkError:
  cause = getattr(error, 'os_error', None)  # wrapped by aiohttp
  if isinstance(cause, ssrf.PrivateAddressError):
    return LinkError('private_address')
  name, is_transient = next(n for kind, *n in _KINDS if isinstance(error, kind))
  code = error.errno if isinstance(error, OSError) else None
  if name == 'dns':
    return LinkError(name, is_transient=code == socket.EAI_AGAIN)
  if name == 'connection' and code == errno.ECONNREFUSED:
    return LinkError('refused', is_transient)
  return LinkError(name, is_transient)


class _Connector(aiohttp.TCPConnector):
  def __init__(self, **arguments):
    super().__init__(**arguments)
    # aiohttp has no public API for this.
    self._factory = functools.partial(_Reader, loop=self._loop)


class _Reader(client_proto.ResponseHandler):
  """Repairs response heads that browsers accept and aiohttp rejects."""

  _head: bytes | None = None  # received so far; None after its end

  def set_response_params(self, **parameters) -> None:
    """Before each request."""
    self._head = b''
    super().set_response_params(**parameters)

  def data_received(self, data: bytes) -> None:
    """Buffers the head until it is complete."""
    if self._head is None:
      super().data_received(data)
      return
    self._head += data
    is_http = self._head.startswith(b'HTTP/'[: len(self._head)])
    end = re.search(rb'\n\r?\n', self._head)
    if is_http and not end and len(self._head) < _MAX_HEADER:
      return
    data, self._head = self._head, None
    if not (is_http and end):
      super().data_received(data)
      return
    head, body = one_length(data[: end.end()]), data[end.end() :]
    if head.split(maxsplit=2)[1:2] < [b'2']:  # 1xx: the real one follows
      self._head = b''
    super().data_received(head)
    if body:
      self.data_received(body)


def one_length(head: bytes) -> bytes:
  """The head of a response with a single length.

  Removes a duplicate `Content-Length`, or one beside a `Transfer-Encoding`,
  which overrides it (RFC 9112, section 6.3). Different lengths are left.
  """
  lines = head.split(b'\n')
  names = [line.partition(b':')[0].strip().lower() for line in lines]
  lengths = {
    length.strip()
    for name, line in zip(names, lines, strict=True)
    for length in line.partition(b':')[2].split(b',')
    if name == b'content-length'
  }
  if len(lengths) != 1:
    return head
  pairs = zip(names, lines, strict=True)
  other_lines = [line for name, line in pairs if name != b'content-length']
  if b'transfer-encoding' not in names:
    other_lines.insert(1, b'Content-Length: ' + lengths.pop() + b'\r')
  return b'\n'.join(other_lines)
