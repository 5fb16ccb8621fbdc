"""The options of `experiments.search`: those of a run, and how to vary them."""

import dataclasses
from collections.abc import Mapping
from typing import Any, Literal, NamedTuple

from imat_jax import config, options, validators
from imat_jax.study import search_space


@dataclasses.dataclass(frozen=True, kw_only=True)
class Search(config.Run):
  """A search over options of a run."""

  space: str = options.option(
    "options to vary, such as 'learning_rate=1e-4..1e-2:log; dropout=0..0.6; "
    "trunk=paper,resnet'"
  )
  trials: int = options.option(
    'runs of the search; more of them go on with it',
    30,
    validators.at_least(2),
    may_change=True,
  )
  objective: tuple[str, ...] = options.option(
    "loss or accuracy of the first task on the validation photos at the run's "
    'best epoch; with ,epochs also the number of that epoch',
    ('loss',),
  )
  sampler: Literal['tpe', 'random'] = options.option(
    'how options are drawn; tpe learns from the trials before', 'tpe'
  )
  halving: int = options.option(
    'successive halving: at epoch 1, N, N², … one in N trials goes on; 0 for '
    'none',
    0,
    validators.zero_or_at_least(2),
  )
  finalists: int = options.option(
    'how many of the best trials are trained again, with --seeds other seeds, '
    'beside the options as they were given',
    3,
    validators.at_least(1),
    may_change=True,
  )
  seeds: int = options.option(
    'of each finalist', 5, validators.at_least(2), may_change=True
  )

  def __post_init__(self):
    super().__post_init__()
    if self.objective[:1] not in (('loss',), ('accuracy',)) or self.objective[
      1:
    ] not in ((), ('epochs',)):
      raise ValueError(
        f'--objective={",".join(self.objective)}: must be loss, accuracy, '
        'loss,epochs or accuracy,epochs'
      )
    if self.halving and len(self.objective) > 1:
      raise ValueError(
        f'--halving={self.halving}: needs one objective, such as '
        f'--objective={self.objective[0]}'
      )
    if self.cluster.num_processes > 1:
      raise ValueError(
        '--num_processes: a search is shared by starting it several times in '
        'one --workdir'
      )
    search_space.parse(self.space, self.run)

  @property
  def dimensions(self) -> tuple[search_space.Dimension, ...]:
    return search_space.parse(self.space, self.run)

  @property
  def run(self) -> config.Run:
    """The run as it was given."""
    names = (f.name for f in dataclasses.fields(config.Run))
    return config.Run(**{name: getattr(self, name) for name in names})


class Trial(NamedTuple):
  """A trial that has ended.

  Attributes:
    number: of its folder.
    values: of the options that it varied, by name.
    score: of the objective at the best epoch; None if it was ended before.
    epochs: of the best epoch, or until it was ended.
    problem: why it failed, or empty.
  """

  number: int
  values: Mapping[str, Any]
  score: float | None
  epochs: int
  problem: str


class Finalist(NamedTuple):
  """A trial's options, or those given, trained with other seeds.

  Attributes:
    trial: its number; None for the options as they were given.
    values: of the options that it varied, by name.
    scores: of the objective on the validation photos, one per seed.
    reported: what the runs report of the first task, one per seed.
  """

  trial: int | None
  values: Mapping[str, Any]
  scores: tuple[float, ...]
  reported: tuple[Mapping[str, Any], ...]
