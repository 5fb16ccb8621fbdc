"""How many labels of another task does it take to help the compared one?"""

from collections.abc import Mapping
from typing import Any

from imat_jax.reporting import results


def rows(
  findings: Mapping[str, Any], statistics: Mapping[str, Any]
) -> list[dict[str, Any]]:
  """A row per comparison of a study of shares of labels; else none.

  Args:
    findings: what `analysis.collect` returns.
    statistics: the `statistics.json` of the data set.

  Returns:
    the model, the added tasks, how many train labels the compared task had
    (`main labels`) and the added ones (`labels`, of each), the mean score
    `alone`, and the mean `difference` with its interval and verdict.
  """
  task, comparisons = findings['task'], findings['comparisons']
  if not any('label_share' in c for c in comparisons):
    return []
  labelled = {
    name: of_task['labelled']
    for name, of_task in statistics['splits']['train']['tasks'].items()
  }
  alone = {
    (_model(c), _shares(c).get(task, 1.0)): c['scores'][task][results.MAIN]
    for c in findings['cells']
    if c['tasks'] == [task]
  }
  result = []
  for c in comparisons:
    shares, scores = _shares(c), c['scores'][results.MAIN]
    share = shares.get(task, 1.0)
    kept = [
      _kept(shares.get(name, 1.0), labelled[name]) for name in c['tasks'][1:]
    ]
    result.append(
      {
        'model': _model(c),
        'with': ' + '.join(c['tasks'][1:]),
        'main labels': _kept(share, labelled[task]),
        'labels': kept[0],
        'alone': alone[_model(c), share]['mean'],
        'difference': scores['mean'],
        'low': scores['low'],
        'high': scores['high'],
        'verdict': scores['verdict'],
      }
    )
  keys = ('model', 'with', 'main labels', 'labels')
  return sorted(result, key=lambda row: [row[key] for key in keys])


def _model(named: Mapping[str, Any]) -> str:
  """The name of the model without the shares."""
  return named['model'].partition(' · ')[0]


def _shares(named: Mapping[str, Any]) -> dict[str, float]:
  pairs = (text.rpartition('=') for text in named.get('label_share', ()))
  return {name: float(share) for name, _, share in pairs}


def _kept(share: float, number: int) -> int:
  """As `source.Source.keep_labels` rounds."""
  return max(round(share * number), share > 0)
