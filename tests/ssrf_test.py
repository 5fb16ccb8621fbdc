import socket

import pytest

from imat_jax.data.downloading import ssrf

# From the registries of special addresses (RFC 6890 and its updates).
PRIVATE = [
  *('0.0.0.0', '10.1.2.3', '100.64.0.1', '100.100.100.200', '127.0.0.1'),
  *('127.255.0.1', '169.254.169.254', '168.63.129.16', '172.16.0.1'),
  *('172.31.255.255', '192.0.0.192', '192.168.178.1', '198.18.0.1'),
  *('224.0.0.1', '240.0.0.1', '255.255.255.255', '::', '::1'),
  *('::ffff:127.0.0.1', '::ffff:169.254.169.254', '64:ff9b::10.0.0.1'),
  *('2002:7f00:1::1', '2002:c0a8:101::1'),
  *('2001:0:4136:e378:8000:63bf:3fff:fdd2', '2001:db8::1', 'fc00::1'),
  *('fd00:ec2::254', 'fe80::1', 'fe80::1%eth0', 'ff02::1'),
]
PUBLIC = [
  *('1.1.1.1', '93.184.215.14', '172.32.0.1', '192.169.0.1'),
  *('::ffff:1.1.1.1', '64:ff9b::1.1.1.1', '2002:101:101::1'),
  *('2606:4700:4700::1111',),
]


@pytest.mark.parametrize('address', [*PRIVATE, *PUBLIC])
def test_what_is_public(address):
  assert ssrf.is_public(address) == (address in PUBLIC)


def info(address, port=80):
  return socket.AF_INET, socket.SOCK_STREAM, 6, '', (address, port)


def test_the_guard_makes_sockets_to_public_addresses_alone():
  make = ssrf.guard('')
  make(info('1.1.1.1')).close()
  with pytest.raises(ssrf.PrivateAddressError):
    make(info('10.0.0.1'))


def test_a_trusted_server_is_one_port_of_one_host():
  make = ssrf.guard('http://127.0.0.1:8017/images')
  make(info('127.0.0.1', 8017)).close()
  for other in (('127.0.0.1', 22), ('127.0.0.2', 8017)):
    with pytest.raises(ssrf.PrivateAddressError):
      make(info(*other))


@pytest.mark.parametrize('url', ['http://[', 'http://nowhere.invalid', 'x'])
def test_a_trusted_server_that_is_none_is_trusted_with_nothing(url):
  with pytest.raises(ssrf.PrivateAddressError):
    ssrf.guard(url)(info('127.0.0.1'))
