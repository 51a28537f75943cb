"""Simulated time for worker threads: only one runs at a time, always the one that is furthest behind."""

import threading


class TimeUpError(BaseException):
    """The simulated time is over; not an Exception, which would be taken for a failed trial."""


class Clock:
    """Lets `workers` threads sleep in simulated time, in an order that depends on their sleeps alone."""

    def __init__(self, workers, horizon):
        self.horizon = horizon
        self._due = dict.fromkeys(range(workers), 0.0)
        self._condition = threading.Condition()
        self._worker = threading.local()

    @property
    def now(self):
        """Simulated seconds that have passed for the calling worker."""
        return self._due[self._worker.index]

    def sleep(self, seconds):
        """Let `seconds` pass for the calling worker; raise TimeUpError if that is beyond the horizon."""
        index = self._worker.index
        with self._condition:
            self._due[index] += seconds
            self._condition.notify_all()
            self._condition.wait_for(lambda: self._is_next(index))
        if self._due[index] > self.horizon:
            raise TimeUpError

    def run(self, work):
        """Run `work(index)` in every worker until all have ended; re-raise what one raised."""
        errors = []

        def worker(index):
            self._worker.index = index
            try:
                self.sleep(0.0)
                work(index)
            except TimeUpError:
                pass
            except BaseException as error:  # noqa: BLE001
                errors.append(error)
            finally:
                with self._condition:
                    self._due[index] = float("inf")
                    self._condition.notify_all()

        threads = [threading.Thread(target=worker, args=(index,)) for index in self._due]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if errors:
            raise errors[0]

    def _is_next(self, index):
        return min(self._due, key=lambda other: (self._due[other], other)) == index
