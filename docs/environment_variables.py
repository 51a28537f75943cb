"""Environment variables and exit codes, as the reference lists them."""

from collections.abc import Mapping

ENVIRONMENT: Mapping[str, str] = {
    "ATML_STORAGE": "Database of the studies; the default of `--storage`.",
    "ATML_ARTIFACTS": "Where trials keep their files; the default of `--artifacts`.",
    "ATML_CACHE": (
        "Folder for parsed and simulated segments, best on a local disk; the user's cache directory by "
        "default (`~/.cache/atml` on Linux). Every machine parses a directory only once."
    ),
    "ATML_DASHBOARD_AUTH": (
        "Credentials of the dashboard, `user:password`; required if it listens on any address other than "
        "loopback."
    ),
    "ATML_PHYSIONET": "Mirror of PhysioNet's files; the default of `atml data fetch --from`.",
    "ATML_DEBUG": "If set, an unexpected error shows where it arose, as with `atml --debug`.",
    "OMP_NUM_THREADS": "CPU threads of a library call. `atml run` and `atml search` set it to 1 for workers.",
    "GLIBC_TUNABLES": (
        "Settings of Linux's memory allocator. Unless it is set, ATML's own workers get settings that save "
        "a few percent of their time; set `glibc.malloc.hugetlb=1` for workers that you start yourself."
    ),
    "ORT_DISABLE_TELEMETRY": (
        "ATML always sets it to 1, since it handles patient data; ONNX Runtime would report to Microsoft."
    ),
    "MLFLOW_TRACKING_URI": "MLflow's server or database; the default of `atml export-mlflow --tracking-uri`.",
    "MLFLOW_DISABLE_TELEMETRY": "`atml export-mlflow` always sets it to true.",
    "PGPASSWORD": "Password of a PostgreSQL server; it may hold any character and is not part of the URL.",
    "AWS_ACCESS_KEY_ID": (
        "With `AWS_SECRET_ACCESS_KEY`, `AWS_DEFAULT_REGION` and `AWS_ENDPOINT_URL_S3`: boto3 reads them to "
        "reach S3."
    ),
}

EXIT_CODES: Mapping[int, str] = {
    0: "Success. A search that has ended is one, whether or not its targets are met.",
    1: (
        "A mistake in the input, data or set-up, told in one sentence; or `atml data check` or `atml verify` "
        "found a problem, or `atml predict --skip-bad` left a file out."
    ),
    2: "Wrong usage: an unknown command or option, or a value that an option does not take.",
    3: (
        "With `--check-targets`: the study has ended without meeting its targets. `atml run` judges the "
        "recommended model, `atml search` and `atml status` the best trial by its figures in the search."
    ),
    4: "With `--check-targets`: the study was stopped or is still running, and its targets are not met.",
    73: "Only a worker that `atml run` or `atml search` started: it cannot write; a restart would not help.",
    130: "Interrupted by Ctrl-C; the same command continues where it can.",
}
