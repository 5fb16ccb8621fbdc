"""Fuzzes the annotation files: anything but a UserError is a find."""

import contextlib
import json
import pathlib
import sys
import tempfile

import atheris

with atheris.instrument_imports():
  from imat_jax import errors
  from imat_jax.data import build, kaggle, manifest

FOLDER = pathlib.Path(tempfile.mkdtemp())
WORDS = (
  *('imageId', 'url', 'taskId', 'labelId', 'taskName', 'labelName'),
  *('images', 'annotations', 'taskInfo', 'labelInfo'),
  *('1', '2', '3', 'shoe:color', 'shoe:', ':', 'a:b:c', '\ud800', '\n', '<b>'),
)


def value(data: atheris.FuzzedDataProvider, depth: int = 0):
  """JSON that is often nearly right."""
  kind = data.ConsumeIntInRange(0, 9)
  if kind < 4 or depth > 4:
    return WORDS[data.ConsumeIntInRange(0, len(WORDS) - 1)]
  if kind == 4:
    return data.ConsumeInt(8)
  if kind == 5:
    return data.ConsumeRegularFloat()
  if kind == 6:
    return (None, True, data.ConsumeUnicode(8))[data.ConsumeIntInRange(0, 2)]
  number = data.ConsumeIntInRange(0, 4)
  if kind == 7:
    return [value(data, depth + 1) for _ in range(number)]
  names = [WORDS[data.ConsumeIntInRange(0, 9)] for _ in range(number)]
  return {name: value(data, depth + 1) for name in names}


def record(data: atheris.FuzzedDataProvider, *names: str):
  """A record with these fields, one of which may be anything."""
  fields = {name: WORDS[data.ConsumeIntInRange(10, 15)] for name in names}
  if 'url' in fields:
    fields['url'] = [data.ConsumeUnicode(8)]
  if data.ConsumeBool():
    fields[names[0]] = value(data)
  return fields


def content(data: atheris.FuzzedDataProvider) -> dict[str, bytes]:
  shapes = {
    'train.data': {
      'images': ('imageId', 'url'),
      'annotations': ('imageId', 'taskId', 'labelId'),
    },
    'task_map': {'taskInfo': ('taskId', 'taskName')},
    'label_map': {'labelInfo': ('labelId', 'labelName')},
  }
  files = {}
  for name, lists in shapes.items():
    record_lists = {
      key: [record(data, *names) for _ in range(data.ConsumeIntInRange(0, 4))]
      for key, names in lists.items()
    }
    if data.ConsumeIntInRange(0, 9) == 0:
      record_lists = value(data)
    files[name] = json.dumps(record_lists).encode()
    if data.ConsumeIntInRange(0, 19) == 0:
      files[name] = data.ConsumeBytes(40)
  return files


def one_input(raw: bytes) -> None:
  data = atheris.FuzzedDataProvider(raw)
  for name, body in content(data).items():
    (FOLDER / f'fgvc4_iMat.{name}.json').write_bytes(body)
  with contextlib.suppress(errors.UserError):
    split = kaggle.read_split(FOLDER, 'train')
    labels, _ = kaggle.labels_by_image(split)
    json.dumps([*labels.values()], ensure_ascii=False).encode()
    build.all_tasks({'train': list(labels.values())}, 0.01)
  path = FOLDER / 'train.manifest.jsonl'
  path.write_bytes(data.ConsumeBytes(200))
  for line in manifest.read(path).values():
    line.is_permanent  # noqa: B018


if __name__ == '__main__':
  atheris.Setup(sys.argv, one_input)
  atheris.Fuzz()
