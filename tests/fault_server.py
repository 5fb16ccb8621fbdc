"""A loopback web server with the faults of the web, one `Reply` at a time."""

import collections
import contextlib
import dataclasses
import http.server
import threading
import time


@dataclasses.dataclass(frozen=True)
class Reply:
  """What one request gets."""

  body: bytes = b''
  status: int = 200
  headers: dict[str, str] = dataclasses.field(default_factory=dict)
  announced: int | None = None  # Content-Length, where it lies; -1: none
  delay: float = 0.0  # seconds before the reply
  drip: float = 0.0  # seconds between the bytes of the body
  raw: bytes | None = None  # sent in place of HTTP


class Handler(http.server.BaseHTTPRequestHandler):
  protocol_version = 'HTTP/1.1'

  def do_GET(self):
    with self.server.serving(self.headers['Host'], self.path) as reply:
      time.sleep(reply.delay)
      if reply.raw is not None:
        self.wfile.write(reply.raw)
        self.close_connection = True
        return
      self._send_head(reply)
      self._send_body(reply)

  def _send_head(self, reply):
    self.send_response(reply.status)
    headers = {'Content-Type': 'image/jpeg', **reply.headers}
    if reply.announced != -1:
      headers['Content-Length'] = str(reply.announced or len(reply.body))
    if reply.announced is not None:
      headers['Connection'] = 'close'
    for name, value in headers.items():
      self.send_header(name, value)
    self.end_headers()

  def _send_body(self, reply):
    if not reply.drip:
      self.wfile.write(reply.body)
      return
    for byte in reply.body:
      self.wfile.write(bytes([byte]))
      time.sleep(reply.drip)

  def log_message(self, *args):
    pass


class FaultServer(http.server.ThreadingHTTPServer):
  """Serves `replies[path]` in turn, the last one for ever; else 404.

  Attributes:
    url: the base of its links.
    asked: the paths in the order of the requests.
    busiest: host as the client named it → most requests at the same time.
  """

  request_queue_size = 512
  daemon_threads = True

  def __init__(self):
    super().__init__(('127.0.0.1', 0), Handler)
    self.url = f'http://127.0.0.1:{self.server_port}'
    self.replies = {}
    self.asked = []
    self.busiest = collections.Counter()
    self._busy = collections.Counter()
    self._lock = threading.Lock()

  def add(self, path: str, *replies: Reply) -> str:
    """Makes a path give these replies; returns its link."""
    self.replies[path] = list(replies)
    return self.url + path

  @contextlib.contextmanager
  def serving(self, host: str, path: str):
    """Counts one request while it lasts; gives its reply."""
    with self._lock:
      self.asked.append(path)
      self._busy[host] += 1
      self.busiest[host] = max(self.busiest[host], self._busy[host])
      replies = self.replies.get(path, [Reply(b'gone', 404)])
      reply = replies.pop(0) if len(replies) > 1 else replies[0]
    try:
      yield reply
    finally:
      with self._lock:
        self._busy[host] -= 1

  def handle_error(self, request, client_address):
    pass  # clients that hang up are the point of some tests

  def __enter__(self):
    serve = threading.Thread(target=self.serve_forever, args=[0.01])
    serve.daemon = True
    serve.start()
    return self

  def __exit__(self, *error):
    self.shutdown()
    self.server_close()
