"""Packages that only some commands need, and the extras that install them."""

import importlib.util

from imat_jax import config, errors

# The imports of `reporting`.
_REPORT = ('altair', 'jinja2', 'markupsafe', 'scipy', 'vl_convert', 'yaml')


def require(package: str, extra: str, wanted_by: str) -> None:
  """Raises unless a package is installed.

  Args:
    package: its import name.
    extra: the extra in setup.py that installs it.
    wanted_by: the flag or file that needs it.

  Raises:
    UserError: not installed; has the command to install it.
  """
  if importlib.util.find_spec(package) is None:
    raise errors.UserError(
      f'{wanted_by}: needs the package {package}: pip install '
      f"'imat_jax[{extra}]'"
    )


def report_missing() -> str | None:
  """Why no page and no model card can be written; None if they can."""
  missing = [name for name in _REPORT if not importlib.util.find_spec(name)]
  if not missing:
    return None
  return (
    f'no page and no model card: needs the package {missing[0]}: pip install '
    "'imat_jax[report]'"
  )


def require_report(wanted_by: str) -> None:
  """Raises `UserError` unless pages can be written; see `require`."""
  for name in _REPORT:
    require(name, 'report', wanted_by)


def require_for(run: config.Run) -> None:
  """Raises unless the packages that a run's flags need are installed."""
  if run.tensorboard:
    require('tensorboardX', 'tensorboard', '--tensorboard')
  if run.wandb:
    require('wandb', 'wandb', '--wandb')
