"""Multi-task learning on product photos with few labels.

In reading order:

  train      the program: what a run is made of, and the loop
  training   what one would write on a blackboard: losses, step, state, metrics,
             history (with early stopping), optimizer, rng; ensemble and
             compiled (runs vmapped and jitted), inputs (streamed, or cached on
             the device), sharding, gradient_similarity, checkpoint, scoring,
             trained_model
  strategies how losses become one update: a file per multi-task method
  models     network (a trunk, a head per task), trunk, presets; conv_pool with
             its compiled kernels, pooling; saliency
  config, tasks, errors, validators    every option; labels and their weights
  data       input_pipeline, augment, random, source; device_dataset; and how a
             data set comes to be: kaggle, own, downloading, build and more
  writers    who is told of an epoch: metrics.jsonl, stderr, TensorBoard, W&B
  runtime    what keeps a run alive, no mathematics: workdir, distributed,
             preemption, checksums, sync and storage (buckets), files, progress
  reporting  reads what runs left: results, analysis, statistics, calibration,
             assessment, tables, charts, page, model_card
  study      which runs (grid), and running them (sweep, dry_run)
  evaluate, predict, submit, export, demo, doctor    commands on trained runs
  flags, commands, preflight    options as absl flags; what is told before jax
             is loaded

tests/layering_test.py says which may import which.

Shapes are in the names, one capital letter per axis:

  B  examples of a batch      H, W  height and width in pixels
  T  tasks                    C     color channels
  K  labels of one task       D     features
  R  runs of an ensemble      S     seeds of a cell, or steps of an epoch
  N  photos of a split        P     parameters

With T before it, K is as many as the largest task has. W also stands for what
comes out of a dense layer.
"""
