"""Times the trunks of today against PyTorch and onnxruntime.

  python -m benchmarks.trunks --torch=torch-env/bin/python [--json=trunks.json]

`resnet` as the preset `modern` trains it, 64 photos of 64 pixels, and Lite0 as
`finetuned` does, 32 photos of 160 pixels, the last six stages trained: a
training step and a forward pass. And Lite0 as `linear_probe` computes features,
32 photos of 224 pixels. A repetition is one of these, a batch in memory.
"""

import sys

from benchmarks import contestants, duel
from benchmarks.peers import workload


def main() -> int:
  parser = duel.arguments(__doc__)
  parser.add_argument(
    '--torch', metavar='PYTHON', help="interpreter of PyTorch's environment"
  )
  parser.add_argument(
    '--work', default=','.join(workload.TRUNKS), help='some of the default'
  )
  flags = parser.parse_args()
  report = duel.Report(flags, 'trunk')
  for name in flags.work.split(','):
    is_step = workload.TRUNKS[name].is_step
    runtimes = ['eager', 'compiled'] + ['onnxruntime'] * (not is_step)
    peers = [
      contestants.peer(
        'trunk', runtime, flags.torch, f'--work={name}', f'--runtime={runtime}'
      )
      for runtime in runtimes
    ]
    ours = contestants.ours(f'--work={name}', worker='trunk_worker')
    report.duel(name, [ours, *sum(peers, [])])
  return report.finish()


if __name__ == '__main__':
  sys.exit(main())
