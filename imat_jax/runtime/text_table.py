"""Tables for a terminal."""

from collections.abc import Sequence

from imat_jax import errors


def aligned(rows: Sequence[Sequence[str]]) -> str:
  """Aligned columns, the first to the left, with a rule below the header."""
  rows = [[errors.printable(cell) for cell in row] for row in rows]
  widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
  lines = []
  for row in rows:
    cells = [row[0].ljust(widths[0])]
    cells += [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
    lines.append('  '.join(cells).rstrip())
  lines.insert(1, '-' * len(lines[0]))
  return '\n'.join(lines)
