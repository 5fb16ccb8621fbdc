"""Results of the 2022 paper: its public 3M, one run each."""

from typing import NamedTuple


class Row(NamedTuple):
  """A row of its tables, for the apparel task; ranges are over the classes."""

  loss: float
  accuracy: float
  precision: tuple[float, float]
  recall: tuple[float, float]
  f1: float


MODEL = 'public_3m'
ROWS = {
  ('apparel',): Row(0.716, 0.715, (0.70, 0.78), (0.64, 0.84), 0.72),
  ('apparel', 'material'): Row(0.813, 0.680, (0.64, 0.75), (0.63, 0.78), 0.67),
  ('apparel', 'color'): Row(0.931, 0.614, (0.54, 0.73), (0.45, 0.65), 0.61),
  ('apparel', 'gender'): Row(0.844, 0.656, (0.58, 0.75), (0.48, 0.81), 0.63),
  ('apparel', 'age'): Row(0.863, 0.653, (0.61, 0.74), (0.52, 0.83), 0.64),
}
