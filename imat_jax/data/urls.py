"""What a link of the web is, and how it is written in a request."""

import re
import urllib.parse

_LINK = re.compile(
  r'(https?)://([^/?#\\\s]+)([^#]*)', re.IGNORECASE | re.DOTALL
)
_ABSOLUTE = re.compile(r'[a-z][a-z0-9+.-]*:', re.IGNORECASE)
# All of ASCII but blanks and control characters is sent as it is written.
_RAW = ''.join(map(chr, range(0x21, 0x7F)))


def is_link(text: str) -> bool:
  """Whether a text is a link: a scheme of the web, in any case, and a host."""
  return _LINK.match(text) is not None


def parts(text: str) -> tuple[str, str, str]:
  """Scheme, authority (host, port, user) and target of a link.

  The target is path and query as they are written, without the fragment. Only
  what a request cannot hold is quoted: blanks, controls, letters beyond ASCII.
  Signatures, proxies and image services tell `%2F` from `/`.

  Raises:
    ValueError: it is no link.
  """
  match = _LINK.match(text.strip())
  if not match:
    raise ValueError('not a link')
  scheme, authority, target = match.groups()
  # As the bytes that a header has, where it is no text.
  target = urllib.parse.quote(target, _RAW, errors='surrogateescape')
  slash = '' if target.startswith('/') else '/'
  return scheme.lower(), authority, slash + target


def with_prefix(text: str, rule: str) -> str:
  """The link by a rule OLD=NEW: what begins with OLD begins with NEW."""
  old, _, new = rule.partition('=')
  fits = old and text.startswith(old)
  return new + text.removeprefix(old) if fits else text


def joined(base: str, reference: str) -> str:
  """The link that a reference in the reply to `base` means, as it is written.

  urllib's urljoin leaves out empty segments and queries.
  """
  reference = reference.strip()
  if _ABSOLUTE.match(reference):
    return reference
  scheme, authority, target = parts(base)
  if reference.startswith('//'):
    return f'{scheme}:{reference}'
  path = target.partition('?')[0]
  if reference.startswith('/'):
    path = ''
  elif not reference.startswith(('?', '#')) and reference:
    path = path.rpartition('/')[0]
    while match := re.match(r'(\.\.?)(/|$)', reference):
      reference = reference[match.end() :]
      if match[1] == '..':
        path = path.rpartition('/')[0]
    path += '/'
  return f'{scheme}://{authority}{path}{reference}'
