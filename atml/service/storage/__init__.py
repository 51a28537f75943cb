"""Where studies are kept: SQLite or PostgreSQL.

`opening` checks the URL and opens the database. `database` is Optuna's `RDBStorage` with the lock that
keeps budgets exact. `retrying` repeats calls that failed because the server did not answer. `sqlite` and
`postgres` contain the differences between the two.
"""

from atml.service.storage.opening import open_storage
from atml.service.storage.retrying import COMMAND_RETRY_SECONDS, WORKER_RETRY_SECONDS, Storage

__all__ = ["COMMAND_RETRY_SECONDS", "WORKER_RETRY_SECONDS", "Storage", "open_storage"]
