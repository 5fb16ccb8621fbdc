"""SSRF protection: links may lead to public internet addresses only.

Anyone may have registered the domain of a link of 2017 anew, and can point its
name, or a redirect, at a router, a cloud's metadata service or this machine. So
the address is checked when connecting: after the name is resolved, and for each
redirect.
"""

import errno
import ipaddress
import socket
from collections.abc import Callable

import yarl

# Not covered by `is_global`: Azure's metadata service, and ranges that early
# patch releases of Python 3.11 count as global.
_REFUSED = [
  ipaddress.ip_network('168.63.129.16/32'),
  ipaddress.ip_network('192.0.0.0/24'),
  ipaddress.ip_network('64:ff9b:1::/48'),
  ipaddress.ip_network('2001::/23'),
]
# IPv6 ranges that embed an IPv4 address, and its distance from the end in bits.
_EMBEDDING = (
  (ipaddress.ip_network('::ffff:0:0/96'), 0),  # mapped, RFC 4291
  (ipaddress.ip_network('64:ff9b::/96'), 0),  # NAT64, RFC 6052
  (ipaddress.ip_network('2002::/16'), 80),  # 6to4, RFC 3056
)


class PrivateAddressError(OSError):
  """A link leads to a non-public address."""

  def __init__(self):
    super().__init__(errno.EPERM, 'not a public internet address')


def is_public(address: str) -> bool:
  """Whether an IP address is public.

  Loopback, private, shared, link-local, reserved and multicast addresses are
  not (registries of RFC 6890), nor those of metadata services.
  """
  ip = ipaddress.ip_address(address.partition('%')[0])
  for network, from_end in _EMBEDDING:
    if ip in network:
      ip = ipaddress.IPv4Address(int(ip) >> from_end & 0xFFFF_FFFF)
  refused = ip.is_multicast or any(ip in network for network in _REFUSED)
  return ip.is_global and not refused


def guard(trusted_url: str) -> Callable[..., socket.socket]:
  """A socket factory for aiohttp that blocks non-public addresses.

  Args:
    trusted_url: empty, or a server that may be at any address.
  """
  trusted = _endpoints(trusted_url)

  def make(info: tuple) -> socket.socket:
    family, kind, protocol, _, (address, port, *_) = info
    if not is_public(address) and (address, port) not in trusted:
      raise PrivateAddressError
    return socket.socket(family, kind, protocol)

  return make


def _endpoints(url: str) -> set[tuple[str, int]]:
  try:
    parsed = yarl.URL(url)
    if not parsed.host:
      return set()
    infos = socket.getaddrinfo(parsed.host, parsed.port)
  except (OSError, ValueError):  # its links will then report the error
    return set()
  return {info[4][:2] for info in infos}
