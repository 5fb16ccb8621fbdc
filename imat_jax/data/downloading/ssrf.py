"""Which addresses a link may lead to: those of the public internet alone.

A link of 2017 may have been registered anew by anyone, who can let its name, or
a redirect, point at a router, a metadata service of a cloud or this machine. So
it is the address that is checked, when the connection is made: after the name
is resolved, and for each redirect.
"""

import errno
import ipaddress
import socket
from collections.abc import Callable

import yarl

# Beside what `is_global` knows: Azure's service for its own machines, and
# ranges that the ipaddress of early patches of Python 3.11 counts as global.
_REFUSED = [
  ipaddress.ip_network(network)
  for network in (
    '168.63.129.16/32',
    '192.0.0.0/24',
    '64:ff9b:1::/48',
    '2001::/23',
  )
]
# Ranges of IPv6 that lead to an IPv4 address, and how far it is from the end.
_EMBEDDING = (
  (ipaddress.ip_network('::ffff:0:0/96'), 0),  # mapped, RFC 4291
  (ipaddress.ip_network('64:ff9b::/96'), 0),  # NAT64, RFC 6052
  (ipaddress.ip_network('2002::/16'), 80),  # 6to4, RFC 3056
)


class PrivateAddressError(OSError):
  """A link leads to an address that is not of the public internet."""

  def __init__(self):
    super().__init__(errno.EPERM, 'not an address of the public internet')


def is_public(address: str) -> bool:
  """Whether an IP address is one that anyone on the internet may call.

  Loopback, private, shared, link-local, reserved and multicast ones are not
  (the registries of RFC 6890), nor those of metadata services.
  """
  ip = ipaddress.ip_address(address.partition('%')[0])
  for network, from_end in _EMBEDDING:
    if ip in network:
      ip = ipaddress.IPv4Address(int(ip) >> from_end & 0xFFFF_FFFF)
  refused = ip.is_multicast or any(ip in network for network in _REFUSED)
  return ip.is_global and not refused


def guard(trusted_url: str) -> Callable[..., socket.socket]:
  """A socket factory for aiohttp that refuses what is not public.

  Args:
    trusted_url: the server that it names may be anywhere; or empty.
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
  except (OSError, ValueError):  # then its links will say what is wrong
    return set()
  return {info[4][:2] for info in infos}
