"""Early stopping as in the report (and in Keras's callback)."""

import json

import pytest

from imat_jax import config
from imat_jax.training.history import EarlyStopping, History, selection_loss


def _history(losses, min_delta=0.001) -> History:
  history = History()
  for epoch, loss in enumerate(losses, 1):
    row = {'epoch': epoch, 'total': {'validation': loss}}
    history = history.append(row, config.Stopping(min_delta=min_delta))
  return history


def _run(epochs, **knobs) -> config.Run:
  stopping = config.Stopping(**knobs)
  return config.Run(data_dir='', workdir='', epochs=epochs, stopping=stopping)


@pytest.mark.parametrize(
  ('epochs', 'patience'), [(1, 6), (20, 6), (36, 7), (60, 8), (100, 11)]
)
def test_patience_of_the_report(epochs, patience):
  assert config.Stopping().epochs_to_wait(epochs) == patience


def test_a_small_fall_is_no_change():
  stopping = _history([1.0, 0.9995, 0.9992, 0.9985]).stopping
  # 0.9985 is lower than 1.0 by more than 0.001; the ones before are not.
  assert stopping == EarlyStopping(0.9985, best_epoch=4, waited=0)


def test_best_epoch_is_kept_while_waiting():
  stopping = _history([1.0, 0.5, 0.7, 0.6]).stopping
  assert (stopping.best_epoch, stopping.waited) == (2, 2)


def test_stops_after_patience_and_not_before():
  run = _run(20)
  assert not _history([1.0] + [2.0] * 5).finished(run)
  stopped = _history([1.0] + [2.0] * 6)
  assert stopped.finished(run)
  assert stopped.stopped_early(run)


def test_the_last_epoch_is_no_early_stop():
  history = _history([1.0] + [2.0] * 6)
  assert history.finished(_run(7))
  assert not history.stopped_early(_run(7))


def test_given_patience_goes_before_the_rule():
  assert _history([1.0, 2.0, 2.0]).stopped_early(_run(20, patience=2))


def test_history_survives_json():
  history = _history([1.0, 0.5])
  assert History.from_json(history.to_json()) == history


def test_without_labels_the_last_epoch_is_kept():
  history = _history([None] * 30)
  assert history.stopping.best_epoch == 30
  assert not history.stopped_early(_run(40))
  value = json.loads(json.dumps(history.to_json(), allow_nan=False))
  assert History.from_json(value) == history


@pytest.mark.parametrize(('select_by', 'best'), [('total', 2), ('main', 3)])
def test_the_first_task_may_decide_alone(select_by, best):
  """Another task that gets worse makes no other epoch of the first one."""
  stopping, history = config.Stopping(select_by=select_by), History()
  for epoch, (main, other) in enumerate([(3, 3), (2, 1), (1, 9)], 1):
    row = {
      'epoch': epoch,
      'validation': {'kind': {'loss': main}, 'age': {'loss': other}},
      'total': {'validation': main + other},
    }
    history = history.append(row, stopping)
  assert history.stopping.best_epoch == best


def test_a_first_task_without_labels_keeps_the_last_epoch():
  row = {'validation': {'kind': {'loss': None}, 'age': {'loss': 1.0}}}
  assert selection_loss(row, config.Stopping(select_by='main')) is None
