"""The one exception that means: the user can mend this."""


class UserError(Exception):
  """A fault the user can mend: one line on stderr, exit status 1.

  The text says what is wrong, where, and how to mend it.
  """
