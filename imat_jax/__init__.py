"""Multi-task learning on product photos with few labels.

In reading order:

  train      the program: what a run is made of, and the loop
  training   the mathematics and the loop's parts: step, gradients, losses,
             state, metrics, scores, history (with early stopping), evaluation,
             optimizer, rng; ensemble and compiled (runs vmapped and jitted),
             inputs (streamed, or cached on the device), sharding,
             features (of a frozen trunk), gradient_similarity, look_ahead,
             checkpoint, scoring, trained_model
  strategies how losses become one update: a file per multi-task method
  models     trunks (a file each), network (a trunk, a head per task), presets;
             pretrained and weights: what others have trained; units: what
             pruning may remove; conv_pool, conv, depthwise and group_norm with
             their compiled kernels, pooling; saliency
  config     the options of a run, with recipe: those of a step; options: what
             an option is
  tasks, errors, validators    labels and their weights; errors of users; checks
  data       input_pipeline, augment, pixels, random, source, device_dataset;
             and making a data set: kaggle, own, downloading, build and more
  writers    metric writers: metrics.jsonl, stderr, TensorBoard, W&B
  runtime    infrastructure, no mathematics: workdir, distributed,
             preemption, checksums, sync and storage (buckets), files, progress
  label_space    labels as points (lab, embedders, vae, vae_training, vectors),
             and groups of them (clusters)
  reporting  reads what runs wrote: of a run: results, intervals, calibration,
             charts, suggestion, run_page, model_card; of a study: analysis,
             comparison, strategies, statistics, power, verdict, convergence,
             sensitivity, label_shift, label_budget, sparsity, tables,
             photo_predictions, study_charts, study_page; of `evaluate`:
             assessment, grouped, reliability_diagrams; and the pages of
             searches and label spaces
  study      config, which runs (grid), and running them (sweep, dry_run);
             searches (search_space, search_config, search); label_space;
             preflight: checks of all three before jax is loaded
  evaluate, predict, prune, submit, export, demo, doctor    commands on trained
             runs
  flags, commands, preflight    options as absl flags; checks before jax is
             loaded

tests/layering_test.py has the rules of which may import which.

Shapes are in the names, one capital letter per axis:

  B  examples of a batch      H, W  height and width in pixels
  T  tasks                    C     color channels
  K  labels of one task       D     features
  R  runs of an ensemble      S     seeds of a cell, or steps of an epoch
  N  photos of a split        P     parameters, or pairs
  A  draws                    Z     latents

With T before it, K is as many as the largest task has. W also stands for what
comes out of a dense layer.
"""
