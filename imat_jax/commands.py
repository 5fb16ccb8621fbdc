"""Lists the commands of a package from its source.

A command is a module that can be run. Modules are parsed, not imported: jax
takes seconds to load.
"""

import ast
import dataclasses
import pathlib
from collections.abc import Iterator


@dataclasses.dataclass(frozen=True)
class NoFlags:
  """The empty config of a command without flags."""


def listed(package: str, folder: pathlib.Path) -> str:
  """A line per command: its name, and the first line of its docstring.

  Args:
    package: its name.
    folder: of its source.
  """
  summaries = dict(_commands(package, folder))
  width = max(map(len, summaries))
  return '\n'.join(
    f'  {name:{width}}  {summary}'
    for name, summary in sorted(summaries.items())
  )


def _commands(package: str, folder: pathlib.Path) -> Iterator[tuple[str, str]]:
  for path in folder.rglob('*.py'):
    text = path.read_text(encoding='utf-8')
    is_list = path == folder / '__main__.py'
    if is_list or '\nif __name__ == ' not in text:
      continue
    parts = path.relative_to(folder).with_suffix('').parts
    parts = parts[:-1] if path.stem == '__main__' else parts
    about = ast.get_docstring(ast.parse(text)) or ''
    yield '.'.join((package, *parts)), about.partition('\n')[0]
