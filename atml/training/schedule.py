"""Learning rate schedules: PyTorch's schedulers with ATML's settings."""

from torch.optim import Optimizer
from torch.optim.lr_scheduler import ConstantLR, LRScheduler, OneCycleLR, ReduceLROnPlateau

from atml.training.settings import TrainingSettings

WARM_UP = 0.2  # share of all steps; the rate peaks at its end
FIRST, LAST = 1 / 25, 1 / 1000  # of the peak


def make_schedule(optimiser: Optimizer, settings: TrainingSettings, steps_per_epoch: int) -> LRScheduler:
    """Return the schedule that `settings` name.

    Call `step` after every optimiser step, or for `ReduceLROnPlateau` after every epoch with its loss.
    """
    if settings.schedule == "one-cycle":
        steps = max(3, steps_per_epoch * settings.epochs)  # PyTorch divides by zero in a shorter cycle
        return OneCycleLR(
            optimiser,
            settings.learning_rate,
            total_steps=steps,
            # PyTorch counts the peak step as part of the warm-up.
            pct_start=(max(1.0, WARM_UP * steps) + 1) / steps,
            cycle_momentum=False,
            div_factor=1 / FIRST,
            final_div_factor=FIRST / LAST,
        )
    if settings.schedule == "plateau":
        return ReduceLROnPlateau(optimiser, factor=0.5, patience=1, threshold=0, eps=0)
    return ConstantLR(optimiser, factor=1.0, total_iters=0)
