"""The example of README.md does what it shows."""

import pathlib
import re
import shutil

README = pathlib.Path(__file__).parents[1] / 'README.md'


def test_the_example_in_python(built, kaggle, tmp_path, monkeypatch, capsys):
  monkeypatch.chdir(tmp_path)
  (tmp_path / 'data/demo').mkdir(parents=True)
  (tmp_path / 'data/demo/built').symlink_to(built)
  shutil.copy(kaggle.images / 'validation/0.jpg', 'photo.jpg')
  (code,) = re.findall(r'```python\n(.*?)```', README.read_text(), re.DOTALL)
  exec(code, {})
  *_, scores, colors = capsys.readouterr().out.splitlines()
  assert eval(scores).keys() == {'apparel', 'color'}
  assert {name for name, _ in eval(colors)} == {'blue', 'green', 'red'}
