"""Options of the commands that make a data set."""

import dataclasses

from imat_jax import config, options, validators

_POSITIVE = validators.at_least(1)
_NOT_NEGATIVE = validators.at_least(0)
_SECONDS = validators.at_least(0.01)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Download(options.Config):
  """Options of `imat_jax.data.download`."""

  annotations: str = config.folder('folder with the fgvc4_iMat.*.json files')
  images: str = config.folder(
    'output folder for SPLIT/ID.jpg and the manifests'
  )
  splits: tuple[str, ...] = options.option(
    'splits to download: train, validation, test',
    ('train', 'validation'),
    validators.not_empty,
  )
  url_prefix: str = options.option(
    'OLD=NEW: replaces the prefix OLD of links by NEW',
    '',
    validators.prefix_pair,
  )
  allow_private_hosts: bool = options.option(
    'allow links to this machine and its network; the host of --url_prefix is '
    'always allowed',
    False,
  )
  concurrency: int = options.option('concurrent requests', 64, _POSITIVE)
  per_host: int = options.option('concurrent requests per host', 4, _POSITIVE)
  per_loopback_host: int = options.option(
    'the same for this machine; 0: no limit', 0, _NOT_NEGATIVE
  )
  connect_timeout: float = options.option(
    'time-out of connecting, in seconds', 10.0, _SECONDS
  )
  read_timeout: float = options.option(
    'time-out without a byte, in seconds', 20.0, _SECONDS
  )
  total_timeout: float = options.option(
    'time-out of a request as a whole, in seconds', 120.0, _SECONDS
  )
  retries: int = options.option(
    'retries of a link after a transient error', 3, _NOT_NEGATIVE
  )
  backoff: float = options.option(
    'seconds before the first retry, with a jitter of ±50%; doubles with each '
    'retry',
    0.5,
    _NOT_NEGATIVE,
  )
  max_wait: float = options.option(
    'maximum of seconds before a retry, also of Retry-After',
    30.0,
    _NOT_NEGATIVE,
  )
  max_bytes: int = options.option('maximum file size', 25_000_000, _POSITIVE)
  min_side: int = options.option(
    'minimum width and height in pixels', 8, _POSITIVE
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Own(options.Config):
  """Options of `imat_jax.data.own`."""

  source: str = config.folder(
    'a table (CSV, .xlsx, .jsonl, .parquet, COCO, …), or a folder with a '
    'subfolder of photos per label'
  )
  annotations: str = config.folder(
    'output folder for the fgvc4_iMat.*.json files'
  )
  images: str = config.folder('output folder for SPLIT/ID.jpg')
  task: str = options.option(
    'name of the task of folders, one-hot columns or categories',
    'kind',
    validators.task_name,
  )
  photo_column: str = options.option(
    'column with the file or link of each photo, if not inferred', ''
  )
  photo_folder: str = config.folder(
    "folder that the table's paths are relative to; empty: the table's folder",
    '',
  )
  split_column: str = options.option(
    'column with the splits, if not inferred', ''
  )
  group_column: str = options.option(
    'column that identifies products (as sku, product_id), if not inferred; '
    'drawn splits keep the photos of a product together',
    '',
  )
  keep_columns: tuple[str, ...] = options.option(
    'columns that are tasks even if they seem impossible to learn', ()
  )
  drop_columns: tuple[str, ...] = options.option(
    'columns that are not tasks', ()
  )
  keep_label: tuple[str, ...] = options.option(
    'labels that would be read as missing, such as NA, none or -', ()
  )
  exact_labels: bool = options.option(
    'do not merge labels that differ in case or blanks', False
  )
  skip_bad_rows: bool = options.option(
    'skip rows with more or fewer cells than columns', False
  )
  encoding: str = options.option(
    'text encoding, such as cp1251; empty: tries UTF-8, UTF-16 with a '
    'byte-order mark, and Windows-1252',
    '',
  )
  validation_share: float = options.option(
    'share of the photos for validation, if the table has no splits',
    0.2,
    validators.between(0.01, 0.99),
  )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Build(options.Config):
  """Options of `imat_jax.data.build`."""

  annotations: str = config.folder('folder with the fgvc4_iMat.*.json files')
  images: str = config.folder(
    'folder with SPLIT/ID.jpg, as written by the download'
  )
  data_dir: str = config.place('output folder for the data set')
  image_size: int = options.option(
    'training size in pixels; photos are stored 25% larger for augmentation',
    128,
    validators.between(8, 4096),
  )
  exact_size: bool = options.option(
    'store photos at image_size itself, resized once, bicubic, as pre-trained '
    'networks were shown theirs: for the features of a frozen one, which sees '
    'no augmented photos',
    False,
  )
  min_label_share: float = options.option(
    "labels on a smaller share of a task's labelled train photos become "
    "'other', unless they together cover over 36%",
    0.01,
    validators.between(0, 1),
  )
  groups: tuple[str, ...] = options.option(
    'files of label groups, FILE.yaml, or kaggle or products, which are here: '
    'each adds, to a task color, color_FILE with its groups as labels',
    (),
  )
  require_any_of: tuple[str, ...] = options.option(
    'keep only photos with a label for one of these tasks, such as '
    'color,material,gender,age (the selection of the 2022 report)',
    (),
  )
  drop_duplicates: bool = options.option(
    'drop validation and test photos with a near-duplicate in an earlier split',
    False,
  )
  test_share: float = options.option(
    'share of the validation photos that become a test split, of those without '
    'a near-duplicate in train; near-duplicates stay together. 0: the test '
    'split of the annotations, if they have labels of one',
    0.0,
    validators.between(0, 0.99),
  )
  description: str = config.file(
    'FILE.toml that says where the photos are from and who labelled them; '
    'pages and model cards show it',
    '',
  )
  overwrite: bool = options.option('replace the data set in data_dir', False)
  beam: str = options.option(
    'options of an Apache Beam pipeline that decodes the photos, such as '
    "'--runner=FlinkRunner --temp_location=gs://bucket/temp'; empty: decode on "
    'this machine',
    '',
  )
