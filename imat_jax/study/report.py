"""The page of a run or of a study."""


def write_run(workdir):
  return str(workdir.path)


def write_study(workdir, planned):
  return str(workdir.path)
