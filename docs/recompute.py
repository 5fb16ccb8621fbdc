"""Recomputes a study's numbers from what its runs predict of each photo.

python docs/recompute.py docs/studies/clothing

needs numpy and scipy, and nothing of imat_jax. It reads
tables/predictions.npz, whose arrays imat_jax/reporting/photo_predictions.py
describes, prints the comparisons that follow, and fails where study.json has
another number.
"""

import json
import pathlib
import sys

import numpy as np
from scipy import stats

PARTS = ('mean', 'low', 'high', 'p_value')


def over_seeds(value_S):
  """The mean, the bounds of Student's 95% interval, and p of "it is 0"."""
  value_S = np.round(value_S, 12)
  mean, number = value_S.mean(), len(value_S)
  if np.ptp(value_S) == 0:  # such values tell no error; p is the sign test's
    return mean, None, None, 2.0 ** (1 - number) if mean else 1.0
  test = stats.ttest_1samp(value_S, 0)
  return mean, *np.clip(test.confidence_interval(), -1, 1), test.pvalue


def over_seeds_and_photos(value_SxN):
  """The same for other seeds and other photos.

  The mean's variance is that of the means of seeds and that of the means of
  photos, by the analysis of variance; its degrees of freedom Satterthwaite's.
  """
  seeds, photos = value_SxN.shape
  mean, mean_S, mean_N = (value_SxN.mean(axis) for axis in (None, 1, 0))
  if seeds == 1 or photos == 1:
    return mean, None, None, 1.0
  rest = ((value_SxN - mean_S[:, None] - mean_N + mean) ** 2).sum()
  rest /= (seeds - 1) * (photos - 1)
  of_photo = max(mean_N.var(ddof=1) - rest / seeds, 0) + rest / seeds
  parts = np.array([mean_S.var(ddof=1) / seeds, of_photo / photos])
  if not parts.any():
    return over_seeds(mean_S)
  dof = parts.sum() ** 2 / (parts**2 / (seeds - 1, photos - 1)).sum()
  error = np.sqrt(parts.sum())
  bounds = np.clip(stats.t.interval(0.95, dof, mean, error), -1, 1)
  return mean, *bounds, 2 * stats.t.sf(abs(mean) / error, dof)


def mcnemar(first_N, second_N):
  """The exact p of "each is as often right where the other is wrong"."""
  only_first, only_second = (
    (first_N & ~second_N).sum(),
    (second_N & ~first_N).sum(),
  )
  number = only_first + only_second
  return stats.binomtest(only_first, number).pvalue if number else 1.0


def holm(p_values):
  """The smallest p times their number, the next times one less, and so on."""
  order = np.argsort(p_values, kind='stable')
  adjusted_P = np.array(p_values)[order] * np.arange(len(p_values), 0, -1)
  return np.minimum(np.maximum.accumulate(adjusted_P), 1)[np.argsort(order)]


def recompute(study, arrays):
  """Yields what a number is, the number, and that of study.json."""
  task, true_N = study['task'], arrays['true_N']
  names = zip(
    arrays['model_R'], arrays['tasks_R'], arrays['seed_R'], strict=True
  )
  predicted = {
    (str(model), str(tasks), int(seed)): predicted_N
    for (model, tasks, seed), predicted_N in zip(
      names, arrays['predicted_RxN'], strict=True
    )
  }
  for run in study['runs']:
    key = run['model'], ' + '.join(run['tasks']), run['seed']
    if key in predicted:
      accuracy = (predicted[key] == true_N).mean()
      yield f'accuracy of {key}', accuracy, run['scores'][task]['accuracy']

  def of_seeds(model, tasks, seeds):
    return np.array([predicted[model, tasks, seed] for seed in seeds])

  shifts = study['label_shift']
  pairs = [
    (row, shift['against'], task, shift['recall'])
    for row, shift in zip(
      study['comparisons'], shifts.get('comparisons', ()), strict=True
    )
  ]
  for row in study.get('strategies', ()):
    if 'scores' in row:
      other = row['model'].replace(row['strategy'], row['against'])
      pairs.append((row, other, ' + '.join(row['tasks']), ()))
  others = []  # of which predictions.npz has no photos
  for row in study.get('sparsity', ()):
    if 'scores' in row and row['task'] == task:
      pairs.append((row, row['against'], ' + '.join(row['tasks']), ()))
    elif 'scores' in row:
      found = row['scores']['accuracy'], row['photos']['two_level']
      others.append(max(of_kind['p_value'] for of_kind in found))
  p_values = []
  for row, *other, recall in pairs:
    tasks = ' + '.join(row['tasks'])
    name = f'{row["model"]}, {tasks}'
    with_SxN = of_seeds(row['model'], tasks, row['seeds'])
    other_SxN = of_seeds(*other, row['seeds'])
    right_SxN, other_right_SxN = with_SxN == true_N, other_SxN == true_N
    difference_SxN = right_SxN.astype(int) - other_right_SxN
    estimates = {
      'difference': over_seeds(difference_SxN.mean(1)),
      'two-level difference': over_seeds_and_photos(difference_SxN),
    }
    found = row['scores']['accuracy'], row['photos']['two_level']
    for (kind, estimate), of_kind in zip(estimates.items(), found, strict=True):
      for part, number in zip(PARTS, estimate, strict=True):
        yield f'{name}: {kind}, {part}', number, of_kind[part]
    p_values.append(max(estimate[3] for estimate in estimates.values()))
    for first_N, second_N, test in zip(
      right_SxN, other_right_SxN, row['photos']['mcnemar'], strict=True
    ):
      yield (
        f'{name}: McNemar, p_value',
        mcnemar(first_N, second_N),
        test['p_value'],
      )
    for k, difference in enumerate(recall):
      if difference:
        number = difference_SxN[:, true_N == k].mean()
        label = shifts['labels'][k]
        yield (
          f'{name}: difference in recall of {label}',
          number,
          difference['mean'],
        )
  adjusted = holm(p_values + others)[: len(pairs)]
  for (row, *_), p_value in zip(pairs, adjusted, strict=True):
    name = f'{row["model"]}, {" + ".join(row["tasks"])}: p (Holm)'
    yield name, p_value, row['scores']['accuracy']['p_holm']


def main(folder):
  study = json.loads((folder / 'study.json').read_text())
  with np.load(folder / 'tables' / 'predictions.npz') as arrays:
    rows = list(recompute(study, arrays))
  for name, number, found in rows:
    if (number is None) != (found is None) or (
      number is not None and not np.isclose(number, found, 1e-6, 1e-6)
    ):
      raise SystemExit(f'{name}: {number}, but {found} in study.json')
    print(f'{name}: {number if number is None else round(number, 4)}')
  print(f'{len(rows)} numbers, as in study.json')


if __name__ == '__main__':
  main(pathlib.Path(sys.argv[1]))
