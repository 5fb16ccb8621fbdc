import io
import itertools
import pathlib

import jax
import numpy as np
import pytest
import tiny
from PIL import Image

from imat_jax import config, errors, inference, tasks, train
from imat_jax.data import build, configs, preprocess
from imat_jax.data.types import Resize
from imat_jax.training import scoring

CLASSES = ('dress', 'outerwear', 'pants', 'shoe')


@pytest.fixture(scope='module')
def predictor(trained) -> inference.Predictor:
  return inference.Predictor(trained, batch_size=8)


@pytest.fixture(scope='module')
def paths(kaggle) -> list[str]:
  return [str(kaggle.images / f'validation/{i}.jpg') for i in range(21)]


def assert_predicts_its_evaluation(predictor, paths, data_dir):
  stored = scoring.outputs(
    predictor.trained,
    data_dir,
    'validation',
    batch_size=8,
    loader=config.Loader(),
  )
  expected_NxTxK = jax.nn.softmax(stored.logits_NxTxK)
  predictions = [
    labelled.probability_TxK for labelled in predictor.label(paths)
  ]
  np.testing.assert_array_equal(np.stack(predictions), expected_NxTxK)


def test_a_photo_has_the_probabilities_of_its_evaluation(
  predictor, paths, built
):
  assert_predicts_its_evaluation(predictor, paths, built)


@pytest.mark.parametrize(
  'options',
  [{'image_size': 47}, {'image_size': 32, 'exact_size': True}],
)
def test_so_it_has_with_a_data_set_of_another_form(
  options, paths, kaggle, tmp_path
):
  data_dir, run = str(tmp_path / 'built'), str(tmp_path / 'run')
  folders = {'annotations': str(kaggle[0]), 'images': str(kaggle[1])}
  build.main(configs.Build(data_dir=data_dir, **folders, **options))
  train.train(
    config.Run(
      data_dir=data_dir,
      workdir=run,
      tasks=('apparel',),
      model=tiny.SMALL,
      epochs=1,
      batch_size=16,
    )
  )
  predictor = inference.Predictor(run, batch_size=8)
  assert_predicts_its_evaluation(predictor, paths, data_dir)


@pytest.mark.parametrize('number', [0, 1, 7, 8, 9, 21])
def test_any_number_of_photos_takes_one_program(predictor, paths, number):
  whole = list(predictor.label(paths))
  programs = predictor._logits._cache_size()
  part = list(predictor.label(paths[:number]))
  assert predictor._logits._cache_size() == programs
  assert [labelled.path for labelled in part] == paths[:number]
  for one, other in zip(part, whole, strict=False):
    np.testing.assert_array_equal(one.probability_TxK, other.probability_TxK)


def test_a_file_that_is_no_photo_has_its_place(predictor, paths, tmp_path):
  text = tmp_path / 'text.jpg'
  text.write_text('no photo')
  mixed = [str(text), paths[3], str(tmp_path / 'none.jpg'), str(tmp_path)]
  predictions = list(predictor.label(mixed))
  assert [labelled.path for labelled in predictions] == mixed
  assert [labelled.error for labelled in predictions] == [
    preprocess.NOT_DECODED,
    '',
    preprocess.NO_FILE,
    preprocess.NOT_DECODED,
  ]
  (alone,) = predictor.label([paths[3]])
  np.testing.assert_array_equal(
    predictions[1].probability_TxK, alone.probability_TxK
  )


def test_an_endless_list_is_read_a_little_ahead(predictor, paths):
  asked = itertools.count()
  endless = (paths[next(asked) % 21] for _ in itertools.count())
  labelled = predictor.label(endless)
  for _ in range(10):
    next(labelled)
  assert next(asked) < 6 * 8
  labelled.close()


def test_the_likeliest_labels_come_first():
  color = tasks.Task('color', ('blue', 'red', 'green'))
  apparel = tasks.Task('apparel', ('shoe', 'dress'))
  probability_TxK = np.float32([[0.2, 0.7, 0.1], [0.5, 0.5, 0]])
  prediction = inference.Prediction('a.jpg', probability_TxK)
  task_set = tasks.TaskSet((color, apparel))
  best = prediction.best(task_set, 'color', 2)
  assert [label for label, _ in best] == ['red', 'blue']
  assert [share for _, share in best] == pytest.approx([0.7, 0.2])
  # Values past a task's labels are ignored; in a tie the first is first.
  best = prediction.best(task_set, 'apparel', 9)
  assert best == [('shoe', 0.5), ('dress', 0.5)]


def test_images_in_memory_equal_files(predictor, paths):
  body = io.BytesIO(pathlib.Path(paths[0]).read_bytes())
  image_HxWxC = predictor.prepare(body)
  assert image_HxWxC.shape == (128, 128, 3)
  assert image_HxWxC.dtype == np.uint8
  (probability_TxK,) = predictor.probabilities(image_HxWxC[None])
  (expected,) = predictor.label(paths[:1])
  np.testing.assert_array_equal(probability_TxK, expected.probability_TxK)


def test_more_images_than_a_batch(predictor):
  rng = np.random.default_rng(0)
  image_NxHxWxC = rng.integers(0, 256, (19, 128, 128, 3), np.uint8)
  whole_NxTxK = predictor.probabilities(image_NxHxWxC)
  assert whole_NxTxK.shape == (19, 2, 4)
  np.testing.assert_allclose(whole_NxTxK.sum(2), 1, rtol=1e-6)
  np.testing.assert_array_equal(
    whole_NxTxK[10:11], predictor.probabilities(image_NxHxWxC[10:11])
  )


def test_exif_orientation_is_applied(predictor, tmp_path):
  rng = np.random.default_rng(0)
  pixels = rng.integers(0, 256, (4, 3, 3), np.uint8).repeat(60, 0).repeat(60, 1)
  upright, lying = tmp_path / 'upright.png', tmp_path / 'lying.png'
  image = Image.fromarray(pixels)
  image.save(upright)
  exif = Image.Exif()
  exif[0x0112] = 6  # to be turned by 90° to the right
  image.rotate(90, expand=True).save(lying, exif=exif)
  np.testing.assert_array_equal(
    inference.prepare(lying, (128, 128), Resize.of(128)),
    inference.prepare(upright, (128, 128), Resize.of(128)),
  )


def test_a_folder_without_a_run_is_reported(tmp_path):
  with pytest.raises(errors.UserError, match='not a trained run: no'):
    inference.Predictor(tmp_path)
