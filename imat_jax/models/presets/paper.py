"""The networks of the paper."""

from imat_jax import config
from imat_jax.models.trunks.paper import Paper

PRIVATE_1_4M = config.Model(
  trunk=Paper(shared_widths=(128,), shared_activation='tanh'),
  head_widths=(16, 8),
  head_activation='relu',
  head_widths_per_label=True,
)
PUBLIC_1_4M = config.Model(trunk=Paper(shared_widths=(160, 126)))
PUBLIC_3M = config.Model(trunk=Paper(shared_widths=(384, 384)))
# The same network; the experiment differs in its number of tasks.
PUBLIC_3M_THREE_TASKS = PUBLIC_3M
