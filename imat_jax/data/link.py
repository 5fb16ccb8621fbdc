"""One link: the request, its limits, and in a word what went wrong."""

import datetime
import email.utils
import errno
import socket
import ssl

import aiohttp

from imat_jax import config
from imat_jax.data import addresses, manifest

MAX_REDIRECTS = 5
HEADERS = {
  'User-Agent': 'imat_jax (fetches a list of photos once, for research)',
  'Accept': 'image/jpeg,image/*;q=0.9,*/*;q=0.8',
  # Photos are compressed already, and sizes then mean what they say.
  'Accept-Encoding': 'identity',
}

# The first kind that fits names the error; `passing` ones are worth a retry.
_KINDS = (
  # kind, error class, passing
  (TimeoutError, 'timeout', True),
  (aiohttp.ClientConnectorDNSError, 'dns', False),
  ((aiohttp.ClientSSLError, ssl.SSLError), 'tls', False),
  (aiohttp.TooManyRedirects, 'redirects', False),
  ((aiohttp.NonHttpUrlClientError, ValueError), 'bad_url', False),
  (aiohttp.ClientPayloadError, 'truncated', True),
  (Exception, 'connection', True),
)


class LinkError(Exception):
  """A link gave no body.

  Attributes:
    error: the error class, as it stands in the manifest.
    passing: whether a further try soon may help.
    retry_after: seconds that the server asks to wait.
  """

  def __init__(self, error: str, passing: bool = False, retry_after=0.0):
    super().__init__(error)
    self.error, self.passing, self.retry_after = error, passing, retry_after


def open_session(config: config.Download) -> aiohttp.ClientSession:
  """A session with the time-outs of the config; `Hosts` bounds its use."""
  guard = None
  if not config.allow_private_hosts:
    guard = addresses.guard(config.url_prefix.partition('=')[2])
  return aiohttp.ClientSession(
    connector=aiohttp.TCPConnector(
      limit=0, ttl_dns_cache=300, socket_factory=guard
    ),
    cookie_jar=aiohttp.DummyCookieJar(),
    headers=HEADERS,
    timeout=aiohttp.ClientTimeout(
      total=config.total_timeout,
      connect=config.connect_timeout,
      sock_read=config.read_timeout,
    ),
  )


async def fetch(
  session: aiohttp.ClientSession, url: str, max_bytes: int
) -> bytes:
  """The body of the reply to one request (its redirects followed).

  Raises:
    LinkError: no whole body of at most `max_bytes` came.
  """
  try:
    # aiohttp gives up at the redirect of this number, not after it.
    async with session.get(url, max_redirects=MAX_REDIRECTS + 1) as response:
      _check_head(response, max_bytes)
      return await _read(response.content, max_bytes)
  except (aiohttp.ClientError, OSError, ValueError) as error:
    raise _classify(error) from error


def retry_after(value: str, now: datetime.datetime) -> float:
  """Seconds that a `Retry-After` asks for: a number or an HTTP date.

  What is neither asks for nothing (RFC 9110, section 10.2.3).
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
    raise _refusal(response)
  if (response.content_length or 0) > max_bytes:
    raise LinkError('too_large')


def _refusal(response: aiohttp.ClientResponse) -> LinkError:
  number = '5xx' if response.status >= 500 else response.status
  error = f'http_{number}'
  asked = response.headers.get('Retry-After', '')
  seconds = retry_after(asked, datetime.datetime.now(datetime.UTC))
  return LinkError(error, error in manifest.COULD_STILL_COME, seconds)


async def _read(stream: aiohttp.StreamReader, max_bytes: int) -> bytes:
  # The announced length may be missing or a lie; what counts is what comes.
  body = bytearray()
  async for chunk in stream.iter_any():
    body += chunk
    if len(body) > max_bytes:
      raise LinkError('too_large')
  return bytes(body)


def _classify(error: Exception) -> LinkError:
  cause = getattr(error, 'os_error', None)  # of what aiohttp wraps
  if isinstance(cause, addresses.PrivateAddressError):
    return LinkError('private_address')
  name, passing = next(n for kind, *n in _KINDS if isinstance(error, kind))
  code = error.errno if isinstance(error, OSError) else None
  if name == 'dns':
    return LinkError(name, passing=code == socket.EAI_AGAIN)
  if name == 'connection' and code == errno.ECONNREFUSED:
    return LinkError('refused', passing)
  return LinkError(name, passing)
