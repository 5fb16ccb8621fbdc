"""Times the training step with multi-task methods over that of the plain sum.

  python -m benchmarks.strategies [--torchjd=torchjd-env/bin/python]

Whole steps of public 3M, batches of 128 photos of 128 pixels, and of `resnet`,
64 of 64 pixels, with 2, 5, 10 and 45 tasks, 1.5 labels per photo: the plain
sum, a method on losses, and one on the Gramian at the features and at the
trunk's parameters. They take turns. Then each method's own part of a step, by
itself, as it knows no network; and, with `--torchjd`, duels of whole steps of
public 3M with TorchJD, which has its gradients at the trunk's parameters.

Compilation is from Python to the program, in CPU time; memory is what XLA plans
for what a step holds beside its arguments; its count of operations has those of
a loop, as over the tasks at the trunk's parameters, once. On a busy machine the
ratios of CPU time are steadier than those of time.
"""

import dataclasses
import statistics
import sys
import time

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks import contestants, duel, heads, stepping
from imat_jax import config, options
from imat_jax.data.types import Batch
from imat_jax.models.trunks.resnet import ResNet
from imat_jax.strategies import Evidence
from imat_jax.training import compiled
from imat_jax.training.ensemble import Ensemble
from imat_jax.training.inputs import StepInput

PACKAGE = 'imat_jax.strategies'
PLAIN = 'weighted_sum'
WHOLE = PLAIN, 'famo', 'upgrad', 'upgrad:gradients_at=trunk'
NUMBERS = 2, 5, 10, 45
MOST_AT_TRUNK = 10  # tasks, as each costs a pass back
RUNS = {
  'public 3M': stepping.RUN,
  'resnet': dataclasses.replace(
    stepping.RUN,
    model=config.Model(trunk=ResNet(), head_widths=()),
    batch_size=64,
  ),
}


def main() -> int:
  parser = duel.arguments(__doc__)
  parser.add_argument(
    '--torchjd', metavar='PYTHON', help="interpreter of TorchJD's environment"
  )
  parser.add_argument(
    '--runs', default=','.join(RUNS), help='some of the default'
  )
  parser.add_argument('--tasks', default=','.join(map(str, NUMBERS)))
  flags = parser.parse_args()
  body = []
  for name in filter(None, flags.runs.split(',')):
    for number in map(int, flags.tasks.split(',')):
      body += _whole_steps(name, number, flags.repetitions)
  head = 'network', 'tasks', 'method', 'ms', 'time', 'CPU time'
  print(
    duel.table((*head, 'operations', 'memory', 'compilation'), body), flush=True
  )
  _print_own_parts(flags.repetitions)
  if flags.torchjd:
    return _duels(flags)
  return 0


@dataclasses.dataclass
class _Step:
  """A compiled step, and what compiling it took."""

  program: jax.stages.Compiled
  compile_seconds: float
  arguments: tuple  # the state and the metrics; the step input
  seconds: list[float] = dataclasses.field(default_factory=list)
  cpu_seconds: list[float] = dataclasses.field(default_factory=list)

  def run(self) -> None:
    state, metrics, step_input = self.arguments
    start, cpu_start = time.perf_counter(), time.process_time()
    state, after = jax.block_until_ready(
      self.program(state, metrics, step_input)
    )
    self.seconds.append(time.perf_counter() - start)
    self.cpu_seconds.append(time.process_time() - cpu_start)
    self.arguments = state, after, step_input

  @property
  def row(self) -> tuple[float, ...]:
    """Operations, bytes, and CPU seconds to compile."""
    memory = self.program.memory_analysis().temp_size_in_bytes
    operations = self.program.cost_analysis()['flops']
    return operations, memory, self.compile_seconds


def _whole_steps(name: str, number: int, repetitions: int) -> list[list[str]]:
  """Rows of the table: ratios to the plain sum."""
  counts = heads.LABEL_COUNTS[:number]
  batch = stepping.noise_batch(counts, labels_per_photo=1.5)
  run, (side, _) = RUNS[name], RUNS[name].model.trunk.shape
  batch = Batch(
    batch.image_BxHxWxC[: run.batch_size, :side, :side],
    batch.label_BxT[: run.batch_size],
  )
  methods = [
    method
    for method in WHOLE
    if number <= MOST_AT_TRUNK or 'trunk' not in method
  ]
  start = stepping.Trainer(run, stepping.task_set(counts)).checkpoint
  steps = [_compiled(run, counts, method, start, batch) for method in methods]
  for step in steps:
    step.run()
    step.seconds.clear(), step.cpu_seconds.clear()
  for _ in range(repetitions):
    for step in steps:
      step.run()
  rows = []
  for method, step in zip(methods, steps, strict=True):
    ratios = [
      _ratio(step.seconds, steps[0].seconds),
      _ratio(step.cpu_seconds, steps[0].cpu_seconds),
      *(a / b for a, b in zip(step.row, steps[0].row, strict=True)),
    ]
    milliseconds = f'{1e3 * statistics.median(step.seconds):.0f}'
    texts = [f'{ratio:.2f}' for ratio in ratios]
    rows.append([name, str(number), method, milliseconds, *texts])
    print(' '.join(rows[-1]), file=sys.stderr, flush=True)
  return rows


def _ratio(seconds: list[float], of_plain: list[float]) -> float:
  """The median over the turns."""
  pairs = zip(seconds, of_plain, strict=True)
  return statistics.median(mine / plain for mine, plain in pairs)


def _compiled(run, counts, method: str, start, batch: Batch) -> _Step:
  strategy = options.part_from_text(PACKAGE, method)
  task_set = stepping.task_set(counts)
  run = dataclasses.replace(run, strategy=strategy, tasks=task_set.names)
  state = jax.tree.map(lambda leaf: leaf[None], strategy.init(len(counts)))
  arguments = jax.tree.map(  # a step gives the memory of its state away
    jnp.copy,
    (
      start.state.replace(strategy=state),
      start.metrics,
      StepInput(batch, None),
    ),
  )
  step = compiled.train_step(Ensemble((run,), task_set))
  begin = time.process_time()
  program = step.lower(*arguments).compile()
  return _Step(program, time.process_time() - begin, arguments)


def _print_own_parts(repetitions: int) -> None:
  """Of each method: what it computes of losses or of the Gramian."""
  body = []
  for name in options.part_names(PACKAGE):
    strategy, row = options.part(PACKAGE, name)(), [name]
    for number in NUMBERS:
      evidence, state = _evidence(number), strategy.init(number)
      begin = time.process_time()
      program = jax.jit(strategy.update).lower(evidence, state).compile()
      compile_seconds = time.process_time() - begin
      seconds = stepping.median_seconds(
        program, evidence, state, repetitions=3 * repetitions
      )
      row.append(f'{1e3 * seconds:.2f} ({compile_seconds:.1f})')
    body.append(row)
  head = 'method', *(f'{number} tasks' for number in NUMBERS)
  print('\nOwn part, ms (seconds to compile it):\n')
  print(duel.table(head, body), flush=True)


def _evidence(number: int) -> Evidence:
  rng = np.random.default_rng(0)
  gradient_TxP = rng.normal(size=(number, 100)).astype(np.float32)
  return Evidence(
    jnp.asarray(rng.uniform(0.2, 3, number), jnp.float32),
    jnp.ones(number),
    jnp.ones(number),
    jnp.asarray(gradient_TxP @ gradient_TxP.T),
    jax.random.key(0),
  )


def _duels(flags) -> int:
  report = duel.Report(flags, 'method, tasks')
  for method, theirs in (('mgda', 'MGDA'), ('upgrad', 'UPGrad')):
    for tasks in (2, 5):
      what = ['--what=step', f'--tasks={tasks}']
      ours = [
        dataclasses.replace(
          contestants.ours(*what, f'--strategy={method}:gradients_at={at}'),
          name=f'ours, at the {at}',
        )
        for at in ('trunk', 'features')
      ]
      peer = contestants.peer(
        *('torchjd', 'TorchJD', flags.torchjd),
        *(f'--tasks={tasks}', f'--aggregator={theirs}'),
      )
      report.duel(f'{method}, {tasks}', [*ours, *peer])
  return report.finish()


if __name__ == '__main__':
  sys.exit(main())
