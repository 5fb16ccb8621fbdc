"""The exceptions that a command turns into one line and an exit status."""


class UserError(Exception):
  """A fault the user can mend: exit status 1.

  The text says what is wrong, where, and how to mend it.
  """


class Interrupted(Exception):
  """A signal ended the command in good order: exit status 128 + its number."""

  def __init__(self, signal_number: int, text: str):
    super().__init__(text)
    self.status = 128 + signal_number


def first_line(error: Exception) -> str:
  """What an exception of a library says, short; its type where that is nothing.

  Some are pages long.
  """
  return (str(error).strip() or type(error).__name__).splitlines()[0][:300]


def printable(text: str) -> str:
  """The text as a terminal may have it, on one line.

  Control characters, which could move its cursor or hide what stands there, and
  those that turn the direction of writing are shown as escapes.
  """
  return ''.join(
    letter if letter.isprintable() else ascii(letter)[1:-1] for letter in text
  )
