"""The options of `experiments.study`, each with its default. No jax here."""

import dataclasses
from typing import Literal

from imat_jax import config, options, validators

# Networks of a study: the report's, and two of today; see `models.presets`.
MODELS = (
  *('private_1_4m', 'public_1_4m', 'public_3m', 'public_3m_three_tasks'),
  *('modern', 'linear_probe', 'finetuned'),
)

# Ways to a smaller network in a study: what is pruned, and by what; or one that
# has fewer units from the start.
PRUNERS = {
  by: {'prune_by': by}
  for by in ('magnitude', 'global_magnitude', 'saliency', 'random')
} | {
  f'unit_{by}': {'prune_unit': 'unit', 'prune_by': by}
  for by in ('magnitude', 'saliency', 'random')
}
FEWER_UNITS = 'fewer_units'


def _check_models(value: tuple[str, ...]) -> str | None:
  """Names of `MODELS`, and trunks with options; each once."""
  others = dict.fromkeys(text for text in value if text not in MODELS)
  for text in others:
    try:
      options.part_from_text('imat_jax.models.trunks', text)
    except ValueError as error:
      return f'must be some of {", ".join(MODELS)}, or trunks: {error}'
  return validators.some_of((*MODELS, *others))(value)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Study(config.Training):
  """The grid models × task sets × seeds: the config of `experiments.study`."""

  models: tuple[str, ...] = options.option(
    f'some of {", ".join(MODELS)}; or of --trunk, each with options such as '
    "'resnet:width=16', with the heads of public_3m",
    ('private_1_4m', 'public_1_4m', 'public_3m'),
    _check_models,
    may_change=True,
  )
  task_sets: str = options.option(
    "such as 'apparel;apparel,color;apparel,age': all begin with the task that "
    'is compared, and the others are compared with the set of that task alone; '
    "empty for the report's",
    '',
    validators.task_sets,
    may_change=True,
  )
  strategies: tuple[str, ...] = options.option(
    'multi-task methods to compare: some of --strategy, each with options such '
    "as 'weighted_sum:others=0.3'. The best weighted_sum, of which there must "
    'be one, is what the others are compared with; empty: --strategy alone',
    (),
    may_change=True,
  )
  main_label_shares: tuple[float, ...] = options.option(
    'shares of the train labels of the compared task that are kept, each a '
    'part of the grid: such as 0.01,0.1,1',
    (1.0,),
    validators.distinct_shares,
    may_change=True,
  )
  other_label_shares: tuple[float, ...] = options.option(
    'the same of the other tasks; each share is compared with the compared '
    'task alone',
    (1.0,),
    validators.distinct_shares,
    may_change=True,
  )
  sparsities: tuple[float, ...] = options.option(
    'shares of the weights, or of the units, that each of --pruners removes: '
    'such as 0.5,0.9. Each network is compared with the whole one',
    (),
    validators.sparsities,
    may_change=True,
  )
  pruners: tuple[str, ...] = options.option(
    f'some of {", ".join((*PRUNERS, FEWER_UNITS))}: which weights or units '
    f'training prunes; {FEWER_UNITS} is a network as small as those without '
    'units, from the start',
    ('magnitude', 'random'),
    validators.some_of((*PRUNERS, FEWER_UNITS)),
    may_change=True,
  )
  seeds: int = options.option(
    'how many: 0, 1, …', 8, validators.at_least(1), may_change=True
  )
  margin: float = options.option(
    'the smallest difference in accuracy that matters; the page tells smaller '
    'ones from what the study cannot see, and how many seeds it would take',
    0.02,
    validators.between(0.001, 0.5),
    **config.HOW,
  )
  geometry: Literal['report', 'original'] = options.option(
    "of the report's networks; report: 128x128, original: 256x256", 'report'
  )
  image_size: int = options.option(
    'height in pixels of the photos that all networks see; 0: of each its own',
    0,
    validators.between(0, 4096),
  )
  image_width: int = options.option(
    'their width; 0: as their height', 0, validators.between(0, 4096)
  )
  runs_at_once: int = options.option(
    'runs in one program, which needs --cache_on_device; 0: on a CPU one, '
    'elsewhere as many as the memory holds',
    0,
    validators.at_least(0),
    **config.HOW,
  )
  dry_run: bool = options.option(
    'only print the grid, its parameters, the time and memory it needs, and '
    'from the runs that are there how many seeds the margin takes',
    False,
    **config.HOW,
  )

  def __post_init__(self):
    super().__post_init__()
    try:
      kinds = [
        options.part_from_text('imat_jax.strategies', text).kind
        for text in self.strategies
      ]
    except ValueError as error:
      raise ValueError(
        f'--strategies={",".join(self.strategies)}: {error}'
      ) from error
    if len({*self.strategies}) < len(kinds) or (
      kinds and 'weighted_sum' not in kinds
    ):
      raise ValueError(
        f'--strategies={",".join(self.strategies)}: each once, with a '
        'weighted_sum, with which the others are compared'
      )
    if self.image_width and not self.image_size:
      raise ValueError(
        f'--image_width={self.image_width}: needs their height, --image_size'
      )
    budgets = {*self.main_label_shares, *self.other_label_shares} - {1}
    if self.strategies and budgets:
      raise ValueError(
        f'--strategies={",".join(self.strategies)}: not with shares of labels'
      )
    if self.sparsities and (
      self.strategies or budgets or self.optimizer.pruning.sparsity
    ):
      raise ValueError(
        f'--sparsities={",".join(map(str, self.sparsities))}: not with '
        '--strategies, shares of labels or --sparsity'
      )
    if self.runs_at_once > 1 and budgets:
      raise ValueError(
        f'--runs_at_once={self.runs_at_once}: not with shares of labels, which '
        'each run draws'
      )
    if self.runs_at_once > 1 and not self.cache_on_device:
      raise ValueError(
        f'--runs_at_once={self.runs_at_once}: needs the photos on the device '
        '(--cache_on_device)'
      )
