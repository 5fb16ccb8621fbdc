from imat_jax.data import build, label_notes, statistics


def notes_of(train, validation, share=0.01) -> list[str]:
  """The lines of a data set whose photos have these labels."""
  labels = {'train': train, 'validation': validation}
  task_set = build.all_tasks(labels, share)
  splits = {
    name: {'tasks': statistics.describe(task_set, rows)}
    for name, rows in labels.items()
  }
  counts = label_notes.train_counts(labels)
  return label_notes.lines(counts, task_set, splits, share)


def test_nothing_to_say_of_common_labels():
  rows = [{'style': name} for name in 'ab' for _ in range(20)]
  assert notes_of(rows, rows) == []


def test_every_fold_is_reported():
  rows = [{'color': 'red'}] * 990 + [{'color': 'teal'}] * 9
  (line, few) = notes_of(rows, rows[:1])
  assert line == (
    "rare labels became 'other': color 1 of 2, each on less than 0.01 of the "
    'labelled train photos; --min_label_share=0 keeps them'
  )
  assert 'other 9' in few


def test_a_label_of_validation_only_is_reported():
  rows = [{'color': 'red'}] * 20 + [{'color': 'blue'}] * 20
  (line, few) = notes_of(rows, [{'color': 'teal'}], share=0.0)
  assert line == "labels without a train photo became 'other': color 1 of 3"
  assert 'other 0' in few


def test_a_task_that_keeps_its_rare_labels_is_reported():
  rows = [{'product': str(n % 150)} for n in range(3000)]
  (line,) = notes_of(rows, rows)
  assert line.startswith('rare labels kept: product (100%)')


def test_tasks_without_a_validation_label_are_named():
  rows = [{'style': s, 'room': s} for s in 'ab' for _ in range(20)]
  (line,) = notes_of(rows, [{'style': 'a'}])
  assert line.startswith('warning: no validation photo has a label of: room;')


def test_tasks_of_one_class_are_counted():
  rows = [{'apparel': a, f'{a}:size': 'x'} for a in 'ab' for _ in range(20)]
  (line,) = notes_of(rows, [{'apparel': 'a'}])
  assert 'a label of: 2 tasks of one class;' in line


def test_labels_with_few_photos_are_a_line_per_task():
  rows = [{'style': 'a'}] * 20 + [{'style': 'b'}] * 19 + [{'style': 'c'}] * 3
  (line,) = notes_of(rows, rows)
  assert line.startswith(
    'warning: style: 2 of 3 labels have under 20 train photos (c 3, b 19)'
  )
