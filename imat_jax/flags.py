"""absl flags made from the fields of a config, and the frame of a command.

A command is a function of one config. Its main guard reads

  flags.run(main, configs.Download)

and gives it `--help`, the flags, and the exit statuses of the contract: 0 done,
1 an error that the user can fix, 2 wrong flags, 130 and 143 interrupted.
"""

import codecs
import contextlib
import dataclasses
import functools
import os
import sys
import textwrap
import typing
from collections.abc import Callable, Iterator
from typing import IO, Any

from absl import flags as absl_flags

from imat_jax import errors, options
from imat_jax.runtime import files

# What makes a config: its class, or a functools.partial of it that holds the
# values in which a command differs.
Maker = Callable[..., Any]

# Makes glibc hold big arrays in one heap of huge pages that it keeps. By
# default each step returns its memory and gets it anew, page by page, which
# makes it a fifth longer on a CPU (benchmarks/README.md).
MALLOC = ':'.join(
  f'glibc.malloc.{name}={value}'
  for name, value in {
    'hugetlb': 1,
    'arena_max': 1,
    'mmap_threshold': 2**32,
    'trim_threshold': 2**34,
    'top_pad': 2**26,
  }.items()
)


def run(main: Callable[[Any], None], maker: Maker) -> None:
  """Makes the config from `sys.argv`, calls `main` with it and exits."""
  _open_streams()
  command = sys.modules['__main__']
  name = command.__spec__.name if command.__spec__ else sys.argv[0]
  name = name.removesuffix('.__main__')
  set_malloc()
  try:
    if _wants_help():
      text = help_text(command.__doc__ or '', _with_parts(maker, sys.argv))
      sys.exit(_status(lambda: print(text), name))
    parsed = parse(maker, sys.argv)
  except (absl_flags.Error, ValueError) as error:
    message = '; '.join(str(error).splitlines())
    _complain(f'{name}: {message} (--help lists the flags)')
    sys.exit(2)
  _set_home()
  sys.exit(_status(lambda: main(parsed), name))


def _open_streams() -> None:
  """Makes standard streams accept any text, also if they were closed."""
  for number, name in enumerate(('stdin', 'stdout', 'stderr')):
    try:
      os.fstat(number)
    except OSError:  # else the next file that is opened would be this stream
      os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
    if getattr(sys, name) is None:
      mode = 'w' if number else 'r'
      setattr(
        sys, name, os.fdopen(number, mode, encoding='utf-8', closefd=False)
      )
  codecs.register_error('imat_jax.escape', _escape)
  sys.stdout.reconfigure(errors='imat_jax.escape')


def _escape(error: UnicodeError) -> tuple[str | bytes, int]:
  """A byte of a file's name as itself, what the terminal lacks as `\\u2026`."""
  letter = error.object[error.start]
  if 0xDC80 <= ord(letter) <= 0xDCFF:
    return bytes([ord(letter) - 0xDC00]), error.start + 1
  return ascii(letter)[1:-1], error.start + 1


def _set_home() -> None:
  """Sets a home for a user without one: libraries keep their caches there."""
  if not os.path.isabs(os.path.expanduser('~')):
    os.environ['HOME'] = str(files.temporary_folder())


def _wants_help() -> bool:
  return bool({'--help', '-help', '-h'} & set(sys.argv[1:]))


def set_malloc() -> None:
  """Starts the process again with `MALLOC`, once: it is read at a start.

  To be called before jax is imported, which takes a second or two.
  """
  is_set = sys.platform != 'linux' or 'GLIBC_TUNABLES' in os.environ
  if not is_set and not _wants_help():
    os.environ['GLIBC_TUNABLES'] = MALLOC
    os.execv(sys.executable, [sys.executable, *sys.orig_argv[1:]])


def parse(maker: Maker, argv: list[str]) -> Any:
  """The config that the flags in `argv[1:]` describe.

  Raises:
    absl.flags.Error: an unknown flag or a malformed value.
    ValueError: a missing flag, a value that fails its check, or an argument
      that is no flag.
  """
  maker = _with_parts(maker, argv)
  values = absl_flags.FlagValues()
  values.set_gnu_getopt()  # flags may follow arguments
  flagged, arguments = _split(maker)
  for field, default in flagged:
    _define(field, default, values)
  positional = values(argv)[1:]
  if positional and not arguments:
    raise ValueError(f'{positional[0]!r} is not a flag')
  for field, default in flagged:
    _check_path(field, default, values[field.name].value)
  missing = [f'--{f.name}' for f, _ in flagged if values[f.name].value is None]
  if not positional:
    missing += [field.metadata['arguments'] for field in arguments]
  if missing:
    raise ValueError(f'missing: {", ".join(missing)}')
  # Libraries read the global flags; they count as parsed, with no value set.
  absl_flags.FLAGS(argv[:1])
  return _make(
    maker, values, {field.name: tuple(positional) for field in arguments}
  )


def _check_path(field: dataclasses.Field, default: Any, value: Any) -> None:
  """Refuses an empty path, as of `--images=$UNSET`: it is the current folder.

  Where the default is empty, that means something else.
  """
  if field.metadata.get('is_path') and value == '' != default:
    raise ValueError(
      f'--{field.name}=: is empty; give a path (. is the current folder)'
    )


def help_text(about: str, maker: Maker) -> str:
  """The text of `--help`: the command's description, then its flags."""
  lines = [about.strip()]
  flagged, arguments = _split(maker)
  if arguments:
    lines += ['', 'arguments:']
  for field in arguments:
    lines += [f'  {field.metadata["arguments"]}', *_wrapped(field)]
  lines += ['', 'flags:'] if flagged else []
  heading_of = _headings(maker)
  for field, default in flagged:
    if heading := heading_of.pop(field.name, ''):
      lines += ['', heading]
    required = default is dataclasses.MISSING
    default_text = '' if required else f'={options.text(default)}'
    lines += [f'  --{field.name}{default_text}', *_wrapped(field, required)]
  return '\n'.join(lines)


def _wrapped(field: dataclasses.Field, required: bool = False) -> list[str]:
  help = field.metadata['help'] + (' (required)' if required else '')
  if 'package' in field.metadata:
    help += f' ({", ".join(options.part_names(field.metadata["package"]))})'
  if typing.get_origin(field.type) is typing.Literal:
    help += f' ({", ".join(typing.get_args(field.type))})'
  return textwrap.wrap(
    help,
    76,
    initial_indent=' ' * 6,
    subsequent_indent=' ' * 6,
    break_on_hyphens=False,  # flags and links stay unbroken
  )


def _status(call: Callable[[], None], name: str) -> int:
  try:
    call()
    sys.stdout.flush()
  except errors.UserError as error:
    return _failed(1, f'{name}: {errors.printable(str(error))}')
  except BrokenPipeError:  # as in `… | head`
    _discard(sys.stdout)
  except OSError as error:
    where = f'{error.filename}: ' if error.filename else ''
    text = f'{where}{error.strerror or error}'
    return _failed(1, f'{name}: {errors.printable(text)}')
  except errors.Interrupted as interrupted:
    return _failed(interrupted.status, f'{name}: {interrupted}')
  except KeyboardInterrupt:
    return _failed(130, f'{name}: interrupted')
  return 0


def _failed(status: int, text: str) -> int:
  """Flushes what was printed, then prints the line that reports the error."""
  try:
    sys.stdout.flush()
  except OSError:
    _discard(sys.stdout)
  _complain(text)
  return status


def _complain(text: str) -> None:
  try:
    print(text, file=sys.stderr, flush=True)
  except OSError:
    _discard(sys.stderr)


def _discard(stream: IO[str]) -> None:
  """Keeps what is buffered for a closed stream from failing at exit."""
  with contextlib.suppress(OSError):  # of no file at all, as in a test
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _unwrap(maker: Maker) -> tuple[type, dict[str, Any]]:
  if isinstance(maker, functools.partial):
    return maker.func, maker.keywords
  return maker, {}


def _default(field: dataclasses.Field, overrides: dict[str, Any]) -> Any:
  if field.default_factory is not dataclasses.MISSING:
    return overrides.get(field.name, field.default_factory())
  return overrides.get(field.name, field.default)


def _fields(maker: Maker) -> Iterator[tuple[dataclasses.Field, Any]]:
  """Fields with their defaults; those of nested configs come last."""
  kind, overrides = _unwrap(maker)
  pairs = [(f, _default(f, overrides)) for f in dataclasses.fields(kind)]
  for field, default in pairs:
    if isinstance(default, options.Part):
      yield field, default.kind
    elif not dataclasses.is_dataclass(default):
      yield field, default
  for _, default in pairs:
    if dataclasses.is_dataclass(default):
      yield from _fields(functools.partial(type(default), **vars(default)))


def _headings(maker: Maker) -> dict[str, str]:
  """What the first field of each nested config is headed by: what it is."""
  kind, overrides = _unwrap(maker)
  headings = {}
  for field in dataclasses.fields(kind):
    default = _default(field, overrides)
    if dataclasses.is_dataclass(default):
      nested = functools.partial(type(default), **vars(default))
      first = next((f.name for f, _ in _fields(nested)), None)
      if first:
        about = (type(default).__doc__ or '').partition('\n')[0].rstrip('.')
        headings |= _headings(nested) | {first: f'{about}:'}
  return headings


def _with_parts(maker: Maker, argv: list[str]) -> Maker:
  """The maker with the parts that `argv` names, as in `--trunk=NAME`.

  Which flags there are depends on them.
  """
  kind, overrides = _unwrap(maker)
  chosen = {}
  for field in dataclasses.fields(kind):
    default = _default(field, overrides)
    if isinstance(default, options.Part):
      name = _peek(field, default.kind, argv)
      if name != default.kind:
        chosen[field.name] = options.part(field.metadata['package'], name)()
    elif dataclasses.is_dataclass(default):
      nested = functools.partial(type(default), **vars(default))
      chosen[field.name] = _with_parts(nested, argv)()
  return functools.partial(kind, **{**overrides, **chosen})


def _peek(field: dataclasses.Field, default: str, argv: list[str]) -> str:
  values = absl_flags.FlagValues()
  _define(field, default, values)
  values(argv, known_only=True)
  return values[field.name].value


def _split(maker: Maker) -> tuple[list, list[dataclasses.Field]]:
  """The fields that are flags, with their defaults, and those that are not."""
  pairs = list(_fields(maker))
  names = [field.name for field, _ in pairs]
  for field, _ in pairs:
    name = field.name
    if 'help' not in field.metadata:
      raise TypeError(f'{name}: a field of a config is made by options.option')
    if names.count(name) > 1:
      raise ValueError(
        f'--{name}: two configs have an option of this name, and flags share '
        'one space of names; rename one'
      )
  flagged = [pair for pair in pairs if 'arguments' not in pair[0].metadata]
  return flagged, [f for f, _ in pairs if 'arguments' in f.metadata]


def _define(field: dataclasses.Field, default: Any, values) -> None:
  flag_default = None if default is dataclasses.MISSING else default
  common = {'help': field.metadata['help'], 'flag_values': values}
  if 'package' in field.metadata:
    choices = options.part_names(field.metadata['package'])
    absl_flags.DEFINE_enum(field.name, flag_default, choices, **common)
  elif field.type is bool:
    absl_flags.DEFINE_boolean(field.name, flag_default, **common)
  elif field.type is int:
    absl_flags.DEFINE_integer(field.name, flag_default, **common)
  elif field.type is float:
    absl_flags.DEFINE_float(field.name, flag_default, **common)
  elif field.type is str:
    absl_flags.DEFINE_string(field.name, flag_default, **common)
  elif typing.get_origin(field.type) is typing.Literal:
    choices = typing.get_args(field.type)
    absl_flags.DEFINE_enum(field.name, flag_default, choices, **common)
  elif typing.get_origin(field.type) is tuple:
    absl_flags.DEFINE_list(field.name, [str(v) for v in flag_default], **common)
  else:
    raise TypeError(f'{field.name}: no flag for the type {field.type}')


def _make(
  maker: Maker, values: absl_flags.FlagValues, arguments: dict[str, Any]
) -> Any:
  kind, overrides = _unwrap(maker)
  field_values = {}
  for field in dataclasses.fields(kind):
    default = _default(field, overrides)
    if dataclasses.is_dataclass(default):
      nested = functools.partial(type(default), **vars(default))
      field_values[field.name] = _make(nested, values, {})
    elif field.name in arguments:
      field_values[field.name] = arguments[field.name]
    elif typing.get_origin(field.type) is tuple:
      field_values[field.name] = _make_tuple(field, values[field.name].value)
    else:
      field_values[field.name] = values[field.name].value
  return kind(**field_values)


def _make_tuple(field: dataclasses.Field, texts: list[str]) -> tuple:
  item = typing.get_args(field.type)[0]
  try:
    return tuple(map(item, texts))
  except ValueError:
    raise ValueError(
      f'--{field.name}={",".join(texts)}: must be of the type {item.__name__}'
    ) from None
