"""Multi-task learning on product photos with few labels.

The map, in the order in which modules may import each other:

  errors, progress, files    the user's faults, progress on stderr, whole files
  outputs, scratch           files beside a user's own; folders of work
  remote                     folders in buckets, copied here and back
  tasks, checks, config      labels and weights; what a value may be; every knob
  run_folders, extras        what a folder is, what is installed; without jax
  scores, calibration        accuracy to F1; are probabilities right as often?
  data      own, annotations → download → photos or, on many machines, fleet →
            build → source; random, augment, and input_pipeline or device_dataset;
            garments draws the demo data, with the package drawing;
            photo_lists and photo_files say which files are photos
  models    pooling, conv_pool with native's compiled kernel, trunk, heads, and
            the report's presets
  training  rng, cluster, mesh, losses, metrics, state, step, affinity;
            early_stopping, course; group, feed, program; seal, checkpoint,
            interruption, profiling; mirror, workdir; pictures, watch; loop;
            scoring
  study     engine runs one experiment; grid, estimate, sweep a whole study;
            results, statistics, findings what it found; assessment how far a
            run is to be trusted; card, charts, tables, report what is shown
  inference, contact_sheet   a trained run that labels photos; them in a picture
  saliency  where a network looks
  artefact  a trained network as a file that needs no imat_jax
  evaluate, predict, submit, export, demo    commands: scores, labels, the
            competition's file, an artefact, a page for a browser
  doctor    says whether a machine can train
  preflight what keeps a run from beginning, told before jax is loaded
  flags     turns configs into absl flags; only commands use it
  commands  lists them: python -m imat_jax

Start with `training.loop` for how runs go, `training.losses` for what it
minimises, `data.input_pipeline` for what a batch is.

Shapes are in the names, one capital letter per axis:

  B  examples of a batch      H, W  height and width in pixels
  T  tasks                    C     color channels
  K  labels of one task       D     features
  R  runs of a group          S     seeds of a cell, or steps of an epoch
  N  photos of a split        P     parameters

With T before it, K is as many as the largest task has. W also stands for what
comes out of a dense layer.
"""
