"""What people said of a photo: few labels, some wrong, as in the real data."""

import numpy as np

from imat_jax.data.drawing import dice, difficulty
from imat_jax.data.drawing import garment as garments
from imat_jax.data.drawing.garment import Garment
from imat_jax.data.drawing.setting import Setting

# How many of the photos have a label of each task; the other tasks of a class
# share the rate OTHERS. A photo without any gets one of those.
ASKED = {'color': 0.28, 'material': 0.23, 'gender': 0.09, 'age': 0.06}
OTHERS = 0.59

Label = tuple[str, str]  # Kaggle's names of the task and of the label


def given(
  rng: np.random.Generator, garment: Garment, setting: Setting
) -> tuple[Label, ...]:
  """The annotations of a photo."""
  if dice.chance(rng, difficulty.NOT_ANNOTATED):
    return ()
  if dice.chance(rng, difficulty.WRONG_APPAREL):
    garment = garments.of_another_class(rng, garment)
  found = _answers(rng, garment)
  if setting.company and dice.chance(rng, difficulty.TWO_CLASSES):
    found.append(_answers(rng, setting.company[0])[0])
  found = [_maybe_wrong(rng, label) for label in found]
  if dice.chance(rng, difficulty.REPEATED):
    found.append(_another(rng, found[0]))
  return tuple(found)


def _answers(rng: np.random.Generator, garment: Garment) -> list[Label]:
  """The labels that somebody was asked for; at least one."""
  others = [name for name in garment.traits if name not in ASKED]
  rates = ASKED | dict.fromkeys(others, OTHERS / len(others))
  asked = [name for name, rate in rates.items() if dice.chance(rng, rate)]
  asked = asked or [others[rng.integers(len(others))]]
  return [(f'{garment.apparel}:{a}', garment.traits[a]) for a in asked]


def _maybe_wrong(rng: np.random.Generator, label: Label) -> Label:
  is_wrong = dice.chance(rng, difficulty.WRONG_LABEL)
  return _another(rng, label) if is_wrong else label


def _another(rng: np.random.Generator, label: Label) -> Label:
  """A label that another garment of the class has in this task."""
  task, name = label
  apparel, _, attribute = task.partition(':')
  while True:
    traits = garments.any_of(rng, apparel).traits
    if traits[attribute] != name:
      return task, traits[attribute]
