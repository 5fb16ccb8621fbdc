import dataclasses
import functools
import os
import pathlib
import subprocess
import sys

import pytest
from absl import flags as absl_flags

from imat_jax import config, errors, flags, options, predict
from imat_jax.data import configs
from imat_jax.models.trunks.paper import Paper

ROOT = pathlib.Path(__file__).parent.parent
KINDS = [k for k in options.Config.__subclasses__() if k is not options.Part]
PRESET = functools.partial(
  config.Run,
  epochs=7,
  tasks=('apparel', 'age'),
  model=config.Model(
    trunk=Paper(shared_widths=(160, 126)), head_activation='relu'
  ),
)


def parse(*arguments, maker=config.Run) -> config.Run:
  needed = ['--data_dir=built', '--workdir=run']
  return flags.parse(maker, ['command', *needed, *arguments])


def leaves(kind):
  """The fields of a config, those of the configs within it in place."""
  for field in dataclasses.fields(kind):
    if dataclasses.is_dataclass(field.type):
      yield from leaves(field.type)
    else:
      yield field


def is_required(field) -> bool:
  return field.default is dataclasses.MISSING


def given(field, value='text') -> str:
  """How a field stands on the command line."""
  return value if is_argument(field) else f'--{field.name}={value}'


def is_argument(field) -> bool:
  return 'arguments' in field.metadata


def test_without_flags_the_defaults_stand():
  assert parse() == config.Run(data_dir='built', workdir='run')


def test_flags_reach_nested_fields_and_leave_the_others():
  run = parse('--rotation=10', '--learning_rate=1', '--loader_processes=2')
  assert run.augmentation == config.Augmentation(rotation=10.0)
  assert run.optimizer == config.Optimizer(learning_rate=1.0)
  assert run.loader == config.Loader(loader_processes=2)
  assert run.model == config.Model()


def test_arguments_may_stand_anywhere_beside_the_flags():
  given = ['predict', 'a.jpg', '--run=x', '-', '--top', '2', 'b.jpg']
  parsed = flags.parse(predict.Predict, given)
  assert parsed == predict.Predict(
    run='x', top=2, paths=('a.jpg', '-', 'b.jpg')
  )
  given = ['predict', '--run=x', '--', '--odd.jpg']
  assert flags.parse(predict.Predict, given).paths == ('--odd.jpg',)


def test_only_commands_that_want_arguments_take_some():
  with pytest.raises(ValueError, match="'a.jpg' is not a flag"):
    parse('a.jpg')


def test_a_value_may_stand_behind_a_space():
  assert parse('--epochs', '3').epochs == 3


def test_values_have_the_type_of_their_field():
  run = parse(
    '--rotation=10', '--epochs=3', '--eval_augmented', '--fill=reflect'
  )
  assert type(run.augmentation.rotation) is float
  assert type(run.epochs) is int
  assert run.eval_augmented is True
  assert run.augmentation.fill == 'reflect'
  assert parse('--noeval_augmented').eval_augmented is False


def test_tuples_stand_with_commas():
  assert parse('--tasks=apparel,pants:length').tasks == (
    'apparel',
    'pants:length',
  )
  assert parse('--tasks=apparel, age').tasks == ('apparel', 'age')
  assert parse('--filters=1,2,3').model.trunk.filters == (1, 2, 3)
  assert parse('--shared_widths=').model.trunk.shared_widths == ()


def test_a_preset_gives_defaults_that_flags_override():
  run = parse(maker=PRESET)
  assert (run.epochs, run.tasks) == (7, ('apparel', 'age'))
  assert run.model == PRESET.keywords['model']
  run = parse('--epochs=2', '--shared_widths=8', maker=PRESET)
  assert run.epochs == 2
  assert run.model.trunk.shared_widths == (8,)
  assert run.model.head_activation == 'relu'


def test_a_preset_may_give_a_required_field():
  maker = functools.partial(config.Run, data_dir='built')
  run = flags.parse(maker, ['command', '--workdir=run'])
  assert (run.data_dir, run.workdir) == ('built', 'run')


def test_parsing_twice_gives_independent_configs():
  assert parse('--epochs=2').epochs == 2
  assert parse().epochs == config.Run(data_dir='', workdir='').epochs


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
def test_every_field_of_every_config_is_a_flag(kind):
  for field in leaves(kind):
    if is_required(field):
      value = 'text'
    elif isinstance(field.default, tuple):
      value = ','.join(map(str, field.default))
    else:
      value = str(field.default)
    needed = [given(f) for f in leaves(kind) if is_required(f)]
    made = flags.parse(kind, ['command', *needed, given(field, value)])
    assert isinstance(made, kind)


@pytest.mark.parametrize(
  'argument, named',
  [
    ('--epoch=3', "'epoch'"),
    ('--epochs=many', '--epochs=many'),
    ('--epochs=1.5', '--epochs=1.5'),
    ('--learning_rate=fast', '--learning_rate=fast'),
    ('--fill=white', '--fill=white'),
    ('--eval_augmented=perhaps', '--eval_augmented'),
    ('--epochs', 'epochs'),
  ],
)
def test_flags_that_absl_refuses(argument, named):
  with pytest.raises(absl_flags.Error, match=named):
    parse(argument)


@pytest.mark.parametrize(
  'argument, complaint',
  [
    ('--epochs=0', '--epochs=0: must be at least 1'),
    ('--flip=1.5', '--flip=1.5: must be between 0 and 1'),
    ('--tasks=', '--tasks=: must not be empty'),
    ('--learning_rate=nan', '--learning_rate=nan: must be at least 0'),
    ('--filters=0,8,16', '--filters=0,8,16: must be at least 1'),
    ('--filters=a,8,16', '--filters=a,8,16: must be of the type int'),
    ('epochs=3', "'epochs=3' is not a flag"),
  ],
)
def test_values_that_a_check_refuses(argument, complaint):
  with pytest.raises(ValueError) as caught:
    parse(argument)
  assert str(caught.value) == complaint


@pytest.mark.parametrize('missing', ['data_dir', 'workdir'])
def test_a_required_flag_is_required(missing):
  given = {'data_dir', 'workdir'} - {missing}
  argv = ['command', *(f'--{name}=there' for name in given)]
  with pytest.raises(ValueError, match=f'missing: --{missing}'):
    flags.parse(config.Run, argv)


def test_libraries_find_the_global_flags_parsed():
  absl_flags.FLAGS.unparse_flags()
  parse()
  assert absl_flags.FLAGS.is_parsed()


@pytest.mark.parametrize('kind', KINDS, ids=lambda kind: kind.__name__)
def test_help_has_each_flag_its_default_and_its_text(kind):
  text = flags.help_text('What it is for.', kind)
  assert text.startswith('What it is for.\n')
  words = ' '.join(text.split())
  for field in leaves(kind):
    if is_argument(field):
      assert f'\narguments:\n  {field.metadata["arguments"]}\n' in text
    elif is_required(field):
      assert f'--{field.name}\n' in text
      assert f'{field.metadata["help"]} (required)' in words
    elif not isinstance(field.default, tuple):
      assert f'--{field.name}={field.default}\n' in text
    assert field.metadata['help'] in words
  needed = [f for f in leaves(kind) if is_required(f) and not is_argument(f)]
  assert text.count('(required)') == len(needed)
  assert max(map(len, text.splitlines())) <= 80


def test_help_shows_the_values_of_a_preset():
  text = flags.help_text('', PRESET)
  assert '--epochs=7\n' in text
  assert '--tasks=apparel,age\n' in text
  assert '--shared_widths=160,126\n' in text


def test_help_says_what_options_belong_together():
  text = flags.help_text('', config.Run)
  about = config.Optimizer.__doc__.rstrip('.')
  assert f'\n\n{about}:\n  --learning_rate=' in text


def test_help_shows_the_choices():
  assert '(nearest, constant, reflect)' in flags.help_text('', config.Run)


class Command:
  """Runs `flags.run` with arguments; has its status and its output."""

  def __init__(self, monkeypatch, capsys):
    self._monkeypatch, self._capsys = monkeypatch, capsys
    self.configs = []

  def run(self, *arguments, fault=None):
    def main(made):
      self.configs.append(made)
      if fault:
        raise fault

    self._monkeypatch.setattr(sys, 'argv', ['command', *arguments])
    with pytest.raises(SystemExit) as caught:
      flags.run(main, configs.Download)
    self.status = caught.value.code
    self.out, self.err = self._capsys.readouterr()


@pytest.fixture
def command(monkeypatch, capsys) -> Command:
  return Command(monkeypatch, capsys)


GOOD = ('--annotations=a', '--images=b')


def test_status_0_when_it_is_done(command):
  command.run(*GOOD, '--concurrency=3')
  assert command.status == 0
  wanted = configs.Download(annotations='a', images='b', concurrency=3)
  assert command.configs == [wanted]
  assert command.err == ''


@pytest.mark.parametrize('flag', ['--help', '-h', '-help'])
def test_status_0_and_no_work_for_help(command, flag):
  command.run('--concurrency=0', flag)
  assert command.status == 0
  assert '--annotations' in command.out
  assert command.configs == []


@pytest.mark.parametrize(
  'fault, line',
  [
    (errors.UserError('a/b: no such folder'), 'a/b: no such'),
    (FileNotFoundError(2, 'No such file', 'a/b'), 'a/b: No such file'),
    (OSError(28, 'No space left on device'), 'No space left on device'),
    (OSError('of another kind'), 'of another kind'),
  ],
)
def test_status_1_and_one_line_for_a_fault_of_the_user(command, fault, line):
  command.run(*GOOD, fault=fault)
  assert command.status == 1
  assert line in command.err
  assert command.err.count('\n') == 1


@pytest.mark.parametrize(
  'arguments',
  [
    (),
    GOOD[:1],
    (*GOOD, '--concurrency=0'),
    (*GOOD, '--concurrencys=3'),
    (*GOOD, '--concurrency=three'),
    (*GOOD, '--concurrency=two\nlines'),
    (*GOOD, 'train'),
  ],
)
def test_status_2_and_no_work_for_wrong_flags(command, arguments):
  command.run(*arguments)
  assert command.status == 2
  assert '--help' in command.err
  assert command.err.count('\n') == 1
  assert command.configs == []


def test_status_130_when_it_is_interrupted(command):
  command.run(*GOOD, fault=KeyboardInterrupt())
  assert command.status == 130
  assert command.err.count('\n') == 1


@pytest.mark.parametrize('number, status', [(2, 130), (15, 143)])
def test_status_of_a_command_that_a_signal_ended(command, number, status):
  command.run(*GOOD, fault=errors.Interrupted(number, 'saved; run it again'))
  assert command.status == status
  assert command.err.endswith(': saved; run it again\n')


def test_a_bug_keeps_its_traceback(monkeypatch):
  def main(made):
    raise ZeroDivisionError

  monkeypatch.setattr(sys, 'argv', ['command', *GOOD])
  with pytest.raises(ZeroDivisionError):
    flags.run(main, configs.Download)


def test_a_real_command_ends_with_one_line_under_its_name(tmp_path):
  folders = [
    f'--{name}={tmp_path / name}' for name in ('annotations', 'images')
  ]
  done = subprocess.run(
    [sys.executable, '-m', 'imat_jax.data.download', *folders],
    capture_output=True,
    text=True,
  )
  assert done.returncode == 1
  assert done.stderr.startswith('imat_jax.data.download: ')
  assert str(tmp_path / 'annotations') in done.stderr
  assert done.stderr.count('\n') == 1


def test_a_reader_that_leaves_early_is_no_fault():
  """As in `… --help | head -1`."""
  reader, writer = os.pipe()
  os.close(reader)
  done = subprocess.run(
    [sys.executable, '-m', 'imat_jax.data.download', '--help'],
    stdout=writer,
    stderr=subprocess.PIPE,
  )
  os.close(writer)
  assert (done.returncode, done.stderr) == (0, b'')


def _without_malloc() -> dict[str, str]:
  return {k: v for k, v in os.environ.items() if k != 'GLIBC_TUNABLES'}


def test_an_experiment_imports_jax_once():
  """After it has started itself again."""
  done = subprocess.run(
    [sys.executable, '-X', 'importtime', '-m', 'experiments.public_3m'],
    cwd=ROOT,
    env=_without_malloc(),
    stderr=subprocess.PIPE,
    text=True,
  )
  assert done.returncode == 2
  names = [line.split('|')[-1].strip() for line in done.stderr.splitlines()]
  assert names.count('jax') == 1
  assert names.count('site') == 1 + (sys.platform == 'linux')


def test_a_command_starts_itself_once_to_set_malloc(tmp_path):
  (tmp_path / 'command.py').write_text(
    'import os\n'
    'from imat_jax import config, flags\n'
    'def main(made):\n'
    "  malloc = os.environ.get('GLIBC_TUNABLES')\n"
    '  print(os.getpid(), malloc, made.trunk.dropout)\n'
    "if __name__ == '__main__':\n"
    '  flags.run(main, config.Model)\n'
  )
  command = [sys.executable, '-m', 'command', '--dropout=0.25']
  process = subprocess.Popen(
    command,
    cwd=tmp_path,
    env=_without_malloc() | {'PYTHONPATH': str(ROOT)},
    stdout=subprocess.PIPE,
    text=True,
  )
  out, _ = process.communicate(timeout=60)
  expected = flags.MALLOC if sys.platform == 'linux' else None
  assert out.split() == [str(process.pid), str(expected), '0.25']


@pytest.mark.parametrize(
  ('kind', 'field'),
  [
    (kind, field)
    for kind in KINDS
    for field in leaves(kind)
    if field.metadata.get('is_path') and not is_argument(field)
  ],
  ids=lambda value: getattr(value, '__name__', None) or value.name,
)
def test_every_path_is_expanded_and_not_empty(kind, field, monkeypatch):
  """bash leaves the ~ of --flag=~/x alone: a folder named ~ would be made."""
  monkeypatch.setenv('HOME', '/home/me')
  ending = (
    '.png' if field.type is str and 'png' in field.metadata['help'] else ''
  )
  needed = [given(f) for f in leaves(kind) if is_required(f) and f != field]

  def made(value):
    argument = f'--{field.name}={value}'
    parsed = flags.parse(kind, ['command', *needed, argument])
    return getattr(parsed, field.name)

  assert made(f'~/x{ending}') == f'/home/me/x{ending}'
  with pytest.raises(ValueError, match='home folder'):
    made(f'~nobody-of-this-name/x{ending}')
  if field.default == '':  # its documented meaning
    assert made('') == ''
  else:
    with pytest.raises(ValueError, match=f'--{field.name}=: is empty'):
      made('')


def test_arguments_are_expanded_and_not_empty(monkeypatch):
  monkeypatch.setenv('HOME', '/home/me')
  argv = ['predict', '--run=x', '~/a.jpg', 'b~.jpg', '-']
  paths = flags.parse(predict.Predict, argv).paths
  assert paths == ('/home/me/a.jpg', 'b~.jpg', '-')
  with pytest.raises(ValueError, match='must not be empty'):
    flags.parse(predict.Predict, ['predict', '--run=x', 'a.jpg', ''])


COMMAND = """
import sys
from imat_jax import errors, flags
from imat_jax.data import configs
from imat_jax.models.trunks.paper import Paper
def main(command):
  print('f\\xfcr', command.annotations)
  if command.concurrency == 1:
    raise errors.UserError('f\\xfcr')
flags.run(main, configs.Download)
"""


def shell(tail: str, **environment: str) -> subprocess.CompletedProcess:
  """Runs `COMMAND` under a shell that gives it odd streams."""
  script = f'"$0" -c "$1" --images=b {tail}'
  return subprocess.run(
    ['bash', '-c', script, sys.executable, COMMAND],
    env=os.environ | environment,
    capture_output=True,
  )


@pytest.mark.parametrize(
  ('tail', 'status', 'out'),
  [
    ('--annotations=a <&-', 0, b'f\xc3\xbcr a\n'),
    ('--annotations=a >&-', 0, b''),
    ('--annotations=a 2>&-', 0, b'f\xc3\xbcr a\n'),
    ('--annotations=a --concurrency=1 2>&-', 1, b'f\xc3\xbcr a\n'),
    ('--annotations=a --concurrency=0 <&- >&- 2>&-', 2, b''),
    ('--annotations=a >/dev/full', 1, b''),
    ('--annotations=a --concurrency=1 2>/dev/full', 1, b'f\xc3\xbcr a\n'),
    ('--help >&-', 0, b''),
  ],
)
def test_closed_and_full_streams(tail, status, out):
  done = shell(tail)
  assert (done.returncode, done.stdout) == (status, out)
  assert done.stderr.count(b'\n') == int(bool(status) and '2>' not in tail)


def test_what_a_terminal_lacks_is_escaped():
  """Names are bytes of any kind, and a terminal knows some letters."""
  tail = "--annotations=$'\\xc3\\xbc\\xff' --concurrency=1"
  done = shell(tail, PYTHONIOENCODING='ascii')
  assert done.returncode == 1
  assert done.stdout == b'f\\xfcr \\xfc\xff\n'
  assert done.stderr.endswith(b': f\\xfcr\n')
  assert shell(tail).stdout == b'f\xc3\xbcr \xc3\xbc\xff\n'


def test_a_user_without_a_home_gets_one(tmp_path):
  """As `docker run --user 12345`: no HOME, and no entry in passwd."""
  (tmp_path / 'sitecustomize.py').write_text(
    'import pwd\n'
    'def missing(uid): raise KeyError(uid)\n'
    'pwd.getpwuid = missing\n'
  )
  code = (
    'import pathlib\n'
    'from imat_jax import flags\nfrom imat_jax.data import configs\n'
    'from imat_jax.runtime import files\n'
    'def main(command): print(pathlib.Path.home(), files.cache_folder())\n'
    'flags.run(main, configs.Download)\n'
  )
  environment = {k: v for k, v in os.environ.items() if k != 'HOME'}
  done = subprocess.run(
    [sys.executable, '-c', code, *GOOD],
    env=environment
    | {'PYTHONPATH': f'{tmp_path}:{ROOT}', 'TMPDIR': str(tmp_path)},
    capture_output=True,
    text=True,
  )
  assert done.returncode == 0, done.stderr
  home, cache = map(pathlib.Path, done.stdout.split())
  assert home == tmp_path / f'imat_jax-{os.getuid()}'
  assert home.stat().st_mode & 0o777 == 0o700
  assert cache.is_relative_to(home)
