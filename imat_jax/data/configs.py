"""The options of the commands that make a data set."""

import dataclasses

from imat_jax import config, options, validators


@dataclasses.dataclass(frozen=True, kw_only=True)
class Download(options.Config):
  """Options of `imat_jax.data.download`."""

  annotations: str = config.folder('folder with the fgvc4_iMat.*.json files')
  images: str = config.folder(
    'folder that receives SPLIT/ID.jpg and the manifests'
  )
  splits: tuple[str, ...] = options.option(
    'splits to fetch: train, validation, test',
    ('train', 'validation'),
    validators.not_empty,
  )
  url_prefix: str = options.option(
    'OLD=NEW: links that begin with OLD are fetched from NEW',
    '',
    validators.prefix_pair,
  )
  allow_private_hosts: bool = options.option(
    'links may lead to this machine and its network; the host of --url_prefix '
    'always may be there',
    False,
  )
  concurrency: int = options.option(
    'links in flight at once', 64, validators.at_least(1)
  )
  per_host: int = options.option(
    'of these, at most per host', 4, validators.at_least(1)
  )
  per_loopback_host: int = options.option(
    'the same for this machine; 0 is no cap', 0, validators.at_least(0)
  )
  connect_timeout: float = options.option(
    'seconds to connect', 10.0, validators.at_least(0.01)
  )
  read_timeout: float = options.option(
    'seconds without a byte of the reply', 20.0, validators.at_least(0.01)
  )
  total_timeout: float = options.option(
    'seconds for one try of a link, from the first to the last byte',
    120.0,
    validators.at_least(0.01),
  )
  retries: int = options.option(
    'further tries of a link that fails for a passing reason',
    3,
    validators.at_least(0),
  )
  backoff: float = options.option(
    'seconds before the first retry, half as many to half as many again at '
    'random; doubles with each retry',
    0.5,
    validators.at_least(0),
  )
  max_wait: float = options.option(
    'longest wait in seconds before a retry, whatever Retry-After says',
    30.0,
    validators.at_least(0),
  )
  max_bytes: int = options.option(
    'largest body that is kept', 25_000_000, validators.at_least(1)
  )
  min_side: int = options.option(
    'smallest width and height in pixels', 8, validators.at_least(1)
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(options.Config):
  """Options of `imat_jax.data.own`."""

  source: str = config.folder(
    'a table (CSV, .xlsx, .jsonl, .parquet, COCO, …), or a folder of folders '
    'with photos'
  )
  annotations: str = config.folder(
    'folder that receives the fgvc4_iMat.*.json files'
  )
  images: str = config.folder('folder that receives SPLIT/ID.jpg')
  task: str = options.option(
    'what folders, one-hot columns or categories are labels of',
    'kind',
    validators.task_name,
  )
  photo_column: str = options.option(
    'column with the file or link of each photo, where its name is another',
    '',
  )
  photo_folder: str = config.folder(
    'folder that the files of the table are relative to; empty for that of the '
    'table',
    '',
  )
  split_column: str = options.option(
    'column with the splits, where its name is another', ''
  )
  group_column: str = options.option(
    'column that photos of one product have in common, where its name is none '
    'of sku, product_id and the like; a drawn split keeps them together',
    '',
  )
  keep_columns: tuple[str, ...] = options.option(
    'columns that are tasks, though they look as if they could not be learned',
    (),
  )
  drop_columns: tuple[str, ...] = options.option(
    'columns that are no tasks', ()
  )
  keep_label: tuple[str, ...] = options.option(
    'labels that look like missing ones, such as NA, none or -', ()
  )
  exact_labels: bool = options.option(
    'labels that differ in case or blanks are different ones', False
  )
  skip_bad_rows: bool = options.option(
    'leave out rows with more or fewer cells than columns', False
  )
  encoding: str = options.option(
    'of the table, such as cp1251; empty to try UTF-8, UTF-16 where it is '
    'marked, and Windows-1252',
    '',
  )
  validation_share: float = options.option(
    'share of the photos that is for validation, where no column says it',
    0.2,
    validators.between(0.01, 0.99),
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build(options.Config):
  """Options of `imat_jax.data.build`."""

  annotations: str = config.folder('folder with the fgvc4_iMat.*.json files')
  images: str = config.folder(
    'folder with SPLIT/ID.jpg, as the download leaves it'
  )
  data_dir: str = config.place('folder that receives the data set')
  image_size: int = options.option(
    'training size in pixels; stored photos have a quarter more for the warp',
    128,
    validators.between(8, 4096),
  )
  min_label_share: float = options.option(
    "labels on a smaller share of a task's labelled train photos become "
    "'other'; where they are together on over 36%, the task is kept whole",
    0.01,
    validators.between(0, 1),
  )
  require_any_of: tuple[str, ...] = options.option(
    'keep only photos with a label for one of these tasks, such as '
    'color,material,gender,age (the selection of the 2022 report)',
    (),
  )
  drop_duplicates: bool = options.option(
    'leave out validation photos of which a near-duplicate stands in train',
    False,
  )
  overwrite: bool = options.option(
    'replace a different data set in data_dir', False
  )
  beam: str = options.option(
    'options of an Apache Beam pipeline that decodes the photos, such as '
    "'--runner=FlinkRunner --temp_location=gs://bucket/temp'; without them "
    'this machine does',
    '',
  )
