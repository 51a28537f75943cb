"""Where studies are kept: SQLite, PostgreSQL, or a proxy before one of them.

`opening` tells them apart. `lean` is Optuna's storage with fewer transactions; `sqlite` and `patient`,
for PostgreSQL, add what each needs to be told about; `grpc` speaks to the proxy. `registry` is the
table of workers beside Optuna's.
"""

from atml.service.storage.opening import (
    GRACE_SECONDS,
    HEARTBEAT_SECONDS,
    is_proxy,
    open_database,
    open_storage,
)

__all__ = ["GRACE_SECONDS", "HEARTBEAT_SECONDS", "is_proxy", "open_database", "open_storage"]
