"""A web server on loopback whose links have the faults of the web.

  python -m benchmarks.web --photos=data/photos/train

prints its address, then serves /KIND/NAME for each kind of `FAULTS`, and
/photo/NAME; NAME chooses one of the photos. It answers some thousand requests
a second on one core.
"""

import argparse
import asyncio
import collections
import gzip
import pathlib
import random
import zlib
from collections.abc import Sequence

from aiohttp import web

PHOTO = 'photo'
# Kinds of links, and how the download of one ends that has no other link.
FAULTS = {
  'gone': 'http_404',
  'html': 'not_an_image',
  'cut': 'truncated',
  'half': 'truncated',
  'busy': None,  # once; then the photo
  'broken': 'http_5xx',
  'reset': 'connection',
  'garbage': 'connection',
  'silent': 'timeout',
  'drip': 'timeout',
  'endless': 'too_large',
  'bomb': 'too_large',
  'loop': 'redirects',
  'inside': 'private_address',
}
_BOMB = gzip.compress(bytes(30_000_000))


def draw_kinds(
  number: int, share: float, seed: int, kinds: Sequence[str] = tuple(FAULTS)
) -> list[str]:
  """A kind for each of many links, of which a share is faulty."""
  rng = random.Random(seed)
  return [
    rng.choice(kinds) if rng.random() < share else PHOTO for _ in range(number)
  ]


class Server:
  """Answers by the first part of the path."""

  def __init__(self, photos: list[bytes]):
    self._photos = photos
    self._asked: collections.Counter[str] = collections.Counter()

  async def answer(self, request: web.Request) -> web.StreamResponse:
    kind, name = request.match_info['kind'], request.match_info['name']
    photo = self._photos[zlib.crc32(name.encode()) % len(self._photos)]
    self._asked[request.path] += 1
    transport = request.transport
    match kind:
      case 'photo':
        return web.Response(body=photo, content_type='image/jpeg')
      case 'html':
        return web.Response(text='This picture has moved. ' * 400)
      case 'half':
        return web.Response(body=photo[: len(photo) // 2])
      case 'busy' if self._asked[request.path] > 1:
        return web.Response(body=photo, content_type='image/jpeg')
      case 'busy' | 'broken':
        return web.Response(status=503)
      case 'reset':
        transport.abort()
      case 'garbage':
        transport.write(b'\x00\xff no protocol\r\n\r\n')
        transport.close()
      case 'silent':
        await asyncio.sleep(60)
      case 'bomb':
        return web.Response(body=_BOMB, headers={'Content-Encoding': 'gzip'})
      case 'loop':
        raise web.HTTPFound(request.path)
      case 'inside':
        raise web.HTTPFound('http://169.254.169.254/latest/meta-data/')
      case 'cut' | 'drip' | 'endless':
        return await self._stream(request, kind, photo)
    return web.Response(status=404)

  async def _stream(
    self, request: web.Request, kind: str, photo: bytes
  ) -> web.StreamResponse:
    response = web.StreamResponse()
    if kind == 'cut':
      response.content_length = len(photo)
    await response.prepare(request)
    if kind == 'cut':
      await response.write(photo[: len(photo) // 2])
      request.transport.close()
    while request.transport and not request.transport.is_closing():
      if kind == 'drip':
        await response.write(photo[:1])
        await asyncio.sleep(0.5)
      else:
        await response.write(bytes(2**18))
    return response


async def serve(server: Server) -> None:
  app = web.Application()
  app.router.add_get('/{kind}/{name:.*}', server.answer)
  runner = web.AppRunner(app, access_log=None, handler_cancellation=True)
  await runner.setup()
  site = web.TCPSite(runner, '127.0.0.1', 0, backlog=512)
  await site.start()
  port = site._server.sockets[0].getsockname()[1]
  print(f'http://127.0.0.1:{port}', flush=True)
  await asyncio.Event().wait()


def main() -> None:
  parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
  parser.add_argument('--photos', required=True, help='folder of JPEG files')
  flags = parser.parse_args()
  paths = sorted(pathlib.Path(flags.photos).glob('*.jpg'))[:500]
  asyncio.run(serve(Server([path.read_bytes() for path in paths])))


if __name__ == '__main__':
  main()
