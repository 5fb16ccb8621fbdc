import dataclasses
import json
import math
import typing

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from imat_jax import config, options
from imat_jax.data import configs
from imat_jax.models.trunks.paper import Paper

KINDS = [k for k in options.Config.__subclasses__() if k is not options.Part]
NAN, INF = math.nan, math.inf

# Values of a type of which each check refuses one at least.
HOSTILE = {
  int: [-1],
  float: [-1.0, NAN],
  str: ['', 'no pair', 'ftp://host/folder'],
  tuple[str, ...]: [(), ('',)],
  tuple[int, ...]: [(0, 8, 8), (-1,)],
}

JSON = st.recursive(
  st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
  lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
  max_leaves=8,
)


def make(kind, **changes):
  """A config of any kind: what has no default is 'x', or ('x',)."""
  required = {
    field.name: 'x' if field.type is str else ('x',)
    for field in dataclasses.fields(kind)
    if field.default is dataclasses.MISSING
    and field.default_factory is dataclasses.MISSING
  }
  return kind(**required | changes)


def through_json(value):
  return json.loads(json.dumps(options.to_json(value)))


def test_a_run_has_the_defaults_of_the_report():
  run = make(config.Run)
  assert (run.batch_size, run.epochs, run.tasks) == (128, 20, ('apparel',))
  assert run.task_weight_decay == 0.95
  assert not run.eval_augmented


def test_the_warp_has_the_defaults_of_the_report():
  assert dataclasses.asdict(config.Augmentation()) == {
    'rotation': 45.0,
    'shift': 0.25,
    'zoom': 0.2,
    'flip': 0.5,
    'fill': 'nearest',
    # Later ones are off.
    'crop': 1.0,
    'color_jitter': 0.0,
    'protect': ('color',),
    'erasing': 0.0,
    'mixup': 0.0,
    'cutmix': 0.0,
  }


def test_adam_has_the_defaults_of_the_report():
  assert dataclasses.asdict(config.Optimizer()) == {
    'learning_rate': 1e-3,
    'adam_b1': 0.9,
    'adam_b2': 0.999,
    'adam_epsilon': 1e-7,
    # Later ones are off.
    'update_rule': 'adam',
    'weight_decay': 0.0,
    'schedule': 'constant',
    'warmup': 0.0,
    'clip_norm': 0.0,
    'accumulation': 1,
    'trunk_factor': 1.0,
    'average': 0.0,
    'pruning': dataclasses.asdict(config.Pruning()),
  }
  assert config.Pruning().sparsity == 0.0


def test_the_network_is_public_3m_by_default():
  model = config.Model()
  assert model.trunk.geometry == 'report'
  assert model.trunk.filters == (8, 16, 32)
  assert model.trunk.dropout == 0.5
  assert (model.trunk.shared_widths, model.trunk.shared_activation) == (
    (384, 384),
    'relu',
  )
  assert (model.head_widths, model.head_activation) == ((128,), 'tanh')
  assert not model.head_widths_per_label


def test_the_build_has_the_defaults_of_the_report():
  build = make(configs.Build)
  assert (build.image_size, build.min_label_share) == (128, 0.01)
  assert build.require_any_of == ()


@pytest.mark.parametrize(
  'epochs, wait', [(1, 6), (20, 6), (25, 6), (36, 7), (60, 8), (100, 11)]
)
def test_early_stopping_waits_by_the_rule_of_the_report(epochs, wait):
  assert config.Stopping().min_delta == 0.001
  assert config.Stopping().epochs_to_wait(epochs) == wait


def test_a_given_patience_replaces_the_rule():
  assert config.Stopping(patience=2).epochs_to_wait(100) == 2


CHECKED = [
  (kind, field)
  for kind in KINDS
  for field in dataclasses.fields(kind)
  if field.metadata.get('check')
]


@pytest.mark.parametrize(
  'kind, field', CHECKED, ids=[f'{k.__name__}-{f.name}' for k, f in CHECKED]
)
def test_each_check_fires_with_one_line_that_names_the_flag(kind, field):
  complaints = []
  for value in HOSTILE[field.type]:
    try:
      make(kind, **{field.name: value})
    except ValueError as error:
      complaints.append(str(error))
  assert complaints
  for complaint in complaints:
    assert complaint.startswith(f'--{field.name}=')
    assert '\n' not in complaint


@pytest.mark.parametrize(
  'kind, name, refused, taken',
  [
    (config.Augmentation, 'rotation', [-0.1, 180.1, NAN, INF], [0.0, 180.0]),
    (config.Augmentation, 'shift', [-0.1, 1.1, NAN], [0.0, 1.0]),
    (config.Augmentation, 'zoom', [-0.1, 1.0, NAN], [0.0, 0.9]),
    (config.Augmentation, 'flip', [-0.1, 1.1, NAN], [0.0, 1.0]),
    (Paper, 'dropout', [-0.1, 1.0, NAN], [0.0, 0.99]),
    (Paper, 'filters', [(), (8, 8), (0, 8, 8), (8,) * 4], [(8, 8, 8)]),
    (Paper, 'shared_widths', [(0,), (-1, 8)], [(), (1,), (8, 8, 8)]),
    (config.Optimizer, 'learning_rate', [-1e-9, NAN, INF], [0.0, 1.0]),
    (config.Optimizer, 'adam_b1', [-0.1, 1.0], [0.0, 0.999]),
    (configs.Build, 'image_size', [7, 4097], [8, 4096]),
    (configs.Build, 'min_label_share', [-0.01, 1.01, NAN], [0.0, 1.0]),
    (config.Run, 'epochs', [0, -1], [1]),
    (config.Run, 'batch_size', [0, -1], [1]),
    (config.Run, 'seed', [-1], [0]),
    (config.Run, 'tasks', [(), ('apparel', '')], [('apparel', 'age')]),
    (config.Loader, 'loader_threads', [0], [1]),
    (config.Loader, 'loader_processes', [-1], [0]),
    (configs.Download, 'splits', [(), ('',)], [('test',)]),
    (configs.Download, 'url_prefix', ['a', '=b', 'a='], ['', 'a=b', 'a=b=c']),
    (configs.Download, 'concurrency', [0], [1]),
    (configs.Download, 'read_timeout', [0.0, INF], [0.01]),
  ],
)
def test_bounds(kind, name, refused, taken):
  for value in refused:
    with pytest.raises(ValueError, match=f'^--{name}='):
      make(kind, **{name: value})
  for value in taken:
    assert getattr(make(kind, **{name: value}), name) == value


def test_a_complaint_says_what_would_be_right():
  with pytest.raises(ValueError) as caught:
    make(config.Run, tasks=('apparel', ''))
  assert str(caught.value) == '--tasks=apparel,: must not be empty'
  with pytest.raises(ValueError) as caught:
    Paper(shared_widths=(8, 0))
  assert str(caught.value) == '--shared_widths=8,0: must be at least 1'
  with pytest.raises(ValueError) as caught:
    config.Augmentation(zoom=2.0)
  assert str(caught.value) == '--zoom=2.0: must be between 0 and 0.9'


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
def test_a_config_is_frozen_and_takes_names_only(kind):
  made = make(kind)
  name = dataclasses.fields(kind)[0].name
  with pytest.raises(dataclasses.FrozenInstanceError):
    setattr(made, name, getattr(made, name))
  with pytest.raises(TypeError):
    kind('x')


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
def test_json_gives_the_defaults_back(kind):
  made = make(kind)
  assert options.from_json(kind, through_json(made)) == made


@given(
  st.builds(
    config.Run,
    data_dir=st.text('aé/ ,"'),
    workdir=st.just('run'),
    tasks=st.lists(st.text('ab:', min_size=1), min_size=1).map(tuple),
    epochs=st.integers(1, 10**6),
    seed=st.integers(0, 2**31),
    eval_augmented=st.booleans(),
    augmentation=st.builds(
      config.Augmentation,
      rotation=st.floats(0, 180),
      flip=st.floats(0, 1),
      fill=st.sampled_from(['nearest', 'constant', 'reflect']),
    ),
    model=st.builds(
      config.Model,
      trunk=st.builds(
        Paper,
        filters=st.tuples(*[st.integers(1, 512)] * 3),
        shared_widths=st.lists(st.integers(1, 512)).map(tuple),
      ),
      head_widths_per_label=st.booleans(),
    ),
  )
)
def test_json_gives_any_run_back(run):
  assert options.from_json(config.Run, through_json(run)) == run


@pytest.mark.parametrize(
  'change',
  [
    {'epochs': '20'},
    {'epochs': 20.0},
    {'epochs': True},
    {'epochs': 0},
    {'epochs': None},
    {'tasks': 'apparel'},
    {'tasks': [1]},
    {'tasks': []},
    {'eval_augmented': 0},
    {'task_weight_decay': NAN},
    {'model': None},
    {'model': {}},
    {'strategy': {'kind': 'none'}},
    {'strategy': 'weighted_sum'},
    {'loader': {'loader_threads': 4}},
    {'augmentation': dataclasses.asdict(config.Optimizer())},
    {'epoch': 3},
  ],
)
def test_damaged_json_is_refused(change):
  with pytest.raises(ValueError) as caught:
    options.from_json(config.Run, through_json(make(config.Run)) | change)
  assert '\n' not in str(caught.value)


def test_a_missing_field_is_refused():
  value = through_json(make(config.Run))
  del value['seed']
  with pytest.raises(ValueError, match='fields are not those of Run'):
    options.from_json(config.Run, value)


@given(st.sampled_from(KINDS), JSON)
def test_arbitrary_json_raises_nothing_but_value_error(kind, value):
  assume(value != {})  # a config with a default for each field
  with pytest.raises(ValueError):
    options.from_json(kind, value)


@given(st.data(), JSON)
def test_one_arbitrary_field_raises_nothing_but_value_error(data, value):
  kind = data.draw(st.sampled_from(KINDS))
  name = data.draw(st.sampled_from(sorted(through_json(make(kind)))))
  damaged = through_json(make(kind)) | {name: value}
  try:
    made = options.from_json(kind, damaged)
  except ValueError:
    return
  assert isinstance(made, kind)


def test_every_knob_has_a_help_text():
  for kind in KINDS:
    for field in dataclasses.fields(kind):
      if not dataclasses.is_dataclass(field.type):
        assert field.metadata['help'], field.name


def test_every_literal_has_its_default_among_the_choices():
  for kind in KINDS:
    for field in dataclasses.fields(kind):
      if typing.get_origin(field.type) is typing.Literal:
        assert field.default in typing.get_args(field.type)


def test_a_later_option_changes_no_earlier_run():
  """It has its default there, and is in the digest only where it differs."""

  @dataclasses.dataclass(frozen=True, kw_only=True)
  class Later(config.Run):
    smoothing: float = options.option('later than the first version', 0.1)

  earlier = make(config.Run)
  later = options.from_json(Later, through_json(earlier))
  assert later.smoothing == 0.1
  assert options.fixed(later) == options.fixed(earlier)
  changed = dataclasses.replace(later, smoothing=0.2)
  assert options.fixed(changed) == options.fixed(earlier) | {'smoothing': 0.2}
