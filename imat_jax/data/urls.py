"""Parses web links and writes them as a request needs them."""

import re
import urllib.parse

_LINK = re.compile(
  r'(https?)://([^/?#\\\s]+)([^#]*)', re.IGNORECASE | re.DOTALL
)
_ABSOLUTE = re.compile(r'[a-z][a-z0-9+.-]*:', re.IGNORECASE)
# ASCII other than blanks and control characters is sent verbatim.
_RAW = ''.join(map(chr, range(0x21, 0x7F)))


def is_link(text: str) -> bool:
  """Whether a text is a web link: http(s) in any case, and a host."""
  return _LINK.match(text) is not None


def parts(text: str) -> tuple[str, str, str]:
  """Scheme, authority (host, port, user) and target of a link.

  The target is path and query verbatim, without the fragment. Only blanks,
  controls and non-ASCII letters are quoted: signatures, proxies and image
  services distinguish `%2F` from `/`.

  Raises:
    ValueError: not a link.
  """
  match = _LINK.match(text.strip())
  if not match:
    raise ValueError('not a link')
  scheme, authority, target = match.groups()
  # A header that is not valid text keeps its bytes.
  target = urllib.parse.quote(target, _RAW, errors='surrogateescape')
  slash = '' if target.startswith('/') else '/'
  return scheme.lower(), authority, slash + target


def with_prefix(text: str, rule: str) -> str:
  """Applies a rule OLD=NEW: a link's prefix OLD becomes NEW."""
  old, _, new = rule.partition('=')
  fits = old and text.startswith(old)
  return new + text.removeprefix(old) if fits else text


def joined(base: str, reference: str) -> str:
  """Resolves a reference against `base`, verbatim.

  urllib's urljoin drops empty segments and queries.
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
