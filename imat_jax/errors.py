"""Exceptions that a command reports as one line and an exit status."""


class UserError(Exception):
  """An error that the user can fix: exit status 1.

  The message says what is wrong, where, and how to fix it.
  """


class Diverged(UserError):
  """A loss or a gradient is not finite."""


class Interrupted(Exception):
  """A signal ended the command cleanly: exit status 128 + its number."""

  def __init__(self, signal_number: int, text: str):
    super().__init__(text)
    self.status = 128 + signal_number


def first_line(error: Exception) -> str:
  """The first 300 letters of an exception's first line, or its type."""
  return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def printable(text: str) -> str:
  """The text on one line, safe for a terminal.

  Escapes control characters, which could move the cursor or hide text, and
  those that change the direction of writing.
  """
  return ''.join(
    letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text
  )
