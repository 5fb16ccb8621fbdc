"""The verdict's sentences: a table of cases."""

import pytest

from imat_jax.reporting import statistics, verdict
from imat_jax.reporting.statistics import BETTER, SILENT, SMALL, WORSE


def _compared(added, mean, says, model='m', within=False, seeds=8, unseen=0.04):
  scores = {
    'mean': mean,
    'low': mean - 0.01,
    'high': mean + 0.01,
    'verdict': says,
    'within_margin': within,
  }
  return {
    'model': model,
    'tasks': ['class', *added.split('+')],
    'seeds': list(range(seeds)),
    'scores': {'accuracy': scores},
    'photos': {'count': 1372},
    'power': {'detectable': unseen, 'seeds': 9},
  }


def _said(*comparisons, alone=(0.6,)):
  lines = verdict.sentences('class', comparisons, alone, 0.25, 0.02, 'test')
  *of_sets, last = lines
  assert last.startswith('Alone, class has an accuracy of 0.6')
  return ' '.join(of_sets)


HERE = 'On these 1,372 test photos, over 8 seeds, learning '
CASES = {
  'one comparison, worse': (
    [_compared('color', -0.05, WORSE)],
    'color beside class lowers the accuracy of class by 0.050 (95% interval '
    '0.040 to 0.060).',
  ),
  'one comparison, better': (
    [_compared('color', 0.05, BETTER)],
    'color beside class raises the accuracy of class by 0.050 (95% interval '
    '0.040 to 0.060).',
  ),
  'one comparison, nothing seen': (
    [_compared('color', -0.01, SILENT)],
    'color beside class gives no evidence either way (a difference below '
    '0.040 may be missed).',
  ),
  'nothing could be seen': (
    [_compared('color', -0.01, SILENT, unseen=1.5)],
    'color beside class gives no evidence either way.',
  ),
  'equivalent': (
    [_compared('color', 0.001, SMALL, within=True)],
    'color beside class changes the accuracy of class by less than the margin '
    'of 0.020.',
  ),
  'worse, but by less than matters': (
    [_compared('color', -0.012, WORSE, within=True)],
    'color beside class lowers the accuracy of class by 0.012 (95% interval '
    '0.002 to 0.022), less than the margin of 0.020.',
  ),
  'worse in all models': (
    [
      _compared('color', -0.05, WORSE, 'a'),
      _compared('color', -0.07, WORSE, 'b'),
      _compared('color', -0.06, WORSE, 'c'),
    ],
    'color beside class lowers the accuracy of class by 0.050 to 0.070 (95% '
    'intervals within 0.040 to 0.080) in all 3 models.',
  ),
  'worse in one model of three, no evidence in two': (
    [
      _compared('color', -0.05, WORSE, 'a'),
      _compared('color', -0.02, SILENT, 'b', unseen=0.03),
      _compared('color', 0.01, SILENT, 'c', unseen=0.05),
    ],
    'color beside class lowers the accuracy of class by 0.050 (95% '
    'interval 0.040 to 0.060) in 1 of 3 models and gives no evidence '
    'either way in 2 of 3 models (a difference below 0.030 to 0.050 may '
    'be missed).',
  ),
  'better here, worse there': (
    [
      _compared('color', -0.05, WORSE, 'a'),
      _compared('color', 0.03, BETTER, 'b'),
    ],
    'color beside class raises the accuracy of class by 0.030 (95% interval '
    '0.020 to 0.040) in 1 of 2 models and lowers it by 0.050 (95% interval '
    '0.040 to 0.060) in 1 of 2 models.',
  ),
  'everything': (
    [
      _compared('color', -0.05, WORSE, 'a'),
      _compared('color', 0.03, BETTER, 'b'),
      _compared('color', 0.0, SMALL, 'c', within=True),
      _compared('color', 0.0, SILENT, 'd'),
    ],
    'color beside class raises the accuracy of class by 0.030 (95% '
    'interval 0.020 to 0.040) in 1 of 4 models, lowers it by 0.050 (95% '
    'interval 0.040 to 0.060) in 1 of 4 models, changes it by less than '
    'the margin of 0.020 in 1 of 4 models and gives no evidence either '
    'way in 1 of 4 models (a difference below 0.040 may be missed).',
  ),
  'two added tasks': (
    [_compared('color+age', -0.05, WORSE)],
    'color and age beside class lowers the accuracy of class by 0.050 (95% '
    'interval 0.040 to 0.060).',
  ),
  'two sets of tasks': (
    [
      _compared('color', -0.05, WORSE, 'a'),
      _compared('color', -0.05, WORSE, 'b'),
      _compared('age', -0.03, WORSE, 'a'),
      _compared('age', 0.0, SILENT, 'b'),
    ],
    'color beside class lowers the accuracy of class by 0.050 (95% '
    'intervals within 0.040 to 0.060) in both models. Learning age beside '
    'it lowers it by 0.030 (95% interval 0.020 to 0.040) in 1 of 2 models '
    'and gives no evidence either way in 1 of 2 models (a difference '
    'below 0.040 may be missed).',
  ),
  'strategies': (
    [
      _compared('color', -0.05, WORSE, 'a · pcgrad'),
      _compared('color', -0.05, WORSE, 'a · famo'),
      _compared('color', 0.0, SMALL, 'a · weighted_sum', within=True),
    ],
    'color beside class lowers the accuracy of class by 0.050 (95% intervals '
    'within 0.040 to 0.060) in 2 of 3 methods and changes it by less than the '
    'margin of 0.020 in 1 of 3 methods.',
  ),
  'shares of labels': (
    [
      _compared('color', -0.05, WORSE, 'a') | {'label_share': ['color=0.1']},
      _compared('color', 0.0, SMALL, 'a', within=True),
    ],
    'color beside class lowers the accuracy of class by 0.050 (95% interval '
    '0.040 to 0.060) in 1 of 2 amounts of labels and changes it by less than '
    'the margin of 0.020 in 1 of 2 amounts of labels.',
  ),
}


@pytest.mark.parametrize('case', CASES)
def test_what_is_said(case):
  comparisons, expected = CASES[case]
  assert _said(*comparisons) == HERE + expected


def test_seeds_that_differ_and_a_single_one():
  said = _said(
    _compared('color', 0, SILENT, seeds=1), _compared('age', 0, SILENT)
  )
  assert said.startswith(
    'On these 1,372 test photos, over 1 to 8 seeds, learning'
  )
  said = _said(_compared('color', 0, SILENT, seeds=1))
  assert said.startswith('On these 1,372 test photos, over 1 seed, learning')


def test_the_task_alone_and_the_commonest_label():
  lines = verdict.sentences(
    'class',
    [_compared('color', 0, SILENT)],
    [0.7, 0.65, 0.6],
    0.25,
    0.02,
    'test',
  )
  assert lines[-1] == (
    'Alone, class has an accuracy of 0.600 to 0.700; always predicting the '
    'commonest train label would have 0.250.'
  )


def test_without_a_comparison_nothing_is_said():
  assert verdict.sentences('class', [], [0.6], 0.25, 0.02, 'test') == []


@pytest.mark.parametrize(
  ('numbers', 'expected'),
  [
    ((0.1, 0.04), BETTER),
    ((-0.1, 0.04), WORSE),
    ((-0.001, 0.04, 0.01), WORSE),  # and within the margin
    ((0.1, 0.05), SILENT),
    ((0.001, 0.05, 0.04), SMALL),
    ((0.001, 0.05, 0.05), SILENT),
  ],
)
def test_a_verdict(numbers, expected):
  assert statistics.verdict(*numbers) == expected
